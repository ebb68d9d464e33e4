// The unigram language model of SentencePiece (Kudo, 2018): the segmentation with the highest sum
// of log-probabilities, found by Viterbi's algorithm in one pass.
#include <algorithm>
#include <limits>

#include "text/model.h"
#include "text/trie.h"
#include "text/utf8.h"

namespace plimsoll::text {
namespace {

// SentencePiece's penalty of an unknown character below the worst token.
constexpr double kUnknownPenalty = 10.0;
constexpr TokenId kUnknown = -1;

class Unigram final : public Model {
 public:
  explicit Unigram(const VocabularySpec& spec);

  void Encode(std::string_view text, bool space_prefix, std::vector<TokenId>& out) const override;

  [[nodiscard]] uint64_t Bytes() const override { return sizeof(*this) + trie_.Bytes(); }

 private:
  // The best way to reach a position: the token that ends there, where it begins, and the sum.
  struct Best {
    double score = -std::numeric_limits<double>::infinity();
    uint32_t begin = 0;
    TokenId token = kUnknown;
  };

  [[nodiscard]] std::string Normalize(std::string_view text, bool space_prefix) const;
  void EncodeRun(std::string_view run, std::vector<TokenId>& out) const;
  void Relax(std::string_view run, uint32_t begin, std::vector<Best>& best) const;

  const std::vector<float>& scores_;
  const std::vector<TokenType>& types_;
  ByteTokens byte_tokens_;
  Trie trie_;
  double unknown_score_ = 0;
  bool remove_extra_whitespaces_ = false;
};

Unigram::Unigram(const VocabularySpec& spec)
    : scores_(spec.scores),
      types_(spec.types),
      byte_tokens_(spec),
      remove_extra_whitespaces_(spec.remove_extra_whitespaces) {
  std::vector<Trie::Entry> entries;
  float worst = std::numeric_limits<float>::max();
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!IsTextType(spec.types[id]) || spec.tokens[id].empty()) {
      continue;
    }
    entries.push_back({spec.tokens[id], static_cast<TokenId>(id)});
    if (spec.types[id] == TokenType::kNormal) {
      worst = std::min(worst, spec.scores[id]);
    }
  }
  unknown_score_ = (entries.empty() ? 0.0 : double{worst}) - kUnknownPenalty;
  trie_ = Trie(std::move(entries));
}

std::string Unigram::Normalize(std::string_view text, bool space_prefix) const {
  if (!remove_extra_whitespaces_) {
    // The space goes before the first character that is none, behind spaces that are there already.
    const size_t word = text.find_first_not_of(' ');
    if (!space_prefix || word == std::string_view::npos) {
      return WithSpaceMarks(text, false);
    }
    return WithSpaceMarks(text.substr(0, word), false) + WithSpaceMarks(text.substr(word), true);
  }
  std::string normal;
  bool in_word = false;
  for (const char c : text) {
    if (c != ' ') {
      if (!in_word) {
        normal.append(kSpaceMark);
      }
      normal.push_back(c);
    }
    in_word = c != ' ';
  }
  return normal;
}

void Unigram::Relax(std::string_view run, uint32_t begin, std::vector<Best>& best) const {
  const double base = best[begin].score;
  const uint32_t char_length = DecodeChar(run.substr(begin)).length;
  bool char_is_token = false;
  const auto offer = [&](uint32_t end, TokenId token, double score) {
    if (score > best[end].score) {
      best[end] = {score, begin, token};
    }
  };
  trie_.ForEachPrefix(run.substr(begin), [&](const Trie::Match& match) {
    const auto id = static_cast<size_t>(match.token);
    const double score = types_[id] == TokenType::kUserDefined ? 0.0 : double{scores_[id]};
    offer(begin + match.length, match.token, base + score);
    char_is_token = char_is_token || match.length == char_length;
  });
  if (!char_is_token) {
    offer(begin + char_length, kUnknown, base + unknown_score_);
  }
}

void Unigram::EncodeRun(std::string_view run, std::vector<TokenId>& out) const {
  const auto size = static_cast<uint32_t>(run.size());
  std::vector<Best> best(run.size() + 1);
  best[0].score = 0;
  // Token ends are character ends where the text is well-formed; positions that nothing reached,
  // which a token of a broken vocabulary can leave between, start nothing.
  for (uint32_t begin = 0; begin < size; ++begin) {
    if (best[begin].score > -std::numeric_limits<double>::infinity()) {
      Relax(run, begin, best);
    }
  }
  std::vector<uint32_t> ends;
  for (uint32_t end = size; end > 0; end = best[end].begin) {
    ends.push_back(end);
  }
  std::reverse(ends.begin(), ends.end());
  uint32_t unknown_from = size;  // start of the unknown stretch, if any
  for (const uint32_t end : ends) {
    const Best& step = best[end];
    if (step.token == kUnknown) {
      unknown_from = std::min(unknown_from, step.begin);
      continue;
    }
    if (unknown_from < step.begin) {
      byte_tokens_.Append(run.substr(unknown_from, step.begin - unknown_from), out);
    }
    unknown_from = size;
    out.push_back(step.token);
  }
  if (unknown_from < size) {
    byte_tokens_.Append(run.substr(unknown_from), out);
  }
}

void Unigram::Encode(std::string_view text, bool space_prefix, std::vector<TokenId>& out) const {
  const std::string normal = Normalize(text, space_prefix);
  std::string_view rest = normal;
  while (!rest.empty()) {
    EncodeRun(rest.substr(0, kMaxRunBytes), out);
    rest.remove_prefix(std::min(rest.size(), kMaxRunBytes));
  }
}

}  // namespace

Result<std::unique_ptr<const Model>> MakeUnigram(const VocabularySpec& spec) {
  return std::make_unique<Unigram>(spec);
}

}  // namespace plimsoll::text
