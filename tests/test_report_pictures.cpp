// Progress lines, charts and rasters.
#include "catch.hpp"

#include <spiq/report/line_chart.hpp>
#include <spiq/report/progress.hpp>
#include <spiq/report/raster.hpp>
#include <spiq/report/svg.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

using namespace spiq;

namespace {
double fake_now = 0;
double fake_clock() { return fake_now; }

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}
// Every element is closed, every attribute quoted, no stray ampersand: enough of XML for these files.
bool well_formed(const std::string& svg) {
  std::vector<std::string> open;
  for (std::size_t at = 0; at < svg.size(); ++at) {
    if (svg[at] == '&') {
      const std::string entity = svg.substr(at, svg.find(';', at) - at + 1);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;") return false;
    }
    if (svg[at] == '>') return false;
    if (svg[at] != '<') continue;
    const std::size_t end = svg.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = svg.substr(at + 1, end - at - 1);
    if (count_of(tag, "\"") % 2 != 0 || contains(tag, "<")) return false;
    const std::string name = tag.substr(0, tag.find_first_of(" /"));
    if (tag.front() == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
    at = end;
  }
  return open.empty();
}
// Largest and smallest value of an attribute over all elements.
std::pair<double, double> attribute_range(const std::string& svg, const std::string& name) {
  double low = 1e300, high = -1e300;
  const std::string key = " " + name + "=\"";
  for (std::size_t at = svg.find(key); at != std::string::npos; at = svg.find(key, at + 1)) {
    const double v = std::stod(svg.substr(at + key.size()));
    low = std::min(low, v);
    high = std::max(high, v);
  }
  return {low, high};
}
}  // namespace

TEST_CASE("progress: plain lines where there is no terminal", "[report]") {
  fake_now = 100;
  std::ostringstream out;
  report::Progress p(out, false, 1, &fake_clock);
  report::TrainingState s{.epoch = 1, .epochs = 12, .batch = 50, .batches = 100, .loss = 1.25, .accuracy = 0.5};
  p.batch(s);
  CHECK(out.str().empty());
  fake_now = 110;
  p.epoch(s);
  CHECK(out.str() == "epoch  1/12  loss 1.2500  accuracy 50.00 %  elapsed 0:10  left 1:50\n");
  s.epoch = 12;
  fake_now = 220;
  p.epoch(s, "validation 98.00 %");
  CHECK(contains(out.str(), "epoch 12/12  loss 1.2500  accuracy 50.00 %  elapsed 2:00  left 0:00  validation 98.00 %"));
  CHECK(!contains(out.str(), "\r"));
  CHECK(p.elapsed() == 120);
}

TEST_CASE("progress: a terminal line is drawn over itself", "[report]") {
  fake_now = 0;
  std::ostringstream out;
  report::Progress p(out, true, 3, &fake_clock);
  report::TrainingState s{.epoch = 3, .epochs = 4, .batch = 0, .batches = 10, .loss = 12.5, .accuracy = 0};
  p.batch(s);
  CHECK(contains(out.str(), "left -:--"));
  CHECK(contains(out.str(), "[........]"));
  const std::size_t before = out.str().size();
  fake_now = 0.05;
  s.batch = 1;
  p.batch(s);
  CHECK(out.str().size() == before);  // not more than ten times a second
  fake_now = 10;
  s.batch = 5;
  s.loss = 0.5;
  p.batch(s);
  CHECK(contains(out.str(), "[####....]"));
  CHECK(contains(out.str(), "left 0:30"));  // a quarter of this run's two epochs took 10 s
  const std::string last = out.str().substr(out.str().rfind('\r') + 1);
  const std::string first = out.str().substr(1, out.str().find('\r', 1) - 1);
  CHECK(last.size() == first.size());  // the longer old line is wiped
  s.loss = 1e30;  // a line that wrapped could not be drawn over
  fake_now = 20;
  p.batch(s);
  CHECK(out.str().size() - out.str().rfind('\r') - 1 == 79);
  p.epoch(s);
  CHECK(out.str().back() == '\n');
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  CHECK_FALSE(report::is_terminal(file));
  std::fclose(file);
}

TEST_CASE("ticks are round and inside", "[report]") {
  using V = std::vector<double>;
  CHECK(report::ticks(0, 10, 5) == V{0, 2, 4, 6, 8, 10});
  CHECK(report::ticks(-1, 1, 4) == V{-1, -0.5, 0, 0.5, 1});
  CHECK(report::ticks(3, 3, 4) == V{3});
  for (const double high : {0.013, 0.7, 1.0, 33.0, 99.5, 12345.0}) {
    const V t = report::ticks(0.001, high, 6);
    CHECK(t.size() >= 3);
    CHECK(t.size() <= 12);
    CHECK(t.front() >= 0.001 - 1e-9);
    CHECK(t.back() <= high * (1 + 1e-9));
  }
}

