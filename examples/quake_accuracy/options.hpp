// The command line of quake_accuracy.
#pragma once

#include <CLI/CLI.hpp>

#include "../common/options.hpp"
#include "../common/outputs.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

struct Options : SharedOptions {
  int epochs = 0;
  int batch = 0;
  double learning_rate = 0;
  double validation = 0.05;
  std::size_t time_images = 128;
  int rounds = 0;
  bool quick = false;
  std::string out = ".";
  std::string json;
  std::string save;
  std::string load;

  static constexpr const char* pictures[] = {"exp_error.svg", "exp_error_octave.svg", "exp_ladder.svg"};

  // Declares every option on `app`; the defaults above are what --help prints.
  void declare(CLI::App& app) {
    declare_dataset(app);
    app.add_option("--epochs", epochs, "Training epochs; 0: the recipe's (synthetic 5, mnist 10)")
        ->check(CLI::Range(0, 100000))
        ->capture_default_str();
    app.add_option("--batch", batch, "Images per training step; 0: the recipe's (64)")
        ->check(CLI::Range(0, 65536))
        ->capture_default_str();
    app.add_option("--lr", learning_rate, "Peak learning rate; 0: the recipe's (0.006)")
        ->check(CLI::Range(0.0, 1000.0))
        ->check(not_nan)
        ->capture_default_str();
    declare_seed(app);
    declare_threads(app, " of training and of predictions", ", times are always taken on one");
    app.add_option("--validation", validation,
                   "Share of the training images held out for validation, drawn by the seed")
        ->check(CLI::Range(0.0, 0.9))
        ->check(not_nan)
        ->capture_default_str();
    declare_sizes(app, "synthetic: 10000", "synthetic: 4000");
    app.add_option("--time-images", time_images, "Time networks on the first N test images")
        ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 30))
        ->capture_default_str();
    app.add_option("--rounds", rounds,
                   "Measure every time so often, all networks in turn, and take medians; 0: 41 (with --quick 3)")
        ->check(CLI::Range(0, 100000))
        ->capture_default_str();
    app.add_flag("--quick", quick,
                 "A run of seconds: one epoch on 1000 images, 200 test images, which shows that all works and nothing "
                 "about the claim [off]");
    app.add_option("--out", out,
                   "Folder for exp_error.svg, exp_error_octave.svg and exp_ladder.svg; made if missing")
        ->capture_default_str();
    app.add_option("--json", json, "Write the tables and the reproducibility card to this file [none]");
    app.add_option("--save", save, "Save the trained weights to this .npz file [none]");
    app.add_option("--load", load, "Load weights from this .npz file instead of training [none]");
  }

  // What follows from the other options.
  void settle() {
    if (rounds == 0) rounds = quick ? 3 : 41;
    if (!quick) return;
    if (epochs == 0) epochs = 1;
    if (train_images == 0) train_images = 1000;
    if (test_images == 0) test_images = 200;
  }

  // Tries every output before the work that it is for; makes the folder of the pictures. Throws spiq::Error.
  void check_outputs() const {
    expect_pictures(out, pictures);
    expect_output("--json", json, true);
    expect_output("--save", save, false);
  }
};
