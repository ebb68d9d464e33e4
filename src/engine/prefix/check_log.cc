#include "engine/prefix/check_log.h"

#include <array>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/prefix/price.h"
#include "kv/block_pool.h"

namespace plimsoll::engine::prefix {
namespace {

constexpr std::string_view kFirstLine = "# plimsoll_prefix_log v1";

struct Words {
  std::string_view event;
  std::array<uint64_t, 3> numbers = {};
  size_t n = 0;
};

std::optional<Words> ParseWords(std::string_view line) {
  Words words;
  const size_t end = line.find(' ');
  words.event = line.substr(0, end);
  while (end != std::string_view::npos && !line.empty()) {
    const size_t blank = line.find(' ');
    if (blank == std::string_view::npos) {
      break;
    }
    line.remove_prefix(blank + 1);
    if (words.n == words.numbers.size()) {
      return std::nullopt;
    }
    const char* const last = line.data() + std::min(line.find(' '), line.size());
    const auto parsed = std::from_chars(line.data(), last, words.numbers[words.n++]);
    if (parsed.ec != std::errc() || parsed.ptr != last) {
      return std::nullopt;
    }
  }
  return words;
}

// The text behind "NAME=", up to the next blank.
std::string ValueOf(std::string_view line, std::string_view name) {
  const size_t at = line.find(std::string(" ") + std::string(name) + "=");
  if (at == std::string_view::npos) {
    return "";
  }
  line.remove_prefix(at + name.size() + 2);
  return std::string(line.substr(0, line.find(' ')));
}

class Checker {
 public:
  // Nothing, or what is wrong with the line.
  [[nodiscard]] std::optional<std::string> SetConstants(std::string_view line);
  [[nodiscard]] std::optional<std::string> Take(const Words& words);
  [[nodiscard]] const LogSummary& summary() const { return summary_; }

 private:
  struct Node {
    uint64_t parent = 0;
    uint32_t depth = 0;
    uint64_t n_children = 0;
    uint64_t n_holds = 0;
    uint32_t n_tokens = 0;
    uint64_t bytes = 0;
    bool is_saved = false;
    Demand demand;
  };
  using Nodes = std::unordered_map<uint64_t, Node>;

  [[nodiscard]] static bool CanGo(const Node& node) {
    return node.n_tokens > 0 && node.n_children == 0 && node.n_holds == 0;
  }
  [[nodiscard]] double Price(const Node& node) const {
    const double seconds = ways_.CheapestSeconds(node.depth * kv::kBlockTokens, node.n_tokens,
                                                 node.bytes, node.is_saved);
    return PriceOf(node.demand.At(priced_us_, clock_), seconds, node.bytes);
  }
  // Changes a node, and its place among those that can go.
  template <class F>
  void Change(uint64_t serial, const F& change) {
    Node& node = nodes_.at(serial);
    if (CanGo(node)) {
      can_go_.erase({Price(node), serial});
    }
    change(node);
    if (CanGo(node)) {
      can_go_.insert({Price(node), serial});
    }
  }
  [[nodiscard]] std::optional<std::string> Create(const Words& words);
  [[nodiscard]] std::optional<std::string> Evict(uint64_t serial);
  void UsePath(uint64_t serial, uint64_t time_us, bool branches);
  void PriceAnew(uint64_t time_us);
  void Erase(uint64_t serial);

