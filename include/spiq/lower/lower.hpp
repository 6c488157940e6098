/// @file
/// `lower`: a trained network becomes an executable one.
#pragma once

#include <spiq/lower/delay_rules.hpp>
#include <spiq/lower/pool_rules.hpp>
#include <spiq/lower/rules.hpp>
#include <spiq/lower/time_rules.hpp>
#include <spiq/lower/transformer_rules.hpp>
#include <spiq/nn/network.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

/// What `lower` returns when a layer has no rule; a static_assert has said which. Keeps later errors quiet.
struct Refused {
  template <class... T>
  Refused session(T&&...) const {
    return {};
  }
  template <class... T>
  Refused run(T&&...) const {
    return {};
  }
  template <class... T>
  Refused operator()(T&&...) const {
    return {};
  }
};

template <class Numbers, class Normalization>
void set_input(exec::InputStage& stage, Context& context, const Normalization& normalization) {
  stage.shape = context.shape;
  const auto is = [](const auto& values, float x) {
    return std::all_of(values.begin(), values.end(), [x](float v) { return v == x; });
  };
  for (const float m : normalization.mean)
    if (!std::isfinite(m)) SPIQ_THROW("lowering: mean of the input", "a finite number", std::to_string(m));
  for (const float s : normalization.std)
    if (!(s > 0.0F) || !std::isfinite(s) || !std::isfinite(1.0F / s))
      SPIQ_THROW("lowering: standard deviation of the input", "a positive number with a finite reciprocal", std::to_string(s));
  if (Numbers::exact || !is(normalization.mean, 0.0F) || !is(normalization.std, 1.0F)) {
    // Frames of different steps are one channel.
    const auto channels = static_cast<std::ptrdiff_t>(stage.shape.channels);
    stage.mean = {normalization.mean.begin(), normalization.mean.begin() + channels};
    stage.deviation = {normalization.std.begin(), normalization.std.begin() + channels};
    const auto repeats = [&](const auto& values) {
      return std::equal(values.begin() + channels, values.end(), values.begin());
    };
    if (!repeats(normalization.mean) || !repeats(normalization.std))
      SPIQ_THROW("spiq: lowering of frames needs a normalisation that is the same at each time step");
  }
  if constexpr (Numbers::exact) {
    for (const float m : normalization.mean) {
      if (!(m >= -127.0F && m <= 128.0F))  // centred bytes stay 16-bit
        SPIQ_THROW("lowering to exact arithmetic: mean of the input", "within [-127, 128]", std::to_string(m));
      if (std::abs(255.0F * m - std::round(255.0F * m)) > 1e-3F)
        SPIQ_THROW("lowering to exact arithmetic: mean of the input",
                   "a multiple of 1/255 (as Normalization::set makes it), so that centred bytes are integers",
                   std::to_string(m));
    }
    int reach = 255;
    for (const float m : normalization.mean) {
      const int centre = static_cast<int>(std::lround(255.0F * m));
      reach = std::max({reach, std::abs(centre), std::abs(255 - centre)});
    }
    context.max_level = context.max_word = reach;
    context.word_limit = 32767;
    context.channel_amplitude.assign(static_cast<std::size_t>(context.shape.channels), 1.0 / 255.0);
    for (std::size_t c = 0; c < stage.deviation.size(); ++c) context.channel_amplitude[c] /= double{stage.deviation[c]};
  }
}

template <class Numbers, class Target, std::size_t... I, class... D>
auto finish(PackOf<std::index_sequence<I...>, D...>& all, exec::InputStage input, exec::Readout readout) {
  using up = Packings<typename Numbers::input_packing>;
  using output = exec::currents<typename Numbers::value>;
  using plan = negotiate<up, Packings<output>, D...>;
  using take = typename choose<exec::InputStage, typename plan::wants, up, meet_t<typename plan::wants, up>>::type;
  auto chain = bind_all<up, take>(typename plan::out{}, all);
  return exec::Network<typename Numbers::input_packing, output, decltype(chain)>{
      std::move(input), std::move(chain), readout, Coding<Target>::name, Coding<Target>::spiking};
}

/// Lowers a list of layers.
template <class Arch, class Net, class Target, class Layers>
auto lower_layers(const Net& net, const Target& target, const Layers& layers, Context context) {
  using coding = Coding<Target>;
  using numbers = typename coding::numbers;
  using input_signal = std::conditional_t<numbers::exact, signal::discrete, signal::real>;
  using plan = plan_t<Target, input_signal, Layers>;
  if constexpr (!plan::complete) {
    return Refused{};
  } else if constexpr (std::is_same_v<typename plan::out, signal::discrete>) {
    static_cast<void>(sizeof(ends_in_spikes<Target>));
    return Refused{};
  } else {
    if constexpr (requires { coding::check(target); }) coding::check(target);
    exec::InputStage input;
    input.steps = context.steps;
    context.shape = net.in;
    context.shape.channels /= context.steps;
    set_input<numbers>(input, context, net.normalization);
    auto all = drafts<Arch, Target, input_signal>(target, context, layers);
    exec::Readout readout;
    readout.classes = static_cast<int>(context.shape.size());
    readout.unit = last_unit(all);
    readout.decoding = coding::decoding;
    return finish<numbers, Target>(all, std::move(input), readout);
  }
}

}  // namespace lowering

/// Lowers a trained network for a target: folds, chooses packings, packs weights for architecture Arch.
/// The result is constant while it runs and independent of `net`. Throws spiq::Error where a number of the network
/// cannot be represented in the target (one that is not finite, a threshold that is not positive, an input mean or sums
/// that do not fit exact arithmetic, a pooling sum above 255).
/// A layer without a rule for the target is a compile-time error that names both.
template <class Arch = simd::best, class Net, class Target>
auto lower(const Net& net, const Target& target) {
  using layers = std::remove_cvref_t<decltype(net.layers)>;
  lowering::Context context;
  if constexpr (std::is_base_of_v<target::Spiking<conversion::Trained>, Target> && lowering::times<layers> == 1) {
    const auto flat = lowering::unfolded(net.layers, context);
    return lowering::lower_layers<Arch>(net, target, flat, context);
  } else {
    return lowering::lower_layers<Arch>(net, target, net.layers, context);
  }
}

SPIQ_END_NAMESPACE
