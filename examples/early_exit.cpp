// A spiking network that stops early: accuracy against mean time steps for rules that ask how sure an answer is, for a
// policy network that says beforehand, and for one who knows; and images per second, with what left costing nothing
// more.
//
//     early_exit                                  # on images drawn by the program itself
//     early_exit --dataset mnist --data DIR --load weights.npz    # what train_snn --save wrote
//     early_exit --help
#include <CLI/CLI.hpp>

#include "common/images.hpp"
#include "common/options.hpp"
#include "common/outputs.hpp"
#include "common/spiking_network.hpp"
#include "common/training.hpp"
#include "early_exit/policy.hpp"

#include <spiq/core/error.hpp>
#include <spiq/exec/early_exit.hpp>
#include <spiq/io/weights.hpp>
#include <spiq/lower/lower.hpp>
#include <spiq/report/line_chart.hpp>
#include <spiq/report/text_table.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace {

using spiq::report::fixed;

struct Options : SharedOptions {
  int steps = 4;
  int epochs = 0;
  int policy_epochs = 4;
  double leak = 0.5;
  double loss = 0;
  double validation = 0.1;
  bool quick = false;
  std::string out = ".";
  std::string load;

  static constexpr const char* pictures[] = {"early_exit.svg"};

  void declare(CLI::App& app) {
    declare_dataset(app);
    app.add_option("--steps", steps, "Time steps T of an image that nothing stops")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    app.add_option("--epochs", epochs, "Training epochs; 0: synthetic 4, mnist 6")
        ->check(CLI::Range(0, 100000))
        ->capture_default_str();
    app.add_option("--leak", leak, "Share of the membrane potential that a step keeps, to begin with")
        ->check(CLI::Range(0.0, 1.0))
        ->check(not_nan)
        ->capture_default_str();
    app.add_option("--policy-epochs", policy_epochs, "Training epochs of the policy network")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    app.add_option("--loss", loss, "Points of accuracy that calibrated thresholds may lose on the validation images")
        ->check(CLI::Range(0.0, 100.0))
        ->check(not_nan)
        ->capture_default_str();
    declare_seed(app);
    declare_threads(app, " of training");
    app.add_option("--validation", validation,
                   "Share of the training images held out, drawn by the seed; as in training with --load")
        ->check(CLI::Range(0.01, 0.9))
        ->check(not_nan)
        ->capture_default_str();
    declare_sizes(app, "synthetic: 10000", "synthetic: 2000");
    app.add_flag("--quick", quick, "A run of seconds: one epoch on 1000 images, 300 test images [off]");
    app.add_option("--out", out, "Folder for early_exit.svg; made if missing")->capture_default_str();
    app.add_option("--load", load, "Load weights from this .npz file instead of training [none]");
  }
  void settle() {
    if (epochs == 0) epochs = quick ? 1 : dataset == "mnist" ? 6 : 4;
    if (quick && train_images == 0) train_images = 1000;
    if (quick && test_images == 0) test_images = 300;
  }
};

struct Sizes {
  std::size_t train_images = 10000, test_images = 2000;
};

using Net = ImageNet<spiq::Bptt>;

// Images, labels, and the outputs of a lowered network after every step [T, N, classes].
struct Answers {
  spiq::Tensor<float> images, over_time;
  std::vector<int> labels;
};
template <class Network>
Answers answers_of(const Network& network, const spiq::ImageSet& set, std::span<const std::uint32_t> indices) {
  Answers a;
  a.labels.resize(indices.size());
  set.fill(indices, a.images, a.labels);
  const std::size_t n = indices.size(), batch = 256, size = set.shape().size();
  auto session = network.session(static_cast<int>(batch), {.over_time = true});
  const auto steps = static_cast<std::size_t>(session.steps()),
             classes = static_cast<std::size_t>(network.readout.classes);
  a.over_time.resize({steps, n, classes});
  for (std::size_t first = 0; first < n; first += batch) {
    const std::size_t count = std::min(batch, n - first);
    session.run(a.images.data() + first * size, count, size);
    for (std::size_t t = 0; t < steps; ++t)
      std::copy_n(session.logits_over_time().data() + t * count * classes, count * classes,
                  a.over_time.data() + (t * n + first) * classes);
  }
  return a;
}
std::vector<std::uint32_t> all_of(std::size_t n) {
  std::vector<std::uint32_t> list(n);
  std::iota(list.begin(), list.end(), 0u);
  return list;
}

// One line of the table and one point of the picture.
class Results {
public:
  explicit Results(const Answers& test) : test_(test) {}
  void add(const std::string& name, const std::string& threshold, const spiq::Exits& exits) {
    std::size_t right = 0;
    for (std::size_t i = 0; i < test_.labels.size(); ++i) right += exits.predictions[i] == test_.labels[i] ? 1 : 0;
    add(name, threshold, static_cast<double>(right) / static_cast<double>(test_.labels.size()), exits.mean_steps());
  }
  void add(const std::string& name, const std::string& threshold, double accuracy, double steps) {
    table_.row({name, threshold, fixed(100 * accuracy, 2), fixed(steps, 3)});
    chart.point(name, steps, 100 * accuracy);
  }
  void print() const { std::cout << table_; }

  spiq::report::LineChart chart;

private:
  const Answers& test_;
  spiq::report::TextTable table_{{"rule", "threshold", "accuracy %", "mean steps"}};
};

