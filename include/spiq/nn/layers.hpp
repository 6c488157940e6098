/// @file
/// All layers of the library.
#pragma once

#include <spiq/nn/activation.hpp>
#include <spiq/nn/attention.hpp>
#include <spiq/nn/batch_norm.hpp>
#include <spiq/nn/conv2d.hpp>
#include <spiq/nn/delayed_linear.hpp>
#include <spiq/nn/dropout.hpp>
#include <spiq/nn/flatten.hpp>
#include <spiq/nn/layer_norm.hpp>
#include <spiq/nn/linear.hpp>
#include <spiq/nn/network.hpp>
#include <spiq/nn/nonlinear.hpp>
#include <spiq/nn/over_time.hpp>
#include <spiq/nn/pool.hpp>
#include <spiq/nn/position_embedding.hpp>
#include <spiq/nn/recurrent.hpp>
#include <spiq/nn/residual.hpp>
#include <spiq/nn/softmax.hpp>
#include <spiq/nn/spiking.hpp>
