// Numbers as text, JSON, tables, metrics, energy, the card and the comparison.
#include "catch.hpp"

#include <spiq/report/card.hpp>
#include <spiq/report/comparison.hpp>
#include <spiq/report/energy.hpp>
#include <spiq/report/format.hpp>
#include <spiq/report/json.hpp>
#include <spiq/report/metrics.hpp>
#include <spiq/report/text_table.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <limits>
#include <span>
#include <sstream>
#include <string>
#include <vector>

using namespace spiq;
using Catch::Matchers::WithinAbs;

namespace {
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// A reader of JSON that accepts exactly the grammar of RFC 8259, to judge the writer independently.
class JsonChecker {
public:
  static bool valid(const std::string& text) {
    JsonChecker c(text);
    return c.value() && (c.blank(), c.at_ == text.size());
  }

private:
  explicit JsonChecker(const std::string& text) : text_(text) {}
  void blank() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool take(char c) {
    blank();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool word(const char* w) {
    const std::string s(w);
    if (text_.compare(at_, s.size(), s) != 0) return false;
    at_ += s.size();
    return true;
  }
  bool string() {
    if (!take('"')) return false;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
      if (text_[at_] == '\\') {
        ++at_;
        if (std::string("\"\\/bfnrtu").find(text_[at_]) == std::string::npos) return false;
        if (text_[at_] == 'u') at_ += 4;
      }
      ++at_;
    }
    return take('"');
  }
  bool number() {
    const std::size_t begin = at_;
    if (at_ < text_.size() && text_[at_] == '-') ++at_;
    const std::size_t digits = at_;
    while (at_ < text_.size() && std::string("0123456789.eE+-").find(text_[at_]) != std::string::npos) ++at_;
    if (at_ == digits || text_[digits] == '.') return false;
    return std::stod(text_.substr(begin, at_ - begin)) == std::stod(text_.substr(begin, at_ - begin));
  }
  bool list(char close, bool object) {
    if (take(close)) return true;
    do {
      if (object && (blank(), !string() || !take(':'))) return false;
      if (!value()) return false;
    } while (take(','));
    return take(close);
  }
  bool value() {
    blank();
    if (at_ >= text_.size()) return false;
    switch (text_[at_]) {
      case '{': ++at_; return list('}', true);
      case '[': ++at_; return list(']', false);
      case '"': return string();
      case 't': return word("true");
      case 'f': return word("false");
      case 'n': return word("null");
      default: return number();
    }
  }

  const std::string& text_;
  std::size_t at_ = 0;
};
}  // namespace

TEST_CASE("numbers as text", "[report]") {
  CHECK(report::fixed(99.205, 1) == "99.2");
  CHECK(report::fixed(-0.5, 2) == "-0.50");
  CHECK(report::fixed(nan_value, 2) == "nan");
  CHECK(report::fixed(-inf, 2) == "-inf");
  CHECK(report::shortest(0.1) == "0.1");
  CHECK(report::shortest(3) == "3");
  CHECK(std::stod(report::shortest(1.0 / 3)) == 1.0 / 3);
  CHECK(report::engineering(0) == "0");
  CHECK(report::engineering(7) == "7");
  CHECK(report::engineering(950) == "950");
  CHECK(report::engineering(999.7) == "1.00 k");
  CHECK(report::engineering(1234567) == "1.23 M");
  CHECK(report::engineering(45678) == "45.7 k");
  CHECK(report::engineering(456789) == "457 k");
  CHECK(report::engineering(0.25) == "0.25");
  CHECK(report::duration(67.2) == "1:07");
  CHECK(report::duration(7389) == "2:03:09");
  CHECK(report::duration(0) == "0:00");
  CHECK(report::duration(nan_value) == "-:--");
  CHECK(report::duration(-1) == "-:--");
}

