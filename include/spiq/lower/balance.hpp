/// @file
/// Threshold balancing: the thresholds of a ReLU network's spiking neurons, from images.
#pragma once

#include <spiq/lower/lower.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

/// A rate-coded network under balancing: layers whose threshold is not yet known never fire.
template <class Reset>
struct Balancing : conversion::RateCoding<Reset> {};
template <class Reset>
struct Coding<target::Spiking<Balancing<Reset>>> : Coding<target::Spiking<conversion::RateCoding<Reset>>> {
  using rate = Coding<target::Spiking<conversion::RateCoding<Reset>>>;
  using target_type = target::Spiking<Balancing<Reset>>;
  static void check(const target_type& t) { rate::check({t.conversion}); }
  template <class A>
  static auto neuron(const target_type& t, const A& a, const std::string& path) {
    typename rate::target_type known{t.conversion};
    known.conversion.thresholds.try_emplace(path, std::numeric_limits<double>::infinity());
    return rate::neuron(known, a, path);
  }
  static void after(const target_type& t, const SpikingNumbers<typename rate::model>& a, Context& c) {
    rate::after({t.conversion}, a, c);
  }
};

/// The `keep` largest of the values that it is shown.
class Largest {
public:
  explicit Largest(std::size_t keep) : keep_(keep) {}
  void add(float v) {
    if (full_ && v <= least_) return;
    values_.push_back(v);
    if (values_.size() == 2 * keep_ + 1024) cut();
  }
  /// The smallest of them.
  [[nodiscard]] float least() {
    if (values_.size() > keep_) cut();
    return *std::min_element(values_.begin(), values_.end());
  }

private:
  void cut() {
    std::nth_element(values_.begin(), values_.begin() + static_cast<std::ptrdiff_t>(keep_ - 1), values_.end(),
                     std::greater<>());
    values_.resize(keep_);
    least_ = values_.back();
    full_ = true;
  }
  std::size_t keep_;
  std::vector<float> values_;
  float least_ = 0;
  bool full_ = false;
};

/// Calls f(layer, state) for every layer of neurons.
template <class Session, class F>
void for_each_neuron(Session& session, F&& f) {
  session.visit([&](const auto& layer, const auto&, auto& own) {
    if constexpr (requires { own.stream.values; }) f(layer, own);
  });
}

/// The percentile of the weighted input sums of layer `path` over all steps, images and neurons.
template <class Network>
double balanced(const Network& network, const std::string& path, const Tensor<float>& images, int steps,
                double percentile) {
  const std::size_t n = images.extent(0), size = images.size() / n, batch = std::min<std::size_t>(n, 64);
  auto session = network.session(static_cast<int>(batch), {.threads = 1, .streaming = true});
  std::size_t neurons = 0;
  for_each_neuron(session, [&](const auto& layer, auto&) {
    if (layer.info.path == path) neurons = layer.output_shape().size();
  });
  const std::size_t all = n * neurons * static_cast<std::size_t>(steps);
  Largest top(all - static_cast<std::size_t>(std::lround(percentile / 100 * static_cast<double>(all - 1))));
  std::vector<std::size_t> kept;
  for (std::size_t first = 0; first < n; first += batch) {
    const std::size_t count = std::min(batch, n - first);
    std::vector<std::size_t> extents(images.extents().span().begin(), images.extents().span().end());
    extents[0] = count;
    const Tensor<float> part(Extents::from(extents), images.span().subspan(first * size, count * size));
    session.reset();
    if (count != batch) {
      kept.resize(count);
      for (std::size_t i = 0; i < count; ++i) kept[i] = i;
      session.keep(kept);
    }
    for (int t = 0; t < steps; ++t) {
      // A neuron that never fires, emptied before the step, holds the step's current.
      for_each_neuron(session, [&](const auto& layer, auto& own) {
        if (layer.info.path == path) std::fill(own.stream.values.begin(), own.stream.values.end(), 0.0F);
      });
      session.step(part);
      for_each_neuron(session, [&](const auto& layer, auto& own) {
        if (layer.info.path != path) return;
        const Shape shape = layer.output_shape();
        for (std::size_t r = 0; r < count * shape.pixels(); ++r)
          for (int c = 0; c < shape.channels; ++c) {
            const float v = *own.stream.at(0, r, c);
            if (!std::isfinite(v))
              SPIQ_THROW("balance, layer " + path + ": weighted input sums", "finite numbers", std::to_string(v));
            top.add(v);
          }
      });
    }
  }
  return top.least();
}

}  // namespace lowering

/// Threshold balancing (Sengupta et al., arXiv 1802.02627; as nitin-rathi/hybrid-snn-conversion does it): layer by
/// layer from the input, with the thresholds before it fixed, the spiking network runs `conversion.steps` steps on the
/// images [N, C, H, W], and the layer's threshold becomes the percentile (100: the maximum) of its weighted input sums,
/// batch norm and bias included, over time, images and neurons. Returns `conversion` with these thresholds, before its
/// `scale`; the scale is applied when it is lowered, so one balancing serves many. Thresholds already there are
/// replaced. Throws where images do not fit, there are none, or a layer's threshold would not be positive.
template <class Arch = simd::best, class Net, class Reset>
conversion::RateCoding<Reset> balance(const Net& net, conversion::RateCoding<Reset> conversion,
                                      const Tensor<float>& images) {
  Net::check_images(images);
  if (images.extent(0) == 0) SPIQ_THROW("balance", "at least one image", "none");
  lowering::Balancing<Reset> known{conversion};
  known.scale = 1;
  known.thresholds.clear();
  const auto lowered = [&] { return lower<Arch>(net, target::Spiking<lowering::Balancing<Reset>>{known}); };
  std::vector<std::string> paths;
  for (const exec::LayerReport& row : lowered().layers())
    if (row.updates != 0) paths.push_back(row.path);
  for (const std::string& path : paths) {
    const double theta = lowering::balanced(lowered(), path, images, conversion.steps, conversion.percentile);
    if (!(theta > 0))
      SPIQ_THROW("balance, layer " + path + ": percentile of its weighted input sums",
                 "a positive number (take a higher percentile or other images, or set RateCoding::thresholds by hand)",
                 std::to_string(theta));
    known.thresholds[path] = theta;
  }
  conversion.thresholds = known.thresholds;
  return conversion;
}

/// Lowers a ReLU network to rate-coded spikes with thresholds balanced on `images` [N, C, H, W].
template <class Arch = simd::best, class Net, class Reset>
auto lower(const Net& net, const target::Spiking<conversion::RateCoding<Reset>>& target, const Tensor<float>& images) {
  return lower<Arch>(net,
                     target::Spiking<conversion::RateCoding<Reset>>{balance<Arch>(net, target.conversion, images)});
}

SPIQ_END_NAMESPACE
