#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "text/byte_alphabet.h"
#include "text/end_tokens.h"
#include "text/model.h"
#include "text/normalize.h"
#include "text/pre_tokenizer.h"
#include "text/special_tokens.h"
#include "text/string_table.h"
#include "text/vocabulary_check.h"

namespace plimsoll::text {
namespace {

Result<std::unique_ptr<const Model>> MakeModel(const VocabularySpec& spec) {
  switch (spec.model) {
    case TokenizerModel::kByteBpe:
      return MakeByteBpe(spec);
    case TokenizerModel::kSentencePieceBpe:
      return MakeSentencePieceBpe(spec);
    case TokenizerModel::kUnigram:
      return MakeUnigram(spec);
  }
  return Fail(ErrorKind::kBadModel, "tokenizer: unknown model {}", static_cast<int>(spec.model));
}

// What the families do when the file does not say: SentencePiece BPE begins with BOS, T5 ends with
// EOS, and of the byte-level ones some begin with BOS.
struct FamilyRules {
  bool add_bos = false;
  bool add_eos = false;
};

FamilyRules RulesOf(const VocabularySpec& spec) {
  if (spec.model == TokenizerModel::kSentencePieceBpe) {
    return {true, false};
  }
  if (spec.model == TokenizerModel::kUnigram) {
    return {false, true};
  }
  const auto family = FindPreTokenizer(spec.pre_tokenizer);
  return {!spec.split_steps && family && family->add_bos, false};
}

std::string WithSpaces(std::string_view spelling) {
  std::string text;
  while (!spelling.empty()) {
    const bool mark = spelling.starts_with(kSpaceMark);
    text.push_back(mark ? ' ' : spelling[0]);
    spelling.remove_prefix(mark ? kSpaceMark.size() : 1);
  }
  return text;
}

// The bytes that a token stands for.
std::string BytesOf(const VocabularySpec& spec, size_t id) {
  const std::string& spelling = spec.tokens[id];
  const TokenType type = spec.types[id];
  if (type == TokenType::kByte) {
    if (const auto byte = ParseByteToken(spelling)) {
      return {static_cast<char>(*byte)};
    }
  }
  if (type == TokenType::kControl || type == TokenType::kUnknown) {
    return spelling;
  }
  if (spec.model != TokenizerModel::kByteBpe) {
    return WithSpaces(spelling);
  }
  if (type == TokenType::kUserDefined) {
    return spelling;
  }
  return UnspellBytes(spelling).value_or(spelling);
}

// What a vector of strings holds, characters inside the string objects not counted twice.
uint64_t StringBytes(const std::vector<std::string>& strings) {
  uint64_t bytes = strings.capacity() * sizeof(std::string);
  for (const std::string& text : strings) {
    bytes += text.capacity() > std::string().capacity() ? text.capacity() + 1 : 0;
  }
  return bytes;
}

// Nothing without a mark.
std::string Without(std::string_view mark, std::string_view text) {
  std::string unmarked;
  while (!mark.empty() && !text.empty()) {
    const size_t end = std::min(text.find(mark), text.size());
    unmarked += text.substr(0, end);
    text.remove_prefix(std::min(end + mark.size(), text.size()));
  }
  return unmarked;
}

class ModelTokenizer final : public Tokenizer {
 public:
  // `spec` is checked and has a type for every token.
  explicit ModelTokenizer(VocabularySpec spec);

  // Before anything else is called.
  [[nodiscard]] Result<> MakeItsModel();

  [[nodiscard]] std::vector<TokenId> Encode(std::string_view text,
                                            EncodeOptions options) const override;
  [[nodiscard]] std::string BreakSpecial(std::string_view text,
                                         std::string_view mark) const override {
    return special_.Break(text, mark);
  }
  [[nodiscard]] std::string_view Piece(TokenId token, bool render_control) const override;
  [[nodiscard]] std::string Decode(std::span<const TokenId> tokens,
                                   bool render_control) const override;
  [[nodiscard]] const VocabularySpec& spec() const override { return spec_; }
  [[nodiscard]] bool adds_bos() const override { return adds_bos_; }
  [[nodiscard]] bool adds_eos() const override { return adds_eos_; }
  [[nodiscard]] bool IsEndOfGeneration(TokenId token) const override {
    return std::binary_search(end_tokens_.begin(), end_tokens_.end(), token);
  }
  [[nodiscard]] std::optional<TokenId> Find(std::string_view spelling) const override;
  [[nodiscard]] uint64_t Bytes() const override;

 private:
  void EncodePart(std::string_view part, bool space_prefix, std::vector<TokenId>& out) const;

