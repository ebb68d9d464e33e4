#include "grammar/token_masks.h"

#include <algorithm>
#include <utility>

namespace plimsoll::grammar {

TokenMasks::TokenMasks(std::shared_ptr<const VocabularyTrie> vocabulary, uint64_t max_bytes)
    : vocabulary_(std::move(vocabulary)), max_bytes_(max_bytes) {
  path_.resize(size_t{vocabulary_->longest()} + 1);
}

size_t TokenMasks::KeyHash::operator()(const Key& key) const {
  uint64_t hash = key.size();
  for (const uint32_t word : key) {  // FNV-1a's multiplier, a word at a time, with a shift
    hash = (hash ^ word) * 0x100000001B3ULL;
    hash ^= hash >> 29;
  }
  return hash;
}

TokenMasks::Key TokenMasks::KeyOf(const Matcher& matcher, Matcher::StateId state, bool is_upper,
                                  bool at_start) const {
  const auto address = reinterpret_cast<uintptr_t>(matcher.automaton().get());
  Key key = {static_cast<uint32_t>(address), static_cast<uint32_t>(uint64_t{address} >> 32),
             (is_upper ? 1U : 0U) | (at_start ? 2U : 0U)};
  matcher.AppendSignature(state, vocabulary_->longest(), key);
  return key;
}

const TokenMasks::Entry* TokenMasks::Look(const Key& key) {
  const auto at = index_.find(key);
  if (at == index_.end()) {
    return nullptr;
  }
  line_.splice(line_.begin(), line_, at->second);
  return &at->second->second;
}

uint64_t TokenMasks::BytesOf(const Key& key, const Entry& entry) {
  constexpr uint64_t kOverhead = 256;  // of the list, the table and the counts
  return 2 * key.size() * sizeof(uint32_t) +
         (entry.exits ? entry.exits->capacity() * sizeof(uint32_t) : 0) +
         (entry.mask ? entry.mask->capacity() * sizeof(uint64_t) : 0) + kOverhead;
}

void TokenMasks::Keep(Key key, Entry entry) {
  key.shrink_to_fit();
  const uint64_t bytes = BytesOf(key, entry);
  if (bytes > max_bytes_) {
    return;
  }
  while (totals_.bytes + bytes > max_bytes_) {
    const auto& [oldest, dropped] = line_.back();
    totals_.bytes -= BytesOf(oldest, dropped);
    index_.erase(oldest);
    line_.pop_back();
  }
  totals_.bytes += bytes;
  line_.emplace_front(key, std::move(entry));
  index_.emplace(std::move(key), line_.begin());
}

std::shared_ptr<const TokenMask> TokenMasks::Find(Matcher& matcher, Matcher::StateId state,
                                                  bool at_start) {
  const std::lock_guard lock(mutex_);
  at_start = at_start && vocabulary_->drops_first_space();
  Key key = KeyOf(matcher, state, false, at_start);
  if (const Entry* known = Look(key)) {
    ++totals_.n_found;
    return known->mask;
  }
  ++totals_.n_computed;
  std::shared_ptr<const TokenMask> mask = Compute(matcher, state, at_start);
  Keep(std::move(key), {.mask = mask, .exits = nullptr, .automaton = matcher.automaton()});
  return mask;
}

std::shared_ptr<const TokenMask> TokenMasks::Compute(Matcher& matcher, Matcher::StateId state,
                                                     bool at_start) {
  Matcher::StateId below = Matcher::kDead;
  const Entry upper = UpperOf(matcher, state, at_start, below);
  if (upper.mask == nullptr) {
    return nullptr;
  }
  auto mask = std::make_shared<TokenMask>(*upper.mask);
  if (below != Matcher::kDead && !upper.exits->empty()) {
    Matcher lower = Matcher::Empty(matcher.automaton());
    lower.Restart(matcher, below);
    Walk walk = {.matcher = lower, .mask = *mask, .n_visits = lower.n_visits()};
    for (const uint32_t node : *upper.exits) {
      const VocabularyTrie::Node& at = vocabulary_->nodes()[node];
      if (!Go(walk, node + 1, at.end, at.depth)) {
        return nullptr;
      }
    }
  }
  if (matcher.IsWhole(state)) {
    for (const TokenId token : vocabulary_->end_tokens()) {
      (*mask)[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64);
    }
  }
  return mask;
}

TokenMasks::Entry TokenMasks::UpperOf(Matcher& matcher, Matcher::StateId state, bool at_start,
                                      Matcher::StateId& lower) {
  Matcher upper = Matcher::Empty(matcher.automaton());
  const Matcher::Halves halves = matcher.Split(state, upper);
  lower = halves.lower;
  Key key = KeyOf(upper, halves.upper, true, at_start);
  if (const Entry* known = Look(key)) {
    return *known;
  }
  ++totals_.n_upper_computed;
  Entry computed = ComputeUpper(upper, at_start);
  Keep(std::move(key), computed);
  return computed;
}

// Of the state that `upper` starts with.
TokenMasks::Entry TokenMasks::ComputeUpper(Matcher& upper, bool at_start) {
  TokenMask mask((vocabulary_->n_tokens() + 63) / 64, 0);
  Exits exits;
  Walk walk = {.matcher = upper, .mask = mask, .exits = &exits, .n_visits = upper.n_visits()};
  const uint32_t n = vocabulary_->n_nodes();
  // At the start the first space is left out: what is behind it starts there too.
  uint32_t space = n;
  if (at_start) {
    for (uint32_t i = 0; i < n; i = vocabulary_->nodes()[i].end) {
      if (vocabulary_->nodes()[i].byte == ' ') {
        space = i;
      }
    }
  }
  bool done = Go(walk, 0, space, 0);
  if (space < n) {
    const uint32_t end = vocabulary_->nodes()[space].end;
    done = done && Go(walk, space + 1, end, 1) && Go(walk, end, n, 0);
  }
  Entry entry = {.mask = nullptr, .exits = nullptr, .automaton = upper.automaton()};
  if (done) {
    exits.shrink_to_fit();
    entry.mask = std::make_shared<const TokenMask>(std::move(mask));
    entry.exits = std::make_shared<const Exits>(std::move(exits));
  }
  return entry;
}

bool TokenMasks::Go(Walk& walk, uint32_t begin, uint32_t end, uint16_t depth) {
  const auto nodes = vocabulary_->nodes();
  const auto tokens = vocabulary_->tokens();
  Matcher& matcher = walk.matcher;
  path_[depth] = matcher.start();
  for (uint32_t i = begin; i < end;) {
    const VocabularyTrie::Node& node = nodes[i];
    const Matcher::StateId state = matcher.Step(path_[node.depth - 1], node.byte);
    if (state == Matcher::kDead) {
      i = node.end;
      continue;
    }
    path_[node.depth] = state;
    for (uint32_t k = node.first_token; k < nodes[i + 1].first_token; ++k) {
      const auto token = static_cast<size_t>(tokens[k]);
      walk.mask[token / 64] |= uint64_t{1} << (token % 64);
    }
    if (walk.exits != nullptr && matcher.IsWhole(state) && node.end > i + 1) {
      walk.exits->push_back(i);
    }
    if (matcher.UsedBytes() > kMaxWalkBytes && !Renew(walk, depth, node)) {
      return false;
    }
    if (matcher.n_visits() - walk.n_visits + walk.n_more_visits > kMaxVisits) {
      return false;
    }
    ++i;
  }
  return true;
}

bool TokenMasks::Renew(Walk& walk, uint16_t depth, const VocabularyTrie::Node& node) {
  walk.n_more_visits += kVisitsToRenew;
  path_[depth] = walk.matcher.Compact(path_[depth]);
  const std::string_view text = vocabulary_->Bytes(vocabulary_->tokens()[node.first_token]);
  for (uint16_t i = depth; i < node.depth; ++i) {
    path_[i + 1U] = walk.matcher.Step(path_[i], static_cast<uint8_t>(text[i]));
  }
  return walk.matcher.UsedBytes() <= kMaxWalkBytes;
}

TokenMasks::Totals TokenMasks::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

}  // namespace plimsoll::grammar
