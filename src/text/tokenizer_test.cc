#include "text/tokenizer.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/byte_alphabet.h"
#include "text/detokenizer.h"
#include "text/model.h"
#include "text/utf8.h"

namespace plimsoll::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TokenId Append(VocabularySpec& spec, std::string spelling, TokenType type = TokenType::kNormal,
               float score = 0) {
  spec.tokens.push_back(std::move(spelling));
  spec.types.push_back(type);
  spec.scores.push_back(score);
  return static_cast<TokenId>(spec.tokens.size() - 1);
}

// Ids 0 to 255 are the bytes; then the results of the merges, then control tokens.
VocabularySpec ByteBpeSpec() {
  VocabularySpec spec;
  spec.pre_tokenizer = "gpt-2";
  for (int byte = 0; byte < 256; ++byte) {
    Append(spec, SpellByte(static_cast<uint8_t>(byte)));
  }
  for (const char* merge : {"l l", "h e", "he ll", "hell o", "\u0120 w", "a a", "aa aa"}) {
    const auto parts = ParseMerge(merge);
    spec.merges.emplace_back(merge);
    Append(spec, std::string(parts->left) + std::string(parts->right));
  }
  spec.bos = Append(spec, "<s>", TokenType::kControl);
  spec.eos = Append(spec, "</s>", TokenType::kControl);
  Append(spec, "<|im_end|>", TokenType::kControl);
  Append(spec, "<tool>", TokenType::kUserDefined);
  Append(spec, "<tool>>", TokenType::kUserDefined);
  return spec;
}

constexpr TokenId kBos = 263;
constexpr TokenId kEos = 264;
constexpr TokenId kImEnd = 265;
constexpr TokenId kTool = 266;
constexpr TokenId kToolLong = 267;

// 0 <unk>, 1 <s>, 2 </s>, 3 to 258 the bytes, then words.
VocabularySpec SentencePieceSpec(TokenizerModel model) {
  VocabularySpec spec;
  spec.model = model;
  Append(spec, "<unk>", TokenType::kUnknown);
  Append(spec, "<s>", TokenType::kControl);
  Append(spec, "</s>", TokenType::kControl);
  for (int byte = 0; byte < 256; ++byte) {
    Append(spec, fmt::format("<0x{:02X}>", byte), TokenType::kByte);
  }
  float score = -1;
  for (const char* piece : {"\u2581a", "ab", "\u2581ab", "\u2581", "a", "b", "c", "\u2581\u2581"}) {
    Append(spec, piece, TokenType::kNormal, score);
    score -= 1;
  }
  spec.unk = 0;
  spec.bos = 1;
  spec.eos = 2;
  return spec;
}

std::unique_ptr<const Tokenizer> Make(VocabularySpec spec) {
  auto tokenizer = Tokenizer::Create(std::move(spec));
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(*tokenizer);
}

std::string ErrorOf(VocabularySpec spec) {
  auto tokenizer = Tokenizer::Create(std::move(spec));
  EXPECT_FALSE(tokenizer);
  return tokenizer ? "" : tokenizer.error().message;
}

TEST(ByteBpe, MergesTheBestPairFirst) {
  const auto tokenizer = Make(ByteBpeSpec());
  EXPECT_THAT(tokenizer->Encode("hello w", {}), ElementsAre(259, 260));
  EXPECT_THAT(tokenizer->Encode("hell", {}), ElementsAre(258));
  EXPECT_THAT(tokenizer->Encode("aaaaaaa", {}), ElementsAre(262, 261, 'a'));
  EXPECT_THAT(tokenizer->Encode("", {}), IsEmpty());
}

TEST(ByteBpe, TakesAWholeWordWhenMergesAreIgnored) {
  VocabularySpec spec = ByteBpeSpec();
  const TokenId word = Append(spec, "xyz");
  EXPECT_EQ(Make(spec)->Encode("xyz", {}).size(), 3u);
  spec.ignore_merges = true;
  EXPECT_THAT(Make(spec)->Encode("xyz", {}), ElementsAre(word));
  spec.ignore_merges.reset();
  spec.pre_tokenizer = "llama-bpe";
  EXPECT_THAT(Make(spec)->Encode("xyz", {}), ElementsAre(word));
}

TEST(ByteBpe, EncodesAMergeWhoseResultIsNoTokenAsBytes) {
  VocabularySpec spec = ByteBpeSpec();
  spec.merges.insert(spec.merges.begin(), "q q");
  const auto tokenizer = Make(spec);
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("qqq", {}), false), "qqq");
}

