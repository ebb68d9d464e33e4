#include "engine/session.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "engine/continuation.h"
#include "engine/model_identity.h"
#include "engine/patch_look.h"
#include "kv/policy/episodes.h"
#include "kv/session_file.h"
#include "sampling/draw_allowed.h"

namespace plimsoll::engine {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class EngineSession final : public Session {
 public:
  explicit EngineSession(EngineState& state)
      : state_(state), kv_(*state.kv_pool, state.summary.n_ctx) {
    tokens_.reserve(state.summary.n_ctx);
    chunk_.reserve(state.model->max_chunk());
    logits_.resize(state.model->hyper_params().vocab_size);
  }
  EngineSession(const EngineSession&) = delete;
  EngineSession& operator=(const EngineSession&) = delete;
  ~EngineSession() override { state_.kv_pool->Unpromise(state_.BlocksOfSequence()); }

  [[nodiscard]] std::span<const TokenId> tokens() const override { return tokens_; }
  [[nodiscard]] uint32_t n_ctx() const override { return state_.summary.n_ctx; }

  void Truncate(uint32_t n) override {
    n = kv_.Keepable(n);
    tokens_.resize(n);
    kv_.Truncate(n);
  }

  [[nodiscard]] Result<> Append(std::span<const TokenId> tokens,
                                const LogitsFn& on_logits) override {
    if (auto checked = CheckTokens(tokens, tokens_.size() + tokens.size()); !checked) {
      return checked;
    }
    if (auto limited = LimitFor({}); !limited) {
      return limited;
    }
    for (size_t done = 0; done < tokens.size();) {
      const size_t n = PassTokens(tokens.size() - done);
      std::vector<uint32_t> wanted;
      for (uint32_t i = 0; on_logits && i < n; ++i) {
        wanted.push_back(i);
      }
      auto stepped =
          Step(tokens.subspan(done, n), wanted, [&](uint32_t i, std::span<float> logits) {
            on_logits(static_cast<uint32_t>(done + i), logits);
          });
      if (!stepped) {
        return stepped;
      }
      done += n;
    }
    return {};
  }

  [[nodiscard]] Result<std::span<const float>> AppendForLogits(
      std::span<const TokenId> tokens) override {
    if (tokens.empty()) {
      return Fail(ErrorKind::kUsage, "there are no tokens to append");
    }
    if (auto checked = CheckTokens(tokens, tokens_.size() + tokens.size()); !checked) {
      return Forward(checked);
    }
    if (auto limited = LimitFor(tokens); !limited) {
      return Forward(limited);
    }
    if (auto prefilled = Prefill(tokens, [] { return true; }); !prefilled) {
      return Forward(prefilled);
    }
    return logits_;
  }

  [[nodiscard]] Result<GenerateStats> Generate(std::span<const TokenId> prompt,
                                               const GenerateOptions& options,
                                               const TextFn& on_text,
                                               sampling::TokenFilter* filter) override;

  [[nodiscard]] Result<> Save(const std::filesystem::path& path, const std::string& note) override;
  [[nodiscard]] Result<RestoredSession> Restore(const std::filesystem::path& path) override;

 private:
  // Reads as many blocks as are sound and fit; the problem is what ended that.
  [[nodiscard]] Result<> RestoreBlocks(const kv::SessionFile& file);
  // Of recurrent layers, with its last tokens at the end of a block; empty where there is none.
  struct SavedState {
    uint32_t n_tokens = 0;
    memory::Buffer bytes;
  };
  [[nodiscard]] Result<SavedState> LastState();
  [[nodiscard]] Result<> RestoreState(const kv::SessionFile& file);
  [[nodiscard]] uint64_t StateBytes() const {
    return kv_.layout().n_state_blocks() * kv_.layout().block_bytes();
  }
  // Calls f(block, its bytes in the file) for each block of a state.
  template <class F>
  void ForEachBlockOf(const kv::StateBlocks& state, memory::Buffer& bytes, const F& f) const;
  // Known since the first call.
  [[nodiscard]] Result<io::Digest128> Identity();

