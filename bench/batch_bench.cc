// Decode with several sequences at a time: tokens a second by their number.
//
//   batch_bench -m MODEL [-b 1,2,4,8,16] [-n 32] [-d 64] [-t THREADS] [--memory LINE] [-r 3]
//
// Each sequence has a prompt of its own of -d tokens, and decodes -n. Only the decoding is timed:
// steps in which every sequence has its next token. The table has medians over repetitions, which
// go round the batch sizes in turn.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/rng.h"
#include "engine/batch/batcher.h"
#include "engine/engine.h"

namespace plimsoll {
namespace {

struct Options {
  std::string model;
  std::vector<uint32_t> batches = {1, 2, 4, 8, 16};
  uint32_t n_predict = 32;
  uint32_t depth = 64;
  uint32_t threads = 0;
  std::string memory;
  uint32_t repetitions = 3;
};

class CountingSink final : public engine::GenerationSink {
 public:
  void OnText(std::string_view /*text*/, std::span<const engine::GeneratedToken> tokens) override {
    n_tokens += tokens.size();
  }
  void OnEnd(const engine::GenerationEnd& end) override { ended = !end.error; }

  size_t n_tokens = 0;
  bool ended = false;
};

std::vector<TokenId> DrawPrompt(const engine::Engine& engine, uint32_t depth, uint64_t seed) {
  std::vector<TokenId> prompt;
  const auto n_vocab = static_cast<double>(engine.tokenizer().size());
  for (uint32_t i = 0; i < depth; ++i) {
    prompt.push_back(static_cast<TokenId>(UniformAt(seed, i) * n_vocab));
  }
  return prompt;
}

// Tokens a second, all sequences together.
double Measure(engine::Engine& engine, const Options& options, uint32_t n_batch, uint64_t seed) {
  using Clock = engine::batch::Clock;
  const auto batcher = engine.NewBatcher({.n_parallel = n_batch}).value();
  std::vector<std::shared_ptr<CountingSink>> sinks;
  for (uint32_t i = 0; i < n_batch; ++i) {
    engine::GenerationRequest request;
    request.prompt = DrawPrompt(engine, options.depth, seed * 1000 + i);
    request.options.n_predict = options.n_predict + 1;
    request.options.ignore_end = true;
    request.options.sampling.temperature = 0;
    sinks.push_back(std::make_shared<CountingSink>());
    batcher->Add(i + 1, std::move(request), sinks.back(), Clock::now());
  }
  const auto reads_on = [](const auto& sink) { return sink->n_tokens == 0; };
  while (std::ranges::any_of(sinks, reads_on)) {
    static_cast<void>(batcher->Step(Clock::now()));
  }
  // Those whose prompt was done first are ahead by some tokens: all go on until the first ends.
  const auto n_drawn = [&] {
    size_t n = 0;
    for (const auto& sink : sinks) {
      n += sink->n_tokens;
    }
    return n;
  };
  const size_t n_before = n_drawn();
  const auto start = Clock::now();
  while (std::ranges::none_of(sinks, [](const auto& sink) { return sink->ended; })) {
    static_cast<void>(batcher->Step(Clock::now()));
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return static_cast<double>(n_drawn() - n_before) / seconds;
}

int Run(const Options& options) {
  const uint32_t most = *std::ranges::max_element(options.batches);
  engine::EngineOptions engine_options = {.model = options.model,
                                          .n_ctx = options.depth + options.n_predict + 8,
                                          .n_parallel = most,
                                          .n_threads = options.threads};
  if (!options.memory.empty()) {
    engine_options.memory = ParseSize(options.memory).value();
  }
  auto engine = engine::Engine::Load(engine_options, {});
  if (!engine) {
    fmt::print(stderr, "error: {}\n", engine.error().message);
    return static_cast<int>(engine.error().kind);
  }
  std::map<uint32_t, std::vector<double>> rates;
  for (uint32_t i = 0; i < options.repetitions; ++i) {
    for (const uint32_t n_batch : options.batches) {
      rates[n_batch].push_back(Measure(**engine, options, n_batch, i));
    }
  }
  const auto median = [](std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
  };
  const double alone = median(rates[options.batches.front()]);
  fmt::print("| sequences | tokens/s | of the first |\n|---|---|---|\n");
  for (const uint32_t n_batch : options.batches) {
    const double rate = median(rates[n_batch]);
    fmt::print("| {} | {:.1f} | {:.2f} |\n", n_batch, rate, rate / alone);
  }
  return 0;
}

}  // namespace
}  // namespace plimsoll

int main(int argc, char** argv) {
  plimsoll::Options options;
  CLI::App app("Decode speed by the number of sequences.");
  app.add_option("-m", options.model, "model")->required();
  app.add_option("-b", options.batches, "numbers of sequences")->delimiter(',');
  app.add_option("-n", options.n_predict, "tokens that each decodes");
  app.add_option("-d", options.depth, "tokens of each prompt");
  app.add_option("-t", options.threads, "threads");
  app.add_option("--memory", options.memory, "the line");
  app.add_option("-r", options.repetitions, "repetitions");
  CLI11_PARSE(app, argc, argv);
  return plimsoll::Run(options);
}