TEST(ByteBpe, NeverMakesAControlTokenOutOfText) {
  VocabularySpec spec = ByteBpeSpec();
  spec.merges.insert(spec.merges.end(), {"< s", "<s >"});
  spec.ignore_merges = true;
  spec.split_steps.emplace();  // the text is one word
  EXPECT_THAT(Make(spec)->Encode("<s>", {}), ::testing::Not(::testing::Contains(kBos)));
}

TEST(SpecialTokens, ParseControlOnlyWhenAsked) {
  const auto tokenizer = Make(ByteBpeSpec());
  const auto plain = tokenizer->Encode("<|im_end|>", {});
  EXPECT_GT(plain.size(), 1u);
  EXPECT_EQ(tokenizer->Decode(plain, false), "<|im_end|>");
  EXPECT_THAT(tokenizer->Encode("<|im_end|>", {.parse_special = true}), ElementsAre(kImEnd));
  EXPECT_THAT(tokenizer->Encode("<tool>", {}), ElementsAre(kTool)) << "user-defined: always";
  EXPECT_THAT(tokenizer->Encode("<tool>>", {}), ElementsAre(kToolLong)) << "the longest";
}

TEST(SpecialTokens, TakeTheSpaceAroundThem) {
  VocabularySpec spec = ByteBpeSpec();
  spec.strips_left = {kTool};
  spec.strips_right = {kTool};
  EXPECT_THAT(Make(spec)->Encode("a \u3000<tool>\n b", {}), ElementsAre('a', kTool, 'b'));
}

TEST(Tokenizer, AddsBosAndEosByTheRules) {
  VocabularySpec spec = ByteBpeSpec();
  EXPECT_FALSE(Make(spec)->adds_bos());
  spec.pre_tokenizer = "llama-bpe";
  EXPECT_TRUE(Make(spec)->adds_bos());
  spec.add_bos = false;
  spec.add_eos = true;
  EXPECT_THAT(Make(spec)->Encode("", {.add_bos_eos = true}), ElementsAre(kEos));
  const auto llama = Make(SentencePieceSpec(TokenizerModel::kSentencePieceBpe));
  EXPECT_THAT(llama->Encode("", {.add_bos_eos = true}), ElementsAre(1));
  const auto t5 = Make(SentencePieceSpec(TokenizerModel::kUnigram));
  EXPECT_THAT(t5->Encode("", {.add_bos_eos = true}), ElementsAre(2));
}

TEST(Tokenizer, KnowsItsEndTokens) {
  VocabularySpec spec = ByteBpeSpec();
  spec.extra_end_tokens = {5};
  const TokenId end = Append(spec, "<|end|>", TokenType::kControl);
  const TokenId lost = Append(spec, "<|eot_id|>");  // of type normal, as some converters write it
  const auto tokenizer = Make(spec);
  for (const TokenId id : {kEos, kImEnd, 5, end, lost}) {
    EXPECT_TRUE(tokenizer->IsEndOfGeneration(id)) << id;
  }
  EXPECT_FALSE(tokenizer->IsEndOfGeneration(kBos));
  EXPECT_FALSE(tokenizer->IsEndOfGeneration(-1));
  EXPECT_EQ(tokenizer->Piece(lost, false), "");

  Append(spec, "<|return|>", TokenType::kControl);
  Append(spec, "<|call|>", TokenType::kControl);
  EXPECT_FALSE(Make(spec)->IsEndOfGeneration(end)) << "in Harmony it ends a message";
}

TEST(Tokenizer, FindsSpellingsAndRendersPieces) {
  const auto tokenizer = Make(ByteBpeSpec());
  EXPECT_EQ(tokenizer->Find("<|im_end|>"), kImEnd);
  EXPECT_EQ(tokenizer->Find("\u0120w"), 260);
  EXPECT_EQ(tokenizer->Find("nonesuch"), std::nullopt);
  EXPECT_EQ(tokenizer->Piece(260, false), " w");
  EXPECT_EQ(tokenizer->Piece(kImEnd, false), "");
  EXPECT_EQ(tokenizer->Piece(kImEnd, true), "<|im_end|>");
  EXPECT_EQ(tokenizer->Piece(-1, true), "");
  EXPECT_EQ(tokenizer->Piece(1 << 20, true), "");
  EXPECT_GT(tokenizer->Bytes(), 268 * sizeof(std::string));
}

