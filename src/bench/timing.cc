#include "bench/timing.h"

#include <algorithm>
#include <chrono>

#include "base/checked.h"
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

// `skip` tokens later than at the positions.
std::vector<TokenId> TextTokens(std::span<const TokenId> text, size_t begin, size_t end,
                                size_t skip) {
  std::vector<TokenId> tokens;
  for (size_t position = begin; position < end; ++position) {
    tokens.push_back(text[(position + skip) % text.size()]);
  }
  return tokens;
}

}  // namespace

std::vector<TokenId> TokenSource::Fill(size_t begin, size_t end) const {
  return text.empty() ? RandomTokens(kFillStream, begin, end, vocab_size)
                      : TextTokens(text, begin, end, 0);
}

std::vector<TokenId> TokenSource::Timed(uint32_t repetition, size_t begin, size_t end) const {
  return text.empty() ? RandomTokens(kFillStream + 1 + repetition, begin, end, vocab_size)
                      : TextTokens(text, begin, end, repetition * (end - begin));
}

Result<> TestRunner::FillTo(uint32_t depth) {
  session_.Truncate(depth);
  const auto rest = source_.Fill(session_.tokens().size(), depth);
  n_passes_ += CeilDiv(rest.size(), chunk_);
  return rest.empty() ? Result<>() : session_.Append(rest, nullptr);
}

Result<> TestRunner::Compute(std::span<const TokenId> prompt, std::span<const TokenId> generated) {
  n_passes_ += CeilDiv(prompt.size(), chunk_) + generated.size();
  if (!prompt.empty()) {
    if (auto read = session_.AppendForLogits(prompt); !read) {
      return Forward(read);
    }
  }
  for (const TokenId& token : generated) {
    if (auto next = session_.AppendForLogits({&token, 1}); !next) {
      return Forward(next);
    }
  }
  return {};
}

Result<TimedRun> TestRunner::Run(const BenchTest& test, const RunOptions& options) {
  if (test.n_depth > session_.tokens().size()) {
    options.on_phase("filling the depth");
  }
  if (auto filled = FillTo(test.n_depth); !filled) {
    return Forward(filled);
  }
  TimedRun run;
  if (options.warm_up) {
    options.on_phase("warming up");
    const auto tokens = source_.Timed(options.repetitions, test.n_depth, test.n_ctx());
    const auto prompt = std::span(tokens).first(test.n_prompt);
    const auto generated =
        std::span(tokens).subspan(test.n_prompt, std::min(test.n_gen, options.warm_up_tokens));
    if (auto computed = Compute(prompt, generated); !computed) {
      return Forward(computed);
    }
    run.warm_up = {n_passes_ - generated.size(), n_passes_};
  }
  for (uint32_t i = 0; i < options.repetitions; ++i) {
    options.on_phase(fmt::format("{} of {}", i + 1, options.repetitions));
    const auto tokens = source_.Timed(i, test.n_depth, test.n_ctx());
    const auto prompt = std::span(tokens).first(test.n_prompt);
    if (auto filled = FillTo(test.n_depth); !filled) {
      return Forward(filled);
    }
    const uint64_t first_pass = n_passes_;
    options.before();
    const auto start = Clock::now();
    if (auto computed = Compute(prompt, std::span(tokens).subspan(test.n_prompt)); !computed) {
      return Forward(computed);
    }
    const auto elapsed = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start);
    options.after();
    run.samples_ns.push_back(static_cast<uint64_t>(std::max<int64_t>(elapsed.count(), 1)));
    run.passes.push_back({first_pass, n_passes_});
    session_.Truncate(test.n_depth);
  }
  return run;
}

}  // namespace plimsoll::bench