// The curve over all thresholds on the test images, and the point that validation images choose.
template <class Rule>
double try_rule(const std::string& name, Results& results, const Answers& validation, const Answers& test,
                double loss) {
  const auto curve = spiq::exit_curve<Rule>(test.over_time, test.labels);
  std::vector<std::pair<double, double>> points;
  for (const auto& p : curve)
    if (points.empty() || points.back() != std::pair(p.mean_steps, 100 * p.accuracy))
      points.emplace_back(p.mean_steps, 100 * p.accuracy);
  results.chart.curve(name, std::move(points));
  const double threshold = spiq::calibrate_exit<Rule>(validation.over_time, validation.labels, loss).threshold;
  results.add(name + ", calibrated", fixed(threshold, 2),
              spiq::exits_of<Rule>(test.over_time, {.threshold = threshold}));
  return threshold;
}

// Images per second on one thread, the faster of two runs.
template <class Network>
double speed(const Network& network, const spiq::Tensor<float>& images, int steps, double threshold) {
  double best = 0;
  for (int round = 0; round < 2; ++round) {
    const auto start = std::chrono::steady_clock::now();
    spiq::early_exit(network, images, steps, {.threshold = threshold});
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, static_cast<double>(images.extent(0)) / seconds);
  }
  return best;
}

void run(const Options& options) {
  expect_pictures(options.out, Options::pictures);
  const spiq::ImageData data = load_images(options, options.dataset == "mnist" ? Sizes{0, 0} : Sizes{});
  Net net{spiq::Rng{options.seed}};
  prepare(net, options.leak);
  net.layer<Net::size - 1>().steps = options.steps;
  // The loss of every step: a network that is to answer early is taught to.
  spiq::FitOptions fit{.epochs = options.epochs,
                       .batch = 100,
                       .loss = spiq::LossKind::temporal_efficient,
                       .augmentation = {.shift = 2},
                       .validation_fraction = static_cast<float>(options.validation),
                       .seed = options.seed,
                       .threads = options.threads};
  if (!options.load.empty()) {
    spiq::load_weights(options.load, net);
    fit.epochs = 0;  // draws the split alone
  }
  const std::vector<std::uint32_t> held = fit_shown(net, data.train, fit).validation;
  std::vector<std::uint32_t> seen;
  for (const std::uint32_t i : all_of(data.train.size()))
    if (!std::binary_search(held.begin(), held.end(), i)) seen.push_back(i);

  const auto network = spiq::lower(net, spiq::target::Spiking{spiq::conversion::Trained{}});
  const Answers validation = answers_of(network, data.train, held),
                test = answers_of(network, data.test, all_of(data.test.size()));
  const auto t_max = test.over_time.extent(0);

  Results results(test);
  std::vector<std::pair<double, double>> fixed_steps;
  for (std::size_t t = 1; t <= t_max; ++t) {
    const spiq::Exits exits =
        spiq::exits_after(test.over_time, std::vector<int>(test.labels.size(), static_cast<int>(t)));
    std::size_t right = 0;
    for (std::size_t i = 0; i < test.labels.size(); ++i) right += exits.predictions[i] == test.labels[i] ? 1 : 0;
    fixed_steps.emplace_back(static_cast<double>(t),
                             100 * static_cast<double>(right) / static_cast<double>(test.labels.size()));
  }
  results.chart.curve("the same steps for all", fixed_steps);
  const double confidence =
      try_rule<spiq::exit_rule::Confidence>("confidence", results, validation, test, options.loss / 100);
  try_rule<spiq::exit_rule::Entropy>("entropy", results, validation, test, options.loss / 100);
  std::vector<int> chosen;
  {
    const Answers training = answers_of(network, data.train, seen);
    chosen = policy_steps(training.images, spiq::right_by_step(training.over_time, training.labels), t_max, test.images,
                          options.policy_epochs, options.seed, options.threads);
  }
  results.add("policy network", "-", spiq::exits_after(test.over_time, chosen));
  const spiq::ExitPoint oracle = spiq::exit_oracle(test.over_time, test.labels);
  results.add("oracle", "-", oracle.accuracy, oracle.mean_steps);

  std::cout << "\n"
            << options.dataset << ", " << test.labels.size() << " test images; thresholds chosen on "
            << validation.labels.size() << " validation images\n";
  for (const auto& [t, accuracy] : fixed_steps)
    std::cout << "T = " << fixed(t, 0) << ": " << fixed(accuracy, 2) << " %\n";
  results.print();
  const double all = speed(network, test.images, static_cast<int>(t_max), 2),
               some = speed(network, test.images, static_cast<int>(t_max), confidence);
  std::cout << "images/s on one thread: " << fixed(all, 0) << " with all steps, " << fixed(some, 0)
            << " when those that are sure leave (confidence, calibrated): " << fixed(some / all, 2) << "x\n";

  results.chart.title = "Early exit, " + options.dataset + ", " + std::to_string(test.labels.size()) +
                        " test images, seed " + std::to_string(options.seed);
  results.chart.x_label = "mean time steps";
  results.chart.y_label = "accuracy (%)";
  results.chart.caption =
      "Curves: all thresholds. Diamonds: thresholds chosen on validation images, the policy network, and one who "
      "knows from which step on each answer is right.";
  results.chart.write(options.out + "/early_exit.svg");
  std::cout << "wrote " << options.out << "/early_exit.svg\n";
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Trains a spiking network on the loss of every step and stops it early: by confidence, by entropy, with "
      "thresholds\n"
      "chosen on validation images, and by a policy network (SEENN-II)."};
  Options options;
  options.declare(app);
  CLI11_PARSE(app, argc, argv);
  options.settle();
  try {
    run(options);
    return 0;
  } catch (const std::exception& e) {
    std::cerr << "early_exit: " << e.what() << "\n";
    return 1;
  }
}
