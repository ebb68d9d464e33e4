// An engine without a model, for tests: its vocabulary is the bytes, its answers are given.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/batch/batcher.h"
#include "engine/engine.h"

namespace plimsoll::cli {

inline constexpr TokenId kFakeStart = 256;  // <|im_start|>
inline constexpr TokenId kFakeEnd = 257;    // <|im_end|>, ends a generation
inline constexpr TokenId kFakeBos = 258;
inline constexpr TokenId kFakeVocab = 259;

class FakeTokenizer final : public text::Tokenizer {
 public:
  FakeTokenizer() {
    for (int byte = 0; byte < 256; ++byte) {
      spec_.tokens.emplace_back(1, static_cast<char>(byte));
    }
    spec_.types.assign(256, text::TokenType::kNormal);
    for (const char* control : {"<|im_start|>", "<|im_end|>", "<s>"}) {
      spec_.tokens.emplace_back(control);
      spec_.types.push_back(text::TokenType::kControl);
    }
    spec_.bos = kFakeBos;
    spec_.eos = kFakeEnd;
  }

  [[nodiscard]] std::vector<TokenId> Encode(std::string_view text,
                                            text::EncodeOptions options) const override {
    std::vector<TokenId> tokens;
    while (!text.empty()) {
      TokenId token = static_cast<unsigned char>(text[0]);
      for (TokenId control = kFakeStart; options.parse_special && control < kFakeVocab; ++control) {
        if (text.starts_with(Piece(control, true))) token = control;
      }
      tokens.push_back(token);
      text.remove_prefix(Piece(token, true).size());
    }
    return tokens;
  }
  [[nodiscard]] std::string BreakSpecial(std::string_view text,
                                         std::string_view /*mark*/) const override {
    return std::string(text);
  }
  [[nodiscard]] std::string_view Piece(TokenId token, bool render_control) const override {
    return token < kFakeStart || render_control ? spec_.tokens[static_cast<size_t>(token)]
                                                : std::string_view();
  }
  [[nodiscard]] std::string Decode(std::span<const TokenId> tokens,
                                   bool render_control) const override {
    std::string text;
    for (const TokenId token : tokens) {
      text += Piece(token, render_control);
    }
    return text;
  }
  [[nodiscard]] const text::VocabularySpec& spec() const override { return spec_; }
  [[nodiscard]] bool adds_bos() const override { return wants_bos; }
  [[nodiscard]] bool adds_eos() const override { return false; }
  [[nodiscard]] bool IsEndOfGeneration(TokenId token) const override { return token == kFakeEnd; }
  [[nodiscard]] std::optional<TokenId> Find(std::string_view spelling) const override {
    for (size_t i = 0; i < spec_.tokens.size(); ++i) {
      if (spec_.tokens[i] == spelling) return static_cast<TokenId>(i);
    }
    return std::nullopt;
  }
  [[nodiscard]] uint64_t Bytes() const override { return 0; }

  bool wants_bos = false;

 private:
  text::VocabularySpec spec_;
};

// What a test wants answered, and what the engine was asked.
struct FakeScript {
  std::deque<std::string> answers;
  uint32_t n_ctx = 100000;
  std::optional<Error> load_error;
  std::unique_ptr<const text::ChatTemplate> chat_template;
  std::optional<engine::PagingSnapshot> paging;  // counts one page wanted and missing a token

  engine::EngineOptions loaded;
  std::vector<engine::GenerateOptions> options;
  std::vector<std::vector<TokenId>> prompts;
  std::vector<uint32_t> reused;
  std::vector<std::pair<uint32_t, uint32_t>> appended;  // for logits: where, and how many
  uint32_t n_truncated_to_0 = 0;
  uint32_t n_filtered = 0;      // answers that were held to a form, each of them checked
  std::vector<uint64_t> lines;  // that were drawn while it ran

  struct File {
    std::vector<TokenId> tokens;
    std::string note;
  };
  std::map<std::filesystem::path, File> files;  // that sessions were saved to
  std::optional<Error> save_error;
};

class FakeSession final : public engine::Session {
 public:
  explicit FakeSession(FakeScript& script) : script_(script) {}

  [[nodiscard]] std::span<const TokenId> tokens() const override { return tokens_; }
  [[nodiscard]] uint32_t n_ctx() const override { return script_.n_ctx; }
  void Truncate(uint32_t n) override {
    tokens_.resize(std::min<size_t>(n, tokens_.size()));
    script_.n_truncated_to_0 += n == 0 ? 1 : 0;
  }

  // The logit of token t after token x is -|t - x - 1|: what comes next is x + 1.
  [[nodiscard]] Result<> Append(std::span<const TokenId> tokens,
                                const LogitsFn& on_logits) override {
    if (auto fits = CheckFits(tokens_.size() + tokens.size()); !fits) return fits;
    for (uint32_t i = 0; i < tokens.size(); ++i) {
      tokens_.push_back(tokens[i]);
      std::vector<float> logits(kFakeVocab);
      for (TokenId t = 0; t < kFakeVocab; ++t) {
        logits[static_cast<size_t>(t)] = static_cast<float>(-std::abs(t - tokens[i] - 1));
      }
      if (on_logits) on_logits(i, logits);
    }
    return {};
  }

  [[nodiscard]] Result<std::span<const float>> AppendForLogits(
      std::span<const TokenId> tokens) override {
    script_.appended.push_back({n(), static_cast<uint32_t>(tokens.size())});
    auto appended = Append(tokens, [&](uint32_t, std::span<const float> logits) {
      logits_.assign(logits.begin(), logits.end());
    });
    if (!appended) return Forward(appended);
    return logits_;
  }

