// The command line of examples/ann_to_snn: outputs are tried before the work, numbers are numbers.
#include "catch.hpp"
#include "io_samples.hpp"

#if __has_include(<CLI/CLI.hpp>)
#include "../examples/ann_to_snn/options.hpp"

#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

using spiq_test::has;
using spiq_test::message;
using spiq_test::TempFolder;
namespace fs = std::filesystem;

namespace {

bool parses(std::vector<std::string> arguments) {
  CLI::App app;
  Options options;
  options.declare(app);
  try {
    app.parse(std::move(arguments));
    return true;
  } catch (const CLI::ParseError&) {
    return false;
  }
}

}  // namespace

TEST_CASE("ann_to_snn: numbers that are none are refused", "[io]") {
  for (const char* option : {"--lr=", "--validation="}) {
    CHECK(parses({option + std::string("0.25")}));
    for (const char* bad : {"nan", "-nan", "NAN(1)", "inf", "-1", "1e30", "x"}) {
      CAPTURE(option, bad);
      CHECK_FALSE(parses({option + std::string(bad)}));
    }
  }
}

TEST_CASE("ann_to_snn: outputs are tried before the work", "[io]") {
  const TempFolder folder;
  const auto base = [&] {
    Options o;
    o.out = (folder / "made/here").string();
    return o;
  };
  const std::string file = folder.write("file", "kept").string();
  Options good = base();
  good.save = (folder / "w.npz").string();
  good.checkpoint = file;
  good.json = file;
  CHECK(message([&] { good.check_outputs(); }).empty());
  CHECK(fs::is_directory(good.out));
  CHECK(fs::is_empty(good.out));
  CHECK(spiq_test::read_bytes(file) == spiq_test::bytes_of("kept"));
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2);

  const std::string absent = (folder / "absent/x").string();
  Options bad = base();
  bad.save = absent;
  CHECK(has(message([&] { bad.check_outputs(); }), "--save: '" + absent));
  bad = base();
  bad.checkpoint = absent;
  CHECK(has(message([&] { bad.check_outputs(); }), "--checkpoint: '" + absent));
  bad = base();
  bad.json = absent;
  CHECK(has(message([&] { bad.check_outputs(); }), "--json: '" + absent));
  bad = base();
  bad.out = file;
  CHECK(has(message([&] { bad.check_outputs(); }), "--out '" + file));
  bad = base();
  bad.save = folder.path().string();
  CHECK(has(message([&] { bad.check_outputs(); }), "found a folder"));
#if defined(__unix__)
  bad = base();
  bad.json = "/dev/null";  // written to as it is
  CHECK(message([&] { bad.check_outputs(); }).empty());
  bad.save = "/dev/null";  // would be replaced
  CHECK(has(message([&] { bad.check_outputs(); }), "--save"));
#endif
}
#else
TEST_CASE("ann_to_snn: no CLI11, nothing to test", "[io]") { WARN("CLI11 is not installed: the example was not built"); }
#endif
