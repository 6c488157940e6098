/// @file
/// Drafts: layers that are folded but not yet packed, because their packings are still open.
#pragma once

#include <spiq/exec/network.hpp>
#include <spiq/lower/fold.hpp>
#include <spiq/lower/negotiate.hpp>

#include <optional>
#include <type_traits>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace lowering {

/// A product with its epilogue. `finish(weights)` makes the epilogue when the units of exact arithmetic are known.
template <class Product, class MakeEpilogue>
struct SynapseDraft {
  using Epilogue = decltype(std::declval<const MakeEpilogue&>()(std::declval<const kernel::FoldedWeights&>()));
  static constexpr bool has_weights = true;

  kernel::FoldedWeights weights;
  MakeEpilogue make;
  exec::LayerInfo info;

  template <class Up>
  using emits = typename Epilogue::emits;
  template <class Emit, class Up>
  using consumes = meet_t<typename Product::consumes, typename Epilogue::admits>;
  template <class Take, class Emit, class Up>
  auto bind() {
    info.nonzeros = count_nonzeros(weights);  // now, because a join may have changed the units
    return exec::Synapse<Product, Epilogue, Take, Emit>{Product::pack(weights), make(weights), info};
  }
};

namespace detail {
template <exec::PoolKind Kind, class P>
struct pooled {
  using type = P;
};
template <>
struct pooled<exec::PoolKind::average, packing::by_channel> {
  using type = packing::levels;
};
template <exec::PoolKind Kind, class Emit, class Up>
struct pool_sources;
template <exec::PoolKind Kind, class Emit, class... P>
struct pool_sources<Kind, Emit, Packings<P...>>
    : concat<std::conditional_t<std::is_same_v<typename pooled<Kind, P>::type, Emit>, Packings<P>, Packings<>>...> {};
template <exec::PoolKind Kind, class Up>
struct pool_emits;
template <exec::PoolKind Kind, class... P>
struct pool_emits<Kind, Packings<P...>> {
  using type = Packings<typename pooled<Kind, P>::type...>;
};
}  // namespace detail

template <exec::PoolKind Kind>
struct PoolDraft {
  kernel::PoolGeometry geometry;
  exec::LayerInfo info;

  template <class Up>
  using emits = typename detail::pool_emits<Kind, Up>::type;
  template <class Emit, class Up>
  using consumes = typename detail::pool_sources<Kind, Emit, Up>::type;
  template <class Take, class Emit, class Up>
  auto bind() {
    return exec::Pool<Kind, Take, Emit>{geometry, info};
  }
};

/// Two branches and the epilogue behind them. `Identity` branches pass on what they get.
template <class Product, class MakeEpilogue, class Body, class Shortcut>
struct JoinDraft;
template <class Product, class MakeEpilogue, std::size_t... IB, class... B, std::size_t... IS, class... S>
struct JoinDraft<Product, MakeEpilogue, PackOf<std::index_sequence<IB...>, B...>, PackOf<std::index_sequence<IS...>, S...>> {
  using Epilogue = decltype(std::declval<const MakeEpilogue&>()(std::declval<const kernel::FoldedWeights&>()));
  using current = exec::currents<typename Product::value>;
  static constexpr bool has_weights = false;

  Pack<B...> body;
  Pack<S...> shortcut;
  MakeEpilogue make;
  kernel::FoldedWeights numbers;  ///< no weights: the bias is zero and the units are those of the sums
  std::vector<typename Product::value> scale;
  exec::JoinTiming timing;
  Shape out;
  exec::LayerInfo info;

  template <class Up>
  using body_edges = negotiate<Up, Packings<current>, B...>;
  // The join itself reads the shortcut, in any packing that its epilogue admits.
  using readable = meet_t<Packings<current, packing::counts, packing::by_channel, packing::levels, packing::pixels>,
                          typename Epilogue::admits>;
  template <class Up>
  using shortcut_edges = negotiate<Up, readable, S...>;

  template <class Up>
  using emits = typename Epilogue::emits;

  template <class BodyList, class ShortcutList, class Common>
  struct both {
    using type = Common;
  };
  template <class BodyList, class ShortcutList>
  struct both<BodyList, ShortcutList, Packings<>> {
    using type = Packings<packing::fanout<typename front<BodyList>::type, typename front<ShortcutList>::type>>;
  };
  template <class Emit, class Up>
  using consumes = typename both<meet_t<typename body_edges<Up>::wants, Up>, meet_t<typename shortcut_edges<Up>::wants, Up>,
                                 meet_t<meet_t<typename body_edges<Up>::wants, Up>,
                                        typename shortcut_edges<Up>::wants>>::type;
  template <class T>
  struct split {
    using first = T;
    using second = T;
  };
  template <class X, class Y>
  struct split<packing::fanout<X, Y>> {
    using first = X;
    using second = Y;
  };

  template <class Take, class Emit, class Up>
  auto bind() {
    auto b = bind_all<Up, typename split<Take>::first>(typename body_edges<Up>::out{}, body);
    auto s = bind_all<Up, typename split<Take>::second>(typename shortcut_edges<Up>::out{}, shortcut);
    using value = typename Product::value;
    return exec::Join<Product, Epilogue, Take, Emit, decltype(b), decltype(s)>{
        std::move(b), std::move(s), make(numbers), exec::PerChannel<value>(scale, value{}), timing, out, info};
  }
};

/// The weights of a draft sequence's last product, or null.
template <std::size_t... I, class... D>
kernel::FoldedWeights* last_weights(PackOf<std::index_sequence<I...>, D...>& drafts) {
  if constexpr (sizeof...(D) != 0) {
    auto& last = get<sizeof...(D) - 1>(drafts);
    if constexpr (requires { last.weights; }) return &last.weights;
  }
  return nullptr;
}
/// The unit of a draft sequence's last sums where one serves all channels; 1 for floats.
template <std::size_t... I, class... D>
double last_unit(const PackOf<std::index_sequence<I...>, D...>& drafts) {
  if constexpr (sizeof...(D) != 0) {
    const auto& last = get<sizeof...(D) - 1>(drafts);
    const auto unit = [](const kernel::FoldedWeights& w) { return w.unit.empty() ? 1.0 : w.unit[0]; };
    if constexpr (requires { last.weights; }) return unit(last.weights);
    if constexpr (requires { last.numbers; }) return unit(last.numbers);
  }
  return 1.0;
}

}  // namespace lowering

SPIQ_END_NAMESPACE
