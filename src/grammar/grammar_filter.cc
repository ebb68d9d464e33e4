#include "grammar/grammar_filter.h"

#include <algorithm>
#include <utility>

namespace plimsoll::grammar {
namespace {

constexpr uint64_t kMaxMatcherBytes = 1 << 20;

}  // namespace

GrammarFilter::GrammarFilter(std::shared_ptr<const Automaton> automaton,
                             std::shared_ptr<TokenMasks> masks, std::string_view said,
                             bool at_start)
    : masks_(std::move(masks)),
      matcher_(std::move(automaton)),
      state_(matcher_.Step(matcher_.start(), said)),
      at_start_(at_start && masks_->vocabulary().drops_first_space()) {}

// kDead for a token that cannot follow, and for all that are no text.
Matcher::StateId GrammarFilter::After(TokenId token) {
  std::string_view bytes = masks_->vocabulary().Bytes(token);
  if (at_start_ && bytes.starts_with(' ')) {
    bytes.remove_prefix(1);
  }
  return bytes.empty() ? Matcher::kDead : matcher_.Step(state_, bytes);
}

bool GrammarFilter::Allows(TokenId token) {
  return masks_->vocabulary().IsEnd(token) ? matcher_.IsWhole(state_)
                                           : After(token) != Matcher::kDead;
}

Result<std::span<const uint64_t>> GrammarFilter::Mask() {
  mask_ = masks_->Find(matcher_, state_, at_start_);
  if (mask_ == nullptr) {
    return Fail(ErrorKind::kUsage,
                "the grammar is too ambiguous at this place of the answer: finding what can follow "
                "takes too much work");
  }
  if (std::ranges::all_of(*mask_, [](uint64_t word) { return word == 0; })) {
    return Fail(ErrorKind::kUsage,
                "none of the model's tokens can follow at this place of the answer by the grammar");
  }
  return std::span<const uint64_t>(*mask_);
}

void GrammarFilter::Accept(TokenId token) {
  if (masks_->vocabulary().IsEnd(token)) {
    return;
  }
  state_ = After(token);
  at_start_ = false;
  if (matcher_.Bytes() > kMaxMatcherBytes) {
    state_ = matcher_.Compact(state_);
  }
}

}  // namespace plimsoll::grammar
