// The golden-vector tools themselves: tolerances, messages, and that wrong results are found.
#include "catch.hpp"
#include "golden.hpp"
#include "golden_container.hpp"
#include "io_samples.hpp"

#include <spiq/io/npz.hpp>

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

using golden::Case;
using golden::Result;
using golden::Verdict;
using spiq_test::has;

namespace {

Case small_case() {
  Case c;
  c.name = "small";
  c.arrays["y"] = {"f8", {2, 2}, {1.0, -200.0, 0.0, 4.0}};
  c.arrays["grad"] = {"f8", {2}, {0.5, 0.25}};
  c.arrays["spike"] = {"u1", {3}, {0, 1, 1}};
  c.f32_dev["y"] = 1e-5;
  c.params["T"] = {8};
  c.params["v_reset"] = {std::nan("")};
  return c;
}

}  // namespace

TEST_CASE("golden: tolerance rule", "[golden]") {
  const Case c = small_case();
  CHECK_THAT(c.tolerance("y"), Catch::Matchers::WithinRel(8e-5 + 2e-4, 1e-12));
  CHECK_THAT(c.tolerance("grad"), Catch::Matchers::WithinRel(8e-5 + 1e-6, 1e-12));  // takes that of y
  CHECK(c.compare("y", std::array<float, 4>{1.0002f, -200.0002f, -0.0002f, 4}).passed());
  const Result wrong = c.compare("y", std::array<float, 4>{1.0004f, -200, 0, 4.25f});
  CHECK(wrong.verdict == Verdict::failed);
  CHECK(has(wrong.message, "y: 2 of 4 differ; worst at 3 (1, 1): expected 4, found 4.25"));
  CHECK(has(c.compare("y", std::array<float, 3>{}).message, "expected 4 values, found 3"));
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()})
    CHECK_FALSE(c.compare("y", std::array<float, 4>{1, -200, bad, 4}).passed());

  CHECK(c.compare("spike", std::array<float, 3>{0, 1, 1}).passed());
  CHECK_FALSE(c.compare("spike", std::array<float, 3>{0, 1, 1.0000001f}).passed());
  const std::array<int, 3> spikes{0, 1, 0};
  CHECK_FALSE(c.compare_exact<int>("spike", spikes).passed());
  CHECK(c.compare_double("grad", std::array<double, 2>{0.5 + 1e-9, 0.25}).passed());
  CHECK_FALSE(c.compare_double("grad", std::array<double, 2>{0.5 + 2e-9, 0.25}).passed());

  Case odd = c;
  odd.arrays["y"].values = {std::nan(""), std::numeric_limits<double>::infinity(), 0, 0};
  CHECK(odd.compare("y", std::array<float, 4>{std::nanf(""), std::numeric_limits<float>::infinity(), 0, 0}).passed());
  CHECK_FALSE(odd.compare("y", std::array<float, 4>{0, std::numeric_limits<float>::infinity(), 0, 0}).passed());
  CHECK_FALSE(odd.compare("y", std::array<float, 4>{std::nanf(""), 3e38f, 0, 0}).passed());

  CHECK(c.int_param("T") == 8);
  CHECK(std::isnan(c.param("v_reset")));
  CHECK(c.param("tau", 2.0) == 2.0);
  CHECK_THROWS_AS(c.param("tau"), spiq::Error);
  CHECK_THROWS_AS(c.array("x"), spiq::Error);
  CHECK(c.array("grad").tensor().extents() == spiq::Extents{2});
}

TEST_CASE("golden: parts of a result merge to the worst", "[golden]") {
  Result r;
  CHECK(r.merge(Result::pass()).passed());
  CHECK(r.merge(Result::skip("no such operator")).verdict == Verdict::skipped);
  CHECK(r.merge(Result::pass()).verdict == Verdict::skipped);
  CHECK(r.merge(Result::fail("a")).merge(Result::fail("b")).message == "a; b");
  CHECK(r.merge(Result::skip("c")).verdict == Verdict::failed);
}

TEST_CASE("golden: the container group finds wrong values and files that should not be read", "[golden]") {
  const spiq_test::TempFolder folder;
  spiq::NpzWriter out;
  out.add("a", spiq::Extents{2, 1}, std::span<const float>(std::array<float, 2>{1.5f, 2.5f}));
  out.save(folder / "matrix.npz");
  spiq::write_npy(folder / "a.npy", spiq::Extents{2, 1}, std::span<const float>(std::array<float, 2>{1.5f, 2.5f}));
  folder.write("bad.npy", std::string("\x93NUMPX"));
  Case c;
  c.file = folder / "expected.npz";
  c.arrays["a__flat"] = {"f8", {2}, {1.5, 2.5}};
  c.strings["shapes"] = R"({"a":[2,1]})";
  c.strings["files"] = "matrix.npz a.npy; must be refused: bad.npy";
  const Result good = golden::run_container(c);
  CHECK(good.message.empty());
  CHECK(good.passed());

  Case other = c;
  other.arrays["a__flat"].values[1] = 2.25;
  CHECK(has(golden::run_container(other).message, "matrix.npz: a__flat: 1 of 2 differ"));
  other = c;
  other.strings["shapes"] = R"({"a":[1,2]})";
  CHECK(has(golden::run_container(other).message, "extents [2,1]"));
  other = c;
  other.arrays["b__flat"] = {"f8", {1}, {0}};
  CHECK(has(golden::run_container(other).message, "array b is missing"));
  other = c;
  other.strings["files"] = "a.npy bad.npy";
  CHECK(has(golden::run_container(other).message, "magic"));
  other.strings["files"] = "matrix.npz; must be refused: a.npy";
  CHECK(has(golden::run_container(other).message, "must be refused"));
  other.strings["files"] = "matrix.npz absent.npy";
  CHECK(has(golden::run_container(other).message, "no such file"));
  other.strings["files"] = "";
  CHECK(golden::run_container(other).verdict == Verdict::failed);
}
