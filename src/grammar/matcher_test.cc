#include "grammar/matcher.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/sanitized.h"
#include "grammar/reference_matcher.h"
#include "grammar/test_grammars.h"

namespace plimsoll::grammar {
namespace {

using StateId = Matcher::StateId;

std::shared_ptr<const Automaton> Compiled(Grammar grammar) {
  auto automaton = Automaton::Compile(std::move(grammar));
  EXPECT_TRUE(automaton) << automaton.error().message;
  return std::make_shared<const Automaton>(*std::move(automaton));
}

std::string ErrorOf(Grammar grammar) {
  const auto automaton = Automaton::Compile(std::move(grammar));
  return automaton ? "" : automaton.error().message;
}

enum class Taken { kNot, kBeginning, kWhole };

Taken Follow(Matcher& matcher, std::string_view text) {
  const StateId state = matcher.Step(matcher.start(), text);
  return state == Matcher::kDead  ? Taken::kNot
         : matcher.IsWhole(state) ? Taken::kWhole
                                  : Taken::kBeginning;
}

Taken Follow(const Grammar& grammar, std::string_view text) {
  Matcher matcher(Compiled(grammar));
  return Follow(matcher, text);
}

// All texts of up to so many bytes a, b and c.
std::vector<std::string> AllTexts(size_t longest) {
  std::vector<std::string> texts = {""};
  for (size_t i = 0; i < texts.size(); ++i) {
    for (const char byte : {'a', 'b', 'c'}) {
      if (texts[i].size() < longest) {
        texts.push_back(texts[i] + byte);
      }
    }
  }
  return texts;
}

TEST(Matcher, TakesWhatTheDefinitionOfAGrammarTakes) {
  const std::vector<std::string> texts = AllTexts(kSanitized ? 3 : 5);
  size_t n_compared = 0;
  size_t n_left_recursive = 0;
  constexpr uint32_t kSeeds = kSanitized ? 150 : 600;
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    const Grammar grammar = RandomGrammar(seed);
    ReferenceMatcher reference(grammar);
    const auto automaton = Automaton::Compile(grammar);
    if (!automaton) {
      const bool says_nothing = automaton.error().message == "no text satisfies the grammar";
      ASSERT_EQ(says_nothing, !reference.says_anything()) << seed;
      n_left_recursive += says_nothing ? 0 : 1;
      continue;
    }
    ASSERT_TRUE(reference.says_anything()) << seed;
    Matcher matcher(std::make_shared<const Automaton>(*automaton));
    ++n_compared;
    for (const std::string& text : texts) {
      const auto expected = reference.Look(text);
      const StateId state = matcher.Step(matcher.start(), text);
      ASSERT_EQ(state != Matcher::kDead, expected.is_beginning) << seed << ": '" << text << "'";
      ASSERT_EQ(matcher.IsWhole(state), expected.is_whole) << seed << ": '" << text << "'";
    }
  }
  EXPECT_GT(n_compared, kSeeds * 2 / 5);
  EXPECT_LT(n_left_recursive, kSeeds * 2 / 5);
}

TEST(Matcher, ForgetsNothingThatMattersWhenItIsMadeSmaller) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const auto automaton = Automaton::Compile(RandomGrammar(seed));
    if (!automaton) {
      continue;
    }
    const auto shared = std::make_shared<const Automaton>(*automaton);
    Matcher whole(shared);
    for (const std::string& text : AllTexts(4)) {
      Matcher parts(shared);
      StateId state = parts.start();
      for (const char byte : text) {
        state = parts.Compact(parts.Step(state, static_cast<uint8_t>(byte)));
      }
      const StateId expected = whole.Step(whole.start(), text);
      ASSERT_EQ(state == Matcher::kDead, expected == Matcher::kDead) << seed << ": " << text;
      ASSERT_EQ(parts.IsWhole(state), whole.IsWhole(expected)) << seed << ": " << text;
    }
  }
}

