// Tries whether sequences that take turns in groups read less than all together, where experts are
// paged (docs/scheduling.md).
//
//   simulate-grouping [--n 4,8] [--cache 20,40] [--topics N] [--disk GB/s] TRACE...
//
// For each number of sequences and share of experts in memory: what all together takes a token, and
// relative to it the best size of groups, by who is put together; and what the server's rule does.
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/grouping/grouped_replay.h"

namespace plimsoll::sim {
namespace {

struct Flags {
  std::vector<std::filesystem::path> traces;
  std::vector<uint32_t> n = {4, 8, 16, 32};
  std::vector<uint32_t> cache = {20, 40, 60};  // percent of the experts
  uint32_t n_topics = 0;
  uint32_t turn_steps = 64;
  uint32_t n_tokens = 192;
  double disk = 0.5;        // GB a second
  double expert_mb = 3.54;  // OLMoE's in Q4_0
  double dense_mb = 300;    // that every step reads beside them
  double still_seconds = 30;
};

engine::MachineSpeed TwoCores(double disk, uint64_t page_bytes) {
  engine::MachineSpeed speed;
  speed.memory = 30e9;
  speed.multiply_adds = 3.6e11;
  speed.attention_multiply_adds = 5e10;
  speed.disk.cells = {{page_bytes, 1, disk / 4}, {page_bytes, 8, disk}};
  speed.disk.sustained = disk;
  return speed;
}

// Weights of 4.5 bits; a page in three parts.
engine::TokenWork WorkOf(const Workload& workload, const Flags& flags) {
  constexpr double kBytesPerWeight = 4.5 / 8;
  engine::TokenWork work;
  work.dense_bytes = static_cast<uint64_t>(flags.dense_mb * 1e6);
  work.dense_multiply_adds = static_cast<uint64_t>(flags.dense_mb * 1e6 / kBytesPerWeight);
  const auto bytes = static_cast<uint64_t>(flags.expert_mb * 1e6);
  for (const auto& layer : workload.layers) {
    if (layer.n_experts > 0) {
      work.experts.push_back({bytes, bytes, 3, layer.n_experts, layer.n_active,
                              static_cast<uint64_t>(flags.expert_mb * 1e6 / kBytesPerWeight)});
    }
  }
  return work;
}

struct Row {
  GroupedReport best;
  uint32_t group = 0;
};

class Table {
 public:
  Table(const Workload& workload, const Flags& flags, uint32_t n_slots)
      : workload_(workload),
        work_(WorkOf(workload, flags)),
        speed_(TwoCores(flags.disk * 1e9, work_.experts.front().expert_bytes / 3)) {
    options_.n_slots = n_slots;
    options_.n_tokens = flags.n_tokens;
    options_.turn_steps = flags.turn_steps;
    options_.limits.max_still_seconds = flags.still_seconds;
  }

  GroupedReport Run(GroupBy by, uint32_t group = 1) {
    options_.by = by;
    options_.group = group;
    return ReplayInGroups(workload_, work_, speed_, options_);
  }

  Row BestSize(GroupBy by) {
    Row row;
    for (uint32_t group = 1; group < workload_.streams.size(); group *= 2) {
      const GroupedReport report = Run(by, group);
      if (row.group == 0 || report.seconds_per_token < row.best.seconds_per_token) {
        row = {report, group};
      }
    }
    return row;
  }

  [[nodiscard]] double MegabytesOf(const GroupedReport& report) const {
    return report.misses_per_token * static_cast<double>(work_.experts.front().read_bytes) / 1e6;
  }

 private:
  const Workload& workload_;
  engine::TokenWork work_;
  engine::MachineSpeed speed_;
  GroupedOptions options_;
};

std::string Ratio(const GroupedReport& report, const GroupedReport& together) {
  return fmt::format("{:.2f} / {:.2f}", report.misses_per_token / together.misses_per_token,
                     report.seconds_per_token / together.seconds_per_token);
}

uint32_t SlotsOf(const Workload& workload, uint32_t percent) {
  uint64_t n_pages = 0;
  for (const auto& layer : workload.layers) {
    n_pages += layer.n_experts;
  }
  return static_cast<uint32_t>(n_pages * percent / 100);
}

Result<> PrintTables(const Flags& flags) {
  fmt::print(
      "| Sequences | In memory | MB/token | ms/token | By arrival | By overlap | By the future | "
      "expert-union | Grouped | Longest still s "
      "|\n|---:|---:|---:|---:|---|---|---|---|---:|---:|\n");
  for (const uint32_t n : flags.n) {
    auto workload = MakeWorkload(flags.traces, n, flags.n_topics, 1);
    if (!workload) {
      return Forward(workload);
    }
    for (const uint32_t percent : flags.cache) {
      Table table(*workload, flags, SlotsOf(*workload, percent));
      const GroupedReport together = table.Run(GroupBy::kTogether);
      fmt::print("| {} | {} % | {:.0f} | {:.1f} |", n, percent, table.MegabytesOf(together),
                 1000 * together.seconds_per_token);
      for (const GroupBy by : {GroupBy::kArrival, GroupBy::kOverlap, GroupBy::kFuture}) {
        const Row row = table.BestSize(by);
        fmt::print(" {} ({}) |", Ratio(row.best, together), row.group);
      }
      const GroupedReport server = table.Run(GroupBy::kExpertUnion);
      fmt::print(" {} | {:.0f} % | {:.1f} |\n", Ratio(server, together), 100 * server.grouped_share,
                 server.longest_still);
      std::fflush(stdout);
    }
  }
  return {};
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Tries whether sequences that take turns read less than all together.");
  app.add_option("traces", flags.traces, "of one model, each of a sequence")->required();
  app.add_option("--n", flags.n, "sequences")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(2, 256));
  app.add_option("--cache", flags.cache, "percent of the experts in memory")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1, 99));
  app.add_option("--topics", flags.n_topics, "whose sequences use experts of their own");
  app.add_option("--turn", flags.turn_steps, "steps, of groups of a fixed size")
      ->check(CLI::Range(1, 4096));
  app.add_option("--tokens", flags.n_tokens, "of each sequence")->check(CLI::Range(8, 100'000));
  app.add_option("--disk", flags.disk, "GB a second")->check(CLI::PositiveNumber);
  app.add_option("--expert-mb", flags.expert_mb, "of an expert")->check(CLI::PositiveNumber);
  app.add_option("--dense-mb", flags.dense_mb, "of the dense weights")->check(CLI::PositiveNumber);
  app.add_option("--still", flags.still_seconds, "that a sequence may stand still")
      ->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  const auto printed = PrintTables(flags);
  fmt::print(stderr, "{}", printed ? "" : printed.error().message + "\n");
  return printed ? 0 : 1;
}

}  // namespace
}  // namespace plimsoll::sim

int main(int argc, char** argv) { return plimsoll::sim::Main(argc, argv); }
