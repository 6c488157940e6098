/// @file
/// Progress of a training run: a bar that redraws itself on a terminal, a line per epoch elsewhere.
#pragma once

#include <spiq/core/abi.hpp>
#include <spiq/report/format.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <ostream>
#include <string>

#if defined(_WIN32)
#include <io.h>
#else
#include <unistd.h>
#endif

SPIQ_BEGIN_NAMESPACE

namespace report {

/// True when `stream` writes to a terminal.
inline bool is_terminal(std::FILE* stream) {
#if defined(_WIN32)
  return _isatty(_fileno(stream)) != 0;
#else
  return isatty(fileno(stream)) != 0;
#endif
}

/// Where a training run stands. `epoch` counts from 1; `batch` of `batches` are done in it.
struct TrainingState {
  int epoch = 1;
  int epochs = 1;
  std::size_t batch = 0;
  std::size_t batches = 1;
  double loss = 0;      ///< mean over the images of this epoch so far
  double accuracy = 0;  ///< of the same images, in [0, 1]
};

/// Prints epoch, loss, accuracy and time left.
///
/// On a terminal (`live`) one line is drawn over itself, at most ten times a second, and stands for good when its
/// epoch is done. Elsewhere every epoch is one plain line. Holds no global state; the stream must outlive it.
class Progress {
public:
  using Clock = double (*)();

  /// `live` is usually `is_terminal(stdout)`. `first_epoch` is the first that this run trains (above 1 after a
  /// resume), so that time left counts this run's epochs only.
  Progress(std::ostream& out, bool live, int first_epoch = 1, Clock clock = &seconds)
      : out_(&out), clock_(clock), start_(clock()), drawn_(start_ - 1), first_epoch_(first_epoch), live_(live) {}

  /// After a batch: redraws the bar. Costs a clock reading and nothing else when the stream is no terminal.
  void batch(const TrainingState& s) {
    if (!live_) return;
    const double now = clock_();
    if (now - drawn_ < 0.1 && s.batch != s.batches) return;
    drawn_ = now;
    draw(line(s, now, true).substr(0, columns));
  }

  /// After an epoch: prints its line. `note` is appended to it, for instance the validation accuracy.
  void epoch(TrainingState s, const std::string& note = {}) {
    s.batch = s.batches;
    std::string text = line(s, clock_(), false);
    if (!note.empty()) text.append("  ").append(note);
    if (live_) draw(text);
    else out_->write(text.data(), static_cast<std::streamsize>(text.size()));
    *out_ << '\n';
    out_->flush();
    width_ = 0;
  }

  /// Seconds since construction.
  [[nodiscard]] double elapsed() const { return clock_() - start_; }

  /// The default clock: seconds of `std::chrono::steady_clock`.
  static double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }

private:
  // A redrawn line that wraps could not be drawn over: the usual width of a terminal, less the last column.
  static constexpr std::size_t columns = 79;

  [[nodiscard]] std::string line(const TrainingState& s, double now, bool bar) const {
    const double batches = static_cast<double>(std::max<std::size_t>(s.batches, 1));
    const double part = std::min(static_cast<double>(s.batch) / batches, 1.0);
    const double done = s.epoch - first_epoch_ + part;
    const double all = s.epochs - first_epoch_ + 1;
    const double spent = now - start_;
    const std::string total = std::to_string(s.epochs);
    const std::string current = std::to_string(s.epoch);
    const std::string indent(total.size() - std::min(total.size(), current.size()), ' ');
    std::string text = "epoch " + indent + current + "/" + total;
    if (bar) {
      constexpr int cells = 8;
      const auto full = static_cast<std::size_t>(part * cells + 0.5);
      text += "  [" + std::string(full, '#') + std::string(cells - full, '.') + "]";
    }
    text += "  loss " + fixed(s.loss, 4) + "  accuracy " + fixed(100 * s.accuracy, 2) + " %";
    text += "  elapsed " + duration(spent);
    text += "  left " + (done > 0 ? duration(std::max(spent / done * (all - done), 0.0)) : duration(-1));
    return text;
  }
  // Over the old line, with blanks where the old one was longer.
  void draw(const std::string& text) {
    *out_ << '\r' << text;
    if (text.size() < width_) *out_ << std::string(width_ - text.size(), ' ');
    out_->flush();
    width_ = text.size();
  }

  std::ostream* out_;
  Clock clock_;
  double start_;
  double drawn_;
  std::size_t width_ = 0;
  int first_epoch_;
  bool live_;
};

}  // namespace report

SPIQ_END_NAMESPACE
