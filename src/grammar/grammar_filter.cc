#include "grammar/grammar_filter.h"

#include <algorithm>
#include <utility>

namespace plimsoll::grammar {
namespace {

bool IsFull(const Matcher& matcher) { return matcher.UsedBytes() > sampling::kMostPlaceBytes; }

}  // namespace

GrammarFilter::GrammarFilter(std::shared_ptr<const Automaton> automaton,
                             std::shared_ptr<TokenMasks> masks, std::string_view said,
                             bool at_start)
    : automaton_(std::move(automaton)),
      masks_(std::move(masks)),
      said_(said),
      at_start_(at_start && masks_->vocabulary().drops_first_space()) {}

void GrammarFilter::Begin() {
  if (!matcher_) {
    matcher_.emplace(automaton_);
    state_ = matcher_->start();
    GoTo(Follow(said_));
  }
}

// kDead where nothing can follow, or where the place is too large.
GrammarFilter::Place GrammarFilter::Follow(std::string_view bytes) {
  Place place = {.beyond = std::nullopt, .state = state_};
  for (const char byte : bytes) {
    Matcher& matcher = place.beyond ? *place.beyond : *matcher_;
    place.state = matcher.Step(place.state, static_cast<uint8_t>(byte));
    if (place.state == Matcher::kDead || !IsFull(matcher)) {
      continue;
    }
    if (place.beyond) {
      place.state = place.beyond->Compact(place.state);
    } else {
      place.beyond = Matcher::Empty(automaton_);
      place.beyond->Restart(*matcher_, place.state);
      place.state = place.beyond->start();
    }
    if (IsFull(*place.beyond)) {
      is_too_large_ = true;
      place.state = Matcher::kDead;
    }
  }
  return place;
}

// kDead for a token that cannot follow, and for all that are no text.
GrammarFilter::Place GrammarFilter::After(TokenId token) {
  std::string_view bytes = masks_->vocabulary().Bytes(token);
  if (at_start_ && bytes.starts_with(' ')) {
    bytes.remove_prefix(1);
  }
  return bytes.empty() ? Place() : Follow(bytes);
}

void GrammarFilter::GoTo(Place place) {
  state_ = place.state;
  if (place.beyond) {
    matcher_ = *std::move(place.beyond);
  }
}

bool GrammarFilter::Allows(TokenId token) {
  Begin();
  if (masks_->vocabulary().IsEnd(token)) {
    return matcher_->IsWhole(state_);
  }
  const Place place = After(token);
  if (place.beyond) {
    state_ = matcher_->Compact(state_);
  }
  return place.state != Matcher::kDead;
}

Result<std::span<const uint64_t>> GrammarFilter::Mask() {
  Begin();
  mask_ = masks_->Find(*matcher_, state_, at_start_);
  if (mask_ == nullptr || is_too_large_) {
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
  Begin();
  if (masks_->vocabulary().IsEnd(token)) {
    return;
  }
  GoTo(After(token));
  at_start_ = false;
}

}  // namespace plimsoll::grammar
