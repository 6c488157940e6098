// The command line of train_snn.
#pragma once

#include <CLI/CLI.hpp>

#include "../common/options.hpp"
#include "../common/outputs.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

struct Options : SharedOptions {
  std::string rule = "bptt";
  std::string loss = "ce";
  std::string surrogate = "linear";
  int steps = 4;
  int epochs = 0;
  int batch = 100;
  double learning_rate = 5e-3;
  double leak = 0.1;
  double spike_weight = 0;
  double spike_rise = 2;
  double percentile = 99.7;
  double scale = 0.3;
  bool hybrid = false;
  bool iir = false;
  bool memory = false;
  bool quick = false;
  double validation = 0.1;
  std::string save;

  void declare(CLI::App& app) {
    app.add_option("--dataset", dataset,
                   "synthetic (images drawn by this program), mnist, or events (streams of moving bars)")
        ->check(CLI::IsMember({"synthetic", "mnist", "events"}))
        ->capture_default_str();
    app.add_option("--data", data, "Folder of MNIST's idx files (plain or .gz) [none]");
    app.add_option("--rule", rule,
                   "Learning through time: bptt, sltt, or sltt-k (2 of the steps, drawn for every batch)")
        ->check(CLI::IsMember({"bptt", "sltt", "sltt-k"}))
        ->capture_default_str();
    app.add_option("--loss", loss, "ce: cross-entropy of the mean output; tet: of the output of every step")
        ->check(CLI::IsMember({"ce", "tet"}))
        ->capture_default_str();
    app.add_option("--steps", steps, "Time steps T of images (event streams have 8)")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    app.add_option("--epochs", epochs,
                   "Training epochs (of every stage with --iir, --hybrid); 0: synthetic and events 4, mnist 12")
        ->check(CLI::Range(0, 100000))
        ->capture_default_str();
    app.add_option("--batch", batch, "Images per training step")->check(CLI::Range(1, 65536))->capture_default_str();
    app.add_option("--lr", learning_rate, "Peak learning rate")
        ->check(CLI::Range(0.0, 1000.0))
        ->check(not_nan)
        ->capture_default_str();
    app.add_option("--leak", leak, "Share of the membrane potential that a step keeps, to begin with (--hybrid: 1)")
        ->check(CLI::Range(0.0, 1.0))
        ->check(not_nan)
        ->capture_default_str();
    app.add_option("--spike-weight", spike_weight, "Cost of a spike in the loss")
        ->check(CLI::Range(0.0, 1000.0))
        ->check(not_nan)
        ->capture_default_str();
    app.add_option("--spike-rise", spike_rise, "Epochs in which that cost rises to 63 %")
        ->check(CLI::Range(0.0, 1000.0))
        ->check(not_nan)
        ->capture_default_str();
    app.add_flag("--hybrid", hybrid,
                 "Train a network with ReLU, convert it, and train it on with spikes, by bptt [off]")
        ->excludes("--rule")
        ->excludes("--leak");
    app.add_option("--surrogate", surrogate,
                   "Of --hybrid: linear in the potential, or stdb, by the time since the last spike")
        ->check(CLI::IsMember({"linear", "stdb"}))
        ->capture_default_str();
    app.add_option("--percentile", percentile, "Of --hybrid: percentile of the inputs that thresholds are balanced to")
        ->check(CLI::Range(0.0, 100.0))
        ->check(not_nan)
        ->capture_default_str();
    app.add_option("--scale", scale, "Of --hybrid: times these thresholds")
        ->check(CLI::Range(1e-6, 1000.0))
        ->check(not_nan)
        ->capture_default_str();
    app.add_flag("--iir", iir, "Train with 5 steps, then go on with 3, 2 and 1 [off]")
        ->excludes("--hybrid")
        ->excludes("--steps");
    app.add_flag("--memory", memory,
                 "Time and peak memory of training for T = 2, 4, 8, 16, BPTT beside SLTT, and no training [off]");
    declare_seed(app);
    declare_threads(app);
    app.add_option("--validation", validation, "Share of the training images held out, drawn by the seed")
        ->check(CLI::Range(0.0, 0.9))
        ->check(not_nan)
        ->capture_default_str();
    declare_sizes(app, "synthetic, events: 10000", "synthetic, events: 2000");
    app.add_flag("--quick", quick, "A run of seconds: one epoch on 1000 images, 300 test images [off]");
    app.add_option("--save", save, "Save the trained weights to this .npz file [none]");
  }

  void settle() {
    if (epochs == 0) epochs = quick ? 1 : dataset == "mnist" ? 12 : 4;
    if (quick && train_images == 0) train_images = 1000;
    if (quick && test_images == 0) test_images = 300;
  }
  void check_outputs() const { expect_output("--save", save, false); }
};
