/// @file
/// One event of an event camera.
#pragma once

#include <spiq/core/abi.hpp>

#include <cstdint>

SPIQ_BEGIN_NAMESPACE

/// A pixel became darker (p = 0, OFF) or brighter (p = 1, ON) at time t.
struct Event {
  std::int64_t t = 0;  ///< microseconds
  int x = 0, y = 0;    ///< column and row of the pixel
  int p = 0;           ///< polarity, 0 or 1: the channel
};

SPIQ_END_NAMESPACE
