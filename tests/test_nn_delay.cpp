// Layers with learned delays and recurrent layers: values and gradients through time, and a task that only delays
// solve.
#include "catch.hpp"
#include "layer_check.hpp"

#include <spiq/io/images.hpp>
#include <spiq/nn/nn.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

using namespace spiq;
using spiq_test::check_layer;
using spiq_test::distance;
using spiq_test::training;

namespace {

using Floats = std::vector<float>;
constexpr int taps = 5, steps = 7;

// The current of a delayed linear layer in double: x [steps][in], Gaussian kernels around clamped positions.
reference::Values delayed(const reference::Values& x, std::size_t in, std::size_t out, double width,
                          const reference::Values& w, const reference::Values& p, const reference::Values& b) {
  const std::size_t n = x.size() / in;
  reference::Values y(n * out);
  for (std::size_t o = 0; o < out; ++o)
    for (std::size_t i = 0; i < in; ++i) {
      double g[taps], sum = 1e-7;
      for (int k = 0; k < taps; ++k) {
        const double u = (k - p[o * in + i] - taps / 2) / (std::abs(width) + 0.27);
        sum += g[k] = std::exp(-0.5 * u * u);
      }
      for (std::size_t t = 0; t < n; ++t)
        for (std::size_t d = 0; d < taps && d <= t; ++d)
          y[t * out + o] += w[o * in + i] * g[taps - 1 - d] / sum * x[(t - d) * in + i];
    }
  for (std::size_t t = 0; t < n; ++t)
    for (std::size_t o = 0; o < out; ++o) y[t * out + o] += b[o];
  return y;
}

}  // namespace

TEST_CASE("DelayedLinear inside OverTime: values and gradients equal the reference", "[nn][delay]") {
  const Shape in{1, 1, 3 * steps};
  using Layer = OverTime<Seq<DelayedLinear<4, taps>>, Steps<steps>, FrameInput, MeanOverTime>;
  Layer layer(in);
  layer.body.layer<0>().width = 0.8f;
  // A mean over time would hide when something happens: steps are weighted by the input.
  check_layer(layer, in, 3, [&](const reference::Values& x, const std::vector<reference::Values>& p) {
    reference::Values y;
    for (std::size_t s = 0; s < 3; ++s) {
      const auto all = delayed(reference::Values(x.begin() + static_cast<std::ptrdiff_t>(s * in.size()),
                                                 x.begin() + static_cast<std::ptrdiff_t>((s + 1) * in.size())),
                               3, 4, 0.8f, p[0], p[1], p[2]);
      for (std::size_t o = 0; o < 4; ++o) {
        double sum = 0;
        for (std::size_t t = 0; t < steps; ++t) sum += all[t * 4 + o];
        y.push_back(sum / steps);
      }
    }
    return y;
  });
}

TEST_CASE("what a delayed layer computes at each step, step by step and rounded", "[nn][delay]") {
  const Shape in{1, 1, 3};
  DelayedLinear<2, taps> layer(in);
  layer.initialise(Rng(1));
  layer.position.span()[0] = 9;  // beyond the kernel: no delay
  const std::size_t batch = 2;
  const Floats x = reference::floats(reference::random(steps * batch * 3, 5));
  Floats whole(steps * batch * 2), expected(whole.size());
  decltype(layer)::Cache cache;
  nn::Pass pass;
  pass.steps = steps;
  layer.forward(x.data(), whole.data(), steps * batch, cache, pass);
  CHECK(layer.delay_of(0) == 0);
  for (std::size_t t = 0; t < steps; ++t)
    for (std::size_t s = 0; s < batch; ++s)
      for (std::size_t o = 0; o < 2; ++o)
        for (std::size_t i = 0; i < 3; ++i)
          if (const std::size_t d = layer.delay_of(o * 3 + i); d <= t)
            expected[(t * batch + s) * 2 + o] += layer.weight[o * 3 + i] * x[((t - d) * batch + s) * 3 + i];
  CHECK(distance(whole, reference::doubles(expected)) < 1e-6);
  // One step a pass, in training as in evaluation; any number of threads.
  for (const nn::Mode mode : {nn::Mode::evaluate, nn::Mode::train}) {
    pass.mode = mode;
    pass.steps = steps;
    layer.forward(x.data(), whole.data(), steps * batch, cache, pass);
    decltype(layer)::Cache other;
    Floats part(batch * 2);
    for (std::size_t t = 0; t < steps; ++t) {
      nn::Pass one = pass;
      one.steps = 1;
      one.threads = 2;
      one.fresh = t == 0;
      layer.forward(x.data() + t * batch * 3, part.data(), batch, other, one);
      CHECK(distance(part, reference::doubles(std::span(whole).subspan(t * batch * 2, batch * 2))) < 1e-6);
    }
  }
}

