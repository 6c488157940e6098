// Both gradients of a convolution, on the layers of a VGG and of the MNIST network, multiply-adds on real pixels.
#include "harness.hpp"
#include "peers.hpp"
#include "reference.hpp"

#include <spiq/kernel/conv_backward.hpp>
#include <spiq/kernel/winograd.hpp>

#include <memory>
#include <string>

namespace {

using bench::Case;
using bench::Floats;
using spiq::kernel::ConvGeometry;

ConvGeometry layer(int size, int in, int out) {
  ConvGeometry g;
  g.in = {size, size, in};
  g.out_channels = out;
  g.kernel_h = g.kernel_w = 3;
  g.pad_h = g.pad_w = 1;
  return g;
}

void add_rows(bench::Suite& suite, const std::string& name, const ConvGeometry& g, std::size_t samples) {
  bench::Row base;
  base.shape = name + "-b" + std::to_string(samples);
  base.flops = 2.0 * static_cast<double>(g.macs() * samples);
  base.bytes = 4.0 * static_cast<double>((g.in.size() + g.out().size()) * samples + g.weight_count());

  // No layer before the first one asks for its input gradient.
  if (g.in.channels > 4) {
    bench::Row dx = base;
    dx.kernel = "conv3x3_f32_dx";
    bench::Row ours = dx;
    ours.implementation = "spiq";
    ours.prepare = [g, samples] {
      auto problem = bench::conv_problem(g, samples);
      auto conv = std::make_shared<spiq::kernel::ConvBackwardData<>>(g, problem->weights);
      auto out = std::make_shared<Floats>(problem->x.size());
      return Case{.run = [=] { conv->run(problem->dy.data(), out->data(), samples, 1); },
                  .error = [=] { return problem->error_dx(*out); }};
    };
    suite.add(std::move(ours));
    if (spiq::kernel::prefers_winograd(g, samples)) {
      bench::Row winograd = dx;
      winograd.implementation = "spiq_winograd";
      winograd.prepare = [g, samples] {
        auto problem = bench::conv_problem(g, samples);
        auto conv = std::make_shared<spiq::kernel::WinogradConv<>>();
        conv->pack_backward(g, problem->weights);
        auto out = std::make_shared<Floats>(problem->x.size());
        return Case{.run = [=] { conv->run(problem->dy.data(), nullptr, out->data(), samples, 1); },
                    .error = [=] { return problem->error_dx(*out); }};
      };
      suite.add(std::move(winograd));
    }
    bench::add_conv_peers(suite, dx, g, samples, bench::Pass::data);
  }

  bench::Row dw = base;
  dw.kernel = "conv3x3_f32_dw";
  bench::Row ours = dw;
  ours.implementation = "spiq";
  ours.prepare = [g, samples] {
    auto problem = bench::conv_problem(g, samples);
    auto conv = std::make_shared<spiq::kernel::ConvBackwardWeights<>>();
    auto out = std::make_shared<Floats>(g.weight_count());
    return Case{.run = [=] { conv->run(g, problem->x.data(), problem->dy.data(), out->data(), nullptr, samples, 1); },
                .error = [=] { return problem->error_dw(*out); }};
  };
  suite.add(std::move(ours));
  bench::add_conv_peers(suite, dw, g, samples, bench::Pass::weights);
}

}  // namespace

SPIQ_BENCH(conv_backward) {
  for (const std::size_t samples : {std::size_t{1}, std::size_t{8}}) {
    add_rows(suite, "vgg_32x32x64", layer(32, 64, 64), samples);
    add_rows(suite, "vgg_16x16x128", layer(16, 128, 128), samples);
    add_rows(suite, "vgg_8x8x256", layer(8, 256, 256), samples);
  }
  add_rows(suite, "mnist_28x28x1-16", layer(28, 1, 16), 16);
  add_rows(suite, "mnist_14x14x16-32", layer(14, 16, 32), 16);
  add_rows(suite, "mnist_7x7x32-64", layer(7, 32, 64), 16);
}
