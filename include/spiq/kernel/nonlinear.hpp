/// @file
/// Non-linearities made of one exponential each, as functors on vectors: logistic, SiLU, tanh, GELU, ELU, Mish, ...
#pragma once

#include <spiq/kernel/nonlinear_parts.hpp>

SPIQ_BEGIN_NAMESPACE

namespace kernel {

// Activations as in kernel/activation.hpp: `On<V>` has `value(z)` and `gradient(z, dh, dparameter)`, the latter from
// the value computed again. Signs and scales of the input are part of the exponential's constants.
//
// `chains`: how many vectors a loop had best take in turns (simd/interleaved.hpp); measured on Zen 5.
//
// Accuracy. With b the bound of the rung (kernel/accuracy.hpp), the logistic function and what is x times one (SiLU,
// all forms of GELU, SwiGLU) are within 2 b, relative to themselves, negative tails included, as long as the logistic
// function is a normal float (below it is 0, or smaller than 2^-124); `GeluErf` within 3 b. From `ladder4` on add
// 2.5e-7, and the rounding of the exponent t where it is large, 2e-7 |t|. tanh, ELU and Mish are so, relative, from
// `ladder4` on (4 b, 3 b, 4 b); in the rungs below tanh is within 1.1 b, ELU within alpha b, absolute, Mish within 3 b
// |x|. Softplus is within 2 b, relative. `tests/test_nonlinear.cpp` holds them to it. Gradients: within 4 b,
// absolute, times max(1, |x|).
//
// Range. Infinities give the limit, exactly: 0, 1, -1, x; no NaN comes out of a number. NaN in gives NaN in the rungs
// that propagate it, something finite or NaN in the others.

/// sigma(x) = 1 / (1 + e^-x); 1/2 at 0 in the rungs whose exp(0) is 1.
template <accuracy::Rung Rung>
struct Logistic {
  static constexpr bool parametric = false;
  static constexpr int chains = detail::refined<Rung> ? 6 : 1;
  template <class V>
  class On {
  public:
    explicit SPIQ_INLINE On(const Logistic&) {}
    [[nodiscard]] SPIQ_INLINE V value(V x) const { return detail::inverse<Rung>(V::broadcast(1.0f) + exp_(x)); }
    /// sigma (1 - sigma)
    SPIQ_INLINE V gradient(V x, V dh, V&) const {
      const V s = value(x);
      return dh * fnma(s, s, s);
    }

  private:
    detail::InnerExp<Rung, V, ExpInput::negated> exp_;
  };
};

namespace detail {
/// x sigma(x g(x)) and its derivative sigma + x sigma (1 - sigma) (x g(x))', with g(x) = c[0] + c[1] x^2 + ... of
/// `Gate::c`. sigma is 0 or 1 beyond `Gate::bound`.
template <class Rung, class Gate, class V>
class Gated {
public:
  explicit SPIQ_INLINE Gated(const auto&) {}
  [[nodiscard]] SPIQ_INLINE V value(V x) const { return finite_below(x) * share(x); }
  SPIQ_INLINE V gradient(V x, V dh, V&) const {
    const V bounded = held(x, Gate::bound);
    const V s = share(bounded);
    return dh * fma(bounded * fnma(s, s, s), even<slope>(bounded), s);
  }

private:
  using Inner = InnerExp<Rung, V, ExpInput::scaled>;
  static constexpr int terms = static_cast<int>(sizeof(Gate::c) / sizeof(Gate::c[0]));
  struct Terms {
    float c[terms];
  };
  static constexpr Terms made(bool derivative) {
    Terms t{};
    for (int i = 0; i < terms; ++i) t.c[i] = static_cast<float>(Gate::c[i] * (derivative ? 2 * i + 1 : -Inner::unit));
    return t;
  }
  static constexpr Terms factor = made(false), slope = made(true);