  [[nodiscard]] Result<> CheckTokens(std::span<const TokenId> tokens, size_t n_total) const;
  // Of so many further tokens, those that the next pass may compute.
  [[nodiscard]] uint32_t PassTokens(size_t n) const {
    const auto chunk = static_cast<uint32_t>(std::min<size_t>(n, state_.model->max_chunk()));
    return kv_.PassTokens(kv_.n_tokens(), std::min(chunk, kv_.AppendRoom()));
  }
  // The first tokens of `prompt` whose keys and values are there, at least one fewer than it has.
  [[nodiscard]] uint32_t Reusable(std::span<const TokenId> prompt) const;
  // Where what stays is decided by a prompt's episode: forgets what was decided by another.
  void LookWith(std::span<const TokenId> prompt);
  // Where layers are recurrent, has the state kept from which a next prompt that begins as this one
  // can go on.
  void MarkEndOf(std::span<const TokenId> prompt);
  // Of an empty sequence: what stays of it, by its first prompt; empty: of a text that is none.
  [[nodiscard]] Result<> Limit(std::span<const TokenId> prompt);
  // Both, of an empty sequence; nothing of another.
  [[nodiscard]] Result<> LimitFor(std::span<const TokenId> prompt) {
    if (tokens_.empty()) {
      LookWith(prompt);
    }
    return Limit(prompt);
  }
  // One forward pass over at most a chunk. When it fails the sequence is as before, or, where
  // blocks went to make room for it, as short as Keepable says.
  [[nodiscard]] Result<> Step(std::span<const TokenId> tokens, std::span<const uint32_t> wanted,
                              const model::LogitsFn& on_logits);
  // The same, leaving the last token's logits in logits_.
  [[nodiscard]] Result<> StepWithLogits(std::span<const TokenId> tokens);
  // In chunks, between which `go_on` is asked; false when it says no.
  [[nodiscard]] Result<bool> Prefill(std::span<const TokenId> prompt,
                                     const std::function<bool()>& go_on);
  [[nodiscard]] Result<FinishReason> Decode(const GenerateOptions& options, Continuation& answer,
                                            const TextFn& on_text, sampling::TokenFilter* filter,
                                            GenerateStats& stats, Clock::time_point start);

  // The next token, and `filter` (null: none) told of it.
  [[nodiscard]] Result<TokenId> Draw(sampling::Sampler& sampler,
                                     const sampling::SamplerParams& params,
                                     sampling::TokenFilter* filter);

  EngineState& state_;
  kv::KvSequence kv_;
  std::vector<TokenId> tokens_;
  size_t n_first_prompt_ = 0;   // tokens of the prompt that stays, where one does
  std::vector<TokenId> patch_;  // by which it is decided what stays, where one does
  std::vector<model::ChunkToken> chunk_;
  std::vector<float> logits_;
  std::vector<float> raw_;  // the same of one draw with a filter
  std::optional<io::Digest128> identity_;
};

Result<> EngineSession::CheckTokens(std::span<const TokenId> tokens, size_t n_total) const {
  if (n_total > n_ctx()) {
    return Fail(
        ErrorKind::kUsage,
        "{} tokens do not fit the context of {}\nlengthen it with -c {}, or shorten the text",
        n_total, n_ctx(), n_total);
  }
  const auto vocab_size = static_cast<TokenId>(state_.model->hyper_params().vocab_size);
  for (const TokenId token : tokens) {
    if (token < 0 || token >= vocab_size) {
      return Fail(ErrorKind::kUsage, "{} is no token id: the vocabulary has ids 0 to {}", token,
                  vocab_size - 1);
    }
  }
  return {};
}

uint32_t EngineSession::Reusable(std::span<const TokenId> prompt) const {
  const auto [mine, theirs] = std::ranges::mismatch(tokens_, prompt);
  const auto common = static_cast<size_t>(theirs - prompt.begin());
  if (common < n_first_prompt_) {
    return 0;  // the reference is another one
  }
  return kv_.Keepable(static_cast<uint32_t>(std::min(common, prompt.size() - 1)));
}

void EngineSession::LookWith(std::span<const TokenId> prompt) {
  if (!state_.eviction || !state_.eviction->has_patch()) {
    return;
  }
  auto patch = kv::policy::PatchPrompt(prompt);
  if (patch != patch_ && kv_.n_dropped() > 0) {
    Truncate(0);
  }
  patch_ = std::move(patch);
}

void EngineSession::MarkEndOf(std::span<const TokenId> prompt) {
  kv::RecurrentStates* states = kv_.states();
  const uint32_t end = kv::LastMarkOf(static_cast<uint32_t>(prompt.size()));
  if (states == nullptr || end <= states->n_tokens()) {
    return;
  }
  states->UnmarkBefore(end);
  const bool has_room = states->Mark(end);
  Invariant(has_room, "a session's states are promised");
}

Result<> EngineSession::Limit(std::span<const TokenId> prompt) {
  if (!state_.eviction || !tokens_.empty()) {
    return {};
  }
  const auto eviction = kv::policy::ForPrompt(*state_.eviction, prompt.size());
  if (!eviction) {
    return tl::unexpected(eviction.error().ForCommandLine());
  }
  kv_.LimitTo(*eviction, state_.ScorerFor(*eviction));
  n_first_prompt_ = eviction->keeps_prompt() ? prompt.size() : 0;
  return {};
}

Result<> EngineSession::Step(std::span<const TokenId> tokens, std::span<const uint32_t> wanted,
                             const model::LogitsFn& on_logits) {
  const auto first = static_cast<uint32_t>(tokens_.size());
  if (auto looked = LookIfWanted(*state_.model, kv_, patch_, static_cast<uint32_t>(tokens.size()));
      !looked) {
    return Forward(looked);
  }
  const auto outcome = kv_.Append(static_cast<uint32_t>(tokens.size()), first);
  Invariant(outcome == kv::AppendOutcome::kAppended, "a session's whole context is promised");
  chunk_.clear();
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    chunk_.push_back({.token = tokens[i],
                      .position = kv_.PositionOf(first + i),
                      .slot = kv_.SlotOf(first + i),
                      .sequence = &kv_});
  }
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  auto passed = state_.model->Forward({.tokens = chunk_, .wanted_logits = wanted}, on_logits);
  if (!passed) {
    Truncate(first);
  }
  return passed;
}

