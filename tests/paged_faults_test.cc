// What a failing disk and a file that changes under a running model make of a pass: the logits that
// they should be, or an error that says what happened; never a wrong one, and never a hang.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/engine.h"
#include "engine/expert_paging.h"
#include "engine/fit_model.h"
#include "engine/patch_look.h"
#include "engine/weight_streaming.h"
#include "io/faulty_backend.h"
#include "tests/loaded_model.h"

namespace plimsoll::tests {
namespace {

constexpr size_t kTokens = 6;

std::filesystem::path BundledModel() {
  return std::filesystem::path(PLIMSOLL_SOURCE_DIR) / "models" / "plimsoll-lab-q8_0.gguf";
}

std::vector<TokenId> SomeTokens() {
  std::vector<TokenId> tokens(kTokens);
  for (size_t i = 0; i < kTokens; ++i) {
    tokens[i] = static_cast<TokenId>(100 + 37 * i);
  }
  return tokens;
}

enum class Failing { kExperts, kDense };

// A model whose experts, or dense weights, come through a disk that fails as it is told to.
class FailingModel {
 public:
  explicit FailingModel(const io::FaultPlan& faults, Failing failing = Failing::kExperts)
      : team_(2), ledger_(kGiB) {
    catalogue_ = *formats::OpenModel(BundledModel());
    constexpr uint32_t kContext = 64;
    const engine::FitOptions options = {
        .n_ctx = kContext, .prefill_chunk = 32, .kernels = *kernels::SelectKernelSet("")};
    auto whole = engine::OpenToFit(catalogue_, team_, options, 0, kGiB);
    const engine::MemoryPlan& all = whole->division.parts;
    const uint64_t line = all.total() - all.experts + all.experts / 5 + kMiB;
    auto fitted = engine::OpenToFit(catalogue_, team_, options, 0, line);
    EXPECT_TRUE(fitted) << fitted.error().message;
    EXPECT_EQ(fitted->division.residence, engine::Residence::kPaged);
    model_ = std::move(fitted->model);
    const bool streams = failing == Failing::kDense;
    EXPECT_TRUE(model_->Load(
        ledger_, [](uint64_t) {},
        streams ? model::Residence::kStreamed : model::Residence::kPaged));
    const auto wrap = [this, &faults](std::unique_ptr<io::ReadBackend> inner) {
      auto faulty = std::make_unique<io::FaultyBackend>(std::move(inner), faults);
      disk_ = faulty.get();
      return faulty;
    };
    engine::PagingOptions sound;
    const engine::PagingOptions faulty = {.wrap_backend = wrap};
    auto paging = engine::StartPaging(catalogue_, nullptr, *model_, fitted->division,
                                      streams ? sound : faulty, ledger_);
    EXPECT_TRUE(paging) << paging.error().message;
    paging_ = std::move(*paging);
    model_->PageExperts(*paging_->experts);
    if (streams) {
      fitted->division.stream = {.total_bytes = fitted->needs.stream.total_bytes(),
                                 .kept_bytes = fitted->needs.stream.total_bytes() / 3,
                                 .ring_bytes = fitted->needs.stream.ring_bytes};
      auto streaming =
          engine::StartStreaming(catalogue_, *model_, fitted->division, faulty, ledger_);
      EXPECT_TRUE(streaming) << streaming.error().message;
      streaming_ = std::move(*streaming);
      model_->StreamWeights(*streaming_->weights);
    }
    pool_ = std::make_unique<kv::BlockPool>(ledger_, model_->KvLayout());
    EXPECT_TRUE(pool_->Promise(kv::BlockPool::BlocksFor(kContext)));
  }

  // The last token's logits of a new sequence, its tokens one by one.
  Result<std::vector<float>> Logits(std::span<const TokenId> tokens) {
    kv::KvSequence sequence(*pool_, static_cast<uint32_t>(tokens.size()));
    std::vector<float> logits;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const auto chunk = LoadedModel::Append(sequence, tokens.subspan(i, 1));
      const uint32_t wanted = 0;
      auto passed = model_->Forward(
          {.tokens = chunk, .wanted_logits = {&wanted, 1}},
          [&](uint32_t /*token*/, std::span<float> row) { logits.assign(row.begin(), row.end()); });
      if (!passed) {
        return tl::unexpected(passed.error());
      }
    }
    return logits;
  }

