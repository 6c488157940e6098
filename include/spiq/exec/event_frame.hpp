/// @file
/// Events on their way into a network that goes in steps: those of one step are gathered in a frame.
#pragma once

#include <spiq/core/error.hpp>
#include <spiq/core/event.hpp>
#include <spiq/core/tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

SPIQ_BEGIN_NAMESPACE

namespace exec {

/// The frame [1, 2, height, width] of the step that is open, of number `open`: step k has the events with
/// k dt <= t < (k + 1) dt, counted by polarity (OFF first) and pixel.
class EventFrame {
public:
  /// Longest step, microseconds: times within it stay exact in a float of a saved state.
  static constexpr std::int64_t longest = std::int64_t{1} << 24;
  /// Steps that may pass at once; a time further ahead is taken for a broken one.
  static constexpr std::int64_t furthest = std::int64_t{1} << 24;

  /// For steps of `dt` microseconds. Throws unless there are two channels and 1 <= dt <= longest.
  void allocate(const Shape& shape, std::int64_t dt) {
    if (dt < 1 || dt > longest)
      SPIQ_THROW("session event_step", "1 to " + std::to_string(longest) + " microseconds", std::to_string(dt));
    if (shape.channels != 2)
      SPIQ_THROW("session for events: input channels", "2, OFF and ON", std::to_string(shape.channels));
    dt_ = dt;
    frame_ = Tensor<float>({1, 2, static_cast<std::size_t>(shape.height), static_cast<std::size_t>(shape.width)});
  }
  [[nodiscard]] bool on() const { return dt_ != 0; }
  [[nodiscard]] bool pending() const { return pending_; }
  [[nodiscard]] const Tensor<float>& frame() const { return frame_; }
  /// The step that time t lies in.
  [[nodiscard]] std::size_t step_of(std::int64_t t) const { return static_cast<std::size_t>(t / dt_); }

  /// Throws where time t lies before what was seen, or before the open step.
  void check_time(std::int64_t t, std::size_t open) const {
    if (!on()) SPIQ_THROW("spiq: events need a session with the option event_step");
    const std::int64_t first = earliest(open);
    if (t < first)
      SPIQ_THROW("session event time", "at least " + std::to_string(first) + " us", std::to_string(t) + " us");
    if (t / dt_ - static_cast<std::int64_t>(open) > furthest)
      SPIQ_THROW("session event time", "within " + std::to_string(furthest) + " steps", std::to_string(t) + " us");
  }
  /// Throws unless the event may come now.
  void check(const Event& e, std::size_t open) const {
    check_time(e.t, open);
    const auto within = [](int v, std::size_t n) { return v >= 0 && static_cast<std::size_t>(v) < n; };
    if (!within(e.x, frame_.extent(3)) || !within(e.y, frame_.extent(2)) || !within(e.p, 2))
      SPIQ_THROW("session event",
                 "x below " + std::to_string(frame_.extent(3)) + ", y below " + std::to_string(frame_.extent(2)) +
                     ", p 0 or 1",
                 "(" + std::to_string(e.x) + ", " + std::to_string(e.y) + "), p " + std::to_string(e.p));
  }
  /// Adds an event of the open step.
  void add(const Event& e) {
    const auto at = [](int v) { return static_cast<std::size_t>(v); };
    frame_[(at(e.p) * frame_.extent(2) + at(e.y)) * frame_.extent(3) + at(e.x)] += 1;
    pending_ = true;
    last_ = e.t;
  }
  /// Time is t now.
  void pass(std::int64_t t) { last_ = t; }
  /// Opens an empty step.
  void clear() {
    if (pending_) std::fill(frame_.span().begin(), frame_.span().end(), 0.0f);
    pending_ = false;
  }
  /// As at time 0.
  void reset() {
    clear();
    last_ = 0;
  }

  void save(std::size_t open, std::vector<float>& to) const {
    if (!on()) return;
    to.push_back(static_cast<float>(earliest(open) - static_cast<std::int64_t>(open) * dt_));
    to.insert(to.end(), frame_.span().begin(), frame_.span().end());
  }
  /// Values that `save` adds.
  [[nodiscard]] std::size_t saved() const { return on() ? 1 + frame_.size() : 0; }
  /// Throws unless `from`, what `save` adds, can be loaded with step `open`.
  void check_saved(std::size_t open, std::span<const float> from) const {
    if (!on()) return;
    if (open >= static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max() / dt_ - furthest))
      SPIQ_THROW("session state: steps", "as many as time can count", std::to_string(open));
    if (!(from[0] >= 0 && from[0] <= static_cast<float>(dt_)))
      SPIQ_THROW("session state: time within its step", "0 to " + std::to_string(dt_) + " us", std::to_string(from[0]));
  }
  std::span<const float> load(std::size_t open, std::span<const float> from) {
    if (!on()) return from;
    last_ = static_cast<std::int64_t>(open) * dt_ + static_cast<std::int64_t>(from[0]);
    std::copy_n(from.begin() + 1, frame_.size(), frame_.data());
    pending_ = std::any_of(frame_.span().begin(), frame_.span().end(), [](float v) { return v != 0; });
    return from.subspan(1 + frame_.size());
  }

private:
  [[nodiscard]] std::int64_t earliest(std::size_t open) const {
    return std::max(last_, static_cast<std::int64_t>(open) * dt_);
  }

  Tensor<float> frame_;
  std::int64_t dt_ = 0, last_ = 0;
  bool pending_ = false;
};

}  // namespace exec

SPIQ_END_NAMESPACE
