// What constrained output costs: compiling a schema, and for each token of an answer looking at the
// drawn one, a mask that is computed, and one that is kept; beside a decode step of so many
// milliseconds. The vocabulary is a model's or a GGUF vocabulary's; it can be made larger by tokens
// of two words, which no answer has but every walk of the vocabulary meets.
//
//   grammar_bench -m FILE [--n-vocab 151936] [--step-ms 30] [--schema FILE] [--answer FILE]
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "engine/engine.h"
#include "grammar/automaton.h"
#include "grammar/grammar_filter.h"
#include "grammar/json_schema.h"
#include "sampling/draw_allowed.h"
#include "text/tokenizer.h"

namespace {

using namespace plimsoll;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kSchema =
    R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},
        "address":{"type":"object","properties":{"street":{"type":"string","maxLength":80},
        "city":{"type":"string"}},"required":["street","city"]},
        "tags":{"type":"array","items":{"enum":["red","green","blue"]}},
        "note":{"type":"string","maxLength":1000}},
        "required":["name","age","address","tags","note"]})";
constexpr std::string_view kAnswer =
    R"({"name": "Ada Lovelace", "age": 36, "address": {"street": "12 St James's Square",
 "city": "London"}, "tags": ["red", "blue", "green"], "note": "She wrote the first program for a
 machine that was never built, and saw that it could do more than sums."})";

