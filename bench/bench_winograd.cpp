// Winograd F(4x4, 3x3) beside the direct convolutions of the same group; rates count the multiply-adds of the direct
// form.
#include "harness.hpp"
#include "reference.hpp"

#include <spiq/kernel/winograd.hpp>

#include <memory>
#include <string>

namespace {

using bench::Case;
using bench::Floats;
using spiq::kernel::ConvGeometry;

void add_row(bench::Suite& suite, int size, int channels, std::size_t samples) {
  ConvGeometry g;
  g.in = {size, size, channels};
  g.out_channels = channels;
  g.kernel_h = g.kernel_w = 3;
  g.pad_h = g.pad_w = 1;
  const std::string text = std::to_string(size);
  bench::Row row;
  row.kernel = "conv3x3_f32";
  row.implementation = "spiq_winograd";
  row.shape = "vgg_" + text + "x" + text + "x" + std::to_string(channels) + "-b" + std::to_string(samples);
  row.flops = 2.0 * static_cast<double>(g.macs() * samples);
  row.bytes = 4.0 * static_cast<double>((g.in.size() + g.out().size()) * samples + 4 * g.weight_count());
  row.prepare = [g, samples] {
    auto problem = bench::conv_problem(g, samples);
    auto conv = std::make_shared<spiq::kernel::WinogradConv<>>(g, problem->weights);
    auto out = std::make_shared<Floats>(problem->dy.size());
    return Case{.run = [=] { conv->run(problem->x.data(), nullptr, out->data(), samples, 1); },
                .error = [=] { return problem->error_y(*out); }};
  };
  suite.add(std::move(row));
}

}  // namespace

SPIQ_BENCH(winograd) {
  for (const std::size_t samples : {std::size_t{1}, std::size_t{8}}) {
    add_row(suite, 32, 64, samples);
    add_row(suite, 16, 128, samples);
    add_row(suite, 8, 256, samples);
  }
}
