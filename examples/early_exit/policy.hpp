// A small network that says, from the image alone, how many time steps it needs (SEENN-II).
#pragma once

#include <spiq/nn/nn.hpp>
#include <spiq/nn/policy_loss.hpp>
#include <spiq/report/format.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <numeric>
#include <span>
#include <stdexcept>
#include <vector>

// As many answers as the longest choice; the network has one output for each of up to 16 steps and uses the first.
inline constexpr std::size_t most_choices = 16;
using PolicyNet = spiq::Network<spiq::Input<28, 28, 1>, spiq::Conv2d<8, 3, spiq::Stride<2>>, spiq::BatchNorm,
                                spiq::ReLU, spiq::Conv2d<16, 3, spiq::Stride<2>>, spiq::BatchNorm, spiq::ReLU,
                                spiq::Flatten, spiq::Linear<static_cast<int>(most_choices)>>;

// Trains a policy on images [n, 1, 28, 28] and what the spiking network gets right after each of `steps` steps
// [n][steps]; returns the steps that it chooses for the images `questions`.
inline std::vector<int> policy_steps(const spiq::Tensor<float>& images, const std::vector<std::uint8_t>& right,
                                     std::size_t steps, const spiq::Tensor<float>& questions, int epochs,
                                     std::uint64_t seed, int threads) {
  if (steps > most_choices)
    throw spiq::Error("--steps: expected at most " + std::to_string(most_choices) + ", found " + std::to_string(steps));
  const std::size_t n = images.extent(0), size = images.size() / n, batch = 100;
  PolicyNet net{spiq::Rng{seed}.split(9)};
  std::size_t at_once = 0;
  for (std::size_t i = 0; i < n; ++i) at_once += right[i * steps];
  const spiq::ExitPolicyLoss loss{.right_at_once =
                                      std::min(static_cast<double>(at_once) / static_cast<double>(n), 0.999)};

  std::vector<spiq::nn::Parameter> parameters;
  net.parameters([&](const spiq::nn::Parameter& p) { parameters.push_back(p); });
  spiq::nn::Optimiser optimiser(spiq::Sgd{}, 5e-4f, {}, parameters);
  PolicyNet::Cache cache;
  spiq::Tensor<float> x, logits, gradient, all_gradients;
  std::vector<std::uint8_t> c;
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  const std::size_t total = (n / batch) * static_cast<std::size_t>(epochs);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    spiq::Rng rng = spiq::Rng(seed).split(10).split(static_cast<std::uint64_t>(epoch));
    rng.shuffle(std::span(order));
    double sum = 0;
    for (std::size_t first = 0; first + batch <= n; first += batch) {
      x.resize({batch, 1, 28, 28});
      c.resize(batch * steps);
      for (std::size_t i = 0; i < batch; ++i) {
        std::copy_n(images.data() + order[first + i] * size, size, x.data() + i * size);
        std::copy_n(right.begin() + static_cast<std::ptrdiff_t>(order[first + i] * steps), steps,
                    c.begin() + static_cast<std::ptrdiff_t>(i * steps));
      }
      const spiq::Tensor<float>& out = net.forward(x, cache, {spiq::nn::Mode::train, threads, rng});
      logits.resize({batch, steps});
      for (std::size_t i = 0; i < batch; ++i)
        std::copy_n(out.data() + i * most_choices, steps, logits.data() + i * steps);
      sum += loss(logits, c, gradient) * static_cast<double>(batch);
      all_gradients.resize(out.extents());
      all_gradients.fill(0);
      for (std::size_t i = 0; i < batch; ++i)
        std::copy_n(gradient.data() + i * steps, steps, all_gradients.data() + i * most_choices);
      net.backward(all_gradients, cache);
      optimiser.step(parameters, 0.01 * spiq::rate_factor(spiq::Cosine{}, optimiser.steps(), total), 1, threads);
    }
    std::cout << "policy, epoch " << epoch + 1 << "/" << epochs << ": loss "
              << spiq::report::fixed(sum / static_cast<double>(n), 4) << std::endl;
  }

  std::vector<int> chosen;
  for (std::size_t first = 0; first < questions.extent(0); first += batch) {
    const std::size_t count = std::min(batch, questions.extent(0) - first);
    x.resize({count, 1, 28, 28});
    std::copy_n(questions.data() + first * size, count * size, x.data());
    const spiq::Tensor<float>& out = net.forward(x, cache, {.threads = threads});
    for (std::size_t i = 0; i < count; ++i)
      chosen.push_back(1 + spiq::argmax(std::span<const float>(out.data() + i * most_choices, steps)));
  }
  return chosen;
}
