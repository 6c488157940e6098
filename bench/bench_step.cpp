// Latency of a spiking network that streams: one frame through `session.step`, batch 1, one thread, and the 99th
// percentile of single steps by the CPU clock of the thread. Peers: `run` of the same frames at once, per step, and
// what is written by hand with Eigen: a product of matrix and vector, three expressions for the neurons.
//
// Bound: the weights, once a step, from where a working set of their size lies, or the multiply-adds of dense products.
// Layers behind spikes need less than either, so that a row may pass its bound.
//
// Frames are of bits, weights multiples of 1/64, the leak 1/2: sums are exact in any order, and all rows agree to the
// bit.
#include "harness.hpp"

#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>
#include <spiq/nn/over_time.hpp>
#include <spiq/nn/spiking.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#if defined(SPIQ_BENCH_EIGEN)
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>
#endif

namespace {

using namespace spiq;

constexpr int time_steps = 8;
constexpr float leak = 0.5F;
using Lif = neuron::Neuron<charge::Decay, fire::AtThreshold, reset::Soft>;
template <int In, int Hidden>
using Mlp = Network<Input<1, 1, In * time_steps>,
                    OverTime<Seq<Linear<Hidden>, Spiking<Lif>, Linear<10>>, Steps<time_steps>, FrameInput>>;
using Convolutional = Network<
    Input<28, 28, time_steps>,
    OverTime<Seq<Conv2d<16, 3>, Spiking<Lif>, AvgPool<2>, Conv2d<32, 3>, Spiking<Lif>, AvgPool<2>, Flatten, Linear<10>>,
             Steps<time_steps>, FrameInput>>;

/// Weights and bits of a made network, and time_steps frames of which a tenth of the pixels are set.
template <class Net>
struct Streamed {
  Streamed() {
    Rng rng{3};
    net.for_each_layer([&](const std::string&, auto& layer) {
      if constexpr (requires { layer.surrogate; }) layer.set(Lif{{leak}, 1, 0, 0});
      if constexpr (requires { layer.weight; }) {
        for (float& w : layer.weight.span()) w = static_cast<float>(static_cast<int>(rng.below(17)) - 7) / 64.0F;
        for (float& b : layer.bias.span()) b = static_cast<float>(rng.below(9)) / 64.0F;
      }
    });
    for (float& x : all.span()) x = rng.below(10) == 0 ? 1.0F : 0.0F;
    for (std::size_t t = 0; t < frames.size(); ++t)
      std::copy_n(all.data() + t * frames[t].size(), frames[t].size(), frames[t].data());
  }
  /// Worst difference to the network as it was made.
  [[nodiscard]] double error(const float* logits) {
    const auto expected = net(all);
    double worst = 0;
    for (std::size_t i = 0; i < Net::outputs; ++i)
      worst = std::max(worst, std::abs(static_cast<double>(expected[i]) - static_cast<double>(logits[i])));
    return worst;
  }

  static constexpr Shape whole = Net::input_shape;
  static constexpr auto height = static_cast<std::size_t>(whole.height), width = static_cast<std::size_t>(whole.width),
                        channels = static_cast<std::size_t>(whole.channels);
  Net net{Rng{7}};
  Tensor<float> all{Extents{1, channels, height, width}};
  std::vector<Tensor<float>> frames{time_steps, Tensor<float>(Extents{1, channels / time_steps, height, width})};
};

template <class Net>
struct Lowered : Streamed<Net> {
  decltype(lower(std::declval<Net&>(), target::Spiking{conversion::Trained{}})) network =
      lower(this->net, target::Spiking{conversion::Trained{}});
  decltype(network.session(1)) stepping = network.session(1, {.threads = 1, .streaming = true});
  decltype(network.session(1)) running = network.session(1, {.threads = 1});
  std::size_t next = 0;

