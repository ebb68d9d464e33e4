// The step of a batcher: one forward pass, and what is drawn from it.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/invariant.h"
#include "engine/batch/batcher.h"
#include "sampling/draw_allowed.h"
#include "sampling/logprobs.h"

namespace plimsoll::engine::batch {
namespace {

std::vector<TokenLogprob> LikeliestTokens(std::span<const float> logits, uint32_t n) {
  std::vector<TokenLogprob> top;
  for (const auto& [token, logprob] : sampling::TopLogprobs(logits, n)) {
    top.push_back({token, static_cast<float>(logprob)});
  }
  return top;
}

}  // namespace

// A pass that fails is run again piece by piece: what one sequence needs and cannot be read is no
// reason to end the others.
void Batcher::RunPlan() {
  const auto start = Clock::now();
  const bool has_prompt =
      std::ranges::any_of(plan_, [](const Piece& piece) { return piece.n > 1; });
  std::vector<Piece> pieces = std::exchange(plan_, {});
  const auto n_pieces = static_cast<uint32_t>(pieces.size());
  uint32_t n_tokens = 0;
  for (const Piece& piece : pieces) {
    n_tokens += piece.n;
  }
  if (groups_ != nullptr) {
    groups_->BeginStep();
  }
  auto passed = Pass(pieces);
  if (passed) {
    Commit(pieces);
  } else if (pieces.size() == 1) {
    FailSequence(*pieces[0].sequence, passed.error());
  } else {
    for (Piece& piece : pieces) {
      if (auto alone = Pass({&piece, 1}); alone) {
        Commit(piece);
      } else {
        FailSequence(*piece.sequence, alone.error());
      }
    }
  }
  pieces.clear();
  plan_ = std::move(pieces);  // its memory is used again
  ++totals_.n_steps;
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  (has_prompt ? totals_.prefill_seconds : totals_.decode_seconds) += seconds;
  if (passed && n_tokens > n_pieces) {
    const double each = seconds / n_tokens;
    double& known = seconds_per_prompt_token_;
    known = known == 0 ? each : known + (each - known) / 8;
  }
  if (groups_ != nullptr && passed && !has_prompt) {
    groups_->EndStep(n_pieces, seconds);
  }
}

Result<> Batcher::Pass(std::span<Piece> pieces) {
  chunk_.clear();
  wanted_.clear();
  std::vector<Piece*> drawing;
  for (Piece& piece : pieces) {
    Sequence& sequence = *piece.sequence;
    for (uint32_t i = sequence.n_computed; i < sequence.n_computed + piece.n; ++i) {
      chunk_.push_back({.token = sequence.tokens[i],
                        .position = sequence.kv->PositionOf(i),
                        .slot = sequence.kv->SlotOf(i),
                        .sequence = sequence.kv.get()});
    }
    if (groups_ != nullptr) {
      groups_->AddToPass(sequence, piece.n);
    }
    if (piece.wants_logits) {
      wanted_.push_back(static_cast<uint32_t>(chunk_.size()) - 1);
      drawing.push_back(&piece);
    }
  }
  size_t n_drawn = 0;
  auto passed = state_.model->Forward(
      {.tokens = chunk_, .wanted_logits = wanted_},
      [&](uint32_t /*token*/, std::span<float> logits) { Draw(*drawing[n_drawn++], logits); });
  if (groups_ != nullptr) {
    groups_->EndPass();
  }
  return passed;
}

void Batcher::Draw(Piece& piece, std::span<float> logits) {
  const Sequence& sequence = *piece.sequence;
  // Rows that pad the output matrix stand for no token.
  logits = logits.first(std::min<size_t>(logits.size(), state_.tokenizer->size()));
  const auto& n_top = sequence.request.n_top_logprobs;
  const bool is_filtered = sequence.request.filter != nullptr;
  if (n_top || is_filtered) {
    raw_.assign(logits.begin(), logits.end());
  }
  if (n_top) {
    piece.drawn.top = LikeliestTokens(raw_, *n_top);
  }
  piece.error.reset();
  if (!is_filtered) {
    piece.drawn.token = sampler_.Sample(sequence.request.options.sampling, logits, sequence.tokens,
                                        sequence.tokens.size());
  } else if (auto drawn =
                 sampling::DrawAllowed(sampler_, sequence.request.options.sampling,
                                       *sequence.request.filter, raw_, logits, sequence.tokens);
             drawn) {
    piece.drawn.token = *drawn;
  } else {
    piece.error = std::move(drawn).error();
    return;
  }
  if (n_top) {
    const double logit = raw_[static_cast<size_t>(piece.drawn.token)];
    piece.drawn.logprob = static_cast<float>(logit - sampling::LogSumExp(raw_));
  }
}

void Batcher::Commit(std::span<Piece> pieces) {
  for (Piece& piece : pieces) {
    Commit(piece);
  }
}

void Batcher::Commit(Piece& piece) {
  Sequence& sequence = *piece.sequence;
  sequence.n_computed += piece.n;
  totals_.computed_tokens += piece.n;
  if (Shares(sequence)) {
    tree_->Advance(sequence.prefix, std::span(sequence.tokens).first(sequence.n_computed),
                   *sequence.kv, now_us_);
    AttachStates(sequence);
  }
  if (!sequence.first_token) {
    sequence.sink->OnPrompt(std::min(sequence.n_computed, sequence.n_prompt()),
                            sequence.n_prompt());
  }
  if (!piece.wants_logits) {
    return;
  }
  if (!sequence.first_token) {
    sequence.first_token = Clock::now();
  }
  if (piece.error) {
    FailSequence(sequence, *std::move(piece.error));
    return;
  }
  ++totals_.generated_tokens;
  sampling::TokenFilter* filter = sequence.request.filter.get();
  if (filter != nullptr) {
    filter->Accept(piece.drawn.token);
  }
  const Continuation::Step step = sequence.answer->Add(
      piece.drawn.token, sequence.tokens.size() < n_ctx(), filter != nullptr && filter->IsOver());
  sequence.sink->OnText(step.text, {&piece.drawn, 1});
  if (step.end) {
    Finish(sequence, *step.end);
  } else {
    sequence.tokens.push_back(piece.drawn.token);
  }
}

Result<std::vector<float>> Batcher::Embed(std::span<const TokenId> tokens) {
  const size_t dim = state_.model->hyper_params().hidden_dim;
  if (tokens.empty() || tokens.size() > n_ctx()) {
    return Fail(ErrorKind::kUsage, "a text of {} tokens cannot be embedded: the context holds {}",
                tokens.size(), n_ctx());
  }
  kv::KvSequence kv(*state_.kv_pool, n_ctx(), static_cast<uint32_t>(tokens.size()));
  while (!Provide(kv.BlocksToAppend(static_cast<uint32_t>(tokens.size())))) {
    if (running_.empty()) {
      return Fail(ErrorKind::kDoesNotFit, "the line has no room for a text of {} tokens",
                  tokens.size());
    }
    Preempt(*running_.back());
  }
  const auto outcome = kv.Append(static_cast<uint32_t>(tokens.size()), 0);
  Invariant(outcome == kv::AppendOutcome::kAppended, "the blocks of a text are provided first");
  std::vector<double> sum(dim, 0);
  std::vector<float> hidden;
  for (uint32_t first = 0; first < tokens.size();) {
    const auto chunk =
        static_cast<uint32_t>(std::min<size_t>(tokens.size() - first, state_.model->max_chunk()));
    const uint32_t n = kv.PassTokens(first, chunk);
    chunk_.clear();
    for (uint32_t i = first; i < first + n; ++i) {
      chunk_.push_back({.token = tokens[i], .position = i, .slot = i, .sequence = &kv});
    }
    hidden.resize(n * dim);
    if (auto passed = state_.model->Forward({.tokens = chunk_, .hidden_out = hidden}, {});
        !passed) {
      return plimsoll::Forward(passed);
    }
    for (uint32_t i = 0; i < n; ++i) {
      const auto row = std::span(hidden).subspan(i * dim, dim);
      state_.model->NormOutput(row);
      std::ranges::transform(sum, row, sum.begin(), std::plus<>());
    }
    first += n;
  }
  double squares = 0;
  for (const double x : sum) {
    squares += x * x;
  }
  const double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
  std::vector<float> embedding(dim);
  std::ranges::transform(sum, embedding.begin(),
                         [scale](double x) { return static_cast<float>(x * scale); });
  return embedding;
}

}  // namespace plimsoll::engine::batch
