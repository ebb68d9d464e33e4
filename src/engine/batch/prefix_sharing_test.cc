// The prefix cache below a batcher: what it saves, what it must not change, who shares with whom.
#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/sanitized.h"
#include "engine/batch/batch_test_tools.h"
#include "engine/prefix/check_log.h"

namespace plimsoll::engine::batch {
namespace {

struct Draws {
  uint64_t seed = 0;
  uint64_t n = 0;
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>(UniformAt(seed, n++) * static_cast<double>(bound));
  }
};

std::vector<TokenId> DrawTokens(const Engine& engine, Draws& draws, size_t n) {
  std::vector<TokenId> tokens;
  while (tokens.size() < n) {
    tokens.push_back(static_cast<TokenId>(draws.Below(engine.tokenizer().size())));
  }
  return tokens;
}

GenerationRequest RequestFor(std::vector<TokenId> prompt, uint32_t n_predict) {
  GenerationRequest request;
  request.prompt = std::move(prompt);
  request.options.n_predict = n_predict;
  request.options.ignore_end = true;
  return request;
}

std::shared_ptr<Heard> Ask(Batcher& batcher, const GenerationRequest& request) {
  static_cast<void>(batcher.Step(Clock::now()));
  const auto heard = std::make_shared<Heard>();
  batcher.Add(1, request, heard, Clock::now());
  Finish(batcher);
  EXPECT_EQ(heard->n_ends, 1);
  return heard;
}

// Conversations that begin with one of three system prompts, several at a time, some of which are
// cancelled. All that was said, in order.
std::vector<std::string> Converse(const Engine& engine, Batcher& batcher, uint64_t seed) {
  constexpr size_t kConversations = 18;
  constexpr int kTurns = 3;
  struct Conversation {
    std::vector<TokenId> tokens;
    std::shared_ptr<Heard> heard;
    int n_turns = 0;
  };
  Draws draws = {.seed = seed};
  std::vector<std::vector<TokenId>> systems;
  for (const size_t n : {90U, 40U, 70U}) {
    systems.push_back(DrawTokens(engine, draws, n));
  }
  std::vector<Conversation> all(kConversations);
  std::vector<std::string> said(kConversations);
  RequestId id = 0;
  for (Conversation& one : all) {
    one.tokens = systems[draws.Below(draws.Below(3) + 1)];
  }
  for (int turn = 0; turn < kTurns; ++turn) {
    for (size_t i = 0; i < all.size(); ++i) {
      Conversation& one = all[i];
      const auto question = DrawTokens(engine, draws, 3 + draws.Below(25));
      one.tokens.insert(one.tokens.end(), question.begin(), question.end());
      GenerationRequest request =
          RequestFor(one.tokens, static_cast<uint32_t>(2 + draws.Below(20)));
      request.options.sampling.seed = seed + i;
      one.heard = std::make_shared<Heard>();
      batcher.Add(++id, request, one.heard, Clock::now());
      const auto stray = std::make_shared<Heard>();
      batcher.Add(++id, request, stray, Clock::now());
      static_cast<void>(batcher.Step(Clock::now()));
      if (draws.Below(2) == 0) {
        static_cast<void>(batcher.Step(Clock::now()));
      }
      batcher.Cancel(id);
      EXPECT_EQ(stray->n_ends, 1);
    }
    Finish(batcher);
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_FALSE(all[i].heard->end.error);
      said[i] += all[i].heard->text + "|";
      const auto answer = Encode(engine, all[i].heard->text);
      all[i].tokens.insert(all[i].tokens.end(), answer.begin(), answer.end());
    }
  }
  return said;
}

void ExpectNothingInUse(const Engine& engine, const Batcher& batcher) {
  const uint64_t kept = batcher.n_blocks() - batcher.n_free_blocks();
  const auto ledger = engine.ledger();
  const uint64_t all_bytes =
      ledger.of(memory::Account::kKv).bytes + ledger.of(memory::Account::kPrefix).bytes;
  // Of the slabs' pages a part may be in no block.
  EXPECT_LE(kept * (all_bytes / batcher.n_blocks()),
            ledger.of(memory::Account::kPrefix).bytes + all_bytes / 100 + 4096);
  EXPECT_EQ(kept == 0, ledger.of(memory::Account::kPrefix).bytes == 0);
}

