// BPE over characters, as SentencePiece does it (Kudo and Richardson, 2018): a pair merges when the
// two together are a token, best score first; or by a list of merges, as a tokenizer.json has it.
#include <algorithm>
#include <bit>

#include "text/model.h"
#include "text/string_table.h"
#include "text/symbol_list.h"
#include "text/utf8.h"

namespace plimsoll::text {
namespace {

constexpr uint32_t kNoToken = 0xFFFFFFFF;

// Lower for a higher score, equal for equal ones, never kNoRank (that would be a NaN).
uint32_t RankOfScore(float score) {
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 becomes +0
  const uint32_t ascending = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
  return ~ascending;
}

// Whether `spelling` has a space mark after something else than a space mark.
bool SpansWords(std::string_view spelling) {
  for (size_t at = spelling.find(kSpaceMark, 1); at != std::string_view::npos;
       at = spelling.find(kSpaceMark, at + 1)) {
    if (!spelling.substr(0, at).ends_with(kSpaceMark)) {
      return true;
    }
  }
  return false;
}

class SentencePieceBpe final : public Model {
 public:
  explicit SentencePieceBpe(const VocabularySpec& spec);

  [[nodiscard]] Result<> ReadMerges(const VocabularySpec& spec);

  void Encode(std::string_view text, bool space_prefix, std::vector<TokenId>& out) const override;

  [[nodiscard]] uint64_t Bytes() const override {
    return sizeof(*this) + index_.Bytes() + merges_.Bytes();
  }

 private:
  void EncodeRun(std::string_view run, SymbolList& symbols, std::vector<TokenId>& out) const;
  [[nodiscard]] Merge FindByScore(std::string_view both) const;

  const std::vector<std::string>& tokens_;
  const std::vector<float>& scores_;
  ByteTokens byte_tokens_;
  StringIndex index_;
  size_t longest_ = 0;
  // No token reaches from one word into the next, so each can be done by itself.
  bool by_words_ = true;
  bool by_merges_ = false;
  MergeTable merges_;
};

SentencePieceBpe::SentencePieceBpe(const VocabularySpec& spec)
    : tokens_(spec.tokens), scores_(spec.scores), byte_tokens_(spec), index_(spec.tokens.size()) {
  for (uint32_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string& spelling = spec.tokens[id];
    if (!IsTextType(spec.types[id]) || spelling.empty()) {
      continue;
    }
    index_.Insert(tokens_, id);
    longest_ = std::max(longest_, spelling.size());
    by_words_ = by_words_ && !SpansWords(spelling);
  }
}

Result<> SentencePieceBpe::ReadMerges(const VocabularySpec& spec) {
  by_merges_ = true;
  merges_ = MergeTable(spec.merges.size());
  std::string merged;
  for (uint32_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto parts = ParseMerge(spec.merges[rank]);
    if (!parts) {
      return Fail(ErrorKind::kBadModel,
                  "tokenizer merges: entry {} is not two symbols with a space between", rank);
    }
    merged.assign(parts->left).append(parts->right);
    const auto left = index_.Find(tokens_, parts->left);
    const auto right = index_.Find(tokens_, parts->right);
    const auto both = index_.Find(tokens_, merged);
    if (!left || !right || !both) {
      if (spec.lists_merges) {
        continue;
      }
      return Fail(ErrorKind::kBadModel,
                  "tokenizer merges: entry {} names a symbol that is not in the vocabulary", rank);
    }
    merges_.Insert(*left, *right, {rank, *both});
  }
  return {};
}

Merge SentencePieceBpe::FindByScore(std::string_view both) const {
  if (both.size() > longest_) {
    return {};
  }
  const auto id = index_.Find(tokens_, both);
  return id ? Merge{RankOfScore(scores_[*id]), *id} : Merge{};
}

void SentencePieceBpe::EncodeRun(std::string_view run, SymbolList& symbols,
                                 std::vector<TokenId>& out) const {
  symbols.Start(static_cast<uint32_t>(run.size()));
  for (uint32_t begin = 0; begin < run.size();) {
    const uint32_t length = DecodeChar(run.substr(begin)).length;
    symbols.Append(begin, index_.Find(tokens_, run.substr(begin, length)).value_or(kNoToken));
    begin += length;
  }
  if (by_merges_) {
    symbols.MergeAll([&](const SymbolList&, const auto& left, const auto& right) {
      return merges_.Find(left.id, right.id);
    });
  } else {
    symbols.MergeAll([&](const SymbolList& list, const auto& left, const auto& right) {
      return FindByScore(run.substr(left.begin, list.End(right) - left.begin));
    });
  }
  symbols.ForEach([&](const SymbolList::Symbol& symbol, uint32_t end) {
    if (symbol.id != kNoToken) {
      out.push_back(static_cast<TokenId>(symbol.id));
    } else {
      byte_tokens_.Append(run.substr(symbol.begin, end - symbol.begin), out);
    }
  });
}

void SentencePieceBpe::Encode(std::string_view text, bool space_prefix,
                              std::vector<TokenId>& out) const {
  const std::string marked = WithSpaceMarks(text, space_prefix);
  std::string_view rest = marked;
  SymbolList symbols;
  while (!rest.empty()) {
    size_t end = std::min(rest.size(), kMaxRunBytes);
    if (by_words_) {
      size_t at = 0;
      while (rest.substr(at).starts_with(kSpaceMark)) {
        at += kSpaceMark.size();
      }
      end = std::min(end, rest.find(kSpaceMark, at));
    }
    EncodeRun(rest.substr(0, end), symbols, out);
    rest.remove_prefix(end);
  }
}

}  // namespace

Result<std::unique_ptr<const Model>> MakeSentencePieceBpe(const VocabularySpec& spec) {
  auto model = std::make_unique<SentencePieceBpe>(spec);
  if (!spec.merges.empty()) {
    if (auto read = model->ReadMerges(spec); !read) {
      return Forward(read);
    }
  }
  return model;
}

}  // namespace plimsoll::text
