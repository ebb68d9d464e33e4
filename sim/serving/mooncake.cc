#include <algorithm>
#include <fstream>
#include <limits>

#include <simdjson.h>

#include "sim/serving/arrivals.h"

namespace plimsoll::sim {
namespace {

constexpr uint32_t kTokensOfHash = 512;
constexpr uint64_t kMaxLength = 10'000'000;

// Nothing when the line has not that form.
std::optional<Arrival> ReadLine(const simdjson::dom::element& line, uint32_t divisor) {
  double milliseconds = 0;
  uint64_t n_input = 0;
  uint64_t n_output = 0;
  simdjson::dom::array ids;
  if (line["timestamp"].get(milliseconds) != simdjson::SUCCESS ||
      line["input_length"].get(n_input) != simdjson::SUCCESS ||
      line["output_length"].get(n_output) != simdjson::SUCCESS ||
      line["hash_ids"].get(ids) != simdjson::SUCCESS || n_input > kMaxLength ||
      n_output > kMaxLength || !(milliseconds >= 0)) {
    return std::nullopt;
  }
  Arrival arrival;
  arrival.seconds = milliseconds / 1000 / divisor;
  arrival.client = "trace";
  arrival.n_output = static_cast<uint32_t>(std::max<uint64_t>(n_output / divisor, 1));
  auto n_left = static_cast<uint32_t>(std::max<uint64_t>(n_input / divisor, 1));
  const uint32_t n_block = std::max(kTokensOfHash / divisor, 1U);
  for (const simdjson::dom::element id : ids) {
    uint64_t seed = 0;
    if (id.get(seed) != simdjson::SUCCESS) {
      return std::nullopt;
    }
    const uint32_t n = std::min(n_left, n_block);
    if (n > 0) {
      arrival.prompt.push_back({seed, n});
    }
    n_left -= n;
  }
  if (n_left > 0) {  // more than its hashes name: nobody else's
    arrival.prompt.push_back({std::numeric_limits<uint64_t>::max() - n_left, n_left});
  }
  return arrival;
}

}  // namespace

Result<Arrivals> ReadMooncake(const std::filesystem::path& path, uint32_t n_max, uint32_t divisor) {
  std::ifstream file(path);
  if (!file) {
    return Fail(ErrorKind::kIo, "cannot read {}", path.string());
  }
  simdjson::dom::parser parser;
  Arrivals arrivals;
  std::string line;
  for (uint64_t number = 1; arrivals.size() < n_max && std::getline(file, line); ++number) {
    simdjson::dom::element element;
    std::optional<Arrival> arrival;
    if (parser.parse(line).get(element) == simdjson::SUCCESS) {
      arrival = ReadLine(element, std::max(divisor, 1U));
    }
    if (!arrival) {
      return Fail(ErrorKind::kBadModel,
                  "{}:{}: no request: it needs timestamp, input_length, output_length and hash_ids",
                  path.string(), number);
    }
    arrivals.push_back(*std::move(arrival));
  }
  std::ranges::stable_sort(arrivals, {}, &Arrival::seconds);
  return arrivals;
}

}  // namespace plimsoll::sim