  // One byte of the next answer a token, then the end token.
  [[nodiscard]] Result<engine::GenerateStats> Generate(std::span<const TokenId> prompt,
                                                       const engine::GenerateOptions& options,
                                                       const TextFn& on_text,
                                                       sampling::TokenFilter* filter) override {
    if (auto fits = CheckFits(prompt.size()); !fits) return Forward(fits);
    script_.prompts.emplace_back(prompt.begin(), prompt.end());
    script_.options.push_back(options);
    engine::GenerateStats stats;
    stats.n_prompt = static_cast<uint32_t>(prompt.size());
    stats.n_prompt_reused = static_cast<uint32_t>(
        std::mismatch(tokens_.begin(), tokens_.end(), prompt.begin(), prompt.end()).first -
        tokens_.begin());
    script_.reused.push_back(stats.n_prompt_reused);
    stats.prefill_seconds = stats.decode_seconds = stats.first_token_seconds = 0.5;
    tokens_.assign(prompt.begin(), prompt.end());
    const std::string answer = script_.answers.empty() ? "" : script_.answers.front();
    if (!script_.answers.empty()) script_.answers.pop_front();
    script_.n_filtered += filter != nullptr ? 1 : 0;
    for (const char c : answer) {
      if (filter != nullptr && !filter->Allows(static_cast<unsigned char>(c))) {
        return Fail(ErrorKind::kFailed, "'{}' is not allowed", c);
      }
      if (filter != nullptr) filter->Accept(static_cast<unsigned char>(c));
      tokens_.push_back(static_cast<unsigned char>(c));
      ++stats.n_generated;
      if (!on_text(std::string_view(&c, 1))) {
        stats.reason = engine::FinishReason::kInterrupted;
        return stats;
      }
      if (stats.n_generated == options.n_predict) {
        stats.reason = engine::FinishReason::kLength;
        return stats;
      }
    }
    tokens_.push_back(kFakeEnd);
    ++stats.n_generated;
    if (script_.paging) {
      auto& decode = script_.paging->pager.phases[static_cast<size_t>(memory::Phase::kDecode)];
      decode.wanted += stats.n_generated - 1;
      decode.bytes_read += 1024 * uint64_t{stats.n_generated - 1};
    }
    return stats;
  }

  [[nodiscard]] Result<> Save(const std::filesystem::path& path, const std::string& note) override {
    if (script_.save_error) return tl::unexpected(*script_.save_error);
    script_.files[path] = {tokens_, note};
    return {};
  }
  [[nodiscard]] Result<engine::RestoredSession> Restore(
      const std::filesystem::path& path) override {
    const auto& [tokens, note] = script_.files.at(path);
    tokens_ = tokens;
    return engine::RestoredSession{
        .tokens = tokens, .n_restored = n(), .note = note, .problem = {}};
  }

 private:
  Result<> CheckFits(size_t n) const {
    if (n > script_.n_ctx) {
      return Fail(ErrorKind::kUsage, "{} tokens do not fit a context of {}", n, script_.n_ctx);
    }
    return {};
  }

  [[nodiscard]] uint32_t n() const { return static_cast<uint32_t>(tokens_.size()); }

  FakeScript& script_;
  std::vector<TokenId> tokens_;
  std::vector<float> logits_;
};

class FakeEngine final : public engine::Engine {
 public:
  explicit FakeEngine(FakeScript& script) : script_(script) {
    summary_.name = "fake";
    summary_.kernels = "none";
    summary_.n_threads = 1;
    ledger_.budget_bytes = 1024;
    contents_.all = {.n_tensors = 3, .parameters = 1000, .bytes = 4000};
    contents_.by_dtype = {{tensor::DType::kF32, contents_.all}};
  }
  [[nodiscard]] const engine::ModelSummary& summary() const override { return summary_; }
  [[nodiscard]] const FakeTokenizer& tokenizer() const override { return tokenizer_; }
  [[nodiscard]] Result<const text::ChatTemplate*> chat_template() const override {
    return script_.chat_template.get();
  }
  [[nodiscard]] Result<> SetLine(uint64_t bytes) override {
    if (bytes < LeastLine()) return Fail(ErrorKind::kDoesNotFit, "{} is too low", bytes);
    script_.lines.push_back(bytes);
    ledger_.budget_bytes = bytes;
    return {};
  }
  [[nodiscard]] uint64_t LineFor(const std::optional<SizeSpec>& memory) const override {
    return memory ? memory->Resolve(1000) : 4096;
  }
  [[nodiscard]] uint64_t LeastLine() const override { return 64; }
  void UseMemory(uint64_t bytes) { ledger_.reserved_bytes = bytes; }
  [[nodiscard]] memory::LedgerSnapshot ledger() const override { return ledger_; }
  [[nodiscard]] std::optional<engine::PagingSnapshot> paging() const override {
    return script_.paging;
  }
  [[nodiscard]] const formats::Summary& contents() const override { return contents_; }
  [[nodiscard]] std::span<const std::byte> weights() const override { return {}; }
  [[nodiscard]] engine::AttentionWork AttentionAt(uint32_t position) const override {
    return {.kv_bytes = 10 * (uint64_t{position} + 1), .multiply_adds = uint64_t{position} + 1};
  }
  [[nodiscard]] Result<std::unique_ptr<engine::Session>> NewSession() override {
    return std::make_unique<FakeSession>(script_);
  }
  [[nodiscard]] Result<std::unique_ptr<engine::batch::Batcher>> NewBatcher(
      const engine::batch::BatchOptions& /*options*/) override {
    return Fail(ErrorKind::kFailed, "there is no model to batch");
  }

 private:
  FakeScript& script_;
  FakeTokenizer tokenizer_;
  engine::ModelSummary summary_;
  memory::LedgerSnapshot ledger_;
  formats::Summary contents_;
};

}  // namespace plimsoll::cli
