// Whole networks: latency of tiny ones through a kept session, scaling over two threads, a training epoch.
#include "harness.hpp"

#include <spiq/lower/lower.hpp>
#include <spiq/nn/fit.hpp>
#include <spiq/nn/layers.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <vector>

namespace {

using namespace spiq;

using Mlp16 = Network<Input<1, 1, 16>, Linear<32>, ReLU, Linear<32>, ReLU, Linear<4>>;
using Mlp64 = Network<Input<1, 1, 64>, Linear<128>, ReLU, Linear<128>, ReLU, Linear<10>>;

// Batch 1 through a session that was made once; each call waits for the last through the input.
template <class Net>
void add_latency(bench::Suite& suite, const char* shape, double multiply_adds) {
  suite.add({.kernel = "latency",
             .implementation = "spiq_f32",
             .shape = shape,
             .flops = 2 * multiply_adds,
             .prepare = [] {
               struct Data {
                 Net net{Rng{7}};
                 decltype(lower(net, target::Float{})) dense = lower(net, target::Float{});
                 decltype(dense.session(1)) session = dense.session(1, {.threads = 1});
                 Tensor<float> x{Extents{1, Net::input_shape.size()}};
               };
               auto data = std::make_shared<Data>();
               Rng rng{3};
               for (float& v : data->x.span()) v = rng.uniform();
               return bench::Case{.run =
                                      [data] {
                                        const float y = data->session.run(data->x)[0];
                                        data->x[0] = y * 1e-9F + 0.5F;
                                      },
                                  .error =
                                      [data] {
                                        std::vector<double> x(data->x.span().begin(), data->x.span().end());
                                        const auto layer = [&](const auto& linear, bool relu) {
                                          std::vector<double> y(linear.bias.size());
                                          for (std::size_t o = 0; o < y.size(); ++o) {
                                            y[o] = linear.bias[o];
                                            for (std::size_t i = 0; i < x.size(); ++i)
                                              y[o] += double{linear.weight[o * x.size() + i]} * x[i];
                                            if (relu) y[o] = std::max(y[o], 0.0);
                                          }
                                          x = y;
                                        };
                                        layer(data->net.template layer<0>(), true);
                                        layer(data->net.template layer<2>(), true);
                                        layer(data->net.template layer<4>(), false);
                                        const auto& y = data->session.run(data->x);
                                        double worst = 0;
                                        for (std::size_t i = 0; i < x.size(); ++i)
                                          worst = std::max(worst, std::abs(x[i] - double{y[i]}));
                                        return worst;
                                      }};
             }});
}

using Vgg16 =
    Network<Input<32, 32, 3>, Conv2d<64, 3>, ReLU, Conv2d<64, 3>, ReLU, MaxPool<2>, Conv2d<128, 3>, ReLU, Conv2d<128, 3>,
            ReLU, MaxPool<2>, Conv2d<256, 3>, ReLU, Conv2d<256, 3>, ReLU, Conv2d<256, 3>, ReLU, MaxPool<2>,
            Conv2d<512, 3>, ReLU, Conv2d<512, 3>, ReLU, Conv2d<512, 3>, ReLU, MaxPool<2>, Conv2d<512, 3>, ReLU,
            Conv2d<512, 3>, ReLU, Conv2d<512, 3>, ReLU, MaxPool<2>, Flatten, Linear<10>>;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

// Wall-clock time of one thread and of two, in turns.
bench::Measurement measure_scaling(bool smoke) {
  const Vgg16 net{Rng{1}};
  const auto dense = lower(net, target::Float{});
  const Tensor<float> images({32, 3, 32, 32});
  auto one = dense.session(32, {.threads = 1});
  auto two = dense.session(32, {.threads = 2});
  std::vector<double> t1, t2;
  for (int repeat = 0; repeat < (smoke ? 1 : 9); ++repeat) {
    double start = seconds_now();
    one.run(images);
    t1.push_back(seconds_now() - start);
    start = seconds_now();
    two.run(images);
    t2.push_back(seconds_now() - start);
  }
  bench::Measurement m;
  m.median_ns = median(t2) * 1e9;
  m.min_ns = *std::min_element(t2.begin(), t2.end()) * 1e9;
  m.rate = median(t1) / median(t2);
  m.unit = "x over one thread";
  m.bound = 2;
  m.fraction = m.rate / 2;
  return m;
}

using MnistNet = Network<Input<28, 28, 1>, Conv2d<16, 3>, BatchNorm, Qcfs<8>, AvgPool<2>, Conv2d<32, 3>, BatchNorm, Qcfs<8>,
                         AvgPool<2>, Conv2d<64, 3>, BatchNorm, Qcfs<8>, AvgPool<2>, Flatten, Linear<10>>;

// One epoch of 60,000 images of MNIST's size, made of noise: the time does not depend on what is in them.
bench::Measurement measure_epoch(bool smoke) {
  const std::size_t count = smoke ? 1024 : 60000;
  std::vector<std::uint8_t> images(count * 784);
  std::vector<int> labels(count);
  Rng rng{9};
  for (auto& v : images) v = static_cast<std::uint8_t>(rng.below(256));
  for (auto& v : labels) v = static_cast<int>(rng.below(10));
  const SpanDataset<std::uint8_t> data(images, labels, Shape{28, 28, 1});
  MnistNet net{Rng{1}};
  FitOptions options;
  options.epochs = 1;
  options.batch = 128;
  options.threads = 2;
  options.validation_fraction = 0;
  const double start = seconds_now();
  fit(net, data, options);
  const double seconds = seconds_now() - start;
  bench::Measurement m;
  m.median_ns = m.min_ns = seconds * 1e9;
  m.rate = static_cast<double>(count) / seconds;
  m.unit = "images/s";
  return m;
}

}  // namespace

SPIQ_BENCH(network) {
  add_latency<Mlp16>(suite, "mlp-16-32-32-4", 16 * 32 + 32 * 32 + 32 * 4);
  add_latency<Mlp64>(suite, "mlp-64-128-128-10", 64 * 128 + 128 * 128 + 128 * 10);
  const bool smoke = suite.options().smoke;
  suite.add({.kernel = "scaling",
             .implementation = "spiq",
             .shape = "vgg16-b32-t2",
             .threads = 2,
             .custom = [smoke] { return measure_scaling(smoke); }});
  suite.add({.kernel = "train_epoch",
             .implementation = "spiq",
             .shape = "mnist-t2",
             .threads = 2,
             .custom = [smoke] { return measure_epoch(smoke); }});
}
