// Running one test, and timing it.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bench/plan.h"
#include "engine/engine.h"

namespace plimsoll::bench {

struct RunOptions {
  uint32_t repetitions = 5;
  // Once before the timing: the whole prompt, and one generated token.
  bool warm_up = true;
  std::function<void(std::string_view phase)> on_phase = [](std::string_view) {};  // "3 of 5"
};

// Nanoseconds of each repetition. The tokens are random, the same in every run and in every test of
// a depth, and of a vocabulary of `vocab_size`. What fills the depth is computed once, and kept: a
// session must hold nothing else when the first test begins, and is left so.
[[nodiscard]] Result<std::vector<uint64_t>> RunTest(engine::Session& session, size_t vocab_size,
                                                    const BenchTest& test,
                                                    const RunOptions& options);

}  // namespace plimsoll::bench