TEST(Matcher, HalvesOfAStateAreTheState) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    const auto automaton = Automaton::Compile(RandomGrammar(seed));
    if (!automaton) {
      continue;
    }
    Matcher matcher(std::make_shared<const Automaton>(*automaton));
    Matcher upper(matcher.automaton());
    for (const std::string& text : AllTexts(3)) {
      const StateId state = matcher.Step(matcher.start(), text);
      if (state == Matcher::kDead) {
        continue;
      }
      const Matcher::Halves halves = matcher.Split(state, upper);
      for (const std::string& more : AllTexts(3)) {
        bool taken = upper.Step(halves.upper, more) != Matcher::kDead;
        for (size_t n = 1; n <= more.size() && halves.lower != Matcher::kDead; ++n) {
          const bool left = upper.IsWhole(upper.Step(halves.upper, more.substr(0, n)));
          taken = taken || (left && matcher.Step(halves.lower, more.substr(n)) != Matcher::kDead);
        }
        ASSERT_EQ(taken, matcher.Step(state, more) != Matcher::kDead)
            << seed << ": '" << text << "' '" << more << "'";
      }
    }
  }
}

TEST(Matcher, FollowsJson) {
  const Grammar json = SmallJson();
  const std::string text = R"({"a\"b":[0,"x",{}],"":{"k":[[]]}})";
  Matcher matcher(Compiled(json));
  for (size_t n = 0; n < text.size(); ++n) {
    EXPECT_EQ(Follow(matcher, text.substr(0, n)), Taken::kBeginning) << n;
  }
  EXPECT_EQ(Follow(matcher, text), Taken::kWhole);
  EXPECT_TRUE(matcher.IsOver(matcher.Step(matcher.start(), text)));
  EXPECT_EQ(Follow(matcher, text + " "), Taken::kNot);
  for (const char* wrong :
       {"]", "{]", "[}", "[,", "[0,]", "{\"a\"}", "{\"a\":}", "\"\\x", "[[]}"}) {
    EXPECT_EQ(Follow(matcher, wrong), Taken::kNot) << wrong;
  }
}

TEST(Matcher, CountsWithoutAStateForEachNumber) {
  constexpr uint32_t kMost = 1'000'000;
  Matcher matcher(Compiled(SmallJson(kMost)));
  StateId state = matcher.Step(matcher.start(), "\"");
  std::vector<uint32_t> first;
  matcher.AppendSignature(state, 64, first);
  for (uint32_t i = 0; i < kMost - 1; ++i) {
    state = matcher.Step(state, 'a');
    ASSERT_NE(state, Matcher::kDead);
    if (matcher.Bytes() > 1 << 20) {
      state = matcher.Compact(state);
    }
    std::vector<uint32_t> signature;
    if (i % 1000 == 0 && i > 0) {
      matcher.AppendSignature(state, 64, signature);
      ASSERT_EQ(signature, first) << i;
    }
  }
  EXPECT_NE(matcher.Step(state, "a\""), Matcher::kDead);
  EXPECT_EQ(matcher.Step(state, "aa"), Matcher::kDead);
}

TEST(Matcher, BeginsWithItselfAndEnds) {
  GrammarBuilder builder{{}};
  const RuleId sum = builder.Declare();
  builder.Add(sum, {GrammarBuilder::Reference(sum), builder.Byte('+'), builder.Byte('a')});
  builder.Add(sum, {builder.Byte('a')});
  const Grammar grammar = builder.Finish(sum);
  EXPECT_EQ(Follow(grammar, "a+a+a+a"), Taken::kWhole);
  EXPECT_EQ(Follow(grammar, "a+a+"), Taken::kBeginning);
  EXPECT_EQ(Follow(grammar, "+"), Taken::kNot);
  EXPECT_EQ(Follow(grammar, "aa"), Taken::kNot);
}

TEST(Matcher, RefusesWhatLeadsBackThroughOthers) {
  GrammarBuilder builder{{}};
  const RuleId a = builder.Declare();
  const RuleId b = builder.Declare();
  builder.Add(a, {GrammarBuilder::Reference(b), builder.Byte('x')});
  builder.Add(b, {GrammarBuilder::Reference(a), builder.Byte('y')});
  builder.Add(b, {builder.Byte('z')});
  EXPECT_NE(ErrorOf(builder.Finish(a)).find("left-recursive"), std::string::npos);
}

