// Requests of one batch that say themselves which of their keys and values stay.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/batch/batch_test_tools.h"
#include "engine/engine.h"
#include "engine/planner.h"

namespace plimsoll::engine {
namespace {

using batch::Heard;
using kv::policy::PolicyKind;
using kv::policy::PolicyOptions;

constexpr uint32_t kContext = 1024;
constexpr uint32_t kAnswer = 400;

PolicyOptions Window(double percent, const kv::policy::Reference& reference = {}) {
  return {
      .kind = PolicyKind::kWindow, .budget = SizeSpec{.percent = percent}, .reference = reference};
}

std::unique_ptr<Engine> LoadWith(const PolicyOptions& policy, uint32_t n_parallel,
                                 std::optional<SizeSpec> memory = std::nullopt,
                                 tensor::KvType type = tensor::KvType::kF16) {
  auto engine = Engine::Load({.memory = memory,
                              .n_ctx = kContext,
                              .n_parallel = n_parallel,
                              .n_threads = 1,
                              .prefill_chunk = 128,
                              .batches = true,
                              .kv = {.type = type, .layers = {}},
                              .kv_policy = policy},
                             {});
  EXPECT_TRUE(engine) << (engine ? "" : engine.error().message);
  return std::move(*engine);
}

// With a batcher and no request yet, and the room that is kept for a scorer of requests' policies.
uint64_t BytesTaken(const PolicyOptions& policy, uint32_t n_parallel,
                    tensor::KvType type = tensor::KvType::kF16) {
  const auto engine = LoadWith(policy, n_parallel, std::nullopt, type);
  const auto batcher = engine->NewBatcher({.n_parallel = n_parallel});
  EXPECT_TRUE(batcher);
  const memory::LedgerSnapshot ledger = engine->ledger();
  return ledger.reserved_bytes + ledger.of(memory::Account::kScratch).kept_bytes();
}

std::vector<TokenId> Text(const Engine& engine, size_t n_tokens) {
  std::string text = "<|im_start|>user\n";
  for (int i = 0; text.size() < 16 * n_tokens; ++i) {
    text += " The code of the " + std::string(i % 2 == 0 ? "red" : "blue") + " lamp is " +
            std::to_string(1000 + i * 7) + ". Ada walked to the river.";
  }
  auto tokens = batch::Encode(engine, text);
  tokens.resize(n_tokens);
  return tokens;
}

GenerationRequest Request(const Engine& engine, size_t n_prompt,
                          const std::optional<PolicyOptions>& policy) {
  return {.prompt = Text(engine, n_prompt),
          .options = {.sampling = {.temperature = 0}, .n_predict = kAnswer, .ignore_end = true},
          .kv_policy = policy};
}

// What an engine says whose sequences are all kept so.
std::string SaidUnder(const PolicyOptions& policy, size_t n_prompt) {
  const auto engine = LoadWith(policy, 1);
  const auto session = engine->NewSession().value();
  const GenerationRequest request = Request(*engine, n_prompt, {});
  std::string said;
  EXPECT_TRUE(session->Generate(request.prompt, request.options, [&](std::string_view text) {
    said += text;
    return true;
  }));
  return said;
}

struct Asked {
  PolicyOptions policy;
  size_t n_prompt = 0;
};

std::vector<Asked> AllKinds() {
  return {{PolicyOptions{}, 300},
          {Window(25), 300},
          {PolicyOptions{}, 290},
          {Window(50, {.is_prompt = true}), 300},
          {Window(25), 100},
          {{.kind = PolicyKind::kBlock, .budget = SizeSpec{.percent = 40}}, 300},
          {{.kind = PolicyKind::kSnap, .budget = SizeSpec{.percent = 30}}, 300},
          {{.kind = PolicyKind::kEpisode, .budget = SizeSpec{.percent = 30}}, 300},
          {{.kind = PolicyKind::kWindow,
            .budget = SizeSpec{.percent = 25},
            .positions = kv::policy::Positions::kCompact},
           300}};
}

// Beside one another, and under an engine's own policy of either sort.
TEST(KvPolicyOfARequest, IsThatOfItsAnswerAlone) {
  std::vector<std::string> expected;
  for (const Asked& asked : AllKinds()) {
    expected.push_back(SaidUnder(asked.policy, asked.n_prompt));
  }
  EXPECT_NE(expected[0], expected[1]);
  for (const PolicyOptions& own : {PolicyOptions{}, Window(50)}) {
    for (const uint32_t n_parallel : {2U, 6U}) {
      // With room for two sequences, and no more in the line, some give their memory up for others.
      const bool is_tight = n_parallel == 2;
      const auto engine = LoadWith(
          own, n_parallel,
          is_tight ? std::optional(SizeSpec{.bytes = BytesTaken(own, n_parallel)}) : std::nullopt);
      const auto batcher = engine->NewBatcher({.n_parallel = n_parallel}).value();
      std::vector<std::shared_ptr<Heard>> heard;
      for (const Asked& asked : AllKinds()) {
        heard.push_back(std::make_shared<Heard>());
        auto request = Request(*engine, asked.n_prompt, asked.policy);
        request.prefix_owner = std::to_string(heard.size());
        ASSERT_TRUE(batcher->EvictionOf(request));
        batcher->Add(heard.size(), request, heard.back(), batch::Clock::now());
      }
      batch::Finish(*batcher);
      for (size_t i = 0; i < heard.size(); ++i) {
        ASSERT_EQ(heard[i]->n_ends, 1);
        EXPECT_FALSE(heard[i]->end.error) << heard[i]->end.error->message;
        EXPECT_EQ(heard[i]->text, expected[i]) << own.Text() << " " << n_parallel << " " << i;
      }
      if (is_tight && own.is_lossy()) {
        EXPECT_GT(batcher->totals().n_preempted, 0U) << batcher->n_blocks();
      }
      EXPECT_EQ(batcher->totals().n_started_under[static_cast<size_t>(PolicyKind::kFull)], 2U);
      EXPECT_EQ(batcher->totals().n_started_under[static_cast<size_t>(PolicyKind::kWindow)], 4U);
    }
  }
}

// Where keys and values are quantized, beside others that have all of theirs so, and under a
// server's own policy; where they are not, it is refused.
TEST(KvPolicyOfARequest, ArkvGoesWhereKeysAreQuantized) {
  const auto arkv = [](double percent) {
    return PolicyOptions{.kind = PolicyKind::kArkv, .budget = SizeSpec{.percent = percent}};
  };
  constexpr auto kQ8 = tensor::KvType::kQ8;
  std::vector<std::string> expected;
  for (const PolicyOptions& own : {arkv(25), PolicyOptions{}, arkv(50)}) {
    const auto engine = LoadWith(own, 1, std::nullopt, kQ8);
    const auto session = engine->NewSession().value();
    const auto request = Request(*engine, 300, std::nullopt);
    std::string& said = expected.emplace_back();
    EXPECT_TRUE(session->Generate(request.prompt, request.options, [&](std::string_view text) {
      said += text;
      return true;
    }));
  }
  EXPECT_NE(expected[0], expected[1]);
  uint64_t n_preempted = 0;
  for (const PolicyOptions& own : {PolicyOptions{}, arkv(50)}) {
    for (const uint32_t n_reserved : {1U, 3U}) {
      // With room for one sequence, and no more in the line, some give their memory up for others.
      const auto engine =
          LoadWith(own, n_reserved, SizeSpec{.bytes = BytesTaken(own, n_reserved, kQ8)}, kQ8);
      const auto batcher = engine->NewBatcher({.n_parallel = n_reserved}).value();
      std::vector<std::shared_ptr<Heard>> heard;
      for (const PolicyOptions& asked : {arkv(25), PolicyOptions{}, arkv(50)}) {
        heard.push_back(std::make_shared<Heard>());
        const auto request = Request(*engine, 300, asked);
        ASSERT_TRUE(batcher->EvictionOf(request)) << own.Text() << " " << heard.size();
        batcher->Add(heard.size(), request, heard.back(), batch::Clock::now());
      }
      batch::Finish(*batcher);
      for (size_t i = 0; i < heard.size(); ++i) {
        EXPECT_EQ(heard[i]->text, expected[i]) << own.Text() << " " << n_reserved << " " << i;
      }
      EXPECT_EQ(batcher->totals().n_started_under[static_cast<size_t>(PolicyKind::kArkv)], 2U);
      n_preempted += batcher->totals().n_preempted;
    }
  }
  EXPECT_GT(n_preempted, 0U);
  const auto engine = LoadWith({}, 1);
  const auto batcher = engine->NewBatcher({.n_parallel = 1}).value();
  const auto refused = batcher->EvictionOf(Request(*engine, 300, arkv(50)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().option, "policy");
  EXPECT_NE(refused.error().text.find("has to be q8 or q4"), std::string::npos);
}

// The scratch memory of policies that look at attention: a server has it from the first request
// that names one, and takes it from experts where these are paged.
TEST(KvPolicyOfARequest, TakesItsScratchMemoryWhenTheFirstBegins) {
  constexpr uint32_t kLonger = 4096;
  const EngineOptions options = {.n_ctx = kLonger,
                                 .n_parallel = 1,
                                 .n_threads = 1,
                                 .prefill_chunk = kShortestChunk,
                                 .batches = true};
  const PolicyOptions snap = {.kind = PolicyKind::kSnap, .budget = SizeSpec{.percent = 12}};
  const PolicyOptions block = {.kind = PolicyKind::kBlock, .budget = SizeSpec{.percent = 12}};
  const auto planner = Planner::Open(options).value();
  const uint64_t all = planner->landmarks().all;
  const uint64_t some = (planner->landmarks().cycle + all) / 2;
  std::string expected;
  for (const uint64_t line : {uint64_t{kGiB}, some, all}) {
    EngineOptions at_line = options;
    at_line.memory = SizeSpec{.bytes = line};
    const auto engine = Engine::Load(at_line, {}).value();
    const auto batcher = engine->NewBatcher({.n_parallel = 1}).value();
    EXPECT_EQ(engine->paging().has_value(), line == some);
    RequestId id = 0;
    const auto ask = [&](const std::optional<PolicyOptions>& policy) {
      const auto heard = std::make_shared<Heard>();
      batcher->Add(++id, Request(*engine, 700, policy), heard, batch::Clock::now());
      batch::Finish(*batcher);
      return heard;
    };
    const auto taken = [&](memory::Account account) { return engine->ledger().of(account).bytes; };
    const uint64_t before = taken(memory::Account::kScratch);
    const uint64_t experts = taken(memory::Account::kExperts);
    EXPECT_FALSE(ask(std::nullopt)->end.error);
    EXPECT_FALSE(ask(Window(12))->end.error);
    EXPECT_EQ(taken(memory::Account::kScratch), before);
    const auto heard = ask(snap);
    if (line == all) {  // it has no room beside what has to be there
      ASSERT_TRUE(heard->end.error);
      EXPECT_EQ(heard->end.error->kind, ErrorKind::kDoesNotFit);
      EXPECT_NE(heard->end.error->message.find("looks at attention"), std::string::npos);
      EXPECT_EQ(taken(memory::Account::kScratch), before);
      EXPECT_FALSE(ask(std::nullopt)->end.error);
      continue;
    }
    ASSERT_FALSE(heard->end.error) << heard->end.error->message;
    expected = expected.empty() ? heard->text : expected;
    EXPECT_EQ(heard->text, expected);
    const uint64_t with = taken(memory::Account::kScratch);
    EXPECT_GT(with, before);
    EXPECT_EQ(taken(memory::Account::kExperts) < experts, line == some);
    EXPECT_FALSE(ask(block)->end.error);
    EXPECT_EQ(taken(memory::Account::kScratch), with);
    EXPECT_LE(engine->ledger().high_water_bytes, line);
  }
}

// Where the cache of many requests may grow into all of the line, that room stays free for it.
TEST(KvPolicyOfARequest, FindsItsScratchMemoryHoweverLateItComes) {
  const auto roomy = LoadWith({}, 1);
  const uint64_t room = [&] {
    const auto batcher = roomy->NewBatcher({.n_parallel = 1}).value();
    return roomy->ledger().of(memory::Account::kScratch).kept_bytes();
  }();
  EXPECT_GT(room, 0U);
  const auto engine =
      LoadWith({}, 1, SizeSpec{.bytes = roomy->ledger().reserved_bytes + room + 4 * kMiB});
  const auto batcher = engine->NewBatcher({.n_parallel = 1}).value();
  std::vector<std::shared_ptr<Heard>> heard;
  for (RequestId id = 1; id <= 8; ++id) {
    heard.push_back(std::make_shared<Heard>());
    auto request = Request(*engine, 600, std::nullopt);
    request.prefix_owner = std::to_string(id);
    batcher->Add(id, std::move(request), heard.back(), batch::Clock::now());
  }
  batch::Finish(*batcher);
  EXPECT_LT(engine->ledger().budget_bytes - engine->ledger().reserved_bytes, room + kMiB);
  heard.push_back(std::make_shared<Heard>());
  batcher->Add(9,
               Request(*engine, 300,
                       PolicyOptions{.kind = PolicyKind::kSnap, .budget = SizeSpec{.percent = 30}}),
               heard.back(), batch::Clock::now());
  batch::Finish(*batcher);
  for (const auto& one : heard) {
    EXPECT_FALSE(one->end.error) << one->end.error->message;
  }
}

TEST(KvPolicyOfARequest, OnlyWhatKeepsEverythingIsShared) {
  for (const PolicyOptions& own : {PolicyOptions{}, Window(50)}) {
    const auto engine = LoadWith(own, 3);
    const auto batcher = engine->NewBatcher({.n_parallel = 3}).value();
    RequestId id = 0;
    const auto ask = [&](const std::optional<PolicyOptions>& policy) {
      const auto heard = std::make_shared<Heard>();
      batcher->Add(++id, Request(*engine, 300, policy), heard, batch::Clock::now());
      batch::Finish(*batcher);
      return heard->end.stats.n_prompt_reused;
    };
    EXPECT_EQ(ask(Window(25)), 0U);
    EXPECT_EQ(ask(PolicyOptions{}), 0U);
    EXPECT_GE(ask(PolicyOptions{}), 288U);
    EXPECT_EQ(ask(Window(25)), 0U);
    EXPECT_EQ(ask(std::nullopt) > 0, !own.is_lossy());
  }
}

TEST(KvPolicyOfARequest, HasAllThatIsReservedAndNoMore) {
  const auto engine = LoadWith(Window(25), 2);
  const auto batcher = engine->NewBatcher({.n_parallel = 2}).value();
  const auto problem = [&](const GenerationRequest& request) {
    const auto eviction = batcher->EvictionOf(request);
    return eviction ? std::string() : std::string(eviction.error().option);
  };
  EXPECT_EQ(problem(Request(*engine, 300, {})), "");
  EXPECT_EQ(problem(Request(*engine, kContext / 2 - kAnswer, PolicyOptions{})), "");
  EXPECT_EQ(problem(Request(*engine, kContext / 2, PolicyOptions{})), "policy");
  EXPECT_EQ(problem(Request(*engine, 700, Window(50))), "");
  EXPECT_EQ(problem(Request(*engine, 700, Window(60))), "budget");
  EXPECT_EQ(problem(Request(*engine, 100, Window(60))), "");
  EXPECT_EQ(problem(Request(*engine, 100, Window(5))), "budget");
  EXPECT_EQ(problem(Request(*engine, 300, Window(25, {.is_prompt = true}))), "reference");
  auto endless = Request(*engine, 10, PolicyOptions{});
  endless.options.n_predict = 0;
  EXPECT_EQ(problem(endless), "policy");
  // What is let in finds its room, whoever has it.
  std::vector<std::shared_ptr<Heard>> heard;
  for (RequestId id = 1; id <= 4; ++id) {
    heard.push_back(std::make_shared<Heard>());
    const auto policy = id % 2 == 0 ? std::optional(PolicyOptions{}) : std::nullopt;
    batcher->Add(id, Request(*engine, kContext / 2 - kAnswer, policy), heard.back(),
                 batch::Clock::now());
  }
  batch::Finish(*batcher);
  EXPECT_EQ(heard[1]->text, heard[3]->text);
  EXPECT_EQ(heard[0]->text, heard[2]->text);
  EXPECT_FALSE(heard[1]->end.error);
}

}  // namespace
}  // namespace plimsoll::engine
