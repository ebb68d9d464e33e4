// Running one test, and timing it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "bench/plan.h"
#include "engine/engine.h"

namespace plimsoll::bench {

// Where tokens come from. Text is started anew where it ends; without any the tokens are random.
struct TokenSource {
  size_t vocab_size = 0;
  std::vector<TokenId> text;

  // At positions [begin, end) of a sequence, the same in every run. Each repetition has its own,
  // from text the piece behind the one before; what fills the depth is the first one's beginning.
  [[nodiscard]] std::vector<TokenId> Fill(size_t begin, size_t end) const;
  [[nodiscard]] std::vector<TokenId> Timed(uint32_t repetition, size_t begin, size_t end) const;
};

struct RunOptions {
  uint32_t repetitions = 5;
  // Once before the timing: the whole prompt, and some generated tokens. From text it has the piece
  // behind those that are timed.
  bool warm_up = true;
  uint32_t warm_up_tokens = 1;
  std::function<void(std::string_view phase)> on_phase = [](std::string_view) {};  // "3 of 5"
  // Just before and just after what is timed.
  std::function<void()> before = [] {};
  std::function<void()> after = [] {};
};

// Passes through the model [begin, end), counted from the session's first.
struct PassRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct TimedRun {
  std::vector<uint64_t> samples_ns;  // a repetition
  std::vector<PassRange> passes;     // the same
  PassRange warm_up;                 // its generated tokens
};

// The tests of one session, which holds nothing before the first and is used by nothing else.
class TestRunner {
 public:
  // `chunk`: tokens of a prompt that the engine takes in one pass.
  TestRunner(engine::Session& session, TokenSource source, uint32_t chunk)
      : session_(session), source_(std::move(source)), chunk_(std::max(chunk, 1U)) {}

  // What fills the depth is computed once for tests that follow one another, and kept.
  [[nodiscard]] Result<TimedRun> Run(const BenchTest& test, const RunOptions& options);

 private:
  [[nodiscard]] Result<> FillTo(uint32_t depth);
  [[nodiscard]] Result<> Compute(std::span<const TokenId> prompt,
                                 std::span<const TokenId> generated);

  engine::Session& session_;
  TokenSource source_;
  uint32_t chunk_;
  uint64_t n_passes_ = 0;
};

}  // namespace plimsoll::bench