  const Tensor<float>& step() {
    const Tensor<float>& frame = this->frames[next++ % time_steps];
    return stepping.step(frame);
  }
};

#if defined(SPIQ_BENCH_EIGEN)
template <class Net>
struct EigenMlp : Streamed<Net> {
  Eigen::MatrixXf w1, w2;
  Eigen::VectorXf b1, b2, x, current, y, sum;
  Eigen::ArrayXf v, spikes;
  std::size_t steps = 0;

  EigenMlp() {
    using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    int seen = 0;
    this->net.for_each_layer([&](const std::string&, auto& layer) {
      if constexpr (requires { layer.weight; }) {
        const auto outputs = static_cast<Eigen::Index>(layer.bias.size());
        const auto inputs = static_cast<Eigen::Index>(layer.weight.size() / layer.bias.size());
        (seen == 0 ? w1 : w2) = Eigen::Map<const RowMajor>(layer.weight.data(), outputs, inputs);
        (seen++ == 0 ? b1 : b2) = Eigen::Map<const Eigen::VectorXf>(layer.bias.data(), outputs);
      }
    });
    reset();
  }
  void reset() {
    v = Eigen::ArrayXf::Zero(w1.rows());
    sum = Eigen::VectorXf::Zero(w2.rows());
    steps = 0;
  }
  void step() {
    const Tensor<float>& frame = this->frames[steps++ % time_steps];
    current = b1;
    current.noalias() += w1 * Eigen::Map<const Eigen::VectorXf>(frame.data(), w1.cols());
    v = v * leak + current.array();
    spikes = (v >= 1.0F).cast<float>();
    v -= spikes;
    y = b2;
    y.noalias() += w2 * spikes.matrix();
    sum += y;
  }
};
#endif

template <class Net>
void add_steps(bench::Suite& suite, const char* shape, double weights, double multiply_adds) {
  bench::Row row{.kernel = "step",
                 .implementation = "spiq_f32",
                 .shape = shape,
                 .flops = 2 * multiply_adds,
                 .bytes = 4 * weights,
                 .exact = true,
                 .each_call = true};
  row.prepare = [] {
    auto data = std::make_shared<Lowered<Net>>();
    return bench::Case{.run = [data] { data->step(); },
                       .error =
                           [data] {
                             data->stepping.reset();
                             data->next = 0;
                             for (int t = 1; t < time_steps; ++t) data->step();
                             return data->error(data->step().data());
                           }};
  };
  suite.add(row);
  row.implementation = "spiq_run_f32";
  row.each_call = false;
  row.parts = time_steps;
  row.prepare = [] {
    auto data = std::make_shared<Lowered<Net>>();
    return bench::Case{.run = [data] { data->running.run(data->all); },
                       .error = [data] { return data->error(data->running.run(data->all).data()); }};
  };
  suite.add(row);
#if defined(SPIQ_BENCH_EIGEN)
  if constexpr (Net::input_shape.height == 1) {
    row.implementation = "eigen";
    row.each_call = true;
    row.parts = 1;
    row.prepare = [] {
      auto data = std::make_shared<EigenMlp<Net>>();
      return bench::Case{.run = [data] { data->step(); },
                         .error =
                             [data] {
                               data->reset();
                               for (int t = 0; t < time_steps; ++t) data->step();
                               data->sum /= time_steps;
                               return data->error(data->sum.data());
                             }};
    };
    suite.add(row);
  }
#endif
}

}  // namespace

SPIQ_BENCH(step) {
  add_steps<Mlp<128, 256>>(suite, "mlp-128-256-10", 128 * 256 + 256 * 10, 128 * 256 + 256 * 10);
  add_steps<Mlp<784, 512>>(suite, "mlp-784-512-10", 784 * 512 + 512 * 10, 784 * 512 + 512 * 10);
  add_steps<Convolutional>(suite, "conv-28x28-16-32-10", 9 * 16 + 9 * 16 * 32 + 7 * 7 * 32 * 10,
                           784 * 9 * 16 + 196 * 9 * 16 * 32 + 7 * 7 * 32 * 10);
}