  template <const Terms& T>
  [[nodiscard]] static SPIQ_INLINE V even(V x) {
    if constexpr (terms == 1)
      return V::broadcast(T.c[0]);
    else
      return polynomial(x * x, T.c);
  }
  [[nodiscard]] SPIQ_INLINE V share(V x) const {
    return inverse<Rung>(V::broadcast(1.0f) + exp_(x, even<factor>(x)));
  }
  Inner exp_;
};

struct SiluGate {
  static constexpr double c[] = {1};
  static constexpr float bound = 120;
};
struct GeluTanhGate {
  static constexpr double c[] = {1.5957691216057308, 0.071354816272600248};
  static constexpr float bound = 20;
};
struct GeluSigmoidGate {
  static constexpr double c[] = {1.702};
  static constexpr float bound = 70;
};
/// log(Phi / (1 - Phi)) / x within 1.3e-3 / x, |x| <= 5.
struct NormalGate {
  static constexpr double c[] = {1.59260735, 0.0758280555, -0.000986735381, 9.03313126e-06};
  static constexpr float bound = 20;
};
}  // namespace detail

/// x sigma(x), also called Swish.
template <accuracy::Rung Rung>
struct Silu {
  static constexpr bool parametric = false;
  static constexpr int chains = detail::refined<Rung> ? 6 : 1;
  template <class V>
  using On = detail::Gated<Rung, detail::SiluGate, V>;
};
/// x sigma(2 sqrt(2 / pi) (x + 0.044715 x^3)), which equals x (1 + tanh(..)) / 2: GELU's tanh form, without the
/// cancellation of that in the negative tail.
template <accuracy::Rung Rung>
struct GeluTanh {
  static constexpr bool parametric = false;
  static constexpr int chains = detail::coarse<Rung> ? 1 : 6;
  template <class V>
  using On = detail::Gated<Rung, detail::GeluTanhGate, V>;
};
/// x sigma(1.702 x): GELU's cheapest form, 0.0204 off by itself.
template <accuracy::Rung Rung>
struct GeluSigmoid {
  static constexpr bool parametric = false;
  static constexpr int chains = detail::refined<Rung> ? 6 : 1;
  template <class V>
  using On = detail::Gated<Rung, detail::GeluSigmoidGate, V>;
};

/// x Phi(x), Phi the normal distribution: GELU itself. Bit tricks and `ladder2` take Phi as a logistic function of an
/// odd polynomial, within 1.3e-3 for |x| <= 5 (below -5 the value is under 1.5e-6); the others an exponential times a
/// polynomial.
template <accuracy::Rung Rung>
struct GeluErf {
  static constexpr bool parametric = false;
  static constexpr int chains = detail::coarse<Rung> ? 1 : 4;
  template <class V>
  class On {
  public:
    explicit SPIQ_INLINE On(const GeluErf&) {}
    [[nodiscard]] SPIQ_INLINE V value(V x) const {
      if constexpr (detail::coarse<Rung>) {
        return logistic_.value(x);
      } else {
        // max(x, 0) - |x| Q(|x|), Q = 1 - Phi.
        const V a = magnitude(x);
        return fnma(a, tail_(a).tail, max(V::zero(), x));
      }
    }
    /// Phi(x) + x phi(x), phi the density.
    SPIQ_INLINE V gradient(V x, V dh, V&) const {
      const auto [q, e] = tail_(magnitude(x));
      const V phi = select(x > V::zero(), V::broadcast(1.0f) - q, q);
      return dh * fma(detail::held(x, detail::NormalTail<Rung, V>::bound) * e, V::broadcast(0.398942280f), phi);
    }

  private:
    [[nodiscard]] static SPIQ_INLINE V magnitude(V x) {
      return min(V::broadcast(detail::NormalTail<Rung, V>::bound), V::zero() - simd::negative_magnitude(x));
    }
    detail::Gated<Rung, detail::NormalGate, V> logistic_{0};
    detail::NormalTail<Rung, V> tail_;
  };
};

/// tanh(x). Up to `ladder3` as 2 sigma(2x) - 1, without a step at 0; from `ladder4` on relative to itself.
template <accuracy::Rung Rung>
struct Tanh {
  static constexpr bool parametric = false;
  static constexpr int chains = detail::refined<Rung> ? 4 : 1;
  template <class V>
  class On {
  public:
    explicit SPIQ_INLINE On(const Tanh&) : exp_(-2.0f) {}
    [[nodiscard]] SPIQ_INLINE V value(V x) const {
      const V two = V::broadcast(2.0f);
      if constexpr (detail::refined<Rung>) {
        using I = decltype(bits_of(x));
        const I sign = I::broadcast(std::numeric_limits<std::int32_t>::min());
        const V m = detail::expm1_nonpositive<Rung>(simd::negative_magnitude(x) * two);
        const V h = V::zero() - m * detail::inverse<Rung>(m + two);
        return from_bits(bits_of(h) | (bits_of(x) & sign));
      } else {
        return fma(detail::inverse<Rung>(V::broadcast(1.0f) + exp_(x)), two, V::broadcast(-1.0f));
      }
    }
    /// 1 - tanh(x)^2
    SPIQ_INLINE V gradient(V x, V dh, V&) const {
      const V h = value(x);
      return dh * fnma(h, h, V::broadcast(1.0f));
    }