  // Those of a token behind three blocks, of which one goes as a patch prompt decides. If the disk
  // is to fail while that is computed, it is computed again when the disk is sound.
  std::vector<float> LogitsBehindALook(bool fails) {
    constexpr uint32_t kBudget = 3;
    EXPECT_TRUE(pool_->Promise(kBudget + pool_->layout().n_query_blocks() + 1));
    auto scorer =
        model_->MakeScorer(ledger_, {.max_slots = 4 * kv::kBlockTokens, .merges = true}).value();
    kv::KvSequence sequence(*pool_, 256);
    sequence.LimitTo({kv::policy::PolicyKind::kEpisode, kBudget}, scorer.get());
    std::vector<TokenId> tokens;
    for (int i = 0; i < 161; ++i) {
      tokens.push_back(100 + i * i % 700);
    }
    for (uint32_t i = 0; i < kBudget; ++i) {
      const auto chunk = LoadedModel::Append(
          sequence, std::span(tokens).subspan(i * kv::kBlockTokens, kv::kBlockTokens));
      EXPECT_TRUE(model_->Forward({.tokens = chunk}, {}));
    }
    const auto patch = std::span(tokens).subspan(96, 64);
    if (fails) {
      disk_->Change({.error_every = 1});
      const auto looked = engine::LookIfWanted(*model_, sequence, patch, 1);
      EXPECT_FALSE(looked);
      EXPECT_EQ(sequence.n_tokens(), 96U);
      EXPECT_EQ(sequence.blocks().size(), kBudget);
      EXPECT_TRUE(sequence.WantsLook(1));
      disk_->Change({});
    }
    EXPECT_TRUE(engine::LookIfWanted(*model_, sequence, patch, 1));
    EXPECT_FALSE(sequence.WantsLook(1));
    const auto chunk = LoadedModel::Append(sequence, std::span(tokens).last(1));
    const uint32_t wanted = 0;
    std::vector<float> logits;
    EXPECT_TRUE(model_->Forward(
        {.tokens = chunk, .wanted_logits = {&wanted, 1}},
        [&](uint32_t /*token*/, std::span<float> row) { logits.assign(row.begin(), row.end()); }));
    return logits;
  }

  [[nodiscard]] io::FaultyBackend& disk() { return *disk_; }
  [[nodiscard]] const memory::Pager& pager() const { return *paging_->pager; }

 private:
  kernels::Team team_;
  memory::Ledger ledger_;
  formats::Catalogue catalogue_;
  std::unique_ptr<engine::ExpertPaging> paging_;
  std::unique_ptr<engine::WeightStreaming> streaming_;  // null: dense weights are resident
  std::unique_ptr<model::Model> model_;
  std::unique_ptr<kv::BlockPool> pool_;
  io::FaultyBackend* disk_ = nullptr;
};

class PagedFaultsTest : public testing::Test {
 protected:
  PagedFaultsTest() : tokens_(SomeTokens()) {
    FailingModel sound({});
    expected_ = *sound.Logits(tokens_);
    n_reads_ = sound.disk().n_reads();
  }

  [[nodiscard]] bool AsExpected(const std::vector<float>& logits) const {
    return logits.size() == expected_.size() &&
           std::memcmp(logits.data(), expected_.data(), logits.size() * sizeof(float)) == 0;
  }