TEST_CASE("windows of one step give a delayed layer the gradients of passes of one step", "[nn][delay]") {
  const Shape in{1, 1, 3};
  DelayedLinear<2, taps> layer(in);
  layer.initialise(Rng(1));
  const std::size_t batch = 2;
  const Floats x = reference::floats(reference::random(steps * batch * 3, 5)),
               dy = reference::floats(reference::random(steps * batch * 2, 6));
  Floats y(dy.size()), dx(x.size()), each(x.size());
  decltype(layer)::Cache cache, other;
  nn::Pass pass = training();
  pass.steps = steps;
  pass.window = 1;
  layer.forward(x.data(), y.data(), steps * batch, cache, pass);
  layer.backward(x.data(), y.data(), dy.data(), dx.data(), steps * batch, cache, pass);
  const auto copy = [](const Tensor<float>& t) { return reference::doubles(t.span()); };
  const auto weights = copy(layer.weight_gradient), positions = copy(layer.position_gradient);
  reference::Values sum_weights(weights.size()), sum_positions(positions.size());
  for (std::size_t t = 0; t < steps; ++t) {
    nn::Pass one = training();
    one.fresh = t == 0;
    layer.forward(x.data() + t * batch * 3, y.data(), batch, other, one);
    layer.backward(x.data() + t * batch * 3, y.data(), dy.data() + t * batch * 2, each.data() + t * batch * 3, batch,
                   other, one);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      sum_weights[i] += double{layer.weight_gradient[i]};
      sum_positions[i] += double{layer.position_gradient[i]};
    }
  }
  CHECK(distance(dx, reference::doubles(each)) < 1e-6);
  CHECK(distance(reference::floats(weights), sum_weights) < 1e-5);
  CHECK(distance(reference::floats(positions), sum_positions) < 1e-5);
}

TEST_CASE("the width of the kernels shrinks within the first quarter of training", "[nn][delay]") {
  using Layer = DelayedLinear<2, 9>;
  CHECK(Layer::annealed_width(0) == 4);
  CHECK(std::abs(Layer::annealed_width(0.125) - std::sqrt(4 * 0.23f)) < 1e-6f);
  CHECK(Layer::annealed_width(0.25) == 0.23f);
  CHECK(Layer::annealed_width(1) == 0.23f);
}

