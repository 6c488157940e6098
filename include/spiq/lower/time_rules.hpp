/// @file
/// The body of an `OverTime` joins the list of layers around it: an executable network runs all steps of a layer at once.
#pragma once

#include <spiq/lower/rules.hpp>
#include <spiq/nn/delayed_linear.hpp>
#include <spiq/nn/over_time.hpp>
#include <spiq/nn/recurrent.hpp>

#include <cstddef>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

template <class L>
inline constexpr bool is_time = false;
template <class Body, class... Options>
inline constexpr bool is_time<OverTime<Body, Options...>> = true;

template <class P>
inline constexpr int times = 0;
template <std::size_t... I, class... L>
inline constexpr int times<PackOf<std::index_sequence<I...>, L...>> = (0 + ... + (is_time<L> ? 1 : 0));

/// Layers that are other ones over time than in a single step.
template <class L>
inline constexpr bool lives_in_time = is_spiking<L>;
template <class Body>
inline constexpr bool lives_in_time<Recurrent<Body>> = true;
template <int N, int Taps>
inline constexpr bool lives_in_time<DelayedLinear<N, Taps>> = true;
template <class... L>
inline constexpr bool lives_in_time<Seq<L...>> = (false || ... || lives_in_time<L>);
template <class Body, class Shortcut>
inline constexpr bool lives_in_time<Residual<Body, Shortcut>> = lives_in_time<Body> || lives_in_time<Shortcut>;

/// Pointers to a layer, or to those of the body of an `OverTime`.
template <class L>
auto unfold(const L& layer) {
  if constexpr (is_time<L>) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return std::tuple(&get<I>(layer.body.layers)...);
    }(std::make_index_sequence<L::body_type::size>{});
  } else {
    return std::tuple(&layer);
  }
}
/// Copies of all layers in one list, those of a body in place of their `OverTime`; paths and time steps go to the
/// context. Throws where steps were set that make no sense.
template <std::size_t... I, class... L>
auto unfolded(const PackOf<std::index_sequence<I...>, L...>& layers, Context& context) {
  const auto note = [&]<bool First, class T>(std::bool_constant<First>, const T& layer, std::size_t position) {
    const std::string path = std::to_string(position);
    if constexpr (!is_time<T>) {
      static_assert(!lives_in_time<T>,
                    "spiq: beside an OverTime all Spiking, Recurrent and DelayedLinear layers must stand inside it: "
                    "outside they were trained on a single step");
      context.paths.push_back(path);
    } else {
      static_assert(!T::options::poisson,
                    "spiq: OverTime with PoissonInput draws other spikes in every pass and is not lowered; train with "
                    "DirectInput, or encode the images and train with FrameInput");
      static_assert(!T::options::last,
                    "spiq: a lowered network answers with the mean over its steps; train with MeanOverTime instead of "
                    "LastStep");
      static_assert(!T::options::frames || First,
                    "spiq: OverTime with FrameInput is lowered as the first layer of a network");
      if (layer.steps < 1 || layer.steps > most_steps)
        SPIQ_THROW("lowering: OverTime", "1 to " + std::to_string(most_steps) + " time steps", std::to_string(layer.steps));
      if (T::options::frames && layer.steps != T::options::steps)
        SPIQ_THROW("lowering: steps of an OverTime with FrameInput",
                   std::to_string(T::options::steps) + ", as many as its type says, by which channels are frames",
                   std::to_string(layer.steps));
      context.time_steps = layer.steps;
      if (T::options::frames) context.steps = layer.steps;
      for (std::size_t k = 0; k < T::body_type::size; ++k) context.paths.push_back(path + ".body." + std::to_string(k));
    }
  };
  (note(std::bool_constant<I == 0>{}, get<I>(layers), I), ...);
  auto pointers = std::tuple_cat(unfold(get<I>(layers))...);
  return [&]<std::size_t... J>(std::index_sequence<J...>) {
    return Pack<std::remove_cvref_t<decltype(*std::get<J>(pointers))>...>{{*std::get<J>(pointers)}...};
  }(std::make_index_sequence<std::tuple_size_v<decltype(pointers)>>{});
}
template <class P>
using unfolded_t = decltype(unfolded(std::declval<const P&>(), std::declval<Context&>()));

template <class Layer, class Target>
struct time_refused {
  static_assert(!std::is_same_v<Target, Target>,
                "spiq: OverTime is lowered once in a network, not inside a Residual, to "
                "target::Spiking{conversion::Trained{}}");
};
template <class Target, class Signal, class Body, class... Options>
struct Rule<Target, Signal, OverTime<Body, Options...>> {
  static constexpr bool exists = false;
  using refusal = time_refused<OverTime<Body, Options...>, Target>;
};

}  // namespace lowering

SPIQ_END_NAMESPACE