// With the cache, without it, and where every block that is kept has to make room again.
void ExpectSameWords(const kv::Precision& kv, uint64_t n_seeds) {
  const auto log = std::filesystem::path(testing::TempDir()) /
                   ("plimsoll_prefix_log_" + std::to_string(::getpid()));
  for (uint64_t seed = 1; seed <= n_seeds; ++seed) {
    SCOPED_TRACE(seed);
    const auto engine = LoadBundled(512, 4, std::nullopt, kv);
    uint64_t least = 0;
    std::vector<std::string> without;
    {
      const auto batcher = engine->NewBatcher({.n_parallel = 4, .prefix_cache = false}).value();
      without = Converse(*engine, *batcher, seed);
      EXPECT_EQ(batcher->totals().prompt_tokens_reused, 0U);
      EXPECT_EQ(batcher->n_free_blocks(), batcher->n_blocks());
    }
    {
      const auto batcher = engine->NewBatcher({.n_parallel = 4}).value();
      EXPECT_EQ(Converse(*engine, *batcher, seed), without);
      EXPECT_GT(batcher->totals().prompt_tokens_reused,
                batcher->totals().prompt_tokens / (kv.is_lossy() ? 4 : 2));
      ExpectNothingInUse(*engine, *batcher);
    }
    EXPECT_EQ(engine->ledger().of(memory::Account::kPrefix).bytes, 0U);
    {
      const auto roomy = LoadBundled(512, 1, std::nullopt, kv);
      least = roomy->ledger().reserved_bytes;
      const auto batcher = roomy->NewBatcher({.n_parallel = 1}).value();
      least = roomy->ledger().reserved_bytes;
    }
    const auto tight = LoadBundled(512, 1, SizeSpec{.bytes = least}, kv);
    {
      const auto batcher = tight->NewBatcher({.n_parallel = 1, .prefix_log = log}).value();
      EXPECT_EQ(Converse(*tight, *batcher, seed), without);
      EXPECT_GT(batcher->prefix_stats().n_evicted, 50U);
      EXPECT_GT(batcher->totals().n_preempted, 0U);
      ExpectNothingInUse(*tight, *batcher);
    }
    const auto checked = prefix::CheckLogFile(log);
    ASSERT_TRUE(checked) << checked.error().message;
    EXPECT_GT(checked->n_evicted, 50U);
  }
  std::filesystem::remove(log);
}

TEST(PrefixSharing, ChangesNothingOfWhatIsSaid) { ExpectSameWords({}, kSanitized ? 1 : 3); }

// Only whole blocks are shared, and only these.
TEST(PrefixSharing, ChangesNothingWithQuantizedBlocks) {
  ExpectSameWords({.type = tensor::KvType::kQ4, .layers = {}}, 1);
}

TEST(PrefixSharing, OwnersCannotTellWhatOthersAsked) {
  const auto engine = LoadBundled(512);
  const auto batcher = engine->NewBatcher({.n_parallel = 1}).value();
  GenerationRequest request = RequestFor(Encode(*engine, Question(std::string(300, 'a'))), 4);
  ASSERT_GT(request.prompt.size(), 64U);
  request.prefix_owner = "a";
  EXPECT_EQ(Ask(*batcher, request)->end.stats.n_prompt_reused, 0U);
  request.prefix_owner = "b";
  EXPECT_EQ(Ask(*batcher, request)->end.stats.n_prompt_reused, 0U);
  request.prefix_owner = "";
  EXPECT_EQ(Ask(*batcher, request)->end.stats.n_prompt_reused, 0U);
  request.prefix_owner = "a";
  EXPECT_EQ(Ask(*batcher, request)->end.stats.n_prompt_reused, request.prompt.size() - 1);
  EXPECT_EQ(batcher->totals().prefix_lookups, 4U);
  EXPECT_EQ(batcher->totals().prefix_hits, 1U);
}

