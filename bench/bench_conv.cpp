// Convolution forward: the layers of a VGG for 32x32 images, first layers, depthwise layers and the MNIST network.
// Rates count multiply-adds on real pixels.
#include "harness.hpp"
#include "peers.hpp"
#include "reference.hpp"

#include <spiq/kernel/conv.hpp>

#include <memory>
#include <string>

namespace {

using bench::Case;
using bench::Floats;
using spiq::kernel::ConvGeometry;

ConvGeometry layer(int size, int in, int out, int groups = 1) {
  ConvGeometry g;
  g.in = {size, size, in};
  g.out_channels = out;
  g.kernel_h = g.kernel_w = 3;
  g.pad_h = g.pad_w = 1;
  g.groups = groups;
  return g;
}

void add_rows(bench::Suite& suite, const std::string& kernel, const std::string& implementation,
              const std::string& shape, const ConvGeometry& g, std::size_t samples) {
  bench::Row row;
  row.kernel = kernel;
  row.implementation = implementation;
  row.shape = shape;
  row.flops = 2.0 * static_cast<double>(g.macs() * samples);
  row.bytes = 4.0 * static_cast<double>((g.in.size() + g.out().size()) * samples + g.weight_count());
  const bench::Row base = row;
  row.prepare = [g, samples] {
    auto problem = bench::conv_problem(g, samples);
    auto conv = std::make_shared<spiq::kernel::ConvForward<>>();
    conv->pack(g, problem->weights);
    auto out = std::make_shared<Floats>(problem->dy.size());
    return Case{.run = [=] { conv->run(problem->x.data(), nullptr, out->data(), samples, 1); },
                .error = [=] { return problem->error_y(*out); }};
  };
  suite.add(std::move(row));
  bench::add_conv_peers(suite, base, g, samples, bench::Pass::forward);
}

}  // namespace

SPIQ_BENCH(conv) {
  const auto vgg = [&](const char* shape, const ConvGeometry& g) {
    for (const std::size_t samples : {std::size_t{1}, std::size_t{8}})
      add_rows(suite, "conv3x3_f32", "spiq_direct", std::string(shape) + "-b" + std::to_string(samples), g, samples);
  };
  vgg("vgg_32x32x64", layer(32, 64, 64));
  vgg("vgg_16x16x64-128", layer(16, 64, 128));
  vgg("vgg_16x16x128", layer(16, 128, 128));
  vgg("vgg_8x8x128-256", layer(8, 128, 256));
  vgg("vgg_8x8x256", layer(8, 256, 256));
  vgg("late_4x4x256-512", layer(4, 256, 512));
  vgg("late_4x4x512", layer(4, 512, 512));
  vgg("late_2x2x512", layer(2, 512, 512));
  const auto mnist = [&](const char* shape, const ConvGeometry& g) {
    add_rows(suite, "conv3x3_f32", "spiq_direct", std::string(shape) + "-b1", g, 1);
  };
  mnist("mnist_28x28x16-32", layer(28, 16, 32));
  mnist("mnist_14x14x16-32", layer(14, 16, 32));
  mnist("mnist_7x7x32-64", layer(7, 32, 64));
}

SPIQ_BENCH(conv_first) {
  add_rows(suite, "conv_first_f32", "spiq", "1x28x28x16", layer(28, 1, 16), 1);
  add_rows(suite, "conv_first_f32", "spiq", "3x32x32x64", layer(32, 3, 64), 1);
}

SPIQ_BENCH(conv_depthwise) {
  add_rows(suite, "dwconv3x3_f32", "spiq", "32x32x64", layer(32, 64, 64, 64), 1);
  add_rows(suite, "dwconv3x3_f32", "spiq", "16x16x128", layer(16, 128, 128, 128), 1);
  add_rows(suite, "dwconv3x3_f32", "spiq", "8x8x256", layer(8, 256, 256, 256), 1);
}