  VocabularySpec spec_;
  SpecialTokens special_;
  std::vector<TokenId> end_tokens_;  // ascending
  StringPool pieces_;                // the bytes of each token
  StringIndex spellings_;            // of spec_.tokens
  std::unique_ptr<const Model> model_;
  bool adds_bos_ = false;
  bool adds_eos_ = false;
};

ModelTokenizer::ModelTokenizer(VocabularySpec spec)
    : spec_(std::move(spec)),
      special_(spec_),
      end_tokens_(FindEndTokens(spec_)),
      spellings_(spec_.tokens.size()) {
  uint64_t bytes = 0;
  for (const std::string& spelling : spec_.tokens) {
    bytes += spelling.size();
  }
  pieces_.Reserve(spec_.tokens.size(), bytes);
  for (uint32_t id = 0; id < spec_.tokens.size(); ++id) {
    pieces_.Add(BytesOf(spec_, id));
    spellings_.Insert(spec_.tokens, id);
  }
  const FamilyRules rules = RulesOf(spec_);
  adds_bos_ = spec_.bos && spec_.add_bos.value_or(rules.add_bos);
  adds_eos_ = spec_.eos && spec_.add_eos.value_or(rules.add_eos);
}

Result<> ModelTokenizer::MakeItsModel() {
  auto model = MakeModel(spec_);
  if (!model) {
    return Forward(model);
  }
  model_ = std::move(*model);
  // The model has them in its own tables now.
  std::vector<std::string>().swap(spec_.merges);
  return {};
}

void ModelTokenizer::EncodePart(std::string_view part, bool space_prefix,
                                std::vector<TokenId>& out) const {
  if (spec_.normalization == Normalization::kNone) {
    model_->Encode(part, space_prefix, out);
  } else {
    model_->Encode(Normalize(part, spec_.normalization), space_prefix, out);
  }
}

std::vector<TokenId> ModelTokenizer::Encode(std::string_view text, EncodeOptions options) const {
  std::vector<TokenId> tokens;
  if (options.add_bos_eos && adds_bos_) {
    tokens.push_back(*spec_.bos);
  }
  bool space_prefix = spec_.add_space_prefix;
  special_.Partition(
      text, options.parse_special,
      [&](std::string_view part) {
        const std::string unmarked = Without(options.mark, part);
        if (!options.mark.empty()) {
          part = unmarked;
        }
        const bool has_space = part.starts_with(' ') || part.starts_with(kSpaceMark);
        EncodePart(part, space_prefix && (spec_.space_prefix_before_space || !has_space), tokens);
        space_prefix = false;
      },
      [&](TokenId token) {
        tokens.push_back(token);
        space_prefix = spec_.add_space_prefix && spec_.space_prefix_after_special;
      });
  if (options.add_bos_eos && adds_eos_) {
    tokens.push_back(*spec_.eos);
  }
  return tokens;
}

std::string_view ModelTokenizer::Piece(TokenId token, bool render_control) const {
  const auto id = static_cast<size_t>(token);
  if (token < 0 || id >= pieces_.size()) {
    return {};
  }
  const TokenType type = spec_.types[id];
  const bool is_control = type == TokenType::kControl || type == TokenType::kUnknown;
  return is_control && !render_control ? std::string_view() : pieces_[id];
}

std::string ModelTokenizer::Decode(std::span<const TokenId> tokens, bool render_control) const {
  std::string text;
  bool at_start = true;
  for (const TokenId token : tokens) {
    text.append(PieceInText(token, render_control, at_start));
  }
  return text;
}

std::optional<TokenId> ModelTokenizer::Find(std::string_view spelling) const {
  const auto id = spellings_.Find(spec_.tokens, spelling);
  return id ? std::optional(static_cast<TokenId>(*id)) : std::nullopt;
}

uint64_t ModelTokenizer::Bytes() const {
  return sizeof(*this) + StringBytes(spec_.tokens) + spec_.scores.capacity() * sizeof(float) +
         spec_.types.capacity() * sizeof(TokenType) + end_tokens_.capacity() * sizeof(TokenId) +
         special_.Bytes() + pieces_.Bytes() + spellings_.Bytes() + model_->Bytes();
}

}  // namespace

std::string_view Tokenizer::PieceInText(TokenId token, bool render_control, bool& at_start) const {
  std::string_view piece = Piece(token, render_control);
  if (!at_start || piece.empty()) {
    return piece;
  }
  at_start = false;
  if (spec().model != TokenizerModel::kByteBpe && spec().add_space_prefix &&
      piece.starts_with(' ')) {
    piece.remove_prefix(1);
  }
  return piece;
}

Result<std::unique_ptr<const Tokenizer>> Tokenizer::Create(VocabularySpec spec) {
  if (auto checked = CheckVocabulary(spec); !checked) {
    return Forward(checked);
  }
  spec.types.resize(spec.tokens.size(), TokenType::kNormal);
  RestoreControlTypes(spec);
  auto tokenizer = std::make_unique<ModelTokenizer>(std::move(spec));
  if (auto made = tokenizer->MakeItsModel(); !made) {
    return Forward(made);
  }
  return tokenizer;
}

}  // namespace plimsoll::text