TEST(SentencePieceBpe, MergesByScoreAndFallsBackToBytes) {
  const auto tokenizer = Make(SentencePieceSpec(TokenizerModel::kSentencePieceBpe));
  EXPECT_THAT(tokenizer->Encode("ab", {}), ElementsAre(261)) << "\u2581 a b, \u2581a b, \u2581ab";
  EXPECT_THAT(tokenizer->Encode("cab", {}), ElementsAre(262, 265, 260));
  EXPECT_THAT(tokenizer->Encode("\u00E4", {}), ElementsAre(262, 3 + 0xC3, 3 + 0xA4));
  EXPECT_THAT(tokenizer->Encode("c\xFF", {}), ElementsAre(262, 265, 3 + 0xFF));
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(" ab", {}), false), " ab");
}

TEST(SentencePieceBpe, PrefixesASpaceAsTold) {
  VocabularySpec spec = SentencePieceSpec(TokenizerModel::kSentencePieceBpe);
  const EncodeOptions parse{.parse_special = true};
  EXPECT_THAT(Make(spec)->Encode("c<s>c", parse), ElementsAre(262, 265, 1, 262, 265));
  spec.space_prefix_after_special = false;
  EXPECT_THAT(Make(spec)->Encode("c<s>c", parse), ElementsAre(262, 265, 1, 265));
  spec.add_space_prefix = false;
  EXPECT_THAT(Make(spec)->Encode("c<s>c", parse), ElementsAre(265, 1, 265));
}

TEST(SentencePieceBpe, PrefixesNoSpaceToASpaceWhereTold) {
  VocabularySpec spec = SentencePieceSpec(TokenizerModel::kSentencePieceBpe);
  EXPECT_THAT(Make(spec)->Encode(" c", {}), ElementsAre(266, 265));
  spec.space_prefix_before_space = false;
  EXPECT_THAT(Make(spec)->Encode(" c", {}), ElementsAre(262, 265));
  EXPECT_THAT(Make(spec)->Encode("c", {}), ElementsAre(262, 265));
}

TEST(SentencePieceBpe, GoesByMergesWhereThereAreSome) {
  VocabularySpec spec = SentencePieceSpec(TokenizerModel::kSentencePieceBpe);
  spec.merges = {"a b", "\u2581 ab"};
  EXPECT_THAT(Make(spec)->Encode("ab", {}), ElementsAre(261));
  spec.merges = {"a x"};
  EXPECT_THAT(ErrorOf(spec), HasSubstr("entry 0 names a symbol that is not in the vocabulary"));
}

TEST(SentencePieceBpe, TreatsAHostileByteTokenAsText) {
  VocabularySpec spec = SentencePieceSpec(TokenizerModel::kSentencePieceBpe);
  const TokenId hostile = Append(spec, "<0x-1>", TokenType::kByte);
  EXPECT_EQ(Make(spec)->Piece(hostile, false), "<0x-1>");
  EXPECT_EQ(ParseByteToken("<0x-1>"), std::nullopt);
  EXPECT_EQ(ParseByteToken("<0x1>"), std::nullopt);
  EXPECT_EQ(ParseByteToken("<0xfF>"), 0xFF);
}

TEST(SentencePieceBpe, UsesTheUnknownTokenWithoutBytes) {
  VocabularySpec spec;
  spec.model = TokenizerModel::kSentencePieceBpe;
  spec.unk = Append(spec, "<unk>", TokenType::kUnknown);
  const TokenId a = Append(spec, "a");
  spec.add_space_prefix = false;
  EXPECT_THAT(Make(spec)->Encode("a\u4E2Da", {}), ElementsAre(a, *spec.unk, a));
}

TEST(SentencePieceBpe, GoesByTheListOfMergesAndNotByScores) {
  VocabularySpec spec;
  spec.model = TokenizerModel::kSentencePieceBpe;
  spec.unk = Append(spec, "<unk>", TokenType::kUnknown);
  const TokenId a = Append(spec, "a");
  Append(spec, "b");
  const TokenId c = Append(spec, "c");
  const TokenId ab = Append(spec, "ab");
  const TokenId bc = Append(spec, "bc");
  spec.add_space_prefix = false;
  spec.merges = {"b c", "a b", "a bc"};
  spec.lists_merges = true;
  EXPECT_THAT(Make(spec)->Encode("abc", {}), ElementsAre(a, bc));
  spec.merges = {"a b", "b c", "ab c"};
  EXPECT_THAT(Make(spec)->Encode("abc", {}), ElementsAre(ab, c));
  spec.lists_merges = false;  // then all of them have to be of tokens
  EXPECT_THAT(ErrorOf(spec), HasSubstr("entry 2 names a symbol"));
}

