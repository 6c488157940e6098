// Options that most examples have, declared one by one, in the order that an example's help wants.
#pragma once

#include <CLI/CLI.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

struct SharedOptions {
  std::string dataset = "synthetic";
  std::string data;
  std::uint64_t seed = 1;
  int threads = 0;
  std::size_t train_images = 0;
  std::size_t test_images = 0;

  // Of examples that know the images drawn here and MNIST.
  void declare_dataset(CLI::App& app) {
    app.add_option("--dataset", dataset, "Images: synthetic (drawn by this program) or mnist")
        ->check(CLI::IsMember({"synthetic", "mnist"}))
        ->capture_default_str();
    app.add_option("--data", data, "Folder of MNIST's idx files (plain or .gz); not needed for synthetic [none]");
  }
  void declare_seed(CLI::App& app,
                    const std::string& what = "Decides weights, order of images, augmentation, validation split") {
    app.add_option("--seed", seed, what)->check(CLI::NonNegativeNumber)->capture_default_str();
  }
  // `of`: " of training", for instance.
  void declare_threads(CLI::App& app, const std::string& of = "", const std::string& but = "") {
    app.add_option("--threads", threads,
                   "Threads" + of + "; 0: as many as OpenMP would use. Results do not depend on it" + but)
        ->check(CLI::Range(0, 4096))
        ->capture_default_str();
  }
  // How many images there are of those that are drawn.
  void declare_sizes(CLI::App& app, const std::string& training, const std::string& test) {
    const auto declare = [&](const char* name, std::size_t& value, const char* kind, const std::string& drawn) {
      app.add_option(name, value, std::string("Use the first N ") + kind + " images only; 0: all (" + drawn + ")")
          ->check(CLI::NonNegativeNumber)
          ->capture_default_str();
    };
    declare("--train-images", train_images, "training", training);
    declare("--test-images", test_images, "test", test);
  }
};