  std::vector<TokenId> tokens_;
  std::vector<float> expected_;
  uint64_t n_reads_ = 0;
};

// How many reads are guesses depends on how fast they come: near the end the error may come too
// late, or meet a guess that nobody uses.
TEST_F(PagedFaultsTest, ALastingErrorAtTheNthReadIsNamedAndAHealedDiskServesAgain) {
  ASSERT_GT(n_reads_, 100U);
  for (uint64_t n = 1; n < n_reads_; n += n_reads_ / 12) {
    FailingModel model({.error_at = n, .lasting = true});
    const auto got = model.Logits(tokens_);
    if (got) {
      EXPECT_GT(n, n_reads_ * 2 / 3);
      EXPECT_TRUE(AsExpected(*got)) << n;
    } else {
      EXPECT_EQ(got.error().kind, ErrorKind::kIo);
      EXPECT_NE(got.error().message.find("plimsoll-lab"), std::string::npos);
    }
    model.pager().CheckInvariants();
    model.disk().Change({});
    const auto healed = model.Logits(tokens_);
    ASSERT_TRUE(healed) << healed.error().message;
    EXPECT_TRUE(AsExpected(*healed)) << n;
  }
}

TEST_F(PagedFaultsTest, APatchPromptThatCannotBeReadForChangesNothing) {
  FailingModel sound({});
  const auto expected = sound.LogitsBehindALook(false);
  FailingModel failing({});
  EXPECT_EQ(failing.LogitsBehindALook(true), expected);
}

// A read ahead that nobody comes to use may fail unnoticed.
TEST_F(PagedFaultsTest, TheSameOfDenseWeightsThatAreStreamed) {
  FailingModel sound({}, Failing::kDense);
  const auto logits = sound.Logits(tokens_);
  ASSERT_TRUE(logits) << logits.error().message;
  EXPECT_TRUE(AsExpected(*logits));
  const uint64_t n_reads = sound.disk().n_reads();
  ASSERT_GT(n_reads, 100U);
  uint32_t n_failed = 0;
  for (uint64_t n = 1; n < n_reads; n += n_reads / 12) {
    FailingModel model({.error_at = n, .lasting = true}, Failing::kDense);
    const auto got = model.Logits(tokens_);
    if (got) {
      EXPECT_TRUE(AsExpected(*got)) << n;
    } else {
      ++n_failed;
      EXPECT_EQ(got.error().kind, ErrorKind::kIo);
      EXPECT_NE(got.error().message.find("plimsoll-lab"), std::string::npos);
    }
    model.disk().Change({});
    const auto healed = model.Logits(tokens_);
    ASSERT_TRUE(healed) << healed.error().message;
    EXPECT_TRUE(AsExpected(*healed)) << n;
  }
  EXPECT_GT(n_failed, 8U);
}

TEST_F(PagedFaultsTest, ShortAndInterruptedReadsAndPassingErrorsChangeNothing) {
  for (const uint64_t seed : {1U, 2U, 3U}) {
    FailingModel model({.seed = seed,
                        .short_share = 0.3,
                        .interrupted_share = 0.2,
                        .again_share = 0.2,
                        .error_every = 97});
    const auto logits = model.Logits(tokens_);
    ASSERT_TRUE(logits) << logits.error().message;
    EXPECT_TRUE(AsExpected(*logits)) << seed;
    EXPECT_GT(model.disk().n_errors(), 0U);
  }
}

class ChangingFileTest : public testing::Test {
 protected:
  ChangingFileTest() {
    file_ = std::filesystem::temp_directory_path() /
            ("plimsoll-changing-" + std::to_string(::getpid()) + ".gguf");
    std::filesystem::copy_file(BundledModel(), file_,
                               std::filesystem::copy_options::overwrite_existing);
    engine::EngineOptions options;
    options.model = file_;
    options.n_ctx = 64;
    options.n_threads = 2;
    options.prefill_chunk = 32;
    auto whole = engine::Engine::Load(options, {});
    const memory::LedgerSnapshot all = (*whole)->ledger();
    const uint64_t experts = all.accounts[static_cast<size_t>(memory::Account::kExperts)].bytes;
    const uint64_t kv = (*whole)->NewSession() ? (*whole)->ledger().reserved_bytes : 0;
    options.memory = SizeSpec{.bytes = kv - experts + experts / 10 + kMiB};
    whole->reset();
    engine_ = *engine::Engine::Load(options, {});
    session_ = *engine_->NewSession();
  }
  ~ChangingFileTest() override { std::filesystem::remove(file_); }

  // Tokens until a page that is not in memory is wanted.
  Result<> RunOn() {
    for (TokenId token = 200; token < 240; ++token) {
      if (auto appended = session_->AppendForLogits({&token, 1}); !appended) {
        return tl::unexpected(appended.error());
      }
    }
    return {};
  }

  std::filesystem::path file_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<engine::Session> session_;
};

TEST_F(ChangingFileTest, CutShort) {
  const TokenId first = 5;
  ASSERT_TRUE(session_->AppendForLogits({&first, 1}));
  std::filesystem::resize_file(file_, std::filesystem::file_size(file_) / 2);
  const auto failed = RunOn();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::kIo);
  EXPECT_NE(failed.error().message.find("plimsoll-changing"), std::string::npos);
}

TEST_F(ChangingFileTest, WrittenTo) {
  const TokenId first = 5;
  ASSERT_TRUE(session_->AppendForLogits({&first, 1}));
  std::ofstream(file_, std::ios::in | std::ios::out | std::ios::binary).write("x", 1);
  const auto failed = RunOn();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::kIo);
  // The sequence is as it was before the step that failed.
  EXPECT_GE(session_->tokens().size(), 1U);
}

// The open file is whole, whatever its name leads to.
TEST_F(ChangingFileTest, Removed) {
  std::filesystem::remove(file_);
  EXPECT_TRUE(RunOn());
}

}  // namespace
}  // namespace plimsoll::tests
