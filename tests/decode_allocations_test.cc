// Decoding allocates nothing once it runs.
#include <filesystem>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/planner.h"
#include "tests/allocation_count.h"
#include "tools/random_model/random_model.h"

namespace plimsoll::engine {
namespace {

// The count at each piece of text that a decode of 100 tokens gives out.
std::vector<uint64_t> CountsOfDecode(const EngineOptions& engine_options, float temperature) {
  std::vector<uint64_t> counts;
  counts.reserve(200);
  auto engine = Engine::Load(engine_options, {});
  EXPECT_TRUE(engine) << engine.error().message;
  EXPECT_EQ((*engine)->paging() || (*engine)->streaming(), engine_options.memory.has_value());
  auto session = (*engine)->NewSession();
  EXPECT_TRUE(session) << session.error().message;
  const auto prompt =
      (*engine)->tokenizer().Encode("The capital of France is", {.add_bos_eos = true});
  GenerateOptions options = {.n_predict = 100, .stop = {"no such text"}, .ignore_end = true};
  options.sampling.temperature = temperature;
  const auto stats = (*session)->Generate(prompt, options, [&](std::string_view /*text*/) {
    counts.push_back(NAllocations());
    return true;
  });
  EXPECT_TRUE(stats) << stats.error().message;
  EXPECT_EQ(stats->n_generated, 100U);
  return counts;
}

TEST(DecodeAllocations, NoneAfterTheFirstToken) {
  for (const float temperature : {0.0F, 0.8F}) {
    const auto counts = CountsOfDecode({.n_threads = 2}, temperature);
    ASSERT_GE(counts.size(), 100U);
    // The counter counts: loading allocated.
    EXPECT_GT(counts.front(), 1000U);
    EXPECT_EQ(counts.back() - counts.front(), 0U) << "temperature " << temperature;
  }
}

// Not even where keys and values go, block after block.
TEST(DecodeAllocations, NoneWithAPolicy) {
  using kv::policy::PolicyKind;
  for (const PolicyKind kind :
       {PolicyKind::kWindow, PolicyKind::kBlock, PolicyKind::kSnap, PolicyKind::kArkv}) {
    const bool quantizes = kind == PolicyKind::kArkv;
    const auto counts = CountsOfDecode(
        {.n_ctx = quantizes ? 512U : 256U,
         .n_threads = 2,
         .kv = {.type = quantizes ? tensor::KvType::kQ8 : tensor::KvType::kF16, .layers = {}},
         .kv_policy = {.kind = kind, .budget = SizeSpec{.percent = 50}}},
        0);
    ASSERT_GE(counts.size(), 20U);
    EXPECT_EQ(counts.back() - counts.front(), 0U) << NameOf(kind);
  }
}

// What random models write is often no whole character, so there are fewer pieces of text.
TEST(DecodeAllocations, NoneInAnyArchitecture) {
  const auto file = std::filesystem::path(testing::TempDir()) /
                    fmt::format("plimsoll_allocations_{}.gguf", ::getpid());
  for (const std::string_view arch : random_model::Architectures()) {
    random_model::ModelSpec spec;
    spec.arch = arch;
    ASSERT_TRUE(random_model::ApplyPreset("tiny", spec));
    const auto written = random_model::WriteRandomModel(spec, file);
    ASSERT_TRUE(written) << written.error().message;
    const auto counts = CountsOfDecode({.model = file, .n_threads = 2}, 0);
    ASSERT_GE(counts.size(), 20U) << arch;
    EXPECT_EQ(counts.back() - counts.front(), 0U) << arch;
  }
  std::filesystem::remove(file);
}

// A line with room for a tenth of the bundled model's experts.
EngineOptions PagedOptions() {
  EngineOptions options = {.n_ctx = 256, .n_threads = 2, .prefill_chunk = 32};
  const auto engine = Engine::Load(options, {});
  EXPECT_TRUE(engine) << engine.error().message;
  const auto session = (*engine)->NewSession();
  EXPECT_TRUE(session) << session.error().message;
  const memory::LedgerSnapshot all = (*engine)->ledger();
  const uint64_t experts = all.accounts[static_cast<size_t>(memory::Account::kExperts)].bytes;
  options.memory = SizeSpec{.bytes = all.reserved_bytes - experts + experts / 10 + kMiB};
  return options;
}

TEST(DecodeAllocations, NoneWherePagesComeAndGo) {
  EngineOptions options = PagedOptions();
  for (const char* prefetch : {"off", "router", "pairs"}) {
    options.prefetch = prefetch;
    const auto counts = CountsOfDecode(options, 0);
    ASSERT_GE(counts.size(), 100U);
    EXPECT_EQ(counts.back() - counts.front(), 0U) << "prefetch " << prefetch;
  }
}

TEST(DecodeAllocations, NoneWhereDenseWeightsAreStreamed) {
  const auto file = std::filesystem::path(testing::TempDir()) /
                    fmt::format("plimsoll_streamed_{}.gguf", ::getpid());
  random_model::ModelSpec spec;
  ASSERT_TRUE(random_model::ApplyPreset("tiny", spec));
  spec.arch = "llama";
  spec.n_experts = 0;
  spec.n_layers = 6;
  spec.hidden_dim = 512;
  spec.ffn_dim = 1024;
  const auto written = random_model::WriteRandomModel(spec, file);
  ASSERT_TRUE(written) << written.error().message;
  EngineOptions options = {.model = file, .n_ctx = 256, .n_threads = 2, .prefill_chunk = 32};
  {
    const auto planner = Planner::Open(options);
    ASSERT_TRUE(planner) << planner.error().message;
    const Landmarks& at = (*planner)->landmarks();
    ASSERT_LT(at.least, at.dense);
    options.memory = SizeSpec{.bytes = (at.least + at.dense) / 2};
  }
  const auto counts = CountsOfDecode(options, 0);
  ASSERT_GE(counts.size(), 20U);
  EXPECT_EQ(counts.back() - counts.front(), 0U);
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace plimsoll::engine
