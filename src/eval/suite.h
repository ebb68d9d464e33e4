// A model measured on the life of a KV cache: dialogues and texts, one row for each way to keep it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "eval/dialogue.h"
#include "eval/text_figures.h"

namespace plimsoll::eval {

struct SuiteOptions {
  std::vector<Task> tasks;
  uint64_t seed = 1;
  uint32_t n_dialogues = 16;                // of each task
  std::vector<std::vector<TokenId>> texts;  // none: transcripts of generated dialogues
  // After each dialogue and text; may be empty.
  std::function<void(uint32_t n_done, uint32_t n_all)> on_progress;
};

// How keys and values are kept, as it is spelled on the command line.
struct Setup {
  std::string policy = "full";
  std::string budget = "100%";
  std::string precision = "f16";
};

struct Score {
  uint32_t n = 0;
  uint32_t n_right = 0;

  void Add(bool is_right) {
    ++n;
    n_right += is_right ? 1 : 0;
  }
  [[nodiscard]] double share() const { return n == 0 ? 0 : static_cast<double>(n_right) / n; }
};

struct TaskResult {
  Task task = Task::kSingleKey;
  Score first;     // of the first turns
  Score later;     // of the other turns that need what was said before: what is judged
  double nll = 0;  // of the right answers to these, the mean of a token in nats
};

struct Row {
  Setup setup;
  std::vector<TaskResult> tasks;
  TextFigures text;
  uint64_t peak_bytes = 0;       // of keys and values, as reserved in the ledger
  double tokens_per_second = 0;  // generated one after another

  // Means over the tasks.
  [[nodiscard]] double score() const;
  [[nodiscard]] double first_score() const;
};

// Measures one setup after another; the first is what the texts' divergence of the others is
// measured from.
class Suite {
 public:
  // `engine`: the first one's; only its vocabulary and template are used.
  [[nodiscard]] static Result<Suite> Make(const engine::Engine& engine, SuiteOptions options);

  // `engine` keeps keys and values as `setup` says, and has had no session before.
  [[nodiscard]] Result<Row> Run(engine::Engine& engine, const Setup& setup);

 private:
  Suite(SuiteOptions options, TextComparison texts)
      : options_(std::move(options)), texts_(std::move(texts)) {}

  SuiteOptions options_;
  TextComparison texts_;
};

// A table for people, and a JSON array of rows {policy, budget, precision, score, kl, peak_bytes,
// tokens_per_second, ...}.
[[nodiscard]] std::string ToTable(std::span<const Row> rows);
[[nodiscard]] std::string ToJson(std::span<const Row> rows);

}  // namespace plimsoll::eval
