/// @file
/// Several vectors as one, whose instructions alternate: for long chains of dependent instructions.
#pragma once

#include <spiq/simd/bits.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

SPIQ_BEGIN_NAMESPACE

namespace simd {

/// An architecture whose vectors are N of `Arch`. Each operation is done for all of them before the next one, and
/// compilers keep that order. A machine looks ahead a limited number of instructions: a function of fifty cycles'
/// latency written vector by vector leaves its units idle, written this way less so. Loops use it for whole blocks and
/// `Arch` itself for what is left; the results are the same bits.
template <class Arch, int N>
struct interleaved {
  static constexpr const char* name = Arch::name;
};

namespace detail {
// Not a loop: compilers unroll loops after they have decided what stays in registers.
template <class Result, class F, std::size_t... K>
SPIQ_INLINE Result each_part(const F& f, std::index_sequence<K...>) {
  return {{f(K)...}};
}
template <class Result, class F>
SPIQ_INLINE Result each_part(const F& f) {
  return each_part<Result>(f, std::make_index_sequence<Result::parts>());
}
}  // namespace detail

template <class T, class Arch, int N>
struct mask<T, interleaved<Arch, N>> {
  static constexpr std::size_t parts = N;
  mask<T, Arch> part[parts];
  friend SPIQ_INLINE mask operator&(mask a, mask b) {
    return detail::each_part<mask>([&](std::size_t k) SPIQ_LAMBDA_INLINE { return a.part[k] & b.part[k]; });
  }
  friend SPIQ_INLINE mask operator|(mask a, mask b) {
    return detail::each_part<mask>([&](std::size_t k) SPIQ_LAMBDA_INLINE { return a.part[k] | b.part[k]; });
  }
};

template <class T, class Arch, int N>
struct vec<T, interleaved<Arch, N>> {
  using one = vec<T, Arch>;
  using mask_type = mask<T, interleaved<Arch, N>>;
  static constexpr std::size_t parts = N;
  static constexpr int width = N * one::width;
  one part[parts];

