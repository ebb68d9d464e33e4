#include "bench/timing.h"

#include <algorithm>
#include <chrono>

#include "base/rng.h"

namespace plimsoll::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kSeed = 1;
constexpr uint32_t kFillStream = 0;  // of tokens; those of a repetition come behind it

std::vector<TokenId> RandomTokens(uint32_t stream, size_t begin, size_t end, size_t vocab_size) {
  std::vector<TokenId> tokens;
  for (size_t position = begin; position < end; ++position) {
    const uint64_t random = Philox(kSeed, position, stream)[0];
    tokens.push_back(static_cast<TokenId>(random * vocab_size >> 32));
  }
  return tokens;
}

Result<> FillTo(engine::Session& session, uint32_t depth, size_t vocab_size) {
  session.Truncate(depth);
  const auto rest = RandomTokens(kFillStream, session.tokens().size(), depth, vocab_size);
  return rest.empty() ? Result<>() : session.Append(rest, nullptr);
}

Result<> Compute(engine::Session& session, std::span<const TokenId> prompt,
                 std::span<const TokenId> generated) {
  if (!prompt.empty()) {
    if (auto read = session.AppendForLogits(prompt); !read) {
      return Forward(read);
    }
  }
  for (const TokenId& token : generated) {
    if (auto next = session.AppendForLogits({&token, 1}); !next) {
      return Forward(next);
    }
  }
  return {};
}

}  // namespace

Result<std::vector<uint64_t>> RunTest(engine::Session& session, size_t vocab_size,
                                      const BenchTest& test, const RunOptions& options) {
  if (test.n_depth > session.tokens().size()) {
    options.on_phase("filling the depth");
  }
  if (auto filled = FillTo(session, test.n_depth, vocab_size); !filled) {
    return Forward(filled);
  }
  const auto tokens_of = [&](uint32_t repetition) {
    return RandomTokens(kFillStream + 1 + repetition, test.n_depth, test.n_ctx(), vocab_size);
  };
  if (options.warm_up) {
    options.on_phase("warming up");
    const auto tokens = tokens_of(0);
    const auto prompt = std::span(tokens).first(test.n_prompt);
    const auto generated = std::span(tokens).subspan(test.n_prompt, std::min(test.n_gen, 1U));
    if (auto computed = Compute(session, prompt, generated); !computed) {
      return Forward(computed);
    }
    session.Truncate(test.n_depth);
  }
  std::vector<uint64_t> samples;
  for (uint32_t i = 0; i < options.repetitions; ++i) {
    options.on_phase(fmt::format("{} of {}", i + 1, options.repetitions));
    const auto tokens = tokens_of(i);
    const auto prompt = std::span(tokens).first(test.n_prompt);
    const auto start = Clock::now();
    if (auto computed = Compute(session, prompt, std::span(tokens).subspan(test.n_prompt));
        !computed) {
      return Forward(computed);
    }
    const auto elapsed = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start);
    samples.push_back(static_cast<uint64_t>(std::max<int64_t>(elapsed.count(), 1)));
    session.Truncate(test.n_depth);
  }
  return samples;
}

}  // namespace plimsoll::bench
