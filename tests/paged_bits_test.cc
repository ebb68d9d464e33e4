// The promise of the line on a whole model: what is in memory, what leaves it first and how it is
// read change no bit of the logits.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/engine.h"
#include "memory/policy/make_policy.h"

namespace plimsoll::tests {
namespace {

constexpr uint32_t kContext = 128;
constexpr uint32_t kChunk = 32;  // the shortest: no line is met by shortening it
constexpr size_t kPrompt = 40;   // then as many tokens one by one
constexpr size_t kTokens = 52;

std::vector<TokenId> SomeTokens() {
  std::vector<TokenId> tokens;
  uint32_t state = 7;
  for (size_t i = 0; i < kTokens; ++i) {
    state = state * 1664525 + 1013904223;
    tokens.push_back(static_cast<TokenId>((state >> 8) % 2000));
  }
  return tokens;
}

struct Outcome {
  std::vector<float> logits;  // of the prompt, then of every further token
  memory::LedgerSnapshot ledger;
  std::optional<engine::PagingSnapshot> paging;
};

class PagedBitsTest : public testing::Test {
 protected:
  PagedBitsTest() : tokens_(SomeTokens()), resident_(RunWith({})) {
    const auto experts = static_cast<size_t>(memory::Account::kExperts);
    expert_bytes_ = resident_.ledger.accounts[experts].bytes;
    other_bytes_ = resident_.ledger.reserved_bytes - expert_bytes_;
  }

  Outcome RunWith(engine::EngineOptions options) {
    options.n_ctx = kContext;
    options.prefill_chunk = std::min(options.prefill_chunk, kChunk);
    options.n_threads = options.n_threads == 0 ? 2 : options.n_threads;
    auto engine = engine::Engine::Load(options, {});
    EXPECT_TRUE(engine) << engine.error().message;
    auto session = (*engine)->NewSession();
    EXPECT_TRUE(session) << session.error().message;
    Outcome run;
    const auto keep = [&](uint32_t /*index*/, std::span<const float> logits) {
      run.logits.insert(run.logits.end(), logits.begin(), logits.end());
    };
    const std::span<const TokenId> all = tokens_;
    EXPECT_TRUE((*session)->Append(all.first(kPrompt), keep));
    for (size_t i = kPrompt; i < kTokens; ++i) {
      EXPECT_TRUE((*session)->Append(all.subspan(i, 1), keep));
    }
    run.ledger = (*engine)->ledger();
    run.paging = (*engine)->paging();
    return run;
  }

  // A line with room for this share of the experts.
  engine::EngineOptions WithExperts(double share) const {
    engine::EngineOptions options;
    const auto bytes = static_cast<uint64_t>(share * static_cast<double>(expert_bytes_));
    options.memory = SizeSpec{.bytes = other_bytes_ + kTables + bytes};
    return options;
  }

  void ExpectSameBits(const engine::EngineOptions& options, const std::string& what) {
    const Outcome run = RunWith(options);
    ASSERT_TRUE(run.paging) << what;
    EXPECT_LT(run.paging->n_frames, run.paging->n_pages) << what;
    EXPECT_GT(run.paging->pager.of(memory::Phase::kDecode).misses(), 0U) << what;
    EXPECT_LE(run.ledger.high_water_bytes, run.ledger.budget_bytes) << what;
    ASSERT_EQ(run.logits.size(), resident_.logits.size()) << what;
    EXPECT_EQ(
        std::memcmp(run.logits.data(), resident_.logits.data(), run.logits.size() * sizeof(float)),
        0)
        << what;
  }

  static constexpr uint64_t kTables = kMiB;  // of pager, policy and reader

