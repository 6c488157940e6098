/// @file
/// The version of the library; CMake reads it from here.
#pragma once

#include <spiq/core/abi.hpp>

#define SPIQ_VERSION_MAJOR 0
#define SPIQ_VERSION_MINOR 1
#define SPIQ_VERSION_PATCH 0
/// "major.minor.patch".
#define SPIQ_VERSION_STRING "0.1.0"

SPIQ_BEGIN_NAMESPACE

/// Version of the headers: "major.minor.patch".
constexpr const char* version() { return SPIQ_VERSION_STRING; }

SPIQ_END_NAMESPACE