Result<> EngineSession::StepWithLogits(std::span<const TokenId> tokens) {
  const auto last = static_cast<uint32_t>(tokens.size() - 1);
  return Step(tokens, {&last, 1}, [&](uint32_t /*token*/, std::span<float> logits) {
    std::ranges::copy(logits, logits_.begin());
  });
}

Result<bool> EngineSession::Prefill(std::span<const TokenId> prompt,
                                    const std::function<bool()>& go_on) {
  for (uint32_t n = PassTokens(prompt.size()); n < prompt.size(); n = PassTokens(prompt.size())) {
    if (auto stepped = Step(prompt.first(n), {}, {}); !stepped) {
      return Forward(stepped);
    }
    prompt = prompt.subspan(n);
    if (!go_on()) {
      return false;
    }
  }
  if (auto stepped = StepWithLogits(prompt); !stepped) {
    return Forward(stepped);
  }
  return true;
}

Result<GenerateStats> EngineSession::Generate(std::span<const TokenId> prompt,
                                              const GenerateOptions& options, const TextFn& on_text,
                                              sampling::TokenFilter* filter) {
  if (auto valid = options.sampling.Validate(); !valid) {
    return Forward(valid);
  }
  if (prompt.empty()) {
    return Fail(ErrorKind::kUsage, "the prompt has no tokens");
  }
  if (auto checked = CheckTokens(prompt, prompt.size()); !checked) {
    return Forward(checked);
  }
  GenerateStats stats;
  stats.n_prompt = static_cast<uint32_t>(prompt.size());
  LookWith(prompt);
  stats.n_prompt_reused = Reusable(prompt);
  Truncate(stats.n_prompt_reused);
  if (auto limited = Limit(prompt); !limited) {
    return Forward(limited);
  }
  MarkEndOf(prompt);

  Continuation answer(*state_.tokenizer, prompt.back(), options);
  const auto start = Clock::now();
  // Without text, so that the reader can interrupt.
  auto prefilled = Prefill(prompt.subspan(stats.n_prompt_reused), [&] { return on_text(""); });
  if (!prefilled) {
    return Forward(prefilled);
  }
  stats.prefill_seconds = SecondsSince(start);
  stats.reason = FinishReason::kInterrupted;
  if (*prefilled) {
    auto reason = Decode(options, answer, on_text, filter, stats, start);
    if (!reason) {
      return Forward(reason);
    }
    stats.reason = *reason;
  }
  if (stats.n_generated > 1) {
    stats.decode_seconds = SecondsSince(start) - stats.first_token_seconds;
  }
  return stats;
}

