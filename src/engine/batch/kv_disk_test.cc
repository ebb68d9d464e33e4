// Keys and values on a disk below a batcher: what was said stays the same, whatever was there, went
// or broke.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/sanitized.h"
#include "engine/batch/batch_test_tools.h"
#include "engine/prefix/check_log.h"

namespace plimsoll::engine::batch {
namespace {

namespace fs = std::filesystem;

// A request's tokens: drawn, so that they fill what they shall fill.
std::vector<TokenId> DrawPrompt(const Engine& engine, uint64_t seed, size_t n) {
  std::vector<TokenId> tokens;
  for (size_t i = 0; i < n; ++i) {
    const double drawn = UniformAt(seed, i) * static_cast<double>(engine.tokenizer().size());
    tokens.push_back(static_cast<TokenId>(drawn));
  }
  return tokens;
}

class KvDisk : public testing::Test {
 protected:
  KvDisk() : folder_(fs::temp_directory_path() / fmt::format("plimsoll-kv-disk-{}", ::getpid())) {
    fs::remove_all(folder_);
  }
  ~KvDisk() override { fs::remove_all(folder_); }

  struct Run {
    std::unique_ptr<Engine> engine;
    std::unique_ptr<Batcher> batcher;
  };
  Run Start(uint64_t disk_bytes, uint32_t n_ctx = 512,
            std::optional<SizeSpec> memory = std::nullopt, fs::path log = {},
            uint32_t n_parallel = 1, const kv::policy::PolicyOptions& policy = {}) const {
    auto engine = Engine::Load({.memory = memory,
                                .n_ctx = n_ctx,
                                .n_parallel = n_parallel,
                                .n_threads = 1,
                                .prefill_chunk = 64,
                                .batches = true,
                                .kv_policy = policy,
                                .kv_disk = {.folder = folder_, .bytes = disk_bytes}},
                               {});
    EXPECT_TRUE(engine) << engine.error().message;
    auto batcher = (*engine)->NewBatcher({.n_parallel = n_parallel, .prefix_log = std::move(log)});
    EXPECT_TRUE(batcher) << batcher.error().message;
    return {.engine = std::move(*engine), .batcher = std::move(*batcher)};
  }
  // Until there is nothing to do, saves included.
  void FinishAll(Batcher& batcher) const {
    while (true) {
      const auto outcome = batcher.Step(Now());
      if (outcome == Batcher::Outcome::kIdle) {
        return;
      }
      if (outcome == Batcher::Outcome::kPaused) {
        ::usleep(200);
      }
    }
  }
  std::shared_ptr<Heard> Add(Batcher& batcher, RequestId id, std::vector<TokenId> prompt,
                             uint32_t n_predict, const std::string& owner = "",
                             std::optional<kv::policy::PolicyOptions> policy = {}) const {
    GenerationRequest request;
    request.kv_policy = policy;
    request.prompt = std::move(prompt);
    request.options.n_predict = n_predict;
    request.options.ignore_end = true;
    request.prefix_owner = owner;
    const auto heard = std::make_shared<Heard>();
    batcher.Add(id, std::move(request), heard, Now());
    return heard;
  }
  // One request by itself: its text, and how much of its prompt was there.
  std::pair<std::string, uint32_t> Ask(Batcher& batcher, const std::vector<TokenId>& prompt,
                                       const std::string& owner = "",
                                       std::optional<kv::policy::PolicyOptions> policy = {}) const {
    static_cast<void>(batcher.Step(Now()));
    const auto heard = Add(batcher, 1, prompt, 24, owner, policy);
    FinishAll(batcher);
    EXPECT_EQ(heard->n_ends, 1);
    EXPECT_FALSE(heard->end.error);
    return {heard->text, heard->end.stats.n_prompt_reused};
  }
  fs::path Blocks() const {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      return entry.path() / "blocks";
    }
    return {};
  }

  [[nodiscard]] Clock::time_point Now() const { return Clock::now() + ahead_; }

