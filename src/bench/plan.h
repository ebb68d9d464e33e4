// What is to be measured: tests, as llama-bench (https://github.com/ggml-org/llama.cpp,
// tools/llama-bench/README.md) names and combines them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace plimsoll::bench {

// Behind n_depth tokens of context: a prompt of n_prompt tokens is read, then n_gen tokens are
// generated one by one. What fills the depth is not timed.
struct BenchTest {
  uint32_t n_prompt = 0;
  uint32_t n_gen = 0;
  uint32_t n_depth = 0;

  [[nodiscard]] uint32_t n_timed() const { return n_prompt + n_gen; }
  [[nodiscard]] uint32_t n_ctx() const { return n_depth + n_timed(); }
  // "pp512", "tg128", "pp512+tg128", "tg128 @ d4096"
  [[nodiscard]] std::string Name() const;
};

// Each prompt size, each number of generated tokens and each pair is a test, at each depth. A size
// of 0 makes no test.
struct TestLists {
  std::vector<uint32_t> n_prompt;
  std::vector<uint32_t> n_gen;
  std::vector<std::pair<uint32_t, uint32_t>> prompt_gen;
  std::vector<uint32_t> n_depth;
};

// Depth by depth, in the order of the lists: prompts, generations, pairs.
[[nodiscard]] std::vector<BenchTest> MakeTests(const TestLists& lists);

// "512", "128,256", a range "1-4", one with steps "128-512+128", one with factors "1-8*2", or
// several with commas. kUsage for anything else, for numbers above 2^30 and for more than 1000.
[[nodiscard]] Result<std::vector<uint32_t>> ParseCounts(std::string_view text);

// "512,128"
[[nodiscard]] Result<std::pair<uint32_t, uint32_t>> ParsePromptGen(std::string_view text);

}  // namespace plimsoll::bench