TEST(Unigram, FindsTheMostProbableSegmentation) {
  VocabularySpec spec = SentencePieceSpec(TokenizerModel::kUnigram);
  EXPECT_THAT(Make(spec)->Encode("ab", {}), ElementsAre(261)) << "-3 beats -1-6 and -4-2";
  spec.scores[261] = -20;
  EXPECT_THAT(Make(spec)->Encode("ab", {}), ElementsAre(262, 260));
  EXPECT_THAT(Make(spec)->Encode("a\u00E4\u00E4", {}),
              ElementsAre(259, 3 + 0xC3, 3 + 0xA4, 3 + 0xC3, 3 + 0xA4));
}

TEST(Unigram, FusesUnknownCharactersWithoutBytes) {
  VocabularySpec spec;
  spec.model = TokenizerModel::kUnigram;
  spec.unk = Append(spec, "<unk>", TokenType::kUnknown);
  const TokenId a = Append(spec, "a", TokenType::kNormal, -1);
  spec.add_space_prefix = false;
  EXPECT_THAT(Make(spec)->Encode("a\u4E2D\u6587a", {}), ElementsAre(a, *spec.unk, a));
}

TEST(Unigram, RemovesExtraSpaces) {
  VocabularySpec spec = SentencePieceSpec(TokenizerModel::kUnigram);
  spec.remove_extra_whitespaces = true;
  const auto tokenizer = Make(spec);
  EXPECT_EQ(tokenizer->Encode("  a   ab ", {}), tokenizer->Encode("a ab", {}));
}

TEST(Tokenizer, RefusesWhatDoesNotFitTogether) {
  const auto spoiled = [](auto&& spoil) {
    VocabularySpec spec = SentencePieceSpec(TokenizerModel::kSentencePieceBpe);
    spoil(spec);
    return ErrorOf(std::move(spec));
  };
  using Spec = VocabularySpec;
  EXPECT_THAT(spoiled([](Spec& s) { s.tokens.clear(); }), HasSubstr("no tokens"));
  EXPECT_THAT(spoiled([](Spec& s) { s.scores.pop_back(); }), HasSubstr("266 scores for 267"));
  EXPECT_THAT(spoiled([](Spec& s) { s.types.pop_back(); }), HasSubstr("266 token types for 267"));
  EXPECT_THAT(spoiled([](Spec& s) { s.types[7] = static_cast<TokenType>(9); }),
              HasSubstr("token 7 has the unknown type 9"));
  EXPECT_THAT(spoiled([](Spec& s) { s.scores[7] = std::nanf(""); }), HasSubstr("score of token 7"));
  EXPECT_THAT(spoiled([](Spec& s) { s.bos = 267; }), HasSubstr("bos token 267"));
  EXPECT_THAT(spoiled([](Spec& s) { s.extra_end_tokens = {-1}; }), HasSubstr("token -1"));
  EXPECT_THAT(spoiled([](Spec& s) { s.tokens[9].assign(5000, 'x'); }),
              HasSubstr("token 9 has 5000"));
  EXPECT_THAT(spoiled([](Spec& s) {
                s.eos.reset();
                s.add_eos = true;
              }),
              HasSubstr("no eos token"));
  VocabularySpec bpe = ByteBpeSpec();
  bpe.merges[3] = "nospace";
  EXPECT_THAT(ErrorOf(bpe), HasSubstr("entry 3"));
  bpe = ByteBpeSpec();
  bpe.pre_tokenizer = "nonesuch";
  EXPECT_THAT(ErrorOf(bpe), HasSubstr("nonesuch"));
}

std::string RandomBytes(std::mt19937& rng, size_t n) {
  // Often the start of a character, so that well-formed and broken text alternate.
  static constexpr std::string_view kBytes[] = {"a",        " ",          "ab",   "\u00E4",
                                                "\u4E2D",   "\U0001F600", "\xE4", "\xB8",
                                                "\xF0\x9F", "\n",         "'s",   "<s>"};
  std::uniform_int_distribution<size_t> pick(0, std::size(kBytes));
  std::uniform_int_distribution<int> byte(0, 255);
  std::string text;
  while (text.size() < n) {
    const size_t i = pick(rng);
    text += i < std::size(kBytes) ? std::string(kBytes[i])
                                  : std::string(1, static_cast<char>(byte(rng)));
  }
  return text;
}