// Two running at a time neither wait for one another.
TEST(PrefixSharing, OwnersDoNotWaitForOneAnother) {
  const auto engine = LoadBundled(512, 2);
  const auto batcher = engine->NewBatcher({.n_parallel = 2}).value();
  GenerationRequest request = RequestFor(Encode(*engine, Question(std::string(300, 'a'))), 4);
  for (const char* owner : {"a", "b", "b"}) {
    request.prefix_owner = owner;
    batcher->Add(static_cast<RequestId>(batcher->waiting().size() + 1), request,
                 std::make_shared<Heard>(), Clock::now());
  }
  static_cast<void>(batcher->Step(Clock::now()));
  EXPECT_EQ(batcher->running().size(), 2U);
  EXPECT_EQ(batcher->waiting().size(), 1U);  // behind the other one of "b"
}

// The optimum: each beginning that differs is computed once.
TEST(PrefixSharing, ComputesWhatGroupsHaveInCommonOnce) {
  const auto engine = LoadBundled(512, 8);
  const auto batcher = engine->NewBatcher({.n_parallel = 8}).value();
  Draws draws = {.seed = 7};
  std::vector<std::vector<TokenId>> groups;
  for (int i = 0; i < 10; ++i) {
    groups.push_back(DrawTokens(*engine, draws, 150 + draws.Below(150)));
  }
  std::set<std::vector<TokenId>> beginnings;
  std::vector<std::shared_ptr<Heard>> heard;
  for (RequestId id = 1; id <= 200; ++id) {
    std::vector<TokenId> prompt = groups[draws.Below(10)];
    const auto own = DrawTokens(*engine, draws, 5 + draws.Below(20));
    prompt.insert(prompt.end(), own.begin(), own.end());
    for (size_t n = 1; n <= prompt.size(); ++n) {
      beginnings.emplace(prompt.begin(), prompt.begin() + static_cast<ptrdiff_t>(n));
    }
    heard.push_back(std::make_shared<Heard>());
    batcher->Add(id, RequestFor(std::move(prompt), 2), heard.back(), Clock::now());
  }
  Finish(*batcher);
  const auto& totals = batcher->totals();
  const uint64_t computed = totals.prompt_tokens - totals.prompt_tokens_reused;
  EXPECT_LE(static_cast<double>(computed), 1.02 * static_cast<double>(beginnings.size()))
      << computed << " of " << totals.prompt_tokens << ", at best " << beginnings.size();
  EXPECT_EQ(totals.n_preempted, 0U);
}

// Those that wait are looked up once, however many steps they wait.
TEST(PrefixSharing, AThousandThatWaitCostNothing) {
  const auto engine = LoadBundled(512, 2);
  const auto batcher = engine->NewBatcher({.n_parallel = 2, .max_running = 2}).value();
  Draws draws = {.seed = 3};
  const auto system = DrawTokens(*engine, draws, 400);
  uint64_t n_tokens = 0;
  for (RequestId id = 1; id <= 1000; ++id) {
    auto prompt = system;
    const auto own = DrawTokens(*engine, draws, 20);
    prompt.insert(prompt.end(), own.begin(), own.end());
    n_tokens += prompt.size();
    batcher->Add(id, RequestFor(std::move(prompt), 2), std::make_shared<Heard>(), Clock::now());
  }
  static_cast<void>(batcher->Step(Clock::now()));
  EXPECT_EQ(batcher->running().size(), 1U);
  const uint64_t looked_up = batcher->prefix_stats().tokens_compared;
  EXPECT_LT(looked_up, 3 * n_tokens);
  for (int i = 0; i < 5; ++i) {
    static_cast<void>(batcher->Step(Clock::now()));
  }
  EXPECT_EQ(batcher->running().size(), 1U);
  EXPECT_EQ(batcher->prefix_stats().tokens_compared, looked_up);
  batcher->CancelAll();
}

}  // namespace
}  // namespace plimsoll::engine::batch
