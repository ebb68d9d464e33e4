#include "text/vocabulary_check.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

namespace plimsoll::text {
namespace {

constexpr size_t kMaxTokens = size_t{1} << 24;
// Bounds what a match of one token can cost; the longest of real vocabularies have some 500 bytes.
constexpr size_t kMaxTokenBytes = 4096;
// Numbers into the pool of spellings have 32 bits.
constexpr uint64_t kMaxTotalBytes = uint64_t{1} << 31;

Result<> CheckTokens(const VocabularySpec& spec) {
  if (spec.tokens.empty()) {
    return Fail(ErrorKind::kBadModel, "tokenizer: the vocabulary has no tokens");
  }
  if (spec.tokens.size() > kMaxTokens) {
    return Fail(ErrorKind::kBadModel, "tokenizer: {} tokens are more than the {} supported",
                spec.tokens.size(), kMaxTokens);
  }
  uint64_t total = 0;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    total += spec.tokens[id].size();
    if (spec.tokens[id].size() > kMaxTokenBytes) {
      return Fail(ErrorKind::kBadModel,
                  "tokenizer: token {} has {} bytes, more than the {} supported", id,
                  spec.tokens[id].size(), kMaxTokenBytes);
    }
  }
  if (total > kMaxTotalBytes) {
    return Fail(ErrorKind::kBadModel, "tokenizer: the tokens have {} bytes together, more than {}",
                total, kMaxTotalBytes);
  }
  return {};
}

Result<> CheckScores(const VocabularySpec& spec) {
  const bool needed = spec.model == TokenizerModel::kUnigram ||
                      (spec.model == TokenizerModel::kSentencePieceBpe && spec.merges.empty());
  if (spec.scores.size() != spec.tokens.size() && (needed || !spec.scores.empty())) {
    return Fail(ErrorKind::kBadModel, "tokenizer: {} scores for {} tokens", spec.scores.size(),
                spec.tokens.size());
  }
  const auto bad = std::find_if(spec.scores.begin(), spec.scores.end(),
                                [](float score) { return !std::isfinite(score); });
  if (bad != spec.scores.end()) {
    return Fail(ErrorKind::kBadModel, "tokenizer: the score of token {} is not a number",
                bad - spec.scores.begin());
  }
  return {};
}

Result<> CheckTypes(const VocabularySpec& spec) {
  if (!spec.types.empty() && spec.types.size() != spec.tokens.size()) {
    return Fail(ErrorKind::kBadModel, "tokenizer: {} token types for {} tokens", spec.types.size(),
                spec.tokens.size());
  }
  for (size_t id = 0; id < spec.types.size(); ++id) {
    if (spec.types[id] < TokenType::kNormal || spec.types[id] > TokenType::kByte) {
      return Fail(ErrorKind::kBadModel, "tokenizer: token {} has the unknown type {}", id,
                  static_cast<int>(spec.types[id]));
    }
  }
  return {};
}

Result<> CheckId(std::string_view name, TokenId id, size_t n_tokens) {
  if (id < 0 || static_cast<size_t>(id) >= n_tokens) {
    return Fail(ErrorKind::kBadModel, "tokenizer: the {} token {} is not among the {} tokens", name,
                id, n_tokens);
  }
  return {};
}

Result<> CheckIds(const VocabularySpec& spec) {
  std::vector<std::pair<std::string_view, TokenId>> ids;
  const std::pair<std::string_view, std::optional<TokenId>> named[] = {{"bos", spec.bos},
                                                                       {"eos", spec.eos},
                                                                       {"eot", spec.eot},
                                                                       {"unk", spec.unk},
                                                                       {"pad", spec.pad}};
  for (const auto& [name, id] : named) {
    if (id) {
      ids.emplace_back(name, *id);
    }
  }
  for (const TokenId id : spec.extra_end_tokens) {
    ids.emplace_back("end-of-generation", id);
  }
  for (const auto* list : {&spec.strips_left, &spec.strips_right}) {
    for (const TokenId id : *list) {
      ids.emplace_back("space-stripping", id);
    }
  }
  for (const auto& [name, id] : ids) {
    if (auto checked = CheckId(name, id, spec.tokens.size()); !checked) {
      return checked;
    }
  }
  return {};
}

}  // namespace

Result<> CheckVocabulary(const VocabularySpec& spec) {
  for (const auto check : {CheckTokens, CheckScores, CheckTypes, CheckIds}) {
    if (auto checked = check(spec); !checked) {
      return checked;
    }
  }
  if (spec.add_bos.value_or(false) && !spec.bos) {
    return Fail(ErrorKind::kBadModel, "tokenizer: add_bos is set, but there is no bos token");
  }
  if (spec.add_eos.value_or(false) && !spec.eos) {
    return Fail(ErrorKind::kBadModel, "tokenizer: add_eos is set, but there is no eos token");
  }
  return {};
}

}  // namespace plimsoll::text
