#include <array>

#include "text/byte_alphabet.h"
#include "text/model.h"
#include "text/pre_tokenizer.h"
#include "text/string_table.h"
#include "text/symbol_list.h"

namespace plimsoll::text {
namespace {

// Numbers for symbols: a token's id, or a number from `n_tokens` on for a string that merges need
// and that is no token.
class SymbolNumbers {
 public:
  SymbolNumbers(const VocabularySpec& spec) : spec_(spec), index_(spec.tokens.size()) {
    for (uint32_t id = 0; id < spec.tokens.size(); ++id) {
      if (IsTextType(spec.types[id]) && !spec.tokens[id].empty()) {
        index_.Insert(spec.tokens, id);
      }
    }
  }

  uint32_t Of(std::string_view spelling) {
    if (const auto id = index_.Find(spec_.tokens, spelling)) {
      return *id;
    }
    auto extra = extra_index_.Find(extra_, spelling);
    if (!extra) {
      extra = extra_.Add(spelling);
      extra_index_.Insert(extra_, *extra);
    }
    return static_cast<uint32_t>(spec_.tokens.size()) + *extra;
  }

 private:
  const VocabularySpec& spec_;
  StringIndex index_;
  StringPool extra_;
  StringIndex extra_index_;
};

class ByteBpe final : public Model {
 public:
  [[nodiscard]] static Result<std::unique_ptr<const Model>> Create(const VocabularySpec& spec);

  void Encode(std::string_view text, bool /*space_prefix*/,
              std::vector<TokenId>& out) const override;

  [[nodiscard]] uint64_t Bytes() const override {
    return sizeof(*this) + pre_tokenizer_.Bytes() + merges_.Bytes() + words_.Bytes() +
           word_index_.Bytes() + word_ids_.capacity() * sizeof(TokenId);
  }

 private:
  class WordEncoder;

  [[nodiscard]] Result<> ReadMerges(const VocabularySpec& spec, SymbolNumbers& numbers);
  void ReadWords(const VocabularySpec& spec);

  PreTokenizer pre_tokenizer_;
  MergeTable merges_;
  uint32_t n_tokens_ = 0;
  std::array<uint32_t, 256> byte_symbols_{};
  std::optional<TokenId> unknown_;
  // With ignore_merges: the bytes of every token, and its id.
  StringPool words_;
  StringIndex word_index_;
  std::vector<TokenId> word_ids_;
};

// The merges of one text, word by word.
class ByteBpe::WordEncoder final : public WordSink {
 public:
  WordEncoder(const ByteBpe& model, std::vector<TokenId>& out) : model_(model), out_(out) {}

  void Word(std::string_view word) override {
    if (const auto found = model_.word_index_.Find(model_.words_, word)) {
      out_.push_back(model_.word_ids_[*found]);
      return;
    }
    symbols_.Start(static_cast<uint32_t>(word.size()));
    for (uint32_t i = 0; i < word.size(); ++i) {
      symbols_.Append(i, model_.byte_symbols_[static_cast<uint8_t>(word[i])]);
    }
    symbols_.MergeAll([&](const SymbolList&, const auto& left, const auto& right) {
      return model_.merges_.Find(left.id, right.id);
    });
    symbols_.ForEach([&](const SymbolList::Symbol& symbol, uint32_t end) {
      if (symbol.id < model_.n_tokens_) {
        out_.push_back(static_cast<TokenId>(symbol.id));
      } else {
        EmitBytes(word.substr(symbol.begin, end - symbol.begin));
      }
    });
  }

 private:
  // A byte that the vocabulary cannot spell is the unknown token, or nothing where there is none.
  void EmitBytes(std::string_view bytes) {
    for (const char byte : bytes) {
      const uint32_t symbol = model_.byte_symbols_[static_cast<uint8_t>(byte)];
      if (symbol < model_.n_tokens_) {
        out_.push_back(static_cast<TokenId>(symbol));
      } else if (model_.unknown_) {
        out_.push_back(*model_.unknown_);
      }
    }
  }

  const ByteBpe& model_;
  std::vector<TokenId>& out_;
  SymbolList symbols_;
};

Result<std::unique_ptr<const Model>> ByteBpe::Create(const VocabularySpec& spec) {
  auto model = std::make_unique<ByteBpe>();
  std::vector<SplitStep> steps;
  bool ignore_merges = false;
  if (spec.split_steps) {
    steps = *spec.split_steps;
  } else {
    auto family = FindPreTokenizer(spec.pre_tokenizer.empty() ? "default" : spec.pre_tokenizer);
    if (!family) {
      return Forward(family);
    }
    for (const std::string_view pattern : family->patterns) {
      steps.push_back({std::string(pattern), true, true});
    }
    ignore_merges = family->ignore_merges;
  }
  auto pre_tokenizer = PreTokenizer::Create(steps);
  if (!pre_tokenizer) {
    return Forward(pre_tokenizer);
  }
  model->pre_tokenizer_ = std::move(*pre_tokenizer);
  model->n_tokens_ = static_cast<uint32_t>(spec.tokens.size());
  model->unknown_ = spec.unk;
  SymbolNumbers numbers(spec);
  for (uint32_t byte = 0; byte < 256; ++byte) {
    model->byte_symbols_[byte] = numbers.Of(SpellByte(static_cast<uint8_t>(byte)));
  }
  if (auto read = model->ReadMerges(spec, numbers); !read) {
    return Forward(read);
  }
  if (spec.ignore_merges.value_or(ignore_merges)) {
    model->ReadWords(spec);
  }
  return model;
}

Result<> ByteBpe::ReadMerges(const VocabularySpec& spec, SymbolNumbers& numbers) {
  merges_ = MergeTable(spec.merges.size());
  std::string merged;
  for (uint32_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto parts = ParseMerge(spec.merges[rank]);
    if (!parts) {
      return Fail(ErrorKind::kBadModel,
                  "tokenizer merges: entry {} is not two symbols with a space between", rank);
    }
    merged.assign(parts->left).append(parts->right);
    const uint32_t left = numbers.Of(parts->left);
    const uint32_t right = numbers.Of(parts->right);
    merges_.Insert(left, right, {rank, numbers.Of(merged)});
  }
  return {};
}

void ByteBpe::ReadWords(const VocabularySpec& spec) {
  word_index_ = StringIndex(spec.tokens.size());
  for (uint32_t id = 0; id < spec.tokens.size(); ++id) {
    const auto bytes = IsTextType(spec.types[id]) ? UnspellBytes(spec.tokens[id]) : std::nullopt;
    if (bytes && !bytes->empty()) {
      word_ids_.push_back(static_cast<TokenId>(id));
      word_index_.Insert(words_, words_.Add(*bytes));
    }
  }
}

void ByteBpe::Encode(std::string_view text, bool /*space_prefix*/,
                     std::vector<TokenId>& out) const {
  WordEncoder encoder(*this, out);
  for (; text.size() > kMaxRunBytes; text.remove_prefix(kMaxRunBytes)) {
    pre_tokenizer_.Split(text.substr(0, kMaxRunBytes), encoder);
  }
  pre_tokenizer_.Split(text, encoder);
}

}  // namespace

Result<std::unique_ptr<const Model>> MakeByteBpe(const VocabularySpec& spec) {
  return ByteBpe::Create(spec);
}

}  // namespace plimsoll::text
