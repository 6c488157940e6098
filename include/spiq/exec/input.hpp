/// @file
/// The two ends of an executable network: images in, logits out.
#pragma once

#include <spiq/core/packing.hpp>
#include <spiq/core/tensor.hpp>
#include <spiq/exec/epilogue.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// Brings one sample, [channels][height][width] floats in [0, 1], into the order and unit of the first layer:
/// real: (x - mean[c]) / deviation[c]; pixels: round(255 x) - round(255 mean[c]), the unit 1 / (255 deviation) being
/// folded into the first weights.
struct InputStage {
  Shape shape{};  ///< of one step
  std::vector<float> mean, deviation;  ///< per channel; empty: values are taken as they are
  int steps = 1;  ///< frames that a sample's channels hold, all channels of step 0 first; 1: the same at each step

  /// Values of one sample.
  [[nodiscard]] std::size_t size() const { return shape.size() * static_cast<std::size_t>(steps); }
  /// True for extents (N, channels, height, width), or (N, channels) of a single pixel, of `frames` steps.
  [[nodiscard]] bool accepts(const Extents& e, int frames) const {
    const auto c = static_cast<std::size_t>(shape.channels * frames);
    const bool map = e.rank() == 4 && e[1] == c && e[2] == static_cast<std::size_t>(shape.height) &&
                     e[3] == static_cast<std::size_t>(shape.width);
    return map || (e.rank() == 2 && shape.pixels() == 1 && e[1] == c);
  }
  /// The same of whole samples.
  [[nodiscard]] bool accepts(const Extents& e) const { return accepts(e, steps); }
  /// "(N, 3, 32, 32)" with `count` in place of N.
  [[nodiscard]] std::string describe(const std::string& count, int frames) const {
    return "(" + count + ", " + std::to_string(shape.channels * frames) + ", " + std::to_string(shape.height) + ", " +
           std::to_string(shape.width) + ")";
  }
  /// Throws unless `accepts(e)`.
  void check(const Extents& e) const {
    if (!accepts(e)) SPIQ_THROW("images for an executable network", describe("N", steps), to_string(e));
  }

  /// As many frames as the buffer holds steps.
  template <class P>
  void fill(const float* image, Buffer<P>& out, std::size_t sample) const noexcept {
    for (std::size_t t = 0; t < static_cast<std::size_t>(out.steps); ++t)
      fill_step(image + t * shape.size(), out, sample, t);
  }

private:
  template <class P>
  void fill_step(const float* image, Buffer<P>& out, std::size_t sample, std::size_t step) const noexcept {
    const std::size_t pixels = shape.pixels(), frames = static_cast<std::size_t>(out.steps);
    const std::size_t apart = frames * out.stride;
    const auto channels = static_cast<std::size_t>(shape.channels);
    if constexpr (std::is_same_v<P, packing::real>) {
      if (pixels == 1 && mean.empty()) {  // a plain vector: nothing to reorder
        std::copy_n(image, channels, out.row(sample * frames + step));
        return;
      }
    }
    for (std::size_t c = 0; c < channels; ++c) {
      const float* from = image + c * pixels;
      auto* to = out.row(sample * pixels * frames + step) + c;
      const float m = mean.empty() ? 0.0F : mean[c];
      if constexpr (std::is_same_v<P, packing::real>) {
        if (mean.empty()) {
          for (std::size_t i = 0; i < pixels; ++i) to[i * apart] = from[i];
        } else {
          const float scale = 1.0F / deviation[c];
          for (std::size_t i = 0; i < pixels; ++i) to[i * apart] = (from[i] - m) * scale;
        }
      } else {
        const auto centre = static_cast<std::int32_t>(std::lround(255.0F * m));
        for (std::size_t i = 0; i < pixels; ++i) {
          const float byte = from[i] > 0.0F ? (from[i] < 1.0F ? from[i] * 255.0F : 255.0F) : 0.0F;
          to[i * apart] = static_cast<std::int16_t>(static_cast<std::int32_t>(byte + 0.5F) - centre);
        }
      }
    }
  }
};

/// How the steps of the last layer become logits.
enum class Decoding {
  sum,  ///< over the steps: PASCAL, and everything without a time axis
  mean  ///< running mean: QCFS conversion
};

/// logit = unit * (sum or mean over the steps of the last currents).
struct Readout {
  /// The logit of a sum over `steps` steps.
  [[nodiscard]] float of_sum(float sum, std::size_t steps) const {
    return decoding == Decoding::mean && steps != 0 ? sum / static_cast<float>(steps) : sum;
  }

  int classes = 0;
  double unit = 1;
  Decoding decoding = Decoding::sum;

  /// Writes [classes] logits of one sample; where `over_time` is not null also those after 1, 2, ..., T steps,
  /// `time_stride` floats apart.
  template <class P>
  void decode(const Buffer<P>& in, std::size_t sample, float* logits, float* over_time,
              std::size_t time_stride) const noexcept {
    using total_type = std::conditional_t<std::is_same_v<typename P::word, float>, float, std::int64_t>;
    const auto steps = static_cast<std::size_t>(in.steps);
    const auto pixels = in.shape.pixels();
    const auto channels = static_cast<std::size_t>(in.shape.channels);
    if constexpr (std::is_same_v<typename P::word, float>) {
      if (steps == 1 && pixels == 1 && over_time == nullptr) {
        std::copy_n(in.row(sample), channels, logits);
        return;
      }
    }
    for (std::size_t p = 0; p < pixels; ++p)
      for (std::size_t c = 0; c < channels; ++c) {
        // A map flattened in (c, h, w) order; a plain vector has one pixel.
        const std::size_t k = c * pixels + p;
        total_type total{};
        for (std::size_t t = 0; t < steps; ++t) {
          total += static_cast<total_type>(in.row((sample * pixels + p) * steps + t)[c]);
          if (over_time != nullptr) over_time[t * time_stride + k] = value(total, t + 1);
        }
        logits[k] = value(total, steps);
      }
  }

private:
  template <class T>
  [[nodiscard]] float value(T total, std::size_t steps) const noexcept {
    if constexpr (std::is_same_v<T, float>)
      return decoding == Decoding::mean ? total / static_cast<float>(steps) : total;
    else
      return static_cast<float>(static_cast<double>(total) * unit /
                                (decoding == Decoding::mean ? static_cast<double>(steps) : 1.0));
  }
};

}  // namespace exec

SPIQ_END_NAMESPACE