  static SPIQ_INLINE vec zero() { return broadcast(T{}); }
  static SPIQ_INLINE vec broadcast(T x) {
    const one v = one::broadcast(x);
    return detail::each_part<vec>([&](std::size_t) SPIQ_LAMBDA_INLINE { return v; });
  }
  static SPIQ_INLINE vec load(const T* p) {
    return detail::each_part<vec>([&](std::size_t k) SPIQ_LAMBDA_INLINE { return one::load(p + k * one::width); });
  }
  SPIQ_INLINE void store(T* p) const {
    SPIQ_UNROLL
    for (std::size_t k = 0; k < parts; ++k) part[k].store(p + k * one::width);
  }
  friend SPIQ_INLINE vec operator+(vec a, vec b) {
    return detail::each_part<vec>([&](std::size_t k) SPIQ_LAMBDA_INLINE { return a.part[k] + b.part[k]; });
  }
  friend SPIQ_INLINE vec operator-(vec a, vec b) {
    return detail::each_part<vec>([&](std::size_t k) SPIQ_LAMBDA_INLINE { return a.part[k] - b.part[k]; });
  }
  friend SPIQ_INLINE vec operator*(vec a, vec b) {
    return detail::each_part<vec>([&](std::size_t k) SPIQ_LAMBDA_INLINE { return a.part[k] * b.part[k]; });
  }
  friend SPIQ_INLINE vec operator/(vec a, vec b) {
    return detail::each_part<vec>([&](std::size_t k) SPIQ_LAMBDA_INLINE { return a.part[k] / b.part[k]; });
  }
  friend SPIQ_INLINE mask_type operator>=(vec a, vec b) {
    return detail::each_part<mask_type>([&](std::size_t k) SPIQ_LAMBDA_INLINE { return a.part[k] >= b.part[k]; });
  }
  friend SPIQ_INLINE mask_type operator>(vec a, vec b) {
    return detail::each_part<mask_type>([&](std::size_t k) SPIQ_LAMBDA_INLINE { return a.part[k] > b.part[k]; });
  }
  friend SPIQ_INLINE mask_type operator<(vec a, vec b) { return b > a; }
  friend SPIQ_INLINE mask_type operator<=(vec a, vec b) { return b >= a; }
  friend SPIQ_INLINE mask_type operator==(vec a, vec b) {
    return detail::each_part<mask_type>([&](std::size_t k) SPIQ_LAMBDA_INLINE { return a.part[k] == b.part[k]; });
  }
};

template <class Arch, int N>
inline constexpr bool fuses_multiply_add<interleaved<Arch, N>> = fuses_multiply_add<Arch>;
template <class Arch, int N>
inline constexpr bool scales_by_exponent<interleaved<Arch, N>> = scales_by_exponent<Arch>;
template <class Arch, int N>
inline constexpr double reciprocal_estimate_error<interleaved<Arch, N>> = reciprocal_estimate_error<Arch>;
template <class Arch, int N>
inline constexpr bool limits_in_integers<interleaved<Arch, N>> = limits_in_integers<Arch>;
template <class Arch, int N>
inline constexpr int lookup_entries<interleaved<Arch, N>> = lookup_entries<Arch>;

template <class Arch, int N>
struct traits<interleaved<Arch, N>> {
  static constexpr const char* name = Arch::name;
  static constexpr int registers = traits<Arch>::registers;
  using f32 = vec<float, interleaved<Arch, N>>;
  using i32 = vec<std::int32_t, interleaved<Arch, N>>;
  static constexpr int width = f32::width;
};

template <class Arch, int N>
SPIQ_INLINE vec<std::int32_t, interleaved<Arch, N>> operator&(vec<std::int32_t, interleaved<Arch, N>> a,
                                                              vec<std::int32_t, interleaved<Arch, N>> b) {
  return detail::each_part<vec<std::int32_t, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return a.part[k] & b.part[k]; });
}
template <class Arch, int N>
SPIQ_INLINE vec<std::int32_t, interleaved<Arch, N>> operator|(vec<std::int32_t, interleaved<Arch, N>> a,
                                                              vec<std::int32_t, interleaved<Arch, N>> b) {
  return detail::each_part<vec<std::int32_t, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return a.part[k] | b.part[k]; });
}
template <class T, class Arch, int N>
SPIQ_INLINE vec<T, interleaved<Arch, N>> min(vec<T, interleaved<Arch, N>> a, vec<T, interleaved<Arch, N>> b) {
  return detail::each_part<vec<T, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return min(a.part[k], b.part[k]); });
}
template <class T, class Arch, int N>
SPIQ_INLINE vec<T, interleaved<Arch, N>> max(vec<T, interleaved<Arch, N>> a, vec<T, interleaved<Arch, N>> b) {
  return detail::each_part<vec<T, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return max(a.part[k], b.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<std::int32_t, interleaved<Arch, N>> min_i32(vec<std::int32_t, interleaved<Arch, N>> a,
                                                            vec<std::int32_t, interleaved<Arch, N>> b) {
  return detail::each_part<vec<std::int32_t, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return min_i32(a.part[k], b.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<std::int32_t, interleaved<Arch, N>> max_i32(vec<std::int32_t, interleaved<Arch, N>> a,
                                                            vec<std::int32_t, interleaved<Arch, N>> b) {
  return detail::each_part<vec<std::int32_t, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return max_i32(a.part[k], b.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> limited(vec<float, interleaved<Arch, N>> a, float low, float high) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return limited(a.part[k], low, high); });
}
template <int Entries, class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> lookup(const float (&table)[Entries],
                                                    vec<std::int32_t, interleaved<Arch, N>> index) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return lookup(table, index.part[k]); });
}
template <class T, class Arch, int N>
SPIQ_INLINE vec<T, interleaved<Arch, N>> select(mask<T, interleaved<Arch, N>> m,
                                                vec<T, interleaved<Arch, N>> a,
                                                vec<T, interleaved<Arch, N>> b) {
  return detail::each_part<vec<T, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return select(m.part[k], a.part[k], b.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> fma(vec<float, interleaved<Arch, N>> a,
                                                 vec<float, interleaved<Arch, N>> b,
                                                 vec<float, interleaved<Arch, N>> c) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return fma(a.part[k], b.part[k], c.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> fma_of_unit(vec<float, interleaved<Arch, N>> a,
                                                         vec<float, interleaved<Arch, N>> b,
                                                         vec<float, interleaved<Arch, N>> c) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return fma_of_unit(a.part[k], b.part[k], c.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> fnma(vec<float, interleaved<Arch, N>> a,
                                                  vec<float, interleaved<Arch, N>> b,
                                                  vec<float, interleaved<Arch, N>> c) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return fnma(a.part[k], b.part[k], c.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> fnms(vec<float, interleaved<Arch, N>> a,
                                                  vec<float, interleaved<Arch, N>> b,
                                                  vec<float, interleaved<Arch, N>> c) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return fnms(a.part[k], b.part[k], c.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> floor(vec<float, interleaved<Arch, N>> a) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return floor(a.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> rounded(vec<float, interleaved<Arch, N>> a) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return rounded(a.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<std::int32_t, interleaved<Arch, N>> to_i32(vec<float, interleaved<Arch, N>> a) {
  return detail::each_part<vec<std::int32_t, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return to_i32(a.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> to_f32(vec<std::int32_t, interleaved<Arch, N>> a) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return to_f32(a.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<std::int32_t, interleaved<Arch, N>> to_i32_capped(vec<float, interleaved<Arch, N>> a,
                                                                  std::int32_t cap) {
  return detail::each_part<vec<std::int32_t, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return to_i32_capped(a.part[k], cap); });
}
template <class Arch, int N>
SPIQ_INLINE vec<std::int32_t, interleaved<Arch, N>> bits_of(vec<float, interleaved<Arch, N>> a) {
  return detail::each_part<vec<std::int32_t, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return bits_of(a.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> from_bits(vec<std::int32_t, interleaved<Arch, N>> a) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return from_bits(a.part[k]); });
}
template <int Bits, class Arch, int N>
SPIQ_INLINE vec<std::int32_t, interleaved<Arch, N>> shift_left(vec<std::int32_t, interleaved<Arch, N>> a) {
  return detail::each_part<vec<std::int32_t, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return simd::shift_left<Bits>(a.part[k]); });
}
template <int Bits, class Arch, int N>
SPIQ_INLINE vec<std::int32_t, interleaved<Arch, N>> shift_right(vec<std::int32_t, interleaved<Arch, N>> a) {
  return detail::each_part<vec<std::int32_t, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return simd::shift_right<Bits>(a.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<std::int32_t, interleaved<Arch, N>> round_i32(vec<float, interleaved<Arch, N>> a) {
  return detail::each_part<vec<std::int32_t, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return round_i32(a.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> round_nearest(vec<float, interleaved<Arch, N>> a) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return round_nearest(a.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> fraction(vec<float, interleaved<Arch, N>> t) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return fraction(t.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> scale_by_exponent(vec<float, interleaved<Arch, N>> p,
                                                               vec<float, interleaved<Arch, N>> t) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return scale_by_exponent(p.part[k], t.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE vec<float, interleaved<Arch, N>> reciprocal_estimate(vec<float, interleaved<Arch, N>> x) {
  return detail::each_part<vec<float, interleaved<Arch, N>>>(
      [&](std::size_t k) SPIQ_LAMBDA_INLINE { return reciprocal_estimate(x.part[k]); });
}
template <class Arch, int N>
SPIQ_INLINE void stream(vec<float, interleaved<Arch, N>> a, float* p) {
  SPIQ_UNROLL
  for (std::size_t k = 0; k < a.parts; ++k) stream(a.part[k], p + k * vec<float, Arch>::width);
}

}  // namespace simd

SPIQ_END_NAMESPACE