  private:
    detail::InnerExp<Rung, V, ExpInput::scaled> exp_;
  };
};

/// x above 0, alpha (e^x - 1) below.
template <accuracy::Rung Rung>
struct Elu {
  static constexpr bool parametric = false;
  static constexpr int chains = detail::refined<Rung> ? 4 : 1;
  float alpha = 1;
  template <class V>
  class On {
  public:
    explicit SPIQ_INLINE On(const Elu& elu) : alpha_(V::broadcast(elu.alpha)) {}
    [[nodiscard]] SPIQ_INLINE V value(V x) const {
      const V below = alpha_ * detail::expm1_nonpositive<Rung>(min(V::zero(), x));
      return select(x > V::zero(), x, below);
    }
    /// 1 above 0, alpha e^x below.
    SPIQ_INLINE V gradient(V x, V dh, V&) const {
      return dh * select(x > V::zero(), V::broadcast(1.0f), alpha_ * exp_(min(V::zero(), x)));
    }

  private:
    V alpha_;
    detail::InnerExp<Rung, V, ExpInput::plain, ExpDomain::nonpositive> exp_;
  };
};

/// x tanh(log(1 + e^x)) = x n / (n + 2) with n = e^x (e^x + 2).
template <accuracy::Rung Rung>
struct Mish {
  static constexpr bool parametric = false;
  static constexpr int chains = detail::coarse<Rung> ? 1 : 4;
  template <class V>
  class On {
  public:
    explicit SPIQ_INLINE On(const Mish&) {}
    [[nodiscard]] SPIQ_INLINE V value(V x) const {
      const V e = exp_(min(V::broadcast(linear), x));
      const V n = fma(e, e, e + e);
      const V y = max(V::broadcast(-nothing), x) * n * detail::inverse<Rung>(n + V::broadcast(2.0f));
      return select(x > V::broadcast(linear), x, y);
    }
    /// t + 4 x e (1 + e) / (n + 2)^2 with e = e^x and t = n / (n + 2).
    SPIQ_INLINE V gradient(V x, V dh, V&) const {
      const V e = exp_(min(V::broadcast(linear), x));
      const V n = fma(e, e, e + e);
      const V r = detail::inverse<Rung>(n + V::broadcast(2.0f));
      const V spread = (e + e) * r * (fma(e, V::broadcast(2.0f), V::broadcast(2.0f)) * r);
      return dh * fma(detail::held(x, nothing), spread, n * r);
    }

  private:
    static constexpr float linear = 20;    ///< from here on the value is x
    static constexpr float nothing = 104;  ///< from here on below 0 it is 0
    detail::InnerExp<Rung, V, ExpInput::plain> exp_;
  };
};

/// log(1 + e^x), as max(x, 0) + log(1 + e^-|x|): an exponential and a polynomial.
template <accuracy::Rung Rung>
struct Softplus {
  static constexpr bool parametric = false;
  static constexpr int chains = detail::refined<Rung> ? 4 : 1;
  template <class V>
  class On {
  public:
    explicit SPIQ_INLINE On(const Softplus&) : logistic_(Logistic<Rung>{}) {}
    [[nodiscard]] SPIQ_INLINE V value(V x) const {
      return max(V::zero(), x) + detail::log1p_unit<Rung>(exp_(simd::negative_magnitude(x)));
    }
    /// sigma(x)
    SPIQ_INLINE V gradient(V x, V dh, V&) const { return dh * logistic_.value(x); }

  private:
    detail::InnerExp<Rung, V, ExpInput::plain, ExpDomain::nonpositive> exp_;
    typename Logistic<Rung>::template On<V> logistic_;
  };
};

/// a sigma(a) b: a gate and what it lets through.
template <accuracy::Rung Rung>
struct SwiGlu {
  template <class V>
  class On {
  public:
    explicit SPIQ_INLINE On(const SwiGlu&) : silu_(Silu<Rung>{}) {}
    [[nodiscard]] SPIQ_INLINE V value(V a, V b) const { return silu_.value(a) * b; }
    /// Derivatives to a and to b.
    SPIQ_INLINE void gradient(V a, V b, V dh, V& da, V& db) const {
      V none = V::zero();
      da = silu_.gradient(a, dh * b, none);
      db = dh * silu_.value(a);
    }

  private:
    typename Silu<Rung>::template On<V> silu_;
  };
};

/// clip(x / 6 + 1/2, 0, 1): no exponential. The gradient is 1/6 between -3 and 3.
struct HardSigmoid {
  static constexpr bool parametric = false;
  template <class V>
  struct On {
    explicit SPIQ_INLINE On(const HardSigmoid&) {}
    [[nodiscard]] SPIQ_INLINE V value(V x) const {
      const V line = fma(x, V::broadcast(1.0f / 6), V::broadcast(0.5f));
      return min(V::broadcast(1.0f), max(V::zero(), line));
    }
    SPIQ_INLINE V gradient(V x, V dh, V&) const {
      const auto inside = (x > V::broadcast(-3.0f)) & (x < V::broadcast(3.0f));
      return select(inside, dh * V::broadcast(1.0f / 6), V::zero());
    }
  };
};

}  // namespace kernel

SPIQ_END_NAMESPACE