Result<TokenId> EngineSession::Draw(sampling::Sampler& sampler,
                                    const sampling::SamplerParams& params,
                                    sampling::TokenFilter* filter) {
  // Rows that pad the output matrix stand for no token.
  const auto logits = std::span(logits_).first(std::min(logits_.size(), state_.tokenizer->size()));
  if (filter == nullptr) {
    return sampler.Sample(params, logits, tokens_, tokens_.size());
  }
  raw_.assign(logits.begin(), logits.end());
  auto token = sampling::DrawAllowed(sampler, params, *filter, raw_, logits, tokens_);
  if (token) {
    filter->Accept(*token);
  }
  return token;
}

Result<FinishReason> EngineSession::Decode(const GenerateOptions& options, Continuation& answer,
                                           const TextFn& on_text, sampling::TokenFilter* filter,
                                           GenerateStats& stats, Clock::time_point start) {
  sampling::Sampler sampler(state_.tokenizer->size());
  while (true) {
    auto drawn = Draw(sampler, options.sampling, filter);
    if (!drawn) {
      return Forward(drawn);
    }
    const TokenId token = *drawn;
    const Continuation::Step step =
        answer.Add(token, tokens_.size() < n_ctx(), filter != nullptr && filter->IsOver());
    if (++stats.n_generated == 1) {
      stats.first_token_seconds = SecondsSince(start);
    }
    if (!(step.end && step.text.empty()) && !on_text(step.text)) {
      return FinishReason::kInterrupted;
    }
    if (step.end) {
      return *step.end;
    }
    if (auto stepped = StepWithLogits({&token, 1}); !stepped) {
      return Forward(stepped);
    }
  }
}

Result<io::Digest128> EngineSession::Identity() {
  if (!identity_) {
    auto identity = ModelIdentity(state_.catalogue, state_.model->TurnsByLongFactors());
    if (!identity) {
      return identity;
    }
    identity_ = *identity;
  }
  return *identity_;
}

// Up to kBlockTokens - 1 tokens behind the last whole block are saved without keys and values:
// computing them again is less than the prompt that follows.
Result<> EngineSession::Save(const std::filesystem::path& path, const std::string& note) {
  const auto identity = Identity();
  if (!identity) {
    return tl::unexpected(identity.error());
  }
  auto state = LastState();
  if (!state) {
    return Forward(state);
  }
  const size_t n_blocks =
      (kv_.states() == nullptr ? tokens_.size() : state->n_tokens) / kv::kBlockTokens;
  const uint64_t state_bytes = state->n_tokens == 0 ? 0 : StateBytes();
  const auto positions = kv_.positions().first(n_blocks * kv::kBlockTokens);
  return kv::SaveSequence(path,
                          {.model = *identity,
                           .layout = kv::LayoutDigest(kv_.layout()),
                           .tokens = tokens_,
                           .positions = {positions.begin(), positions.end()},
                           .block_bytes = kv_.layout().block_bytes(),
                           .state_bytes = state_bytes,
                           .note = note},
                          kv_.block_table().first(n_blocks),
                          state->bytes.span().first(state_bytes));
}

Result<EngineSession::SavedState> EngineSession::LastState() {
  const auto last =
      kv_.states() == nullptr ? kv::RecurrentStates::MarkedState() : kv_.states()->LastWhole();
  if (last.state == nullptr) {
    return SavedState();
  }
  auto bytes = memory::Buffer::Allocate(*state_.ledger, memory::Account::kIo, StateBytes(),
                                        "a state that is written");
  if (!bytes) {
    return Forward(bytes);
  }
  ForEachBlockOf(*last.state, *bytes, [](std::byte* block, std::span<std::byte> in_file) {
    std::memcpy(in_file.data(), block, in_file.size());
  });
  return SavedState{.n_tokens = last.n_tokens, .bytes = std::move(*bytes)};
}

template <class F>
void EngineSession::ForEachBlockOf(const kv::StateBlocks& state, memory::Buffer& bytes,
                                   const F& f) const {
  const uint64_t block_bytes = kv_.layout().block_bytes();
  uint64_t at = 0;
  for (const BlockId block : state.blocks()) {
    f(state_.kv_pool->Data(block), bytes.span().subspan(at, block_bytes));
    at += block_bytes;
  }
}

