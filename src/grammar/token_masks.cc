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
  return 2 * key.capacity() * sizeof(uint32_t) + entry.exits.capacity() * sizeof(uint32_t) +
         (entry.mask ? entry.mask->capacity() * sizeof(uint64_t) : 0) + kOverhead;
}

// The newest stays, however large: it is in use.
const TokenMasks::Entry& TokenMasks::Insert(Key key, Entry entry) {
  totals_.bytes += BytesOf(key, entry);
  line_.emplace_front(key, std::move(entry));
  index_.emplace(std::move(key), line_.begin());
  while (totals_.bytes > max_bytes_ && line_.size() > 1) {
    const auto& [oldest, dropped] = line_.back();
    totals_.bytes -= BytesOf(oldest, dropped);
    index_.erase(oldest);
    line_.pop_back();
  }
  return line_.front().second;
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
  Insert(std::move(key), {.mask = mask, .exits = {}, .automaton = matcher.automaton()});
  return mask;
}

std::shared_ptr<const TokenMask> TokenMasks::Compute(Matcher& matcher, Matcher::StateId state,
                                                     bool at_start) {
  for (std::optional<Matcher>* part : {&upper_, &lower_}) {
    if (!*part) {
      part->emplace(matcher.automaton());
    }
  }
  const Matcher::Halves halves = matcher.Split(state, *upper_);
  Key key = KeyOf(*upper_, halves.upper, true, at_start);
  const Entry* upper = Look(key);
  if (upper == nullptr) {
    ++totals_.n_upper_computed;
    Entry computed = ComputeUpper(at_start);
    computed.automaton = matcher.automaton();
    upper = &Insert(std::move(key), std::move(computed));
  }
  if (upper->mask == nullptr) {
    return nullptr;
  }
  auto mask = std::make_shared<TokenMask>(*upper->mask);
  if (halves.lower != Matcher::kDead && !upper->exits.empty()) {
    lower_->Restart(matcher, halves.lower);
    const uint64_t max_visits = lower_->n_visits() + kMaxVisits;
    for (const uint32_t node : upper->exits) {
      const VocabularyTrie::Node& at = vocabulary_->nodes()[node];
      if (!Walk(*lower_, lower_->start(), node + 1, at.end, at.depth, max_visits, *mask, nullptr)) {
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

// Of the state that upper_ starts with.
TokenMasks::Entry TokenMasks::ComputeUpper(bool at_start) {
  Entry entry;
  TokenMask mask((vocabulary_->n_tokens() + 63) / 64, 0);
  const uint64_t max_visits = upper_->n_visits() + kMaxVisits;
  const uint32_t n = vocabulary_->n_nodes();
  const auto walk = [&](uint32_t begin, uint32_t end, uint16_t depth) {
    return Walk(*upper_, upper_->start(), begin, end, depth, max_visits, mask, &entry.exits);
  };
  // At the start the first space is left out: what is behind it starts there too.
  uint32_t space = n;
  if (at_start) {
    for (uint32_t i = 0; i < n; i = vocabulary_->nodes()[i].end) {
      if (vocabulary_->nodes()[i].byte == ' ') {
        space = i;
      }
    }
  }
  bool done = walk(0, space, 0);
  if (space < n) {
    const uint32_t end = vocabulary_->nodes()[space].end;
    done = done && walk(space + 1, end, 1) && walk(end, n, 0);
  }
  if (done) {
    entry.mask = std::make_shared<const TokenMask>(std::move(mask));
  } else {
    entry.exits.clear();
  }
  return entry;
}

bool TokenMasks::Walk(Matcher& matcher, Matcher::StateId from, uint32_t begin, uint32_t end,
                      uint16_t depth, uint64_t max_visits, TokenMask& mask,
                      std::vector<uint32_t>* exits) {
  const auto nodes = vocabulary_->nodes();
  const auto tokens = vocabulary_->tokens();
  path_[depth] = from;
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
      mask[token / 64] |= uint64_t{1} << (token % 64);
    }
    if (exits != nullptr && matcher.IsWhole(state) && node.end > i + 1) {
      exits->push_back(i);
    }
    if (matcher.n_visits() > max_visits) {
      return false;
    }
    ++i;
  }
  return true;
}

TokenMasks::Totals TokenMasks::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

}  // namespace plimsoll::grammar
