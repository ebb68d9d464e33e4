#include "engine/batch/finished.h"

#include <algorithm>
#include <utility>

#include "engine/batch/sequence.h"

namespace plimsoll::engine::batch {
namespace {

// More are not worth the search through them.
constexpr size_t kMaxFinished = 256;

}  // namespace

uint32_t CommonPrefix(std::span<const TokenId> a, std::span<const TokenId> b) {
  return static_cast<uint32_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

void FinishedSequences::Add(std::vector<TokenId> tokens, std::unique_ptr<kv::KvSequence> kv) {
  std::erase_if(list_, [&](const Entry& entry) {
    return CommonPrefix(entry.tokens, tokens) == entry.tokens.size();
  });
  list_.push_back({std::move(tokens), std::move(kv)});
  if (list_.size() > kMaxFinished) {
    DropOldest();
  }
}

FinishedSequences::Match FinishedSequences::Find(std::span<const TokenId> tokens) {
  auto best = list_.end();
  uint32_t n_best = 0;
  for (auto it = list_.begin(); it != list_.end(); ++it) {
    const uint32_t n = CommonPrefix(it->tokens, tokens);
    if (n > n_best) {
      best = it;
      n_best = n;
    }
  }
  if (best == list_.end()) {
    return {};
  }
  list_.splice(list_.end(), list_, best);
  return {.kv = list_.back().kv.get(), .n_tokens = n_best};
}

bool FinishedSequences::DropOldest() {
  if (list_.empty()) {
    return false;
  }
  list_.pop_front();
  return true;
}

}  // namespace plimsoll::engine::batch
