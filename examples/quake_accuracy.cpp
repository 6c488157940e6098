// How exact must an exponential be? Error and speed of every rung of the ladder, alone and inside a vision transformer,
// and a check of the claim of QuAKE (arXiv 2412.00408): inference 10 to 35 % faster without loss of accuracy.
//
//     quake_accuracy                                  # on images drawn by the program itself
//     quake_accuracy --dataset mnist --data DIR
//     quake_accuracy --help
#include <CLI/CLI.hpp>

#include "common/card.hpp"
#include "common/images.hpp"
#include "quake_accuracy/baselines.hpp"
#include "quake_accuracy/claim.hpp"
#include "quake_accuracy/contender.hpp"
#include "quake_accuracy/curves.hpp"
#include "quake_accuracy/options.hpp"
#include "quake_accuracy/train.hpp"

#include <spiq/core/error.hpp>
#include <spiq/core/parallel.hpp>
#include <spiq/report/card.hpp>
#include <spiq/report/json.hpp>
#include <spiq/report/measure.hpp>

#include <exception>
#include <iostream>
#include <string>
#include <vector>

namespace {

namespace accuracy = spiq::accuracy;
namespace report = spiq::report;

int run(const Options& options) {
  const Recipe recipe = recipe_for(options.dataset);
  const spiq::ImageData data = load_images(options, recipe);
  std::vector<Contender> all = {
      contender<StdExp>(),                     //
      contender<SimdExp>(),                    //
      contender<accuracy::quake>(),            //
      contender<accuracy::quake_one_sided>(),  //
      contender<accuracy::quake_rms>(),        //
      contender<accuracy::quake2>(),           //
      contender<accuracy::quake2_balanced>(),  //
      contender<accuracy::quake2_scaled>(),    //
      contender<accuracy::ladder2>(),          //
      contender<accuracy::ladder3>(),          //
      contender<accuracy::ladder4>(),          //
      contender<accuracy::ladder5>(),          //
      contender<accuracy::full>(),             //
      contender<NoExp>()};
  const Baselines baselines{0, 1, all.size() - 2};
  all[0].bound = all[1].bound = 0;  // what they promise is not ours to say

  std::cout << "Exponentials alone: relative error against double for x in [-10, 10]; speed on 4096 values in the first "
               "cache,\none thread, " << spiq::simd::best::name << " kernels; times as fast as std::exp and as xsimd's\n\n";
  const std::vector<LadderRow> ladder = measure_ladder(all, baselines.std_exp, baselines.simd_exp, options);
  print_ladder(std::cout, ladder);
  draw_curves(all, ladder, options);
  std::cout << "\n";
  for (const char* picture : Options::pictures) std::cout << "wrote " << options.out << "/" << picture << "\n";

  std::cout << "\n" << options.dataset << ": " << data.train.size() << " training images, " << data.test.size()
            << " test images, " << spiq::to_string(data.train.shape()) << "\n";
  const Trained trained = trained_weights(data.train, recipe, options);
  // Here the test set is used for the first time: nothing above has seen it, and nothing is chosen by it.
  const std::vector<NetworkRow> networks =
      measure_networks(all, baselines, trained.weights, report::LabelledImages(data.test), options);
  std::cout << "The vision transformer, trained once with full, lowered with every exponential: accuracy on the test\n"
               "images, same predictions as full, time of one thread; in exp: what of it is saved when a copy of its\n"
               "argument stands in place of every exponential\n\n";
  print_networks(std::cout, networks);
  const std::vector<Verdict> verdicts = judge(networks, baselines);
  std::cout << "\nQuAKE (arXiv 2412.00408): inference 10 to 35 % faster without loss of accuracy, here\n"
               "(+-: scatter of the rounds, or what rungs of the same instructions differ by, whichever is more):\n\n";
  print_verdicts(std::cout, verdicts);
  if (options.quick) std::cout << "(--quick: too few images, epochs and rounds to mean anything)\n";

  report::Card card = card_of(options, data);
  card.validation = trained.validation;
  card.more.emplace_back("training", trained.training);
  card.more.emplace_back("times", "medians of " + std::to_string(options.rounds) + " rounds, CPU time of one thread");
  if (!options.json.empty()) {
    report::JsonWriter json;
    json.begin_object();
    json.key("exponentials");
    write_ladder(json, ladder);
    json.key("networks");
    write_networks(json, networks);
    json.key("claim");
    write_verdicts(json, verdicts);
    json.key("card");
    report::write(json, card);
    json.end();
    report::write_text_file(options.json, json.text() + "\n");
    std::cout << "\nwrote " << options.json << "\n";
  }
  std::cout << "\n" << card;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Error and speed of every rung of the accuracy ladder of exponentials, and what each does to a vision\n"
               "transformer: accuracy, agreement, time, against std::exp, xsimd::exp and the full rung."};
  Options options;
  options.declare(app);
  CLI11_PARSE(app, argc, argv);
  options.settle();
  try {
    options.check_outputs();
    return run(options);
  } catch (const std::exception& e) {
    std::cerr << "quake_accuracy: " << e.what() << "\n";
    return 1;
  }
}