double Seconds(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

struct Figures {
  std::vector<double> values;

  [[nodiscard]] std::string Text() {
    std::ranges::sort(values);
    const double sum = std::accumulate(values.begin(), values.end(), 0.0);
    return fmt::format("mean {:8.1f} us  median {:8.1f} us  most {:8.1f} us",
                       sum / static_cast<double>(values.size()) * 1e6,
                       values[values.size() / 2] * 1e6, values.back() * 1e6);
  }
  [[nodiscard]] double mean() const {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }
};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Result<std::unique_ptr<const text::Tokenizer>> WithMoreTokens(const text::Tokenizer& tokenizer,
                                                              size_t n_vocab) {
  text::VocabularySpec spec = tokenizer.spec();
  const size_t n_own = spec.tokens.size();
  std::unordered_set<std::string> known(spec.tokens.begin(), spec.tokens.end());
  for (uint64_t i = 0; spec.tokens.size() < n_vocab; ++i) {
    // Multipliers without a factor in common with most sizes: words from all of the vocabulary.
    std::string token =
        spec.tokens[i * 7919 % n_own] + spec.tokens[(i * 104729 + 1 + i / n_own) % n_own];
    if (known.insert(token).second) {
      spec.tokens.push_back(std::move(token));
    }
  }
  if (!spec.scores.empty()) {
    spec.scores.resize(n_vocab, -1e9F);  // never the best way to say something
  }
  if (!spec.types.empty()) {
    spec.types.resize(n_vocab, text::TokenType::kNormal);
  }
  return text::Tokenizer::Create(std::move(spec));
}

struct Draws {
  Figures free;
  Figures held;
};

// At each token of the answer, from logits of a model that knows nothing of the schema.
Result<Draws> DrawTimes(grammar::GrammarFilter filter, std::span<const TokenId> answer,
                        size_t n_vocab) {
  const sampling::SamplerParams params;
  sampling::Sampler sampler(n_vocab);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> raw(n_vocab);
  std::ranges::generate(raw, [&] { return normal(random); });
  std::vector<float> logits(n_vocab);
  Draws draws;
  for (size_t i = 0; i < answer.size(); ++i) {
    const std::span<const TokenId> history = answer.first(i);
    logits = raw;
    auto start = Clock::now();
    (void)sampler.Sample(params, logits, history, i);
    draws.free.values.push_back(Seconds(start));
    logits = raw;
    start = Clock::now();
    auto drawn = sampling::DrawAllowed(sampler, params, filter, raw, logits, history);
    draws.held.values.push_back(Seconds(start));
    if (!drawn) return tl::unexpected(std::move(drawn).error());
    filter.Accept(answer[i]);
  }
  return draws;
}

Result<> Run(const std::string& path, size_t n_vocab, const std::string& schema, std::string answer,
             double step_ms) {
  auto tokenizer = engine::LoadTokenizer(path);
  if (!tokenizer) return Forward(tokenizer);
  std::erase(answer, '\n');
  const std::vector<TokenId> tokens = (*tokenizer)->Encode(answer, {});
  if (n_vocab > (*tokenizer)->size()) {
    tokenizer = WithMoreTokens(**tokenizer, n_vocab);
    if (!tokenizer) return Forward(tokenizer);
  }

  auto start = Clock::now();
  auto grammar = grammar::CompileJsonSchema(schema);
  if (!grammar) return Forward(grammar);
  auto automaton = grammar::Automaton::Compile(*std::move(grammar));
  if (!automaton) return Forward(automaton);
  fmt::print("schema compiled            {:8.1f} us\n", Seconds(start) * 1e6);
  const auto shared = std::make_shared<const grammar::Automaton>(*std::move(automaton));
  start = Clock::now();
  const auto trie = std::make_shared<const grammar::VocabularyTrie>(**tokenizer);
  fmt::print("trie of {} tokens      {:8.1f} ms, {:.1f} MiB\n", trie->n_tokens(),
             Seconds(start) * 1e3, static_cast<double>(trie->MemoryBytes()) / (1 << 20));
  const auto masks = std::make_shared<grammar::TokenMasks>(trie, 32 << 20);

  Figures look;
  Figures cold;
  Figures kept;
  for (Figures* figures : {&cold, &kept}) {
    grammar::GrammarFilter filter(shared, masks, "", false);
    for (const TokenId token : tokens) {
      start = Clock::now();
      const auto mask = filter.Mask();
      if (!mask) return tl::make_unexpected(mask.error());
      figures->values.push_back(Seconds(start));
      start = Clock::now();
      if (!filter.Allows(token)) {
        return Fail(ErrorKind::kUsage, "the answer is not of the schema at '{}'",
                    (*tokenizer)->Piece(token, true));
      }
      filter.Accept(token);
      look.values.push_back(Seconds(start));
    }
  }
  auto draws =
      DrawTimes(grammar::GrammarFilter(shared, masks, "", false), tokens, trie->n_tokens());
  if (!draws) return Forward(draws);
  const auto totals = masks->totals();
  fmt::print("{} tokens of an answer; {} masks computed, {} walks of the vocabulary, {} KiB kept\n",
             tokens.size(), totals.n_computed, totals.n_upper_computed, totals.bytes >> 10);
  fmt::print("mask, first answer   {}\n", cold.Text());
  fmt::print("mask, kept           {}\n", kept.Text());
  fmt::print("a drawn token        {}\n", look.Text());
  fmt::print("a free draw          {}\n", draws->free.Text());
  fmt::print("a refused one, again {}\n", draws->held.Text());
  fmt::print(
      "of a step of {} ms: a mask each time {:.2f} % at first, {:.2f} % then; none {:.3f} %\n",
      step_ms, cold.mean() * 1e5 / step_ms, kept.mean() * 1e5 / step_ms,
      look.mean() * 1e5 / step_ms);
  fmt::print(
      "all that it costs when every draw is refused: {:.2f} % of a step at first, {:.2f} % then\n",
      (cold.mean() + draws->held.mean() - draws->free.mean()) * 1e5 / step_ms,
      (draws->held.mean() - draws->free.mean()) * 1e5 / step_ms);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("what constrained output costs");
  std::string model;
  std::string schema_file;
  std::string answer_file;
  double step_ms = 30;
  size_t n_vocab = 0;
  app.add_option("-m,--model", model, "a GGUF file with a vocabulary")->required();
  app.add_option("--n-vocab", n_vocab, "make the vocabulary so large")
      ->check(CLI::Range(0, 1 << 22));
  app.add_option("--schema", schema_file, "a JSON schema");
  app.add_option("--answer", answer_file, "a text that it allows");
  app.add_option("--step-ms", step_ms, "a decode step");
  CLI11_PARSE(app, argc, argv);
  const auto done =
      Run(model, n_vocab, schema_file.empty() ? std::string(kSchema) : ReadFile(schema_file),
          answer_file.empty() ? std::string(kAnswer) : ReadFile(answer_file), step_ms);
  if (!done) {
    fmt::print(stderr, "{}\n", done.error().message);
    return 1;
  }
  return 0;
}
