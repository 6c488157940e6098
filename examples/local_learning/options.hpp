// The command line of local_learning.
#pragma once

#include <CLI/CLI.hpp>

#include "../common/options.hpp"
#include "../common/outputs.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

// Images of a data set, where the command line names no number.
struct Recipe {
  std::size_t train_images = 3000;
  std::size_t test_images = 10000;
};

struct Options : SharedOptions {
  std::size_t validation_images = 0;
  int passes = 1;
  int steps = 20;
  double rate = 0.5;
  int epochs = 20;
  bool quick = false;
  std::string out = ".";

  static constexpr const char* pictures[] = {"kernels.svg"};

  // Declares every option on `app`; the defaults above are what --help prints.
  void declare(CLI::App& app) {
    declare_dataset(app);
    app.add_option("--train-images", train_images, "Learn from the first N training images; 0: 3000")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--test-images", test_images, "Use the first N test images only; 0: 10000, or all there are")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--validation-images", validation_images,
                   "Measure on so many training images behind the first N in place of the test images: for choices [0]")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--passes", passes, "Times that the kernels see every training image")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--steps", steps, "Time steps of an image")->check(CLI::Range(1, 1000))->capture_default_str();
    app.add_option("--rate", rate, "Probability of a spike of a white pixel in a step")
        ->check(CLI::Range(0.0, 1.0))
        ->check(not_nan)
        ->capture_default_str();
    app.add_option("--epochs", epochs, "Training epochs of the linear read-out")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    declare_seed(app, "Decides kernels, spikes, switches and the read-out's training");
    declare_threads(app, " of the read-out");
    app.add_flag("--quick", quick, "A run of seconds: 200 training images, 200 test images [off]");
    app.add_option("--out", out, "Folder for kernels.svg; made if missing")->capture_default_str();
  }

  // What follows from the other options.
  void settle() {
    if (!quick) return;
    if (train_images == 0) train_images = 200;
    if (test_images == 0) test_images = 200;
  }

  // Tries the outputs before the work. Throws spiq::Error.
  void check_outputs() const { expect_pictures(out, pictures); }
};
