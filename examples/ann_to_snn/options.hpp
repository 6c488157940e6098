// The command line of ann_to_snn.
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
  int epochs = 0;
  int batch = 0;
  double learning_rate = 0;
  int levels = 8;
  std::vector<int> timesteps = {4, 8, 16, 32};
  double validation = 0.05;
  bool keep_best = false;
  std::size_t count_images = 0;
  bool recomputed = false;
  bool quick = false;
  std::string out = ".";
  std::string json;
  std::string save;
  std::string load;
  std::string checkpoint;
  bool resume = false;

  static constexpr const char* pictures[] = {"accuracy_vs_timesteps.svg", "raster.svg"};

  // Declares every option on `app`; the defaults above are what --help prints.
  void declare(CLI::App& app) {
    app.add_option("--dataset", dataset, "Images: synthetic (drawn by this program), mnist or cifar10")
        ->check(CLI::IsMember({"synthetic", "mnist", "cifar10"}))
        ->capture_default_str();
    app.add_option("--data", data,
                   "Folder of the data set: MNIST's idx files (plain or .gz), CIFAR-10's .bin files; not needed for "
                   "synthetic [none]");
    app.add_option("--epochs", epochs, "Training epochs; 0: the recipe's (synthetic 5, mnist 40, cifar10 35)")
        ->check(CLI::Range(0, 100000))
        ->capture_default_str();
    app.add_option("--batch", batch, "Images per training step; 0: the recipe's (128)")
        ->check(CLI::Range(0, 65536))
        ->capture_default_str();
    app.add_option("--lr", learning_rate, "Peak learning rate; 0: the recipe's (0.1)")
        ->check(CLI::Range(0.0, 1000.0))
        ->check(not_nan)
        ->capture_default_str();
    declare_seed(app);
    declare_threads(app);
    app.add_option("--levels", levels,
                   "Quantisation levels L of every QCFS activation, and PASCAL's steps per layer; must be those of the "
                   "weights with --load and --resume")
        ->check(CLI::Range(1, 63))
        ->capture_default_str();
    app.add_option("--timesteps", timesteps,
                   "Time steps T of the QCFS spiking network, separated by commas; the curve goes up to the largest")
        ->delimiter(',')
        ->check(CLI::Range(1, 63))
        ->default_str("4,8,16,32");
    app.add_option("--validation", validation,
                   "Share of the training images held out for validation, drawn by the seed")
        ->check(CLI::Range(0.0, 0.9))
        ->check(not_nan)
        ->capture_default_str();
    app.add_flag("--keep-best", keep_best, "End with the weights of the best validation epoch [off: the last epoch's]");
    declare_sizes(app, "synthetic: 20000", "synthetic: 4000");
    app.add_option("--count-images", count_images,
                   "Count spikes and operations on the first N test images only; 0: all (cifar10: 1000)")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_flag("--recomputed", recomputed,
                 "Count the first layer of spiking networks at every time step, as hardware that keeps no currents would "
                 "[off: once]");
    app.add_flag("--quick", quick, "A run of seconds: one epoch on 2000 images, 500 test images [off]");
    app.add_option("--out", out, "Folder for accuracy_vs_timesteps.svg and raster.svg; made if missing")
        ->capture_default_str();
    app.add_option("--json", json, "Write the table and the reproducibility card to this file [none]");
    app.add_option("--save", save, "Save the trained weights to this .npz file [none]");
    app.add_option("--load", load, "Load weights from this .npz file instead of training [none]");
    auto* checkpoint_option = app.add_option("--checkpoint", checkpoint,
                   "Save the whole training state to this .npz file after every epoch [none]");
    app.add_flag("--resume", resume, "Continue from the file given to --checkpoint, if it exists [off]")
        ->needs(checkpoint_option)
        ->excludes("--load");
    checkpoint_option->excludes("--load");
  }

  // What follows from the other options.
  void settle() {
    if (count_images == 0 && dataset == "cifar10") count_images = 1000;
    std::sort(timesteps.begin(), timesteps.end());
    timesteps.erase(std::unique(timesteps.begin(), timesteps.end()), timesteps.end());
    if (!quick) return;
    if (epochs == 0) epochs = 1;
    if (train_images == 0) train_images = 2000;
    if (test_images == 0) test_images = 500;
  }

  // Tries every output before the work of hours that it is for; makes the folder of the pictures. Throws spiq::Error.
  void check_outputs() const {
    expect_pictures(out, pictures);
    expect_output("--json", json, true);
    expect_output("--save", save, false);
    expect_output("--checkpoint", checkpoint, false);
  }
};