TEST(Tokenizer, RoundTripsAnyBytes) {
  for (const auto& spec : {ByteBpeSpec(), SentencePieceSpec(TokenizerModel::kSentencePieceBpe),
                           SentencePieceSpec(TokenizerModel::kUnigram)}) {
    const auto tokenizer = Make(spec);
    std::mt19937 rng(3);
    for (int i = 0; i < 2000; ++i) {
      std::string text = RandomBytes(rng, static_cast<size_t>(i % 40));
      if (spec.model == TokenizerModel::kUnigram) {
        text += 'c';  // it sets no space before a text that is only spaces
      }
      ASSERT_EQ(tokenizer->Decode(tokenizer->Encode(text, {}), false), text)
          << ::testing::PrintToString(text);
    }
  }
}

TEST(Detokenizer, GivesWholeCharactersAndLosesNothing) {
  for (const auto& spec : {ByteBpeSpec(), SentencePieceSpec(TokenizerModel::kSentencePieceBpe)}) {
    const auto tokenizer = Make(spec);
    std::mt19937 rng(5);
    std::uniform_int_distribution<TokenId> any(0, static_cast<TokenId>(tokenizer->size()) - 1);
    for (int i = 0; i < 500; ++i) {
      std::vector<TokenId> tokens = tokenizer->Encode(RandomBytes(rng, 30), {});
      for (int n = 0; n < i % 7; ++n) {
        tokens.push_back(any(rng));
      }
      Detokenizer stream(*tokenizer);
      std::string joined;
      for (size_t n = 0; n < tokens.size(); ++n) {
        joined += stream.Add(tokens[n]);
        const std::string all = tokenizer->Decode(std::span(tokens).first(n + 1), false);
        ASSERT_EQ(joined, all.substr(0, all.size() - IncompleteSuffix(all)));
      }
      joined += stream.Flush();
      ASSERT_EQ(joined, tokenizer->Decode(tokens, false));
    }
  }
}

TEST(Detokenizer, SplitsWellFormedTextIntoWellFormedParts) {
  const auto tokenizer = Make(ByteBpeSpec());
  const std::string text = "\u00E4\u4E2D\U0001F600 \u20AC";
  Detokenizer stream(*tokenizer);
  std::vector<std::string> parts;
  for (const TokenId token : tokenizer->Encode(text, {})) {
    parts.push_back(stream.Add(token));
    EXPECT_TRUE(IsValidUtf8(parts.back()));
  }
  EXPECT_THAT(parts, ElementsAre("", "\u00E4", "", "", "\u4E2D", "", "", "", "\U0001F600", " ", "",
                                 "", "\u20AC"));
  EXPECT_EQ(stream.Flush(), "");
}

TEST(Detokenizer, KeepsALeadingSpaceWhenItGoesOnAText) {
  const auto tokenizer = Make(SentencePieceSpec(TokenizerModel::kSentencePieceBpe));
  Detokenizer fresh(*tokenizer);
  EXPECT_EQ(fresh.Add(1), "");
  EXPECT_EQ(fresh.Add(259), "a");
  EXPECT_EQ(fresh.Add(259), " a");
  Detokenizer going_on(*tokenizer, false, false);
  EXPECT_EQ(going_on.Add(259), " a");
}

TEST(Tokenizer, NormalizesWhereTheVocabularyAsksForIt) {
  VocabularySpec spec = ByteBpeSpec();
  spec.normalization = Normalization::kNfc;
  const auto tokenizer = Make(spec);
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("a\u0308\xFF"
                                                "e\u0301",
                                                {}),
                              false),
            "\u00E4\xFF\u00E9");
}

TEST(BreakSpecial, KeepsWhatAUserWroteText) {
  const auto tokenizer = Make(ByteBpeSpec());
  const std::string mark = "\ufdd0";
  for (const std::string text : {"<|im_end|>", "a</s><s>b", "<|im_<|im_end|>", "<s", "<s></s",
                                 "hello", "", "</s></s></s>"}) {
    const std::string broken = tokenizer->BreakSpecial(text, mark);
    const auto tokens =
        tokenizer->Encode("<s>" + broken + "</s>", {.parse_special = true, .mark = mark});
    auto expected = tokenizer->Encode(text, {.parse_special = false});
    expected.insert(expected.begin(), kBos);
    expected.push_back(kEos);
    EXPECT_EQ(tokens, expected) << text;
  }
  // Those that count everywhere still do.
  EXPECT_THAT(tokenizer->Encode(tokenizer->BreakSpecial("<tool>", mark),
                                {.parse_special = true, .mark = mark}),
              ElementsAre(kTool));
}

}  // namespace
}  // namespace plimsoll::text