namespace {

// A number with its derivative along one direction, spikes with the surrogate's: gradients forward in time, to hold
// against those that the layer gets by going back.
struct Along {
  double value = 0, slope = 0;
};
Along operator+(Along a, Along b) { return {a.value + b.value, a.slope + b.slope}; }
Along operator-(Along a, Along b) { return {a.value - b.value, a.slope - b.slope}; }
Along operator*(Along a, Along b) { return {a.value * b.value, a.value * b.slope + a.slope * b.value}; }

template <class Surrogate>
Along spike(Along v, Along threshold) {
  using V = simd::traits<simd::scalar>::f32;
  const Along u = v - threshold;
  const double g = static_cast<double>(reduce_add(Surrogate{}(V::broadcast(static_cast<float>(u.value)))));
  return {u.value >= 0 ? 1.0 : 0.0, g * u.slope};
}

// L = sum of dy y for leaky neurons with soft reset whose spikes come back: x, dy [steps][batch][n], W [n][n].
template <class Surrogate>
Along recurrent(std::size_t n, std::size_t batch, const std::vector<Along>& x, const std::vector<Along>& w, Along beta,
                Along threshold, const Floats& dy, Floats* y, std::size_t window = 1000) {
  const std::size_t neurons = n * batch;
  std::vector<Along> v(neurons), s(neurons);
  Along sum;
  for (std::size_t t = 0; t < x.size() / neurons; ++t) {
    if (t % window == 0)
      for (std::size_t k = 0; k < neurons; ++k) v[k].slope = s[k].slope = 0;
    const std::vector<Along> came = s;
    for (std::size_t k = 0; k < neurons; ++k) {
      v[k] = beta * v[k] + x[t * neurons + k];
      for (std::size_t j = 0; j < n; ++j) v[k] = v[k] + w[k % n * n + j] * came[k / n * n + j];
      s[k] = spike<Surrogate>(v[k], threshold);
      v[k] = v[k] - threshold * s[k];
      sum = sum + Along{double{dy[t * neurons + k]}, 0} * s[k];
      if (y != nullptr) (*y)[t * neurons + k] = static_cast<float>(s[k].value);
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("Recurrent: spikes and gradients through time equal those carried forward", "[nn][recurrent]") {
  using Surrogate = surrogate::ATan;
  using Layer = Recurrent<Spiking<neuron::Neuron<charge::Decay, fire::AtThreshold, reset::Soft>, Surrogate, Learned>>;
  constexpr std::size_t n = 5, batch = 3, times = 6, all = n * batch * times;
  Layer layer(Shape{1, 1, n});
  layer.initialise(Rng(4));
  layer.body.set({{0.8f}, 0.9f, 0, 0});
  const Floats x = reference::floats(reference::random(all, 1, -0.5, 1.2)),
               dy = reference::floats(reference::random(all, 2));
  Floats y(all), expected(all), dx(all);
  typename Layer::Cache cache;
  nn::Pass pass = training();
  pass.steps = times;
  layer.forward(x.data(), y.data(), batch * times, cache, pass);
  layer.backward(x.data(), y.data(), dy.data(), dx.data(), batch * times, cache, pass);

  std::vector<Along> xs(all), ws(n * n);
  for (std::size_t i = 0; i < all; ++i) xs[i].value = double{x[i]};
  for (std::size_t i = 0; i < n * n; ++i) ws[i].value = double{layer.weight[i]};
  Along beta{0.8f, 0}, threshold{0.9f, 0};
  const auto slope = [&](Along& direction) {
    direction.slope = 1;
    const Along l = recurrent<Surrogate>(n, batch, xs, ws, beta, threshold, dy, &expected);
    direction.slope = 0;
    return l.slope;
  };
  reference::Values gx, gw;
  for (Along& a : xs) gx.push_back(slope(a));
  for (Along& a : ws) gw.push_back(slope(a));
  CHECK(y == expected);
  CHECK(std::count(y.begin(), y.end(), 1.0f) > 10);
  CHECK(distance(dx, gx) < 1e-5);
  CHECK(distance(layer.weight_gradient.span(), gw) < 1e-5);
  CHECK(std::abs(static_cast<double>(layer.body.gradients[0]) - slope(beta)) < 1e-4);
  CHECK(std::abs(static_cast<double>(layer.body.gradients[1]) - slope(threshold)) < 1e-4);

  // Windows of two steps, and a price of spikes.
  typename Layer::Cache priced;
  nn::Pass truncated = pass;
  truncated.window = 2;
  truncated.spike_weight = 0.5f * batch;
  Floats two(all), dearer = dy;
  for (float& d : dearer) d += 0.5f;
  layer.forward(x.data(), expected.data(), batch * times, priced, truncated);
  layer.backward(x.data(), y.data(), dy.data(), two.data(), batch * times, priced, truncated);
  const auto short_slope = [&](Along& direction) {
    direction.slope = 1;
    const Along l = recurrent<Surrogate>(n, batch, xs, ws, beta, threshold, dearer, nullptr, 2);
    direction.slope = 0;
    return l.slope;
  };
  reference::Values hx, hw;
  for (std::size_t t = 0; t < times; ++t)  // x of step t only reaches the end of its window
    for (std::size_t i = 0; i < n * batch; ++i) hx.push_back(short_slope(xs[t * n * batch + i]));
  for (Along& a : ws) hw.push_back(short_slope(a));
  CHECK(distance(two, hx) < 1e-5);
  CHECK(distance(layer.weight_gradient.span(), hw) < 1e-5);
  CHECK(distance(two, gx) > 1e-3);
  layer.backward(x.data(), y.data(), dy.data(), dx.data(), batch * times, cache, pass);

  // On three threads, without dx: the same. One step a pass: the same spikes.
  const Floats dw(layer.weight_gradient.span().begin(), layer.weight_gradient.span().end());
  typename Layer::Cache other;
  nn::Pass three = training(3);
  three.steps = times;
  layer.forward(x.data(), expected.data(), batch * times, other, three);
  layer.backward(x.data(), expected.data(), dy.data(), nullptr, batch * times, other, three);
  CHECK(y == expected);
  CHECK(std::equal(dw.begin(), dw.end(), layer.weight_gradient.span().begin()));
  for (std::size_t t = 0; t < times; ++t) {
    nn::Pass one = pass;
    one.steps = 1;
    one.fresh = t == 0;
    layer.forward(x.data() + t * n * batch, expected.data() + t * n * batch, batch, other, one);
  }
  CHECK(y == expected);
}

TEST_CASE("Recurrent inside OverTime: variable T, and SLTT with the spikes that came back", "[nn][recurrent]") {
  const Shape in{1, 1, 6};
  const auto run = [&](auto learning) {
    using Layer =
        OverTime<Seq<Linear<8>, Recurrent<Spiking<presets::SnnTorchLeaky<>>>, Linear<3>>, Steps<6>, decltype(learning)>;
    Layer layer(in);
    layer.initialise(Rng(2));
    typename Layer::Cache cache;
    const Floats x = reference::floats(reference::random(4 * 6, 3, 0, 2)),
                 dy = reference::floats(reference::random(4 * 3, 4));
    Floats y(4 * 3), few(4 * 3);
    layer.forward(x.data(), y.data(), 4, cache, training());
    layer.backward(x.data(), y.data(), dy.data(), nullptr, 4, cache, training());
    double norm = 0;
    for (const float g : layer.body.template layer<1>().weight_gradient.span()) norm += double{g} * double{g};
    CHECK(norm > 0);
    layer.steps = 3;
    layer.forward(x.data(), few.data(), 4, cache, training());
    CHECK(few != y);
    layer.steps = 6;
    layer.forward(x.data(), few.data(), 4, cache, training());
    CHECK(few == y);  // every pass starts fresh
    return y;
  };
  CHECK(run(Bptt{}) == run(Sltt{}));
}

namespace {

// Two inputs spike once each, in the same two steps: which of them came first is the class. Rates say nothing.
constexpr int length = 12, gap = 5;
ImageSet orders(std::size_t n, std::uint64_t seed) {
  Rng rng(seed);
  ImageSet set{Tensor<std::uint8_t>({n, 2 * length, 1, 1}), {}, 2};
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t start = rng.below(length - gap - 1);
    const auto label = static_cast<std::size_t>(rng.below(2));
    set.images[(i * length + start) * 2 + label] = 255;
    set.images[(i * length + start + gap) * 2 + 1 - label] = 255;
    set.labels.push_back(static_cast<int>(label));
  }
  return set;
}

// Neurons without memory: membranes forget at once, so only a synapse can wait.
using Memoryless = Spiking<neuron::Neuron<charge::Decay, fire::AtThreshold, reset::Hard>, surrogate::Triangle>;
template <class First>
using OrderNet =
    Network<Input<1, 1, 2 * length>, OverTime<Seq<First, Memoryless, Linear<2>>, Steps<length>, FrameInput>>;

template <class Net>
double learn(Net& net) {
  net.for_each_layer([](const std::string&, auto& layer) {
    if constexpr (requires { layer.surrogate; }) layer.set({{0.0f}, 1, 0, 0});
  });
  const ImageSet train = orders(600, 1), test = orders(400, 2);
  constexpr int epochs = 30;
  fit(net, train,
      {.epochs = epochs,
       .batch = 30,
       .learning_rate = 1e-2f,
       .weight_decay = 0,
       .normalize = false,
       .threads = 1,
       .on_epoch = [&](const EpochReport& r) {
         net.for_each_layer([&](const std::string&, auto& layer) {
           if constexpr (requires { layer.width; })
             layer.width = layer.annealed_width(static_cast<double>(r.epoch) / epochs);
         });
       }});
  return evaluate(net, test).accuracy;
}

}  // namespace

TEST_CASE("same rates in mirrored order: solved with learned delays, not without", "[nn][delay]") {
  double delays = 0, none = 0;  // means over three seeds
  for (unsigned seed = 1; seed <= 3; ++seed) {
    OrderNet<DelayedLinear<32, 8>> with{Rng(seed)};
    OrderNet<Linear<32>> without{Rng(seed)};
    delays += learn(with) / 3;
    none += learn(without) / 3;
  }
  INFO("accuracy " << delays << " with delays, " << none << " without");
  CHECK(delays >= 0.95);
  CHECK(none <= 0.6);
}

TEST_CASE("delays and recurrent weights are saved with a network", "[nn][delay][recurrent]") {
  using Net = Network<Input<1, 1, 12>, OverTime<Seq<DelayedLinear<8, 4>, Recurrent<Spiking<presets::SnnTorchLeaky<>>>, Linear<2>>,
                                                Steps<4>, FrameInput>>;
  Net from{Rng(1)}, to{Rng(2)};
  from.layer<0>().body.layer<0>().width = 0.5f;
  Tensor<float> x({5, 12});
  Rng rng(3);
  for (float& v : x.span()) v = 3 * rng.uniform();
  const Tensor<float> expected = from(x), before = to(x);
  CHECK(!std::equal(before.span().begin(), before.span().end(), expected.span().begin()));
  import_state(to, export_state(from));
  const Tensor<float> after = to(x);
  CHECK(std::equal(after.span().begin(), after.span().end(), expected.span().begin()));
  CHECK(to.layer<0>().body.layer<0>().width == 0.5f);
}
