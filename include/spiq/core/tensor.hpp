/// @file
/// Dense tensors with run-time extents, last extent fastest.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/shape.hpp>
#include <spiq/core/storage.hpp>

#include <array>
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <utility>

SPIQ_BEGIN_NAMESPACE

/// Up to six extents, slowest first.
class Extents {
public:
  static constexpr std::size_t max_rank = 6;

  constexpr Extents() = default;
  constexpr Extents(std::initializer_list<std::size_t> list) {
    if (list.size() > max_rank) SPIQ_THROW("spiq: a tensor has at most six extents");
    for (std::size_t e : list) values_[rank_++] = e;
  }
  static Extents from(std::span<const std::size_t> list) {
    Extents e;
    if (list.size() > max_rank) SPIQ_THROW("tensor extents", "at most 6", std::to_string(list.size()));
    for (std::size_t v : list) e.values_[e.rank_++] = v;
    return e;
  }

  [[nodiscard]] constexpr std::size_t rank() const { return rank_; }
  constexpr std::size_t operator[](std::size_t i) const { return values_[i]; }
  [[nodiscard]] constexpr std::span<const std::size_t> span() const { return {values_.data(), rank_}; }

  /// Product of the extents (1 for rank 0). Throws when it does not fit in size_t.
  [[nodiscard]] constexpr std::size_t size() const {
    std::size_t n = 1;
    for (std::size_t i = 0; i < rank_; ++i) {
      if (values_[i] != 0 && n > std::numeric_limits<std::size_t>::max() / values_[i])
        SPIQ_THROW("spiq: the product of tensor extents overflows");
      n *= values_[i];
    }
    return n;
  }
  constexpr bool operator==(const Extents& other) const {
    if (rank_ != other.rank_) return false;
    for (std::size_t i = 0; i < rank_; ++i)
      if (values_[i] != other.values_[i]) return false;
    return true;
  }

private:
  std::array<std::size_t, max_rank> values_{};
  std::size_t rank_ = 0;
};

/// "(32, 28, 28, 1)".
inline std::string to_string(const Extents& e) {
  std::string s = "(";
  for (std::size_t i = 0; i < e.rank(); ++i) s += (i != 0 ? ", " : "") + std::to_string(e[i]);
  return s + ")";
}

/// Non-owning view of a dense tensor.
template <class T>
class TensorView {
public:
  TensorView() = default;
  TensorView(T* data, Extents extents) : data_(data), extents_(extents), size_(extents.size()) {}

  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] const Extents& extents() const { return extents_; }
  [[nodiscard]] std::size_t extent(std::size_t i) const { return extents_[i]; }
  [[nodiscard]] std::span<T> span() const { return {data_, size_}; }
  T& operator[](std::size_t i) const {
    SPIQ_ASSERT(i < size_);
    return data_[i];
  }
  /// View of sample `i` along the first extent.
  [[nodiscard]] TensorView slice(std::size_t i) const {
    SPIQ_ASSERT(extents_.rank() > 0 && i < extents_[0]);
    const Extents rest = Extents::from(extents_.span().subspan(1));
    return TensorView(data_ + i * rest.size(), rest);
  }

private:
  T* data_ = nullptr;
  Extents extents_{0};
  std::size_t size_ = 0;
};

/// Owning dense tensor, 64-byte aligned, zero-initialised.
/// In `nn`, activations are `Tensor<float>` with extents {batch, height, width, channels};
/// at the borders of the library images are {batch, channels, height, width} and weights {out, in, height, width}.
template <class T>
class Tensor {
public:
  using value_type = T;

  Tensor() = default;
  Tensor(const Tensor&) = default;
  Tensor& operator=(const Tensor&) = default;
  // What was moved from is empty in its extents too: whoever asks them must not find elements that are gone.
  Tensor(Tensor&& other) noexcept
      : extents_(std::exchange(other.extents_, Extents{0})), storage_(std::move(other.storage_)) {}
  Tensor& operator=(Tensor&& other) noexcept {
    if (this == &other) return *this;
    extents_ = std::exchange(other.extents_, Extents{0});
    storage_ = std::move(other.storage_);
    other.storage_.clear();
    return *this;
  }
  ~Tensor() = default;
  explicit Tensor(Extents extents) : extents_(extents), storage_(extents.size()) {}
  Tensor(Extents extents, std::span<const T> values) : extents_(extents), storage_(values.begin(), values.end()) {
    if (values.size() != extents.size())
      SPIQ_THROW("tensor of extents " + to_string(extents), std::to_string(extents.size()) + " values",
                 std::to_string(values.size()));
  }

  [[nodiscard]] T* data() { return storage_.data(); }
  [[nodiscard]] const T* data() const { return storage_.data(); }
  [[nodiscard]] std::size_t size() const { return storage_.size(); }
  [[nodiscard]] const Extents& extents() const { return extents_; }
  [[nodiscard]] std::size_t extent(std::size_t i) const { return extents_[i]; }
  [[nodiscard]] std::span<T> span() { return storage_; }
  [[nodiscard]] std::span<const T> span() const { return storage_; }
  T& operator[](std::size_t i) {
    SPIQ_ASSERT(i < storage_.size());
    return storage_[i];
  }
  const T& operator[](std::size_t i) const {
    SPIQ_ASSERT(i < storage_.size());
    return storage_[i];
  }
  [[nodiscard]] TensorView<T> view() { return {storage_.data(), extents_}; }
  [[nodiscard]] TensorView<const T> view() const { return {storage_.data(), extents_}; }

  /// Changes the extents; keeps the allocation where it suffices. Contents are unspecified afterwards.
  void resize(const Extents& extents) {
    if (extents == extents_) return;
    storage_.resize(extents.size());
    extents_ = extents;
  }
  /// Same elements under other extents of equal size; throws otherwise.
  void reshape(const Extents& extents) {
    if (extents.size() != size())
      SPIQ_THROW("reshape to " + to_string(extents), std::to_string(size()) + " elements", std::to_string(extents.size()));
    extents_ = extents;
  }
  void fill(const T& value) { storage_.assign(storage_.size(), value); }

private:
  Extents extents_{0};
  AlignedVector<T> storage_;
};

SPIQ_END_NAMESPACE
