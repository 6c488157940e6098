// Golden cases whose arrays or parameters lie: an Error that names them, never a computation beyond their ends.
#include "catch.hpp"
#include "golden.hpp"
#include "golden_nnops.hpp"
#include "golden_qcfs.hpp"
#include "io_samples.hpp"

#include <spiq/kernel/geometry.hpp>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#if defined(__unix__)
#include <sys/stat.h>
#endif

using golden::Array;
using golden::Case;
using spiq_test::has;
using spiq_test::message;

namespace {

Array ones(std::vector<std::size_t> shape) {
  std::size_t n = 1;
  for (const std::size_t e : shape) n *= e;
  return {"f4", std::move(shape), std::vector<double>(n, 1.0)};
}

Case nnops(const std::string& op, std::vector<std::size_t> x, std::vector<std::size_t> y) {
  Case c;
  c.name = "lie";
  c.strings["op"] = op;
  c.arrays["x"] = c.arrays["grad_x"] = ones(std::move(x));
  c.arrays["y"] = c.arrays["cot_y"] = ones(std::move(y));
  return c;
}
/// What running the case says; "ran" where it computed something.
std::string run(const Case& c) {
  std::string text = "ran";
  const std::string error = message([&] {
    const golden::Result r = golden::run_nnops(c);
    if (!r.message.empty()) text = r.message;
  });
  return error.empty() ? text : error;
}

}  // namespace

TEST_CASE("golden: convolutions that lie", "[golden]") {
  const auto conv = [](std::vector<std::size_t> x, std::vector<std::size_t> y) {
    Case c = nnops("conv2d", std::move(x), std::move(y));
    c.arrays["w"] = c.arrays["grad_w"] = ones({4, 1, 3, 3});
    return c;
  };
  CHECK(has(run(conv({2, 1, 8, 8}, {1, 4, 6, 6})), "samples of \"y\": expected 2, found 1"));
  CHECK(has(run(conv({1, 1, 8, 8}, {1, 4, 7, 6})), "output: expected 6x6x4, found 7x6x4"));
  Case c = conv({1, 1, 8, 8}, {1, 4, 6, 6});
  c.arrays["cot_y"] = ones({1});
  CHECK(has(run(c), "array \"cot_y\": expected 4 positive extents, found (1)"));
  c.arrays["cot_y"] = ones({1, 4, 6, 5});
  CHECK(has(run(c), "array \"cot_y\": expected extents (1, 4, 6, 6), found (1, 4, 6, 5)"));
  for (const char* key : {"stride_h", "groups", "dil_w"})
    for (const double value : {0.0, -1.0, 2147483647.0, 1e300, 0.5, std::nan("")}) {
      Case bad = conv({1, 1, 8, 8}, {1, 4, 6, 6});
      bad.params[key] = {value};
      CAPTURE(key, value);
      CHECK(has(run(bad), "expected"));
      CHECK_FALSE(has(run(bad), "differ"));
    }
  c = conv({1, 1, 8, 8}, {1, 4, 6, 6});
  c.params["pad_h"] = {2147483647};
  CHECK(has(run(c), "kernel inside the padded input"));
  CHECK(has(run(conv({1, 1, 0, 8}, {1, 4, 6, 6})), "array \"x\": expected 4 positive extents"));
}

TEST_CASE("golden: other operators that lie", "[golden]") {
  Case c = nnops("linear", {64, 4}, {1, 1});
  c.arrays["w"] = c.arrays["grad_w"] = ones({64, 4});
  CHECK(has(run(c), "array \"y\": expected extents (64, 64), found (1, 1)"));
  c = nnops("linear", {0, 0}, {0, 3});
  c.arrays["w"] = c.arrays["grad_w"] = ones({3, 0});
  CHECK(has(run(c), "array \"x\": expected 2 positive extents, found (0, 0)"));

  c = nnops("batch_norm_train", {4, 2, 8, 8}, {4, 2, 1, 1});
  for (const char* name : {"w", "b", "rm0", "rv0", "grad_w", "grad_b", "rm1", "rv1"}) c.arrays[name] = ones({2});
  CHECK(has(run(c), "output: expected 8x8x2, found 1x1x2"));

  c = nnops("avg_pool2d", {1, 1, 8, 8}, {1, 1, 4, 4});
  c.params["kernel"] = {2};
  for (const double stride : {0.0, -2.0, 2147483647.0}) {
    c.params["stride"] = {stride};
    CHECK(has(run(c), "pooling"));
  }
  CHECK(has(run(nnops("adaptive_avg_pool2d_1", {1, 2, 3, 3}, {1, 2, 2, 2})), "output: expected 1x1x2"));

  c = nnops("cross_entropy_mean", {2, 3}, {1});
  c.arrays["target"] = ones({3});
  CHECK(has(run(c), "array \"target\": expected extents (2), found (3)"));
  c.arrays["target"] = ones({2});
  c.arrays["target"].values[1] = std::nan("");
  CHECK(has(run(c), "a whole number"));
  c.arrays["cot_y"] = ones({0});
  CHECK(has(run(c), "cot_y: expected one number"));
}

TEST_CASE("golden: activations and neurons that lie", "[golden]") {
  Case c;
  c.name = "act_x";
  c.arrays["x"] = c.arrays["y"] = c.arrays["grad_x"] = ones({64});
  c.arrays["cot_y"] = c.arrays["grad_up"] = ones({1});
  c.params["L"] = {4};
  c.params["up"] = {1};
  const auto text = [&] { return message([&] { static_cast<void>(golden::run_qcfs(c)); }); };
  CHECK(has(text(), "array \"cot_y\": expected extents (64), found (1)"));
  c.arrays["cot_y"] = ones({64});
  c.params["L"] = {0};
  CHECK(has(text(), "\"L\": expected a number in [1, 255]"));
  c.name = "neuron_x";
  c.params["scale"] = {1};
  CHECK(has(text(), "array \"x\": expected 2 positive extents, found (64)"));
}

TEST_CASE("golden: a manifest that is a pipe is refused, not waited for", "[golden]") {
  const spiq_test::TempFolder folder;
  CHECK(golden::read_text(folder.write("a.json", "{}")) == "{}");
#if defined(__unix__)
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(has(message([&] { static_cast<void>(golden::read_text(folder / "pipe")); }), "expected a file"));
#endif
}

TEST_CASE("convolution geometry is judged in 64 bits", "[golden]") {
  constexpr int most = std::numeric_limits<int>::max();
  spiq::kernel::ConvGeometry good;
  good.in = {8, 8, 1};
  good.out_channels = 4;
  good.kernel_h = good.kernel_w = 3;
  CHECK(good.valid());
  const auto changed = [&](auto member, int value) {
    auto g = good;
    g.*member = value;
    return g;
  };
  using G = spiq::kernel::ConvGeometry;
  // As ints 8 + 2 * pad and dilation * 2 pass the end and come back small.
  for (const auto member : {&G::pad_h, &G::pad_w, &G::dilation_h, &G::dilation_w, &G::kernel_h})
    for (const int value : {1 << 30, most}) CHECK_FALSE(changed(member, value).valid());
  CHECK(changed(&G::stride_h, 1 << 30).valid());
  auto deep = good;
  deep.in.channels = 1 << 28;  // fan-in of 9 * 2^28
  CHECK_FALSE(deep.valid());
  const std::string text = message([&] { check(changed(&G::stride_h, 0), 36); });
  CHECK(has(text, "stride 0x1"));
}