  fs::path folder_;
  Clock::duration ahead_{};  // what the batcher is told of the time
};

TEST_F(KvDisk, AConversationGoesOnInTheNextRun) {
  std::vector<TokenId> prompt;
  std::pair<std::string, uint32_t> first;
  {
    const Run run = Start(64 * kMiB);
    prompt = DrawPrompt(*run.engine, 1, 200);
    first = Ask(*run.batcher, prompt);
    EXPECT_EQ(first.second, 0U);
    EXPECT_EQ(run.batcher->store_stats()->n_blocks, (200 + 23) / 32U);
  }
  const Run run = Start(64 * kMiB);
  EXPECT_EQ(Ask(*run.batcher, prompt), std::pair(first.first, 192U));
  EXPECT_EQ(run.batcher->totals().restored_tokens, 192U);
  EXPECT_EQ(run.batcher->totals().computed_tokens, 200U - 192 + 23);
  // Now it is in memory, and nothing is saved twice.
  EXPECT_EQ(Ask(*run.batcher, prompt), std::pair(first.first, 199U));
  EXPECT_EQ(run.batcher->store_stats()->saved_blocks, 0U);
  // Without a disk.
  const Run without = Start(0);
  EXPECT_FALSE(without.batcher->store_stats());
  EXPECT_EQ(Ask(*without.batcher, prompt).first, first.first);
}

// A model may be unloaded as soon as its last answer is over.
TEST_F(KvDisk, WhatNobodyHasBegunToSaveIsSavedInTheEnd) {
  std::vector<TokenId> prompt;
  {
    const Run run = Start(64 * kMiB);
    prompt = DrawPrompt(*run.engine, 1, 160);
    const auto heard = Add(*run.batcher, 1, prompt, 1);
    while (heard->n_ends == 0) {
      static_cast<void>(run.batcher->Step(Now()));
    }
  }
  const Run run = Start(64 * kMiB);
  prompt.push_back(prompt.front());
  EXPECT_EQ(Ask(*run.batcher, prompt).second, 160U);
}

TEST_F(KvDisk, WhatAnotherOwnerSaidIsNotThere) {
  std::vector<TokenId> prompt;
  {
    const Run run = Start(64 * kMiB);
    prompt = DrawPrompt(*run.engine, 2, 100);
    Ask(*run.batcher, prompt, "a");
  }
  const Run run = Start(64 * kMiB);
  EXPECT_EQ(Ask(*run.batcher, prompt, "b").second, 0U);
  EXPECT_EQ(Ask(*run.batcher, prompt, "").second, 0U);
  EXPECT_EQ(Ask(*run.batcher, prompt, "a:salt").second, 0U);
  EXPECT_EQ(Ask(*run.batcher, prompt, "a").second, 96U);
}

// A server under a policy: of requests that keep everything there is something on the disk, of the
// others nothing.
TEST_F(KvDisk, UnderAPolicyItIsForThoseWhoKeepEverything) {
  const kv::policy::PolicyOptions window = {.kind = kv::policy::PolicyKind::kWindow,
                                            .budget = SizeSpec{.percent = 50}};
  const kv::policy::PolicyOptions full;
  std::vector<TokenId> prompt;
  std::pair<std::string, uint32_t> said;
  std::pair<std::string, uint32_t> in_full;
  {
    const Run run = Start(64 * kMiB, 512, {}, {}, 1, window);
    prompt = DrawPrompt(*run.engine, 6, 200);
    said = Ask(*run.batcher, prompt);
    EXPECT_EQ(run.batcher->store_stats()->n_blocks, 0U);
    in_full = Ask(*run.batcher, prompt, "", full);
    EXPECT_EQ(in_full.second, 0U);
    EXPECT_EQ(run.batcher->store_stats()->n_blocks, (200 + 23) / 32U);
  }
  const Run run = Start(64 * kMiB, 512, {}, {}, 1, window);
  EXPECT_EQ(Ask(*run.batcher, prompt), said);
  EXPECT_EQ(Ask(*run.batcher, prompt, "", full), std::pair(in_full.first, 192U));
}

TEST_F(KvDisk, DamagedBlocksAreComputedAgain) {
  std::vector<TokenId> prompt;
  std::string said;
  {
    const Run run = Start(64 * kMiB);
    prompt = DrawPrompt(*run.engine, 3, 200);
    said = Ask(*run.batcher, prompt).first;
  }
  const uint64_t n_bytes = fs::file_size(Blocks());
  for (uint64_t i = 0; i < 8; ++i) {
    {
      const auto at = static_cast<std::streamoff>(UniformAt(5, i) * static_cast<double>(n_bytes));
      std::fstream file(Blocks(), std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(at);
      const auto byte = static_cast<unsigned>(file.get());
      file.seekp(at);
      file.put(static_cast<char>(byte ^ 0x10U));
    }
    const Run run = Start(64 * kMiB);
    EXPECT_EQ(Ask(*run.batcher, prompt).first, said);
  }
}

// What memory cannot hold comes back from the disk, and the log of decisions is right. Hours pass
// between the requests: a read that was slow is then forgotten, and every return is worth it.
TEST_F(KvDisk, EvictedConversationsComeBack) {
  const fs::path log = folder_.string() + "-log";
  const uint64_t line = Start(64 * kMiB, 256, {}, {}, 4).engine->LeastLine();
  const Run run = Start(64 * kMiB, 256, SizeSpec{.bytes = line}, log, 4);
  const Run without = Start(0, 256);
  for (int round = 0; round < 2; ++round) {
    for (uint64_t i = 0; i < 12; ++i) {
      const auto prompt = DrawPrompt(*run.engine, 100 + i, 200);
      EXPECT_EQ(Ask(*run.batcher, prompt).first, Ask(*without.batcher, prompt).first);
      ahead_ += std::chrono::hours(1);
    }
  }
  EXPECT_GT(run.batcher->prefix_stats().n_evicted, 30U);
  EXPECT_GT(run.batcher->totals().restored_tokens, 5U * 192);
  EXPECT_EQ(run.batcher->store_stats()->failed_blocks, 0U);
  const auto checked = prefix::CheckLogFile(log);
  EXPECT_TRUE(checked) << checked.error().message;
  fs::remove(log);
}

// Sequences that grow beyond the memory give it up in turns; their blocks wait on the disk.
TEST_F(KvDisk, PreemptedSequencesComeBackFromTheDisk) {
  constexpr uint64_t kSequences = 16;
  const bool is_night = std::getenv("PLIMSOLL_NIGHT") != nullptr;
  const uint32_t n_ctx = kSanitized ? 256 : is_night ? 4096 : 512;
  const auto converse = [&](const Run& run) {
    std::vector<std::shared_ptr<Heard>> heard;
    for (uint64_t i = 0; i < kSequences; ++i) {
      heard.push_back(Add(*run.batcher, i + 1, DrawPrompt(*run.engine, 200 + i, 40), n_ctx - 50));
    }
    FinishAll(*run.batcher);
    std::vector<std::string> said;
    for (const auto& one : heard) {
      EXPECT_EQ(one->n_ends, 1);
      EXPECT_FALSE(one->end.error);
      said.push_back(one->text);
    }
    return said;
  };
  const Run roomy = Start(0, n_ctx);
  const auto expected = converse(roomy);
  EXPECT_EQ(roomy.batcher->totals().n_preempted, 0U);
  // A line for four whole contexts, and no block more.
  constexpr uint64_t kDiskBytes = 256 * kMiB;
  const uint64_t line = Start(kDiskBytes, n_ctx, {}, {}, 4).engine->LeastLine();
  const Run run = Start(kDiskBytes, n_ctx, SizeSpec{.bytes = line}, {}, 4);
  EXPECT_EQ(converse(run), expected);
  const BatchTotals& totals = run.batcher->totals();
  EXPECT_GT(totals.n_preempted, 0U);
  EXPECT_GT(totals.restored_tokens, 0U);
}

}  // namespace
}  // namespace plimsoll::engine::batch