  std::vector<TokenId> tokens_;
  Outcome resident_;
  uint64_t expert_bytes_ = 0;
  uint64_t other_bytes_ = 0;
};

TEST_F(PagedBitsTest, UnderEveryLine) {
  EXPECT_FALSE(resident_.paging);
  for (const double share : {0.03, 0.12, 0.25, 0.4, 0.6}) {
    ExpectSameBits(WithExperts(share), std::to_string(share));
  }
}

TEST_F(PagedBitsTest, UnderEveryPolicy) {
  for (const memory::policy::PolicyName& policy : memory::policy::PolicyNames()) {
    engine::EngineOptions options = WithExperts(0.2);
    options.policy = policy.name;
    ExpectSameBits(options, options.policy);
  }
}

TEST_F(PagedBitsTest, WithGuesses) {
  for (const double share : {0.03, 0.25, 0.6}) {
    for (const char* prefetch : {"off", "router", "pairs"}) {
      engine::EngineOptions options = WithExperts(share);
      options.prefetch = prefetch;
      ExpectSameBits(options, prefetch + std::to_string(share));
    }
  }
}

// What earlier runs left, of whatever kind, is a hint and no more.
TEST_F(PagedBitsTest, WithAProfileOfAnEarlierRun) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / fmt::format("plimsoll_profiles_{}", ::getpid());
  engine::EngineOptions options = WithExperts(0.2);
  options.profiles = folder;
  size_t n_notes = 0;
  options.on_note = [&](std::string_view) { ++n_notes; };
  ExpectSameBits(options, "the first run");
  ASSERT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  const std::filesystem::path file = std::filesystem::directory_iterator(folder)->path();
  ExpectSameBits(options, "with the profile of the first");
  EXPECT_EQ(n_notes, 0U);
  std::ofstream(file, std::ios::app) << "1 1 1\n";
  ExpectSameBits(options, "with a damaged profile");
  EXPECT_EQ(n_notes, 1U);
  ExpectSameBits(options, "with a profile written anew");
  EXPECT_EQ(n_notes, 1U);
  std::filesystem::remove_all(folder);
}

TEST_F(PagedBitsTest, HoweverTheyAreRead) {
  for (const char* io : {"best", "threads", "buffered", "threads-buffered"}) {
    engine::EngineOptions options = WithExperts(0.2);
    options.io = io;
    ExpectSameBits(options, io);
  }
}

TEST_F(PagedBitsTest, WithOneThreadAndShortChunks) {
  for (const uint32_t n_threads : {1U, 3U}) {
    engine::EngineOptions options = WithExperts(0.2);
    options.n_threads = n_threads;
    options.prefill_chunk = 3 * n_threads;  // 3 is few tokens, 9 is not
    ExpectSameBits(options, std::to_string(n_threads));
  }
}

// Down and up again in the midst of a text, and what cannot be met is refused.
TEST_F(PagedBitsTest, WhileTheLineMoves) {
  engine::EngineOptions options = WithExperts(0.5);
  options.n_ctx = kContext;
  options.prefill_chunk = kChunk;
  options.n_threads = 2;
  auto engine = engine::Engine::Load(options, {});
  ASSERT_TRUE(engine) << engine.error().message;
  auto session = (*engine)->NewSession();
  ASSERT_TRUE(session) << session.error().message;
  std::vector<float> logits;
  const auto keep = [&](uint32_t /*index*/, std::span<const float> row) {
    logits.insert(logits.end(), row.begin(), row.end());
  };
  const std::span<const TokenId> all = tokens_;
  ASSERT_TRUE((*session)->Append(all.first(kPrompt), keep));
  const double shares[] = {0.1, 0.4, 0.03, 0.9};
  for (size_t i = kPrompt; i < kTokens; ++i) {
    const uint64_t line = WithExperts(shares[i % 4]).memory->bytes;
    const auto moved = (*engine)->SetLine(line);
    ASSERT_TRUE(moved) << moved.error().message;
    const memory::LedgerSnapshot ledger = (*engine)->ledger();
    EXPECT_EQ(ledger.budget_bytes, line);
    EXPECT_LE(ledger.reserved_bytes, line);
    ASSERT_TRUE((*session)->Append(all.subspan(i, 1), keep));
  }
  ASSERT_EQ(logits.size(), resident_.logits.size());
  EXPECT_EQ(std::memcmp(logits.data(), resident_.logits.data(), logits.size() * sizeof(float)), 0);
  const auto refused = (*engine)->SetLine(other_bytes_ / 2);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
}

// Also where everything fits and the names would never be used.
TEST_F(PagedBitsTest, NamesThatAreNoneAreRefused) {
  engine::EngineOptions policy;
  policy.policy = "fifo";
  engine::EngineOptions io;
  io.io = "telepathy";
  engine::EngineOptions prefetch;
  prefetch.prefetch = "cards";
  for (const engine::EngineOptions& options : {policy, io, prefetch}) {
    const auto refused = engine::Engine::Load(options, {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
  }
}

TEST_F(PagedBitsTest, ALineBelowOneTokensExpertsIsRefusedWithWhatWouldDo) {
  engine::EngineOptions options = WithExperts(0);
  options.n_ctx = kContext;
  options.memory = SizeSpec{.bytes = other_bytes_ / 2};
  const auto refused = engine::Engine::Load(options, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_NE(refused.error().message.find("--memory"), std::string::npos);
}

}  // namespace
}  // namespace plimsoll::tests