TEST_CASE("line chart", "[report]") {
  report::LineChart chart;
  chart.title = "accuracy & <time>";
  chart.x_label = "timesteps T";
  chart.y_label = "accuracy (%)";
  chart.log2_x = true;
  chart.curve("QCFS \"a\"", {{1, 91}, {2, 95}, {4, 97}, {8, std::numeric_limits<double>::quiet_NaN()}, {32, 99}});
  chart.curve("QCFS b", {{1, 80}, {32, 98}});
  chart.point("PASCAL", 8, 99.2);
  chart.level("ANN", 99.1);
  const std::string svg = chart.svg();
  CHECK(well_formed(svg));
  CHECK(contains(svg, "accuracy &amp; &lt;time&gt;"));
  CHECK(contains(svg, "QCFS &quot;a&quot;"));
  CHECK(count_of(svg, "<polyline") == 2);
  CHECK(!contains(svg, "nan"));
  for (const char* tick : {">1<", ">2<", ">4<", ">8<", ">16<", ">32<"}) CHECK(contains(svg, tick));
  // Nothing leaves the picture.
  const double width = std::stod(svg.substr(svg.find("width=\"") + 7));
  const double height = std::stod(svg.substr(svg.find("height=\"") + 8));
  for (const char* x : {"x1", "x2", "cx"}) {
    CHECK(attribute_range(svg, x).first >= 0);
    CHECK(attribute_range(svg, x).second <= width);
  }
  for (const char* y : {"y1", "y2", "cy"}) {
    CHECK(attribute_range(svg, y).first >= 0);
    CHECK(attribute_range(svg, y).second <= height);
  }

  chart.curve("zero", {{0, 1}});
  CHECK_THROWS_AS(chart.svg(), Error);
  CHECK_THROWS_AS(report::LineChart{}.svg(), Error);
  report::LineChart single;
  single.point("only", 3, 7);
  CHECK(well_formed(single.svg()));
}

TEST_CASE("higher values lie higher, later ones further right", "[report]") {
  report::LineChart chart;
  chart.curve("line", {{0, 0}, {1, 10}});
  const std::string svg = chart.svg();
  const std::size_t at = svg.find("points=\"") + 8;
  double x[2], y[2];
  REQUIRE(std::sscanf(svg.c_str() + at, "%lf,%lf %lf,%lf", &x[0], &y[0], &x[1], &y[1]) == 4);
  CHECK(x[0] < x[1]);
  CHECK(y[0] > y[1]);
}

TEST_CASE("raster", "[report]") {
  report::Raster raster;
  raster.title = "spikes";
  raster.limit = 10;
  raster.layers.push_back({"conv 1", 25, 4, 0, {{0, 0}, {1, 1}, {3, 2}, {24, 3}}});
  raster.layers.push_back({"fc", 5, 8, 4, {{4, 7}}});
  CHECK(raster.stride(raster.layers[0]) == 3);
  CHECK(raster.stride(raster.layers[1]) == 1);
  const std::string svg = raster.svg();
  CHECK(well_formed(svg));
  // Of neurons 0, 1, 3, 24 those divisible by three are drawn; the other layer whole.
  CHECK(count_of(svg, "M") - count_of(svg, "MM") == 4);
  CHECK(contains(svg, "25 neurons, 4 spikes, k = 3"));
  CHECK(contains(svg, "5 neurons, 1 spikes"));
  CHECK(contains(svg, "every k-th neuron"));
  CHECK(contains(svg, ">12<"));  // last step of the common axis

  raster.layers[1].spikes.push_back({5, 0});
  CHECK_THROWS_AS(raster.svg(), Error);
  raster.layers[1].spikes.back() = {0, 8};
  CHECK_THROWS_AS(raster.svg(), Error);

  report::Raster whole;
  whole.layers.push_back({"a", 3, 2, 0, {{2, 1}}});
  CHECK(!contains(whole.svg(), "every k-th"));
  CHECK(well_formed(report::Raster{}.svg()));

  const std::string path = "spiq_test_raster.svg";
  whole.write(path);
  std::ifstream file(path);
  std::stringstream read;
  read << file.rdbuf();
  CHECK(read.str() == whole.svg());
  std::remove(path.c_str());
}

TEST_CASE("captions wrap at words", "[report]") {
  const auto lines = report::wrap_text("aaa bbb ccc", 10, 7 * 0.64 * 10);
  CHECK(lines == std::vector<std::string>{"aaa bbb", "ccc"});
  CHECK(report::wrap_text("", 10, 100) == std::vector<std::string>{""});
}
