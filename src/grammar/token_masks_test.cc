#include "grammar/token_masks.h"

#include <string>

#include <gtest/gtest.h>

#include "grammar/grammar_filter.h"
#include "grammar/test_grammars.h"

namespace plimsoll::grammar {
namespace {

constexpr uint64_t kRoomForMasks = 1 << 22;

std::shared_ptr<TokenMasks> MasksOf(const text::Tokenizer& tokenizer,
                                    uint64_t max_bytes = kRoomForMasks) {
  return std::make_shared<TokenMasks>(std::make_shared<const VocabularyTrie>(tokenizer), max_bytes);
}

bool Has(std::span<const uint64_t> mask, TokenId token) {
  return (mask[static_cast<size_t>(token) / 64] >> (token % 64) & 1) != 0;
}

// The mask says what Allows says, for every token; false when there is an error in its place.
bool CheckMask(GrammarFilter& filter, const text::Tokenizer& tokenizer) {
  const auto mask = filter.Mask();
  bool any = false;
  for (size_t i = 0; i < tokenizer.size(); ++i) {
    const auto token = static_cast<TokenId>(i);
    const bool allowed = filter.Allows(token);
    any = any || allowed;
    if (mask && Has(*mask, token) != allowed) {
      ADD_FAILURE() << "token " << token << " '" << tokenizer.Piece(token, true) << "'";
      return false;
    }
  }
  EXPECT_EQ(mask.has_value(), any);
  return mask.has_value();
}

void Say(GrammarFilter& filter, std::string_view text) {
  for (const char byte : text) {
    const auto token = static_cast<TokenId>(static_cast<uint8_t>(byte));
    ASSERT_TRUE(filter.Allows(token)) << text;
    filter.Accept(token);
  }
}

TEST(VocabularyTrie, HasEveryTokenOnceInOrder) {
  const auto tokenizer = WordTokenizer({"ab", "abc", "b", "ab", "\xff\x41"});
  const VocabularyTrie trie(*tokenizer);
  // 256 bytes but 0xFF, four words, <mark>.
  EXPECT_EQ(trie.tokens().size(), 255U + 4U + 1U);
  EXPECT_EQ(trie.end_tokens().size(), 1U);
  EXPECT_EQ(trie.longest(), 1 + std::string("<mark>").size());
  uint32_t n_tokens = 0;
  std::string path;
  for (uint32_t i = 0; i < trie.n_nodes(); ++i) {
    const auto& node = trie.nodes()[i];
    path.resize(node.depth - 1U);
    path += static_cast<char>(node.byte);
    for (uint32_t k = node.first_token; k < trie.nodes()[i + 1].first_token; ++k, ++n_tokens) {
      EXPECT_EQ(trie.Bytes(trie.tokens()[k]), path);
    }
    for (uint32_t k = i + 1; k < trie.n_nodes(); ++k) {
      EXPECT_EQ(k<node.end, trie.nodes()[k].depth> node.depth && k < node.end);
    }
  }
  EXPECT_EQ(n_tokens, trie.tokens().size());
}

TEST(TokenMasks, AreWhatEveryTokenAloneSays) {
  const auto tokenizer = WordTokenizer({"ab", "abc", "aa", "ba", "cab", "bbb", "ccc", "acacac"});
  const auto masks = MasksOf(*tokenizer);
  size_t n_states = 0;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    const auto automaton = Automaton::Compile(RandomGrammar(seed));
    if (!automaton) {
      continue;
    }
    const auto shared = std::make_shared<const Automaton>(*automaton);
    std::mt19937 random(seed);
    GrammarFilter filter(shared, masks, "", true);
    for (int n = 0; n < 6 && CheckMask(filter, *tokenizer) && !filter.IsOver(); ++n) {
      ++n_states;
      const auto token = static_cast<TokenId>('a' + random() % 3);
      if (filter.Allows(token)) {
        filter.Accept(token);
      }
    }
  }
  EXPECT_GT(n_states, 500U);
  EXPECT_GT(masks->totals().n_found, 0U);
}

TEST(TokenMasks, ServeAStringWhereverItStands) {
  const auto tokenizer =
      WordTokenizer({"abc", "a\"", "\",", "\"]", "\"]]", "\":", "\"}", "\\n", "[["});
  const auto masks = MasksOf(*tokenizer);
  const auto automaton = std::make_shared<const Automaton>(Automaton::Compile(SmallJson()).value());
  // The same depth, in unlike places.
  for (const char* text : {"[\"x", "[0,0,\"abc", "[[0],\"x\\\"", "[\"x\",\""}) {
    GrammarFilter filter(automaton, masks, "", true);
    Say(filter, text);
    EXPECT_TRUE(CheckMask(filter, *tokenizer)) << text;
  }
  EXPECT_LE(masks->totals().n_upper_computed, 2U);
  for (const char* text : {"", "[", "{", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":\"", "[[\"", "[0"}) {
    GrammarFilter filter(automaton, masks, "", true);
    Say(filter, text);
    EXPECT_TRUE(CheckMask(filter, *tokenizer)) << text;
  }
}

TEST(TokenMasks, CountUpToABoundThatIsNear) {
  const auto tokenizer = WordTokenizer({"ab", "abc", "abcdefgh", "a\"", "ab\"", "\\n\\n"});
  const auto masks = MasksOf(*tokenizer);
  const auto automaton =
      std::make_shared<const Automaton>(Automaton::Compile(SmallJson(12)).value());
  GrammarFilter filter(automaton, masks, "", true);
  Say(filter, "\"");
  for (int i = 0; i < 12; ++i) {
    EXPECT_TRUE(CheckMask(filter, *tokenizer));
    Say(filter, "x");
  }
  EXPECT_TRUE(CheckMask(filter, *tokenizer));
  EXPECT_FALSE(filter.Allows('x'));
}

TEST(TokenMasks, DoNotChangeWhenThereIsNoRoomForThem) {
  const auto tokenizer = WordTokenizer({"abc", "a\"", "\",", "\"]"});
  const auto masks = MasksOf(*tokenizer, 1);
  const auto automaton = std::make_shared<const Automaton>(Automaton::Compile(SmallJson()).value());
  GrammarFilter filter(automaton, masks, "", true);
  for (const char byte : std::string(R"([{"a":["b","c\n"]},0])")) {
    EXPECT_TRUE(CheckMask(filter, *tokenizer));
    Say(filter, std::string(1, byte));
  }
  EXPECT_GT(masks->totals().n_upper_computed, 8U);
  EXPECT_EQ(masks->totals().bytes, 0U);
}

// 3,000 words: the walk of the vocabulary meets some megabytes of states, and forgets them.
TEST(TokenMasks, DoNotChangeWhenAWalkForgets) {
  std::mt19937 random(1);
  std::vector<std::string> words;
  for (int i = 0; i < 3000; ++i) {
    std::string word;
    for (int k = 0; k < 8; ++k) {
      word += static_cast<char>('a' + random() % 26);
    }
    words.push_back(word);
  }
  const auto tokenizer = WordTokenizer(words);
  GrammarBuilder builder{{}};
  const RuleId root = builder.Declare();
  for (const std::string& word : words) {
    Sequence sequence;
    builder.AppendText(sequence, word + word);
    builder.Add(root, sequence);
  }
  const auto automaton =
      std::make_shared<const Automaton>(Automaton::Compile(builder.Finish(root)).value());
  const auto masks = MasksOf(*tokenizer);
  GrammarFilter filter(automaton, masks, "", true);
  EXPECT_TRUE(CheckMask(filter, *tokenizer));
  EXPECT_TRUE(filter.Allows(258));
  filter.Accept(258);
  EXPECT_TRUE(CheckMask(filter, *tokenizer));
  EXPECT_LE(masks->totals().bytes, kRoomForMasks);
}

TEST(TokenMasks, KeepNoMoreThanTheirRoom) {
  const auto tokenizer = WordTokenizer({"abc", "a\"", "\",", "\"]"});
  constexpr uint64_t kRoom = 4096;
  const auto masks = MasksOf(*tokenizer, kRoom);
  const auto automaton = std::make_shared<const Automaton>(Automaton::Compile(SmallJson()).value());
  GrammarFilter filter(automaton, masks, "", true);
  for (const char byte : std::string(R"([{"a":["b","c\n"]},0,[[["d"]]]])")) {
    EXPECT_TRUE(CheckMask(filter, *tokenizer));
    EXPECT_LE(masks->totals().bytes, kRoom);
    Say(filter, std::string(1, byte));
  }
  EXPECT_GT(masks->totals().bytes, kRoom / 2);
}

// A text of which every byte is another place.
TEST(GrammarFilter, StaysWithinItsRoom) {
  const std::string word(60, 'x');
  const auto tokenizer = WordTokenizer({word, word + word + word, "x\"", "xx\",\""});
  const auto masks = MasksOf(*tokenizer);
  const auto automaton =
      std::make_shared<const Automaton>(Automaton::Compile(SmallJson(9000)).value());
  GrammarFilter filter(automaton, masks, "[\"", true);
  EXPECT_EQ(filter.bytes(), 0U);
  for (uint32_t n = 0; n + 180 <= 9000; n += 180) {
    ASSERT_TRUE(CheckMask(filter, *tokenizer)) << n;
    filter.Accept(257);
    ASSERT_LE(filter.bytes(), filter.max_bytes() / 2);  // and the rest for following a token
  }
  EXPECT_TRUE(CheckMask(filter, *tokenizer));
  EXPECT_FALSE(filter.Allows('x')) << "there have been 9,000 of them";
  Say(filter, "\"]");
  EXPECT_TRUE(filter.Allows(static_cast<TokenId>(tokenizer->size()) - 1));
}

TEST(GrammarFilter, RefusesAPlaceThatIsTooLarge) {
  const auto tokenizer = WordTokenizer({});
  GrammarBuilder builder{{}};
  const RuleId root = builder.Declare();
  const RuleId inner = builder.Declare();
  // After n bytes as many counts are possible, on as many stacks.
  builder.Add(inner, {builder.Repeat(builder.Byte('a'), 1, 30)});
  builder.Add(root, {builder.Repeat(GrammarBuilder::Reference(inner), 1, 2000)});
  const auto automaton =
      std::make_shared<const Automaton>(Automaton::Compile(builder.Finish(root)).value());
  GrammarFilter filter(automaton, MasksOf(*tokenizer), "", true);
  for (int i = 0; i < 400 && filter.Allows('a'); ++i) {
    filter.Accept('a');
    ASSERT_LE(filter.bytes(), filter.max_bytes());
  }
  const auto mask = filter.Mask();
  EXPECT_TRUE(filter.Allows('a') || !mask.has_value());
}

TEST(GrammarFilter, EndsWhereTheTextIsWhole) {
  const auto tokenizer = WordTokenizer({});
  const TokenId mark = 256;
  const TokenId end = 257;
  GrammarBuilder builder{{}};
  const RuleId root = builder.Declare();
  Sequence control;
  builder.AppendText(control, "a\xff<mark>");
  builder.Add(root, control);
  builder.Add(root, {builder.Repeat(builder.Byte('a'), 0, 2)});
  const auto automaton =
      std::make_shared<const Automaton>(Automaton::Compile(builder.Finish(root)).value());
  const auto masks = MasksOf(*tokenizer);
  GrammarFilter filter(automaton, masks, "", true);
  EXPECT_TRUE(filter.Allows(end));
  EXPECT_FALSE(filter.Allows(mark));
  EXPECT_TRUE(CheckMask(filter, *tokenizer));
  filter.Accept('a');
  EXPECT_TRUE(filter.Allows(end));
  EXPECT_TRUE(filter.Allows(mark));
  EXPECT_FALSE(filter.Allows(255)) << "the byte that stands for control tokens is no text";
  EXPECT_FALSE(filter.IsOver());
  EXPECT_TRUE(CheckMask(filter, *tokenizer));
  filter.Accept(mark);
  EXPECT_TRUE(filter.IsOver());
  EXPECT_TRUE(filter.Allows(end));
  EXPECT_TRUE(CheckMask(filter, *tokenizer));
  EXPECT_FALSE(filter.Allows(-1));
  EXPECT_FALSE(filter.Allows(1000));
}

TEST(GrammarFilter, LeavesOutTheSpaceBeforeATextWhereTheVocabularyDoes) {
  text::VocabularySpec spec;
  spec.model = text::TokenizerModel::kSentencePieceBpe;
  for (const char* token : {"<unk>", "<s>", "</s>", "\xE2\x96\x81", "a",
                            "\xE2\x96\x81"
                            "a",
                            "b"}) {
    spec.tokens.emplace_back(token);
    spec.types.push_back(text::TokenType::kNormal);
    spec.scores.push_back(0);
  }
  spec.types[0] = text::TokenType::kUnknown;
  spec.types[1] = spec.types[2] = text::TokenType::kControl;
  spec.unk = 0;
  spec.bos = 1;
  spec.eos = 2;
  const auto tokenizer = text::Tokenizer::Create(std::move(spec)).value();
  GrammarBuilder builder{{}};
  const RuleId root = builder.Declare();
  builder.Add(root, {builder.Repeat(builder.Byte('a'), 1, 3)});
  const auto automaton =
      std::make_shared<const Automaton>(Automaton::Compile(builder.Finish(root)).value());
  const auto masks = MasksOf(*tokenizer);
  for (const bool at_start : {true, false}) {
    GrammarFilter filter(automaton, masks, "", at_start);
    EXPECT_EQ(filter.Allows(5), at_start);
    EXPECT_TRUE(filter.Allows(4));
    EXPECT_FALSE(filter.Allows(3));
    EXPECT_TRUE(CheckMask(filter, *tokenizer));
    filter.Accept(4);
    EXPECT_FALSE(filter.Allows(5));
    EXPECT_TRUE(CheckMask(filter, *tokenizer));
  }
}

}  // namespace
}  // namespace plimsoll::grammar