TEST(Matcher, GoesRoundInACircleThatSaysNothing) {
  GrammarBuilder builder{{}};
  const RuleId a = builder.Declare();
  const RuleId b = builder.Declare();
  builder.Add(a, {GrammarBuilder::Reference(b)});
  builder.Add(a, {builder.Byte('x')});
  builder.Add(b, {GrammarBuilder::Reference(a)});
  builder.Add(b, {builder.Byte('y')});
  const Grammar grammar = builder.Finish(a);
  EXPECT_EQ(Follow(grammar, "x"), Taken::kWhole);
  EXPECT_EQ(Follow(grammar, "y"), Taken::kWhole);
  EXPECT_EQ(Follow(grammar, "xx"), Taken::kNot);
}

TEST(Matcher, SaysThatNothingCanBeSaid) {
  GrammarBuilder builder{{}};
  const RuleId a = builder.Declare();
  builder.Add(a, {builder.Byte('x'), GrammarBuilder::Reference(a)});
  EXPECT_EQ(ErrorOf(builder.Finish(a)), "no text satisfies the grammar");
  EXPECT_NE(ErrorOf([] {
              GrammarBuilder deep{{}};
              RuleId inner = deep.Declare();
              deep.Add(inner, {deep.Byte('x')});
              for (uint32_t i = 0; i <= Automaton::kMaxDepth; ++i) {
                const RuleId outer = deep.Declare();
                deep.Add(outer, {deep.Byte('('), GrammarBuilder::Reference(inner), deep.Byte(')')});
                inner = outer;
              }
              return deep.Finish(inner);
            }())
                .find("nests too deep"),
            std::string::npos);
}

// What is opened can be closed, however deep the answer goes.
TEST(Matcher, NestsOnlyAsDeepAsItCanComeBack) {
  Matcher matcher(Compiled(SmallJson()));
  StateId state = matcher.start();
  size_t depth = 0;
  for (; matcher.Step(state, '[') != Matcher::kDead; ++depth) {
    state = matcher.Step(state, '[');
  }
  EXPECT_GT(depth, Automaton::kMaxDepth / 4);
  EXPECT_LE(depth, Automaton::kMaxDepth);
  for (; depth > 0; --depth) {
    state = matcher.Step(state, ']');
    ASSERT_NE(state, Matcher::kDead);
  }
  EXPECT_TRUE(matcher.IsOver(state));
}

// (a+)+b, and a rule that is twice itself: as ambiguous as can be.
TEST(Matcher, WorksWithinBoundsOnWhatIsAmbiguous) {
  GrammarBuilder builder{{}};
  const RuleId root = builder.Declare();
  const RuleId twice = builder.Declare();
  builder.Add(twice, {GrammarBuilder::Reference(twice), GrammarBuilder::Reference(twice)});
  builder.Add(twice, {builder.Byte('a')});
  const Symbol some = builder.Repeat(builder.Byte('a'), 1, kUnbounded);
  builder.Add(root, {builder.Repeat(builder.Concatenation({some}), 1, kUnbounded)});
  builder.Add(root, {GrammarBuilder::Reference(twice), builder.Byte('b')});
  Matcher matcher(Compiled(builder.Finish(root)));
  StateId state = matcher.start();
  for (int i = 0; i < 2000; ++i) {
    const uint64_t before = matcher.n_visits();
    state = matcher.Step(state, 'a');
    ASSERT_NE(state, Matcher::kDead);
    ASSERT_LE(matcher.n_visits() - before, Matcher::kMaxVisits);
    if (i < 30) {
      EXPECT_NE(matcher.Step(state, 'b'), Matcher::kDead) << i;
    }
    state = matcher.Bytes() > 1 << 20 ? matcher.Compact(state) : state;
  }
}

}  // namespace
}  // namespace plimsoll::grammar
