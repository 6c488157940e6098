// The command line of conversion_zoo.
#pragma once

#include <CLI/CLI.hpp>

#include "../common/options.hpp"
#include "../common/outputs.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

struct Options : SharedOptions {
  int epochs = 6;
  int more_epochs = 3;
  std::vector<int> timesteps = {8, 16, 32, 64};
  double percentile = 99.9;
  double scale = 1;
  double bits = 3e-6;
  double validation = 0.05;
  std::size_t calibration = 512;
  std::size_t count_images = 1000;
  bool quick = false;
  std::string json;

  void declare(CLI::App& app) {
    declare_dataset(app);
    app.add_option("--epochs", epochs, "Training epochs of the ReLU and of the QCFS network")
        ->check(CLI::Range(1, 10000))
        ->capture_default_str();
    app.add_option(
           "--more-epochs", more_epochs,
           "Epochs that the QCFS network goes on for: with adapted levels, with the penalty on bits, and with neither")
        ->check(CLI::Range(1, 10000))
        ->capture_default_str();
    declare_seed(app);
    declare_threads(app);
    app.add_option("--timesteps", timesteps, "Time steps T of rate-coded networks, separated by commas")
        ->delimiter(',')
        ->check(CLI::Range(1, 1024))
        ->default_str("8,16,32,64");
    app.add_option("--percentile", percentile,
                   "Of the weighted sums of a layer: the threshold of its rate-coded neurons")
        ->check(CLI::Range(0.0, 100.0))
        ->check(not_nan)
        ->capture_default_str();
    app.add_option("--scale", scale, "Times all thresholds of rate-coded neurons")
        ->check(CLI::Range(1e-3, 10.0))
        ->check(not_nan)
        ->capture_default_str();
    app.add_option("--bits", bits, "Penalty per bit-serial spike and image")
        ->check(CLI::Range(0.0, 1.0))
        ->check(not_nan)
        ->capture_default_str();
    app.add_option("--validation", validation, "Share of the training images that levels are chosen on")
        ->check(CLI::Range(0.01, 0.9))
        ->check(not_nan)
        ->capture_default_str();
    app.add_option("--calibration", calibration, "Training images that thresholds are balanced on")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    declare_sizes(app, "synthetic: 10000", "synthetic: 2000");
    app.add_option("--count-images", count_images,
                   "Count spikes and operations on the first N test images only; 0: all")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_flag("--quick", quick, "A run of seconds: one epoch on 1000 images, 200 test images [off]");
    app.add_option("--json", json, "Write the table and the reproducibility card to this file [none]");
  }
  // What follows from the other options.
  void settle() {
    std::sort(timesteps.begin(), timesteps.end());
    timesteps.erase(std::unique(timesteps.begin(), timesteps.end()), timesteps.end());
    if (!quick) return;
    epochs = more_epochs = 1;
    timesteps = {8, 16};
    calibration = 64;
    if (train_images == 0) train_images = 1000;
    if (test_images == 0) test_images = 200;
  }
};