TEST_CASE("json: escapes, nesting, numbers", "[report]") {
  CHECK(report::json_string("a\"b\\c\n\x01\t") == "\"a\\\"b\\\\c\\n\\u0001\\t\"");
  CHECK(report::json_string("\xce\xbb") == "\"\xce\xbb\"");

  report::JsonWriter w;
  w.begin_array();
  w.begin_object().field("name", "x \"y\"").field("n", 3).field("half", 0.5).field("yes", true);
  w.key("none").null().key("nan").value(nan_value);
  w.key("inner").begin_object().field("a", -1).key("list").begin_array().value(1).value(2.5e-30).end().end();
  w.end();
  w.begin_object().end().begin_array().end();
  w.end();
  const std::string text = w.text();
  CHECK(JsonChecker::valid(text));
  CHECK(contains(text, "\"none\": null"));
  CHECK(contains(text, "\"nan\": null"));
  CHECK(contains(text, "\"inner\": {\"a\": -1, \"list\": [1, 2.5e-30]}"));

  CHECK_FALSE(JsonChecker::valid("[1, 2,]"));
  CHECK_FALSE(JsonChecker::valid("{\"a\": nan}"));

  report::JsonWriter open;
  open.begin_array();
  CHECK_THROWS_AS(open.text(), Error);
  CHECK_THROWS_AS(open.key("k"), Error);
  open.end();
  CHECK_THROWS_AS(open.end(), Error);
}

TEST_CASE("files that cannot be written are errors", "[report]") {
  std::string message;
  try {
    report::write_text_file("no such folder/x.json", "x");
  } catch (const Error& e) {
    message = e.what();
  }
  CHECK(contains(message, "no such folder/x.json"));
}

TEST_CASE("table columns line up", "[report]") {
  report::TextTable t({"name", "value"});
  t.row({"a", "1"});
  t.row({"\xce\xbb long", "12.5"});
  std::ostringstream out;
  out << t;
  CHECK(out.str() == "name    value\n------  -----\na           1\n\xce\xbb long   12.5\n");
  CHECK_THROWS_AS(t.row({"only one"}), Error);
}

TEST_CASE("predictions, accuracy, agreement, confusion", "[report]") {
  const float nan_f = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> logits = {0, 2, 1, 5, 5, 4, nan_f, nan_f, nan_f, nan_f, -3, -4};
  const std::vector<int> expected = {1, 0, -1, 1};
  CHECK(report::predictions(logits, 3) == expected);
  CHECK_THROWS_AS(report::predictions(logits, 5), Error);
  CHECK_THROWS_AS(report::predictions(logits, 0), Error);
  CHECK(report::predictions({}, 3).empty());

  const std::vector<int> labels = {0, 1, 2, 3, 4, 5};
  const std::vector<int> a = {0, 1, 2, 9, 9, 8};
  const std::vector<int> b = {0, 1, 7, 3, 9, 7};
  const auto as_span = [](const std::vector<int>& v) { return std::span<const int>(v); };
  CHECK(report::accuracy(as_span(a), as_span(labels)) == 0.5);
  CHECK(report::accuracy(as_span({}), as_span({})) == 0.0);
  const report::Agreement g = report::agreement(as_span(a), as_span(b), as_span(labels));
  CHECK(g.images == 6);
  CHECK(g.same == 3);
  CHECK(g.both_right == 2);
  CHECK(g.reference_only_right == 1);
  CHECK(g.candidate_only_right == 1);
  CHECK(g.different() == 3);
  CHECK(g.share() == 0.5);
  CHECK_THROWS_AS(report::agreement(as_span(a), as_span({1}), as_span(labels)), Error);

  report::ConfusionMatrix m(10);
  m.add(as_span(labels), as_span(b));
  CHECK(m(2, 7) == 1);
  CHECK(m(0, 0) == 1);
  CHECK(m(7, 2) == 0);
  CHECK(m.recall(3) == 1.0);
  CHECK(m.recall(5) == 0.0);
  CHECK(m.recall(9) == 0.0);
  CHECK_THROWS_AS(m.add(10, 0), Error);
  CHECK_THROWS_AS(m.add(0, -1), Error);
  const std::vector<std::uint8_t> bytes = {0, 1, 2, 3, 4, 5};
  CHECK(report::accuracy(as_span(a), std::span<const std::uint8_t>(bytes)) == 0.5);
}

