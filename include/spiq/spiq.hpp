/// @file
/// Everything. Programs that care for compile time include the rooms that they use instead.
/// Written by cmake/umbrella.sh.
#pragma once

#include <spiq/version.hpp>

#include <spiq/core/abi.hpp>
#include <spiq/core/error.hpp>
#include <spiq/core/pack.hpp>
#include <spiq/core/packing.hpp>
#include <spiq/core/parallel.hpp>
#include <spiq/core/random.hpp>
#include <spiq/core/shape.hpp>
#include <spiq/core/storage.hpp>
#include <spiq/core/tensor.hpp>

#include <spiq/simd/arch.hpp>
#include <spiq/simd/scalar.hpp>
#include <spiq/simd/simd.hpp>
#include <spiq/simd/transpose.hpp>
#include <spiq/simd/xsimd.hpp>

#include <spiq/kernel/activation.hpp>
#include <spiq/kernel/batchnorm.hpp>
#include <spiq/kernel/columns.hpp>
#include <spiq/kernel/conv.hpp>
#include <spiq/kernel/conv_backward.hpp>
#include <spiq/kernel/conv_dw.hpp>
#include <spiq/kernel/conv_dx.hpp>
#include <spiq/kernel/element.hpp>
#include <spiq/kernel/elementwise.hpp>
#include <spiq/kernel/geometry.hpp>
#include <spiq/kernel/linear.hpp>
#include <spiq/kernel/packed_conv.hpp>
#include <spiq/kernel/pool.hpp>
#include <spiq/kernel/product.hpp>
#include <spiq/kernel/sink.hpp>
#include <spiq/kernel/tile.hpp>
#include <spiq/kernel/unpack.hpp>

#include <spiq/neuron/integrate_fire.hpp>
#include <spiq/neuron/pascal.hpp>
#include <spiq/neuron/qcfs.hpp>

#include <spiq/nn/activation.hpp>
#include <spiq/nn/augment.hpp>
#include <spiq/nn/batch_norm.hpp>
#include <spiq/nn/calibrate.hpp>
#include <spiq/nn/conv2d.hpp>
#include <spiq/nn/dataset.hpp>
#include <spiq/nn/dropout.hpp>
#include <spiq/nn/evaluate.hpp>
#include <spiq/nn/fit.hpp>
#include <spiq/nn/fit_options.hpp>
#include <spiq/nn/fit_state.hpp>
#include <spiq/nn/flatten.hpp>
#include <spiq/nn/fusion.hpp>
#include <spiq/nn/layers.hpp>
#include <spiq/nn/linear.hpp>
#include <spiq/nn/loss.hpp>
#include <spiq/nn/network.hpp>
#include <spiq/nn/nn.hpp>
#include <spiq/nn/normalization.hpp>
#include <spiq/nn/optimiser.hpp>
#include <spiq/nn/options.hpp>
#include <spiq/nn/parameter.hpp>
#include <spiq/nn/pass.hpp>
#include <spiq/nn/pool.hpp>
#include <spiq/nn/residual.hpp>
#include <spiq/nn/schedule.hpp>
#include <spiq/nn/seq.hpp>
#include <spiq/nn/state.hpp>
#include <spiq/nn/weighted.hpp>

#include <spiq/exec/chain.hpp>
#include <spiq/exec/epilogue.hpp>
#include <spiq/exec/input.hpp>
#include <spiq/exec/join.hpp>
#include <spiq/exec/network.hpp>
#include <spiq/exec/parameters.hpp>
#include <spiq/exec/pool.hpp>
#include <spiq/exec/report.hpp>
#include <spiq/exec/spiking.hpp>
#include <spiq/exec/synapse.hpp>

#include <spiq/lower/coding.hpp>
#include <spiq/lower/context.hpp>
#include <spiq/lower/draft.hpp>
#include <spiq/lower/fold.hpp>
#include <spiq/lower/lower.hpp>
#include <spiq/lower/negotiate.hpp>
#include <spiq/lower/plan.hpp>
#include <spiq/lower/rules.hpp>
#include <spiq/lower/target.hpp>

#include <spiq/io/cifar.hpp>
#include <spiq/io/file.hpp>
#include <spiq/io/idx.hpp>
#include <spiq/io/images.hpp>
#include <spiq/io/npy.hpp>
#include <spiq/io/npy_header.hpp>
#include <spiq/io/npz.hpp>
#include <spiq/io/stream.hpp>
#include <spiq/io/synthetic.hpp>
#include <spiq/io/weights.hpp>
#include <spiq/io/zip.hpp>

#include <spiq/report/activity.hpp>
#include <spiq/report/card.hpp>
#include <spiq/report/comparison.hpp>
#include <spiq/report/energy.hpp>
#include <spiq/report/evaluate.hpp>
#include <spiq/report/format.hpp>
#include <spiq/report/json.hpp>
#include <spiq/report/layers.hpp>
#include <spiq/report/line_chart.hpp>
#include <spiq/report/measure.hpp>
#include <spiq/report/metrics.hpp>
#include <spiq/report/operations.hpp>
#include <spiq/report/progress.hpp>
#include <spiq/report/raster.hpp>
#include <spiq/report/svg.hpp>
#include <spiq/report/text_table.hpp>