  DemandClock clock_;
  WaysBack ways_;
  Nodes nodes_;
  std::set<std::pair<double, uint64_t>> can_go_;
  uint64_t priced_us_ = 0;
  uint64_t last_serial_ = 0;
  LogSummary summary_;
};

std::optional<std::string> Checker::SetConstants(std::string_view line) {
  const auto real = [&](std::string_view name, double& value) {
    const std::string text = ValueOf(line, name);
    char* end = nullptr;
    value = std::strtod(text.c_str(), &end);
    return !text.empty() && *end == '\0' && value >= 0 && value < 1e300;
  };
  double use = 0;
  double branch = 0;
  if (!real("use_half_life_us", use) || use < 1 || use > 1e18 ||
      !real("branch_half_life_us", branch) || branch < 1 || branch > 1e18 ||
      !real("seconds_per_token", ways_.seconds_per_token) ||
      !real("seconds_per_token_and_position", ways_.seconds_per_token_and_position) ||
      !real("reload_bytes_per_second", ways_.reload_bytes_per_second)) {
    return "the constants of the price are missing";
  }
  clock_.use_half_life_us = static_cast<uint64_t>(use);
  clock_.branch_half_life_us = static_cast<uint64_t>(branch);
  return std::nullopt;
}

std::optional<std::string> Checker::Create(const Words& words) {
  const auto [serial, parent, time_us] = words.numbers;
  if (serial <= last_serial_) {
    return fmt::format("node {} is not a new one", serial);
  }
  Node node;
  node.parent = parent;
  if (parent != 0) {
    const auto above = nodes_.find(parent);
    if (above == nodes_.end()) {
      return fmt::format("there is no node {}", parent);
    }
    node.depth = above->second.parent == 0 ? 0 : above->second.depth + 1;
    node.demand.Add(time_us, false, clock_);
    Change(parent, [](Node& changed) { ++changed.n_children; });
  }
  last_serial_ = serial;
  nodes_.emplace(serial, node);
  ++summary_.n_nodes;
  return std::nullopt;
}

void Checker::UsePath(uint64_t serial, uint64_t time_us, bool branches) {
  while (serial != 0) {
    uint64_t parent = 0;
    Change(serial, [&](Node& node) {
      node.demand.Add(time_us, branches, clock_);
      parent = node.parent;
    });
    serial = parent;
  }
}

void Checker::PriceAnew(uint64_t time_us) {
  priced_us_ = time_us;
  std::set<std::pair<double, uint64_t>> anew;
  for (const auto& [price, serial] : can_go_) {
    anew.insert({Price(nodes_.at(serial)), serial});
  }
  can_go_ = std::move(anew);
}

void Checker::Erase(uint64_t serial) {
  uint64_t parent = 0;
  Change(serial, [&](Node& node) {
    node.n_tokens = 0;
    parent = node.parent;
  });
  nodes_.erase(serial);
  if (parent != 0) {
    Change(parent, [](Node& node) { --node.n_children; });
  }
}

std::optional<std::string> Checker::Evict(uint64_t serial) {
  const Node& node = nodes_.at(serial);
  if (node.n_holds > 0) {
    return fmt::format("node {} was evicted while it was held", serial);
  }
  if (node.n_children > 0) {
    return fmt::format("node {} was evicted before those behind it", serial);
  }
  if (node.n_tokens == 0) {
    return fmt::format("node {} was evicted and has nothing", serial);
  }
  if (const uint64_t cheapest = can_go_.begin()->second; cheapest != serial) {
    return fmt::format("node {} was evicted, but node {} was cheaper", serial, cheapest);
  }
  ++summary_.n_evicted;
  summary_.bytes_evicted += node.bytes;
  Erase(serial);
  return std::nullopt;
}

std::optional<std::string> Checker::Take(const Words& words) {
  const auto [serial, second, third] = words.numbers;
  if (words.event == "create" && words.n == 3) {
    return Create(words);
  }
  if (words.event == "price" && words.n == 1) {
    PriceAnew(serial);
    return std::nullopt;
  }
  if (!nodes_.contains(serial)) {
    return fmt::format("there is no node {}", serial);
  }
  if ((words.event == "branch" || words.event == "go-on") && words.n == 2) {
    ++summary_.n_uses;
    UsePath(serial, second, words.event == "branch");
  } else if (words.event == "use" && words.n == 2) {
    Change(serial, [&](Node& node) { node.demand.Add(second, false, clock_); });
  } else if (words.event == "hold" && words.n == 1) {
    Change(serial, [](Node& node) { ++node.n_holds; });
  } else if (words.event == "let-go" && words.n == 1) {
    if (nodes_.at(serial).n_holds == 0) {
      return fmt::format("nobody held node {}", serial);
    }
    Change(serial, [](Node& node) { --node.n_holds; });
  } else if (words.event == "fill" && words.n == 3 && second <= kv::kBlockTokens) {
    Change(serial, [&](Node& node) {
      node.n_tokens = static_cast<uint32_t>(second);
      node.bytes = third;
      node.is_saved = node.is_saved && second == kv::kBlockTokens;
    });
  } else if (words.event == "save" && words.n == 1) {
    Change(serial, [](Node& node) { node.is_saved = true; });
  } else if (words.event == "drop" && words.n == 1) {
    const Node& node = nodes_.at(serial);
    if (node.n_tokens > 0 || node.n_children > 0 || node.n_holds > 0) {
      return fmt::format("node {} was dropped and is in use", serial);
    }
    Erase(serial);
  } else if (words.event == "evict" && words.n == 1) {
    return Evict(serial);
  } else {
    return "this is no event";
  }
  return std::nullopt;
}

}  // namespace

Result<LogSummary> CheckLog(std::istream& log) {
  Checker checker;
  std::string line;
  for (uint64_t number = 1; std::getline(log, line); ++number) {
    if (log.eof()) {
      break;  // without its end
    }
    std::optional<std::string> wrong;
    if (number == 1) {
      if (line != kFirstLine) {
        return Fail(ErrorKind::kUsage, "this is no log of a prefix cache (serve --prefix-log)");
      }
    } else if (number == 2) {
      wrong = checker.SetConstants(line);
    } else if (const auto words = ParseWords(line)) {
      wrong = checker.Take(*words);
    } else {
      wrong = "this is no event";
    }
    if (wrong) {
      return Fail(ErrorKind::kFailed, "line {}: {}", number, *wrong);
    }
  }
  return checker.summary();
}

Result<LogSummary> CheckLogFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return Fail(ErrorKind::kIo, "{}: it cannot be read", path.string());
  }
  auto checked = CheckLog(file);
  if (!checked) {
    return Fail(checked.error().kind, "{}: {}", path.string(), checked.error().message);
  }
  return checked;
}

}  // namespace plimsoll::engine::prefix