TEST_CASE("energy of operations", "[report]") {
  const energy::Coefficients& e = energy::cmos45;
  CHECK_THAT(e.mac(Arithmetic::f32), WithinAbs(4.6, 1e-12));
  CHECK_THAT(e.ac(Arithmetic::f32), WithinAbs(0.9, 1e-12));
  CHECK_THAT(e.mac(Arithmetic::int8), WithinAbs(0.3, 1e-12));
  CHECK_THAT(e.ac(Arithmetic::int8), WithinAbs(0.1, 1e-12));
  CHECK_THAT(e.ac(Arithmetic::int16), WithinAbs(0.1, 1e-12));
  // The derivation that the field states: geometric mean of 8 and 32 bits.
  CHECK_THAT(e.int16_multiply, WithinAbs(std::sqrt(e.int8_multiply * e.int32_multiply), 0.005));

  OperationCounts c;
  c.mac = 1000;
  c.ac = 2000;
  c.neuron_updates = 500;
  CHECK_THAT(energy::energy_nj(c, Arithmetic::f32), WithinAbs(4.6 + 1.8 + 0.9, 1e-9));
  CHECK_THAT(energy::energy_nj(c, Arithmetic::int8), WithinAbs(0.3 + 0.2 + 0.1, 1e-9));
  CHECK(energy::energy_nj(OperationCounts{}, Arithmetic::f32) == 0.0);
  CHECK_THAT(energy::memory_nj(1000, 10), WithinAbs(2.5 + 1.625, 1e-9));

  const OperationCounts twice = c + c;
  CHECK(twice.mac == 2000);
  CHECK(twice.ac == 4000);
  CHECK(twice.neuron_updates == 1000);
}

TEST_CASE("card prints every field and is JSON", "[report]") {
  report::Card card;
  card.seed = 18446744073709551615u;
  card.threads = 2;
  card.data = "synthetic \"glyphs\"";
  card.checksum = "fnv1a64:0123";
  card.validation = "last 10 % of a shuffle by seed";
  card.more.emplace_back("epochs", "6");
  CHECK(contains(card.abi, "abi"));
  CHECK(!card.compiler.empty());
  std::ostringstream out;
  out << card;
  for (const char* part : {"18446744073709551615", "synthetic \"glyphs\"", "fnv1a64:0123", "last 10 %", "epochs",
                           SPIQ_VERSION_STRING, simd::best::name})
    CHECK(contains(out.str(), part));
  report::JsonWriter w;
  write(w, card);
  CHECK(JsonChecker::valid(w.text()));
  CHECK(contains(w.text(), "\"seed\": 18446744073709551615"));
  CHECK(contains(w.text(), "\"synthetic \\\"glyphs\\\"\""));
}

TEST_CASE("comparison: table and JSON", "[report]") {
  report::Card card;
  card.seed = 42;
  report::Comparison c(card);
  report::ComparisonRow ann;
  ann.network = "ANN f32";
  ann.accuracy = 0.9925;
  ann.agreement = {5000, 5000, 4962, 0, 0};
  ann.operations.mac = 1.5e6;
  ann.counted_images = 1000;
  ann.images_per_second = 12345.6;
  c.add(ann);
  report::ComparisonRow snn = ann;
  snn.network = "PASCAL f32, counts";
  snn.timesteps = 8;
  snn.latency_steps = 62;
  snn.agreement = {5000, 4990, 4960, 4, 2};
  snn.operations = {.mac = 1.1e5, .ac = 2.25e6, .neuron_updates = 3.5e5, .spikes = 20123.5};
  snn.collapsed = true;
  c.add(snn);

  const std::string json = c.json();
  CHECK(JsonChecker::valid(json));
  CHECK(json.substr(0, 1) == "[");
  CHECK(contains(json, "\"network\": \"ANN f32\",\n    \"timesteps\": null,\n    \"accuracy\": 0.9925,"));
  CHECK(contains(json, "\"timesteps\": 8"));
  CHECK(contains(json, "\"agreement\": 0.998,"));
  CHECK(contains(json, "\"spikes\": 20123.5,\n    \"ac\": 2250000,\n    \"mac\": 110000,\n    \"energy_nj\": "));
  CHECK(contains(json, "\"reference_only_right\": 4"));
  CHECK(contains(json, "\"network_only_right\": 2"));
  CHECK(contains(json, "\"seed\": 42"));
  // 1.1e5 * 4.6 + 2.25e6 * 0.9 + 3.5e5 * 1.8 pJ
  CHECK_THAT(snn.energy_nj(), WithinAbs(506.0 + 2025.0 + 630.0, 1e-6));

  std::ostringstream out;
  out << c;
  for (const char* part : {"ANN f32", "PASCAL f32, counts", "99.25", "99.80", "arithmetic only", "Horowitz",
                           "executed as one multiply", "once (currents are cached)", "2.25 M*", "the first 1000"})
    CHECK(contains(out.str(), part));

  const std::string path = "spiq_test_comparison.json";
  c.write_json(path);
  std::ifstream file(path);
  std::stringstream read;
  read << file.rdbuf();
  CHECK(read.str() == json);
  std::remove(path.c_str());

  CHECK(JsonChecker::valid(report::Comparison().json()));
}
