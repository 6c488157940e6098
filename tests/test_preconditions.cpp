// Preconditions of kernels and executable layers: broken ones end the program in a checked build, and sound networks
// meet them. This unit is always checked.
#undef NDEBUG

#include "catch.hpp"
#include "lower_networks.hpp"

#include <spiq/kernel/gemm.hpp>
#include <spiq/kernel/gemv.hpp>
#include <spiq/kernel/pool.hpp>

#include <csignal>
#include <vector>

#if defined(__unix__)
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

using namespace spiq_test;

#if defined(__unix__)
namespace {

// Whether f ends its process by abort; in a child, whose complaint nobody reads.
template <class F>
bool aborts(F f) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);  // Catch would report it as a failure
    dup2(open("/dev/null", O_WRONLY), 2);
    f();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

kernel::FoldedWeights one_linear(float weight) {
  kernel::FoldedWeights w;
  w.geometry = kernel::ConvGeometry::linear(4, 2);
  w.weight.assign(8, weight);
  w.bias.assign(2, 0.0F);
  w.unit.assign(2, 1.0);
  return w;
}

}  // namespace

TEST_CASE("broken preconditions abort a checked build", "[preconditions]") {
  std::vector<float> a(64), b(64), c(64);
  const auto product = [&](std::size_t lda, std::size_t ldb, std::size_t ldc, bool trans_a, bool trans_b) {
    kernel::gemm({3, 4, 5}, a.data(), lda, trans_a, b.data(), ldb, trans_b, c.data(), ldc, false);
  };
  CHECK(!aborts([&] { product(5, 4, 4, false, false); }));
  CHECK(!aborts([&] { product(3, 5, 4, true, true); }));
  CHECK(aborts([&] { product(4, 4, 4, false, false); }));
  CHECK(aborts([&] { product(2, 5, 4, true, true); }));
  CHECK(aborts([&] { product(5, 3, 4, false, false); }));
  CHECK(aborts([&] { product(5, 4, 4, false, true); }));
  CHECK(aborts([&] { product(5, 4, 3, false, false); }));
  CHECK(!aborts([&] { kernel::gemv(3, 4, a.data(), 4, false, b.data(), c.data()); }));
  CHECK(aborts([&] { kernel::gemv(3, 4, a.data(), 3, false, b.data(), c.data()); }));

  auto pool = kernel::PoolGeometry::square({4, 4, 2}, 2);
  CHECK(!aborts([&] { kernel::average_pool_forward(pool, a.data(), c.data(), 1); }));
  pool.kernel_h = 5;
  CHECK(aborts([&] { kernel::average_pool_forward(pool, a.data(), c.data(), 1); }));
  CHECK(aborts([&] { kernel::max_pool_forward(pool, a.data(), c.data(), 1); }));

  const kernel::ConvForward<> unpacked;
  CHECK(aborts([&] { unpacked.run(a.data(), nullptr, c.data(), 1); }));
  const kernel::PackedConv<simd::best, kernel::ElementF32> packed(kernel::ConvGeometry::linear(4, 2), std::vector<float>(8));
  kernel::StoreRows<simd::best> rows{c.data(), nullptr, 2};
  CHECK(!aborts([&] { packed.run(a.data(), 4, 1, 0, 1, rows); }));
  CHECK(aborts([&] { packed.run(a.data(), 3, 1, 0, 1, rows); }));
  CHECK(aborts([&] { packed.run_blocks(a.data(), 4, 1, 0, 1, 0, 2, rows); }));

  using Product = kernel::DenseF32<simd::best>;
  const exec::Synapse<Product, exec::Rectify, packing::real, packing::real> layer{
      Product::pack(one_linear(1)), exec::Rectify{{std::vector<float>(2), 0.0F}}, {}};
  Buffer<packing::real> in;
  in.allocate({1, 1, 4}, 3, 1);
  decltype(layer)::State state;
  layer.allocate(state, 2, in);
  in.samples = 2;
  CHECK(!aborts([&] { layer.run(in, state); }));
  in.samples = 3;  // more than the state was allocated for
  CHECK(aborts([&] { layer.run(in, state); }));
}
#endif

TEST_CASE("sound networks meet all preconditions", "[preconditions]") {
  const auto check = [](const auto& net, const auto& images) {
    const auto expected = net(images);
    CHECK(largest_difference(lower(net, target::Float{})(images), expected) < 0.3);
    CHECK(largest_difference(lower(net, target::Exact{})(images), expected) < 0.5);
    CHECK(largest_difference(lower(net, target::Spiking{conversion::Pascal<>{}})(images), expected) < 0.3);
    using spikes = conversion::Pascal<arithmetic::exact, form::spikes>;
    CHECK(largest_difference(lower(net, target::Spiking{spikes{}})(images), expected) < 0.5);
    CHECK(lower(net, target::Spiking{conversion::Qcfs{.steps = 5}})(images).size() == expected.size());
  };
  check(make_network<Plain>(3), make_images<Plain>(5, 3));
  check(make_network<Deep>(3), make_images<Deep>(5, 3));
}
