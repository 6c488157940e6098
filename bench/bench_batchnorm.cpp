// The streaming passes of training against the copy bandwidth of the machine: batch normalisation alone and fused with
// QCFS, QCFS backward, pooling.
#include "harness.hpp"
#include "reference.hpp"

#include <spiq/kernel/batchnorm.hpp>
#include <spiq/kernel/pool.hpp>

#include <cmath>
#include <memory>
#include <string>

namespace {

using bench::Case;
using bench::Floats;
using namespace spiq::kernel;

struct Data {
  std::size_t rows, channels;
  Floats x, dh, out, gamma, beta, mean, inv_std, dgamma, dbeta;
  BatchNormKernel<> kernel;
  BatchNormParameters parameters;

  Data(std::size_t r, std::size_t c)
      : rows(r),
        channels(c),
        x(bench::random_floats(r * c, 1)),
        dh(bench::random_floats(r * c, 2)),
        out(r * c),
        gamma(c, 1.0f),
        beta(c, 0.5f),
        mean(c),
        inv_std(c),
        dgamma(c),
        dbeta(c) {
    parameters = {gamma.data(), beta.data(), 1e-5f};
  }
  template <class Activation>
  void forward(const Activation& a) {
    kernel.train_forward(parameters, x.data(), out.data(), rows, channels, mean.data(), inv_std.data(), nullptr,
                         nullptr, 0.1f, a);
  }
  template <class Activation>
  void backward(const Activation& a) {
    kernel.backward(parameters, x.data(), dh.data(), out.data(), rows, channels, mean.data(), inv_std.data(),
                    dgamma.data(), dbeta.data(), a);
  }
  // Batch normalisation in double; the staircase is not compared, a rounding may move a whole step.
  [[nodiscard]] double error_forward() const {
    std::vector<double> want(x.size());
    for (std::size_t c = 0; c < channels; ++c) {
      double sum = 0, square = 0;
      for (std::size_t i = c; i < x.size(); i += channels) sum += static_cast<double>(x[i]);
      const double centre = sum / static_cast<double>(rows);
      for (std::size_t i = c; i < x.size(); i += channels) {
        const double d = static_cast<double>(x[i]) - centre;
        square += d * d;
      }
      const double scale = 1 / std::sqrt(square / static_cast<double>(rows) + 1e-5);
      for (std::size_t i = c; i < x.size(); i += channels) want[i] = (static_cast<double>(x[i]) - centre) * scale + 0.5;
    }
    return bench::relative_error(out, want);
  }
};

void add_rows(bench::Suite& suite, const std::string& shape, std::size_t rows, std::size_t channels) {
  const double array = 4.0 * static_cast<double>(rows * channels);
  const auto add = [&](const char* kernel, const char* implementation, double arrays, auto work, bool check) {
    suite.add({.kernel = kernel,
               .implementation = implementation,
               .shape = shape,
               .bytes = arrays * array,
               .working_set = arrays > 4 ? 3 * array : 2 * array,
               .traffic = bench::Traffic::copy,
               .prepare = [rows, channels, work, check] {
                 auto data = std::make_shared<Data>(rows, channels);
                 data->forward(Identity{});
                 Case c{.run = [data, work] { work(*data); }};
                 if (check) c.error = [data] { return data->error_forward(); };
                 return c;
               }});
  };
  const Qcfs qcfs{1.0f, 8};
  add(
      "batchnorm_train", "spiq", 3, [](Data& d) { d.forward(Identity{}); }, true);
  add(
      "batchnorm_qcfs_train", "spiq_fused", 3, [qcfs](Data& d) { d.forward(qcfs); }, false);
  add(
      "batchnorm_backward", "spiq", 5, [](Data& d) { d.backward(Identity{}); }, false);
  add(
      "batchnorm_qcfs_backward", "spiq_fused", 5, [qcfs](Data& d) { d.backward(qcfs); }, false);
  add(
      "qcfs_backward", "spiq", 3,
      [qcfs](Data& d) { qcfs_backward(qcfs, d.x.data(), d.dh.data(), d.out.data(), d.x.size()); }, false);
}

void add_pools(bench::Suite& suite, const spiq::Shape& in, std::size_t samples) {
  const auto g = PoolGeometry::square(in, 2);
  const double array = 4.0 * static_cast<double>(in.size() * samples);
  const auto add = [&](const char* kernel, double arrays, auto work) {
    suite.add({.kernel = kernel,
               .implementation = "spiq",
               .shape = to_string(in) + "-b" + std::to_string(samples),
               .bytes = arrays * array,
               .traffic = bench::Traffic::copy,
               .prepare = [in, samples, work] {
                 auto x = std::make_shared<Floats>(bench::random_floats(in.size() * samples, 1));
                 auto y = std::make_shared<Floats>(bench::random_floats(in.size() * samples / 4, 2));
                 auto dx = std::make_shared<Floats>(x->size());
                 return Case{.run = [=] { work(x->data(), y->data(), dx->data()); }};
               }});
  };
  add("avgpool_2x2", 1.25, [=](const float* x, float* y, float*) { average_pool_forward(g, x, y, samples); });
  add("avgpool_2x2_backward", 1.25,
      [=](const float*, float* y, float* dx) { average_pool_backward(g, y, dx, samples); });
  add("maxpool_2x2", 1.25, [=](const float* x, float* y, float*) { max_pool_forward(g, x, y, samples); });
  add("maxpool_2x2_backward", 2.25,
      [=](const float* x, float* y, float* dx) { max_pool_backward(g, x, y, dx, samples); });
}

}  // namespace

SPIQ_BENCH(batchnorm) {
  add_rows(suite, "28x28x16-b64", 64 * 28 * 28, 16);
  add_rows(suite, "32x32x64-b32", 32 * 32 * 32, 64);
  add_rows(suite, "32x32x128-b64", 64 * 32 * 32, 128);
  add_pools(suite, {28, 28, 16}, 64);
  add_pools(suite, {32, 32, 64}, 32);
}
