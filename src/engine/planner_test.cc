#include "engine/planner.h"

#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/pack_model.h"
#include "sampling/constrained_memory.h"

namespace plimsoll::engine {
namespace {

std::unique_ptr<Planner> OpenBundled() {
  return Planner::Open({.n_ctx = 256, .n_threads = 1}).value();
}

TEST(Planner, FindsTheLinesWhereSomethingChanges) {
  const auto planner = OpenBundled();
  const Landmarks& at = planner->landmarks();
  EXPECT_LT(at.least, at.cycle);
  EXPECT_LT(at.cycle, at.all);
  EXPECT_LT(at.all, at.all_chunk);

  EXPECT_FALSE(planner->At(at.least - 1));
  const auto least = planner->At(at.least);
  ASSERT_TRUE(least) << least.error().message;
  EXPECT_EQ(least->division.residence, Residence::kPaged);
  const auto cycle = planner->At(at.cycle);
  ASSERT_TRUE(cycle) << cycle.error().message;
  EXPECT_GE(cycle->division.experts[0].n_frames, cycle->needs.experts[0].n_cycle);
  EXPECT_LE(cycle->division.experts[0].n_frames, cycle->needs.experts[0].n_cycle + 1);
  EXPECT_EQ(planner->At(at.all - 1)->division.residence, Residence::kPaged);
  EXPECT_EQ(planner->At(at.all)->division.residence, Residence::kAll);
  EXPECT_EQ(planner->At(at.all_chunk)->model->max_chunk(), 512U);
  EXPECT_LT(planner->At(at.all_chunk - 1)->model->max_chunk(), 512U);
}

// The line that was planned is the line that loads, and its accounts are the ledger's: never more,
// and less by what rounding may take (engine/memory_plan.cc) only.
TEST(Planner, PlansWhatTheEngineReserves) {
  const auto planner = OpenBundled();
  const Landmarks& at = planner->landmarks();
  for (const uint64_t line : {at.least, (at.cycle + at.all) / 2, at.all_chunk}) {
    const auto fitted = planner->At(line);
    ASSERT_TRUE(fitted);
    const auto engine =
        Engine::Load({.memory = SizeSpec{.bytes = line}, .n_ctx = 256, .n_threads = 1}, {});
    ASSERT_TRUE(engine) << engine.error().message;
    const auto session = (*engine)->NewSession();
    ASSERT_TRUE(session) << session.error().message;
    const std::vector<TokenId> tokens(255, 5);
    ASSERT_TRUE((*session)->Append(tokens, {}));
    EXPECT_EQ((*engine)->paging().has_value(), fitted->division.residence == Residence::kPaged);
    if (const auto paging = (*engine)->paging()) {
      EXPECT_EQ(paging->n_frames, fitted->division.experts[0].n_frames);
    }
    const memory::LedgerSnapshot ledger = (*engine)->ledger();
    const MemoryPlan& parts = fitted->division.parts;
    const auto expect = [&](memory::Account account, uint64_t planned) {
      constexpr uint64_t kRoundingMax = 68 * kKiB;
      constexpr uint64_t kPage = 4 * kKiB;  // a buffer's last one
      const uint64_t reserved = ledger.accounts[static_cast<size_t>(account)].high_water_bytes;
      EXPECT_LE(reserved, planned + kPage) << memory::AccountName(account) << " " << line;
      EXPECT_GE(reserved + kRoundingMax, planned) << memory::AccountName(account) << " " << line;
    };
    expect(memory::Account::kWeights, parts.dense);
    expect(memory::Account::kVocab, parts.vocab);
    expect(memory::Account::kExperts, parts.experts);
    expect(memory::Account::kKv, parts.kv);
    expect(memory::Account::kScratch, parts.scratch);
    expect(memory::Account::kIndex, parts.index);
    expect(memory::Account::kIo, parts.io);
    EXPECT_LE(ledger.high_water_bytes, parts.total());
  }
}

// What `serve` keeps beside sequences has its room from the start: for constrained output it is
// reserved, for the tables of requests kept free.
TEST(Planner, PlansWhatAServerKeeps) {
  EngineOptions options = {.n_ctx = 256, .n_parallel = 4, .n_threads = 1};
  const auto alone = Planner::Open(options).value();
  options.constrained = true;
  options.batches = true;
  const auto planner = Planner::Open(options).value();
  const auto tokenizer = LoadTokenizer(std::nullopt).value();
  const auto all = planner->At(planner->landmarks().all).value();
  EXPECT_EQ(all.needs.scorer, 0U);  // requests' own policies take theirs when they come
  EXPECT_EQ(planner->landmarks().all - alone->landmarks().all,
            sampling::ConstrainedMemoryOf(*tokenizer)
                    .total(sampling::AnswersWithRoom(tokenizer->size(), options.n_parallel)) +
                all.division.parts.requests);
  for (const uint64_t line : {planner->landmarks().least, planner->landmarks().all_chunk}) {
    const MemoryPlan parts = planner->At(line)->division.parts;
    EXPECT_GT(parts.requests, 0U);
    options.memory = SizeSpec{.bytes = line};
    const auto engine = Engine::Load(options, {});
    ASSERT_TRUE(engine) << engine.error().message;
    const memory::LedgerSnapshot ledger = (*engine)->ledger();
    EXPECT_NEAR(static_cast<double>(ledger.of(memory::Account::kVocab).bytes),
                static_cast<double>(parts.vocab), 68.0 * kKiB);
    EXPECT_EQ(ledger.of(memory::Account::kIndex).kept_bytes(), parts.requests);
    EXPECT_LE(ledger.reserved_bytes + ledger.kept_bytes, line);
  }
}

// A packed file's checksums stay in memory: `index` counts them, in the plan and in the ledger.
TEST(Planner, CountsThePackedFilesTables) {
  namespace fs = std::filesystem;
  const fs::path folder =
      fs::path(testing::TempDir()) / ("plimsoll_planner_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const fs::path model = folder / "lab.gguf";
  fs::copy_file(fs::path(PLIMSOLL_SOURCE_DIR) / "models" / "plimsoll-lab-q8_0.gguf", model);
  EngineOptions options = {.model = model, .n_ctx = 256, .n_threads = 1};
  uint64_t line = 0;
  const auto planned_index = [&] {
    const auto planner = Planner::Open(options).value();
    line = planner->landmarks().cycle;
    return planner->At(line)->division.parts.index;
  };
  const uint64_t without = planned_index();
  const auto packed = PackModel({.model = model, .output = {}, .pack = {}});
  ASSERT_TRUE(packed) << packed.error().message;
  const uint64_t with = planned_index();
  EXPECT_EQ(with - without, formats::packed::PackedFile::Open(packed->path)->memory_bytes());

  options.memory = SizeSpec{.bytes = line};
  const auto engine = Engine::Load(options, {});
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_TRUE((*engine)->paging());
  const auto index = static_cast<size_t>(memory::Account::kIndex);
  EXPECT_EQ((*engine)->ledger().accounts[index].bytes, with);
  fs::remove_all(folder);
}

TEST(Planner, CountsATokensWork) {
  const auto planner = OpenBundled();
  const TokenWork work = planner->WorkAt(10);
  const formats::Summary& contents = planner->contents();
  ASSERT_EQ(work.experts.size(), planner->hyper_params().n_layers);
  EXPECT_EQ(work.active_bytes(), contents.bytes_per_token.experts);
  EXPECT_EQ(work.dense_bytes + work.active_bytes(), contents.bytes_per_token.total());
  EXPECT_GT(work.kv_bytes, 0U);
  for (const ExpertWork& layer : work.experts) {
    EXPECT_EQ(layer.n_parts, 3U);
    EXPECT_GT(layer.read_bytes, layer.expert_bytes);
    EXPECT_EQ(layer.read_bytes % 4096, 0U);
  }
}

TEST(Planner, RefusesWhatTheEngineRefuses) {
  const auto missing = Planner::Open({.model = "/there/is/no/such.gguf"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kIo);
}

}  // namespace
}  // namespace plimsoll::engine
