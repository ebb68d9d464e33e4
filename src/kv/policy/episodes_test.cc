#include "kv/policy/episodes.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "kv/block_pool.h"

namespace plimsoll::kv::policy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr size_t kSegment = Episodes::kSegmentTokens;

// Drawn from the topic's forty tokens, every other one from twenty that all topics have.
void Write(std::vector<TokenId>& text, int topic, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const auto drawn = Philox(7, text.size(), 0)[0];
    text.push_back(
        i % 2 == 0 ? static_cast<TokenId>(drawn % 20)
                   : static_cast<TokenId>(1000U * (static_cast<uint32_t>(topic) + 1) + drawn % 40));
  }
}

std::vector<TokenId> About(int topic, size_t n) {
  std::vector<TokenId> text;
  Write(text, topic, n);
  return text;
}

// Segments that are about these topics.
std::vector<TokenId> Segments(const std::vector<int>& topics) {
  std::vector<TokenId> text;
  for (const int topic : topics) {
    Write(text, topic, kSegment);
  }
  return text;
}

TEST(Episodes, AreTheTopicsOfAText) {
  const std::vector<int> topics = {0, 0, 0, 1, 1, 1, 1, 2, 2, 0, 0, 3, 3, 3, 1, 2};
  const Episodes episodes(Segments(topics));
  ASSERT_EQ(episodes.size(), 4U);
  ASSERT_EQ(episodes.n_segments(), topics.size());
  for (size_t i = 0; i < topics.size(); ++i) {
    EXPECT_EQ(episodes.FirstToken(i), i * kSegment);
    for (size_t j = 0; j < i; ++j) {
      EXPECT_EQ(episodes.EpisodeOf(i) == episodes.EpisodeOf(j), topics[i] == topics[j])
          << i << " " << j;
    }
  }
  for (int topic = 0; topic < 4; ++topic) {
    const size_t nearest = episodes.Nearest(About(topic, 40));
    for (const size_t segment : episodes.Medoids(nearest, 2)) {
      EXPECT_EQ(topics[segment], topic);
    }
  }
}

TEST(Episodes, TheMedoidsAreThoseThatAreMostLikeTheRest) {
  // The second topic's last segment is half about a third thing.
  auto text = Segments({0, 0, 0, 0, 1, 1, 1});
  Write(text, 1, kSegment / 2);
  Write(text, 2, kSegment / 2);
  const Episodes episodes(text);
  const size_t episode = episodes.EpisodeOf(4);
  const auto medoids = episodes.Medoids(episode, 2);
  ASSERT_EQ(medoids.size(), 2U);
  EXPECT_LT(medoids[0], medoids[1]);
  for (const size_t segment : medoids) {
    EXPECT_EQ(episodes.EpisodeOf(segment), episode);
    EXPECT_NE(segment, 7U);
  }
  EXPECT_THAT(episodes.Medoids(episode, 0), IsEmpty());
}

TEST(Episodes, OfAShortTextAreItsSegments) {
  EXPECT_EQ(Episodes({}).size(), 0U);
  EXPECT_EQ(Episodes(About(0, kSegment - 1)).size(), 0U);
  const Episodes one(About(0, 2 * kSegment - 1));
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(one.Nearest(About(3, 5)), 0U);
  EXPECT_EQ(one.Nearest({}), 0U);
  EXPECT_THAT(one.Medoids(0, 4), ElementsAre(0));
  const Episodes three(Segments({0, 1, 2}));
  EXPECT_EQ(three.size(), 3U);
  EXPECT_NE(three.EpisodeOf(0), three.EpisodeOf(1));
}

// Nothing tells its segments apart: all of them are of one, whichever that is.
TEST(Episodes, OfATextThatSaysOneThing) {
  const std::vector<TokenId> text(10 * kSegment, 5);
  const Episodes episodes(text);
  ASSERT_GE(episodes.size(), 1U);
  const size_t episode = episodes.Nearest(About(1, 20));
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(episodes.EpisodeOf(i), episode);
  }
  EXPECT_THAT(episodes.Medoids(episode, 2), ElementsAre(0, 1));
}

TEST(Episodes, OfALongTextAreThoseOfPartsOfIt) {
  std::vector<TokenId> text;
  for (int i = 0; i < 4; ++i) {
    Write(text, i, 500'000);
  }
  const Episodes episodes(text);
  EXPECT_EQ(episodes.n_segments(), Episodes::kMostSegments);
  EXPECT_GT(episodes.FirstToken(Episodes::kMostSegments - 1), 1'990'000U);
  std::set<size_t> nearest;
  for (int topic = 0; topic < 4; ++topic) {
    nearest.insert(episodes.Nearest(About(topic, 60)));
  }
  EXPECT_EQ(nearest.size(), 4U);
}

TEST(PatchPrompt, IsWhatTheQuestionsEpisodeSays) {
  auto prompt = Segments({0, 0, 0, 1, 1, 1, 0, 1});
  Write(prompt, 1, kSegment + 3);
  const auto patch = PatchPrompt(prompt);
  ASSERT_GE(patch.size(), kSegment);
  ASSERT_EQ(patch.size() % kBlockTokens, 0U);
  for (size_t i = 1; i < patch.size(); i += 2) {
    EXPECT_EQ(patch[i] / 1000, 2) << i;
  }
  EXPECT_EQ(PatchPrompt(prompt), patch);
}

TEST(PatchPrompt, IsNoneOfAShortPrompt) {
  EXPECT_THAT(PatchPrompt({}), IsEmpty());
  EXPECT_THAT(PatchPrompt(About(0, 2 * kSegment - 1)), IsEmpty());
  EXPECT_EQ(PatchPrompt(About(0, 2 * kSegment)).size(), kSegment);
}

// As long as the question is of the same episode.
TEST(PatchPrompt, StaysTheSameWhileAConversationGrowsALittle) {
  std::vector<int> topics;
  for (int i = 0; i < 64; ++i) {
    topics.push_back(i / 4 % 4);
  }
  auto prompt = Segments(topics);
  Write(prompt, 2, kSegment);
  const auto patch = PatchPrompt(prompt);
  for (int turn = 0; turn < 15; ++turn) {
    Write(prompt, 2, kSegment);
    EXPECT_EQ(PatchPrompt(prompt), patch) << turn;
  }
  Write(prompt, 3, kSegment);
  EXPECT_NE(PatchPrompt(prompt), patch);
}

TEST(PatchPrompt, TakesAnyTokens) {
  for (uint64_t i = 0; i < 50; ++i) {
    std::vector<TokenId> prompt(i * i * 7);
    for (size_t j = 0; j < prompt.size(); ++j) {
      prompt[j] = static_cast<TokenId>(Philox(i, j, 1)[0] % (i % 2 == 0 ? 3U : 2'000'000'000U));
    }
    const auto patch = PatchPrompt(prompt);
    EXPECT_EQ(patch.size() % kBlockTokens, 0U);
    EXPECT_LE(patch.size(), 4 * kSegment);
    EXPECT_EQ(patch.empty(), prompt.size() < 2 * kSegment) << prompt.size();
  }
}

}  // namespace
}  // namespace plimsoll::kv::policy