Result<RestoredSession> EngineSession::Restore(const std::filesystem::path& path) {
  auto file = kv::SessionFile::Open(path);
  if (!file) {
    return Forward(file);
  }
  const auto identity = Identity();
  if (!identity) {
    return tl::unexpected(identity.error());
  }
  Truncate(0);
  const kv::SavedSequence& saved = file->sequence();
  RestoredSession restored{.note = saved.note};
  if (saved.model != *identity) {
    restored.problem = "it was made with another model";
    return restored;
  }
  if (auto checked = CheckTokens(saved.tokens, 0); !checked) {
    return Fail(ErrorKind::kBadModel, "{}: {}", path.string(), checked.error().message);
  }
  restored.tokens = saved.tokens;
  if (saved.layout != kv::LayoutDigest(kv_.layout()) ||
      saved.block_bytes != kv_.layout().block_bytes()) {
    restored.problem = "its keys and values are of another type or arrangement";
  } else if (auto read = RestoreBlocks(*file); !read) {
    restored.problem = read.error().message;
  }
  if (kv_.states() != nullptr && restored.problem.empty()) {
    if (auto read = RestoreState(*file); !read) {
      restored.problem = read.error().message;
    }
  }
  if (kv_.states() != nullptr && !restored.problem.empty()) {
    Truncate(0);
  }
  restored.n_restored = static_cast<uint32_t>(tokens_.size());
  return restored;
}

Result<> EngineSession::RestoreBlocks(const kv::SessionFile& file) {
  const kv::SavedSequence& saved = file.sequence();
  auto frame = memory::Buffer::Allocate(*state_.ledger, memory::Account::kIo, file.block_stride(),
                                        "a block that is read");
  if (!frame) {
    return Forward(frame);
  }
  const uint64_t n_whole = std::min<uint64_t>(saved.positions.size(), n_ctx()) / kv::kBlockTokens;
  for (uint64_t i = 0; i < n_whole; ++i) {
    const auto first = static_cast<uint32_t>(i * kv::kBlockTokens);
    for (uint32_t slot = first; slot < first + kv::kBlockTokens; ++slot) {
      if (saved.positions[slot] != slot) {
        return Fail(ErrorKind::kBadModel, "slot {} is of position {}", slot, saved.positions[slot]);
      }
    }
    if (auto read = file.ReadBlock(i, frame->span()); !read) {
      return read;
    }
    const auto outcome = kv_.Append(kv::kBlockTokens, first);
    Invariant(outcome == kv::AppendOutcome::kAppended, "a session's whole context is promised");
    std::memcpy(kv_.MutableBlock(first), frame->data(), saved.block_bytes);
    const auto tokens = std::span(saved.tokens).subspan(first, kv::kBlockTokens);
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }
  return {};
}

// Of all the blocks, which are restored.
Result<> EngineSession::RestoreState(const kv::SessionFile& file) {
  const kv::SavedSequence& saved = file.sequence();
  const auto n = static_cast<uint32_t>(tokens_.size());
  if (saved.positions.size() != n || saved.state_bytes != (n == 0 ? 0 : StateBytes())) {
    return Fail(ErrorKind::kBadModel, "it has no state of the {} tokens that are restored", n);
  }
  if (n == 0) {
    return {};
  }
  auto bytes = memory::Buffer::Allocate(*state_.ledger, memory::Account::kIo, file.state_stride(),
                                        "a state that is read");
  if (!bytes) {
    return Forward(bytes);
  }
  if (auto read = file.ReadState(bytes->span()); !read) {
    return read;
  }
  const auto state = kv::StateBlocks::Allocate(*state_.kv_pool);
  Invariant(state != nullptr, "a session's states are promised");
  ForEachBlockOf(*state, *bytes, [](std::byte* block, std::span<std::byte> in_file) {
    std::memcpy(block, in_file.data(), in_file.size());
  });
  kv_.states()->StartFromMark(n, state);
  return {};
}

}  // namespace

Result<std::unique_ptr<Session>> MakeSession(EngineState& state) {
  const uint64_t n_blocks = state.BlocksOfSequence();
  if (auto promised = state.kv_pool->Promise(n_blocks); !promised) {
    return Forward(promised);
  }
  return std::make_unique<EngineSession>(state);
}

}  // namespace plimsoll::engine
