// Unsupervised learning of a layer from images, the features that its spikes make, and the read-out of these.
#pragma once

#include "options.hpp"

#include <spiq/io/images.hpp>
#include <spiq/neuron/encode.hpp>
#include <spiq/nn/nn.hpp>
#include <spiq/plasticity/local_conv.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace plasticity = spiq::plasticity;

// Poisson spikes of an image, packed, [steps][words].
class Encoder {
public:
  Encoder(const Options& options, const spiq::Rng& rng)
      : steps_(static_cast<std::size_t>(options.steps)), rate_(static_cast<float>(options.rate)), rng_(rng) {}

  [[nodiscard]] std::size_t steps() const { return steps_; }
  // `number` tells one showing of an image from another.
  const std::vector<std::uint64_t>& operator()(std::span<const std::uint8_t> image, std::uint64_t number) {
    const std::size_t n = image.size(), words = plasticity::bit_words(n);
    intensity_.resize(n);
    spikes_.resize(steps_ * n);
    for (std::size_t i = 0; i < n; ++i) intensity_[i] = rate_ * static_cast<float>(image[i]) / 255;
    spiq::encode::poisson(intensity_, steps_, rng_.split(number), spikes_);
    packed_.assign(steps_ * words, 0);
    for (std::size_t t = 0; t < steps_; ++t)
      for (std::size_t i = 0; i < n; ++i)
        if (spikes_[t * n + i] > 0) packed_[t * words + i / 64] |= std::uint64_t{1} << (i % 64);
    return packed_;
  }

private:
  std::size_t steps_;
  float rate_;
  spiq::Rng rng_;
  std::vector<float> intensity_, spikes_;
  std::vector<std::uint64_t> packed_;
};

// Layers that feed one another with spikes.
template <class Rule>
using Stack = std::vector<plasticity::LocalConv<Rule>>;

// What running a stack takes besides: a state and the output spikes of every layer.
template <class Rule>
struct Running {
  std::vector<typename plasticity::LocalConv<Rule>::State> states;
  std::vector<std::vector<std::uint64_t>> spikes;

  Running(const Stack<Rule>& stack, std::size_t steps) {
    for (const auto& layer : stack) {
      states.push_back(layer.state());
      spikes.emplace_back(steps * plasticity::bit_words(layer.outputs()));
    }
  }
  // Runs the first `count` layers, frozen, on a sample; returns what the next one would see.
  std::span<const std::uint64_t> run(const Stack<Rule>& stack, std::size_t count, std::size_t steps,
                                     std::uint64_t number, std::span<const std::uint64_t> in) {
    for (std::size_t l = 0; l < count; ++l) {
      states[l].clock = number * steps;  // a sample's noise is its own, whatever came before
      stack[l].run(steps, in, spikes[l], states[l]);
      in = spikes[l];
    }
    return in;
  }
};

// Layer by layer, the ones before frozen: shows it every image `passes` times, without labels, and it learns.
template <class Rule>
void learn(Stack<Rule>& stack, const spiq::ImageSet& images, Encoder encode, int passes) {
  const std::size_t steps = encode.steps();
  for (std::size_t l = 0; l < stack.size(); ++l) {
    Running<Rule> running(stack, steps);
    for (std::uint64_t showing = 0; showing < images.size() * static_cast<std::size_t>(passes); ++showing) {
      const auto in = running.run(stack, l, steps, showing, encode(images.image(showing % images.size()), showing));
      stack[l].learn(steps, in, running.spikes[l], running.states[l]);
    }
  }
}

// What a read-out sees of the last layer of a stack, all weights frozen.
struct Features {
  std::vector<float> values;  // [image][map][y][x]: mean spikes of windows of pool x pool neurons
  double spikes = 0;          // of the last layer's neurons, per image
};

template <class Rule>
Features features(const Stack<Rule>& stack, const spiq::ImageSet& images, Encoder encode, std::size_t pool) {
  const auto& last = stack.back();
  const spiq::Shape shape = last.geometry().out();
  const std::size_t maps = last.maps(), across = static_cast<std::size_t>(shape.width), steps = encode.steps();
  const std::size_t rows = static_cast<std::size_t>(shape.height) / pool, columns = across / pool,
                    n = rows * columns * maps;
  const std::size_t words = plasticity::bit_words(last.outputs());
  const float share = 1 / static_cast<float>(steps * pool * pool);
  Running<Rule> running(stack, steps);
  Features result{std::vector<float>(images.size() * n), 0};
  for (std::size_t i = 0; i < images.size(); ++i) {
    const auto out = running.run(stack, stack.size(), steps, i, encode(images.image(i), i));
    for (std::size_t t = 0; t < steps; ++t)
      plasticity::for_each_bit(out.subspan(t * words, words), [&](std::size_t k) {
        const std::size_t map = k % maps, x = k / maps % across / pool, y = k / maps / across / pool;
        result.spikes += 1;
        if (x < columns && y < rows) result.values[i * n + (map * rows + y) * columns + x] += share;
      });
  }
  result.spikes /= static_cast<double>(images.size());
  return result;
}

// Accuracy on `test` of a linear layer trained on the features of `train`.
template <int N>
double read_out(const Features& train, const spiq::ImageSet& train_images, const Features& test,
                const spiq::ImageSet& test_images, const Options& options) {
  constexpr spiq::Shape shape{1, 1, N};
  const spiq::SpanDataset<float> training(train.values, train_images.labels, shape),
      testing(test.values, test_images.labels, shape);
  spiq::Network<spiq::Input<1, 1, N>, spiq::Linear<10>> net{spiq::Rng{options.seed}};
  spiq::fit(net, training, {.epochs = options.epochs, .seed = options.seed, .threads = options.threads});
  return spiq::evaluate(net, testing, {.threads = options.threads}).accuracy;
}
