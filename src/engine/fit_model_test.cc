#include "engine/fit_model.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "engine/bundled_model.h"
#include "formats/gguf/reader.h"

namespace plimsoll::engine {
namespace {

class OpenToFitTest : public testing::Test {
 protected:
  Result<FittedModel> Open(uint64_t line, uint32_t chunk = 512) {
    return OpenToFit(catalogue_, team_, {.n_ctx = 256, .prefill_chunk = chunk, .kernels = kernels_},
                     kMiB, line);
  }

  formats::Catalogue catalogue_ = formats::gguf::Read(OpenBundledModel().value()).value();
  kernels::Team team_{1};
  const kernels::KernelSet* kernels_ = kernels::SelectKernelSet("").value();
};

TEST_F(OpenToFitTest, KeepsAllWithTheWholeChunkWhereThereIsRoom) {
  const auto fitted = Open(kGiB);
  ASSERT_TRUE(fitted) << fitted.error().message;
  EXPECT_EQ(fitted->division.residence, Residence::kAll);
  EXPECT_EQ(fitted->model->max_chunk(), 512U);
}

TEST_F(OpenToFitTest, ShortensTheChunkBeforeItPages) {
  const uint64_t line = Open(kGiB, kShortestChunk)->division.parts.total();
  const auto fitted = Open(line);
  ASSERT_TRUE(fitted) << fitted.error().message;
  EXPECT_EQ(fitted->division.residence, Residence::kAll);
  EXPECT_EQ(fitted->model->max_chunk(), kShortestChunk);
}

TEST_F(OpenToFitTest, PagesTheExpertsBelowThatDownToOneLayersForAToken) {
  const uint64_t all = Open(kGiB, kShortestChunk)->division.parts.total();
  const auto paged = Open(all - 1);
  ASSERT_TRUE(paged) << paged.error().message;
  ASSERT_EQ(paged->division.residence, Residence::kPaged);
  ASSERT_EQ(paged->division.experts.size(), 1U);
  const ExpertShare& share = paged->division.experts[0];
  const auto& hp = paged->model->hyper_params();
  EXPECT_EQ(share.n_pages, hp.n_layers * hp.layers.back().n_experts);
  EXPECT_EQ(share.n_frames_min, hp.layers.back().n_experts_active);
  EXPECT_GT(share.n_frames, share.n_frames_min);
  EXPECT_GT(paged->division.parts.index, 0U);
  EXPECT_LE(paged->division.parts.total(), all - 1);

  const uint64_t least = DivideLeast(Open(kGiB, kShortestChunk)->needs).parts.total();
  const auto narrow = Open(least);
  ASSERT_TRUE(narrow) << narrow.error().message;
  EXPECT_EQ(narrow->division.experts[0].n_frames, share.n_frames_min);
  const auto refused = Open(least - 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
}

TEST_F(OpenToFitTest, ChoosesTheChunkThatReadsLeast) {
  const uint64_t least = DivideLeast(Open(kGiB, kShortestChunk)->needs).parts.total();
  const uint64_t all = Open(kGiB, kShortestChunk)->division.parts.total();
  const auto read_of = [](const FittedModel& fitted) {
    return ReadBytesOfTurn(fitted.division, fitted.needs.experts, fitted.model->max_chunk());
  };
  for (uint64_t line = least; line < all; line += (all - least) / 8) {
    const auto fitted = Open(line);
    ASSERT_TRUE(fitted) << fitted.error().message;
    for (const uint32_t chunk : {256U, 128U, 64U, 32U}) {
      const auto shorter = Open(line, chunk);
      ASSERT_TRUE(shorter) << shorter.error().message;
      EXPECT_LE(read_of(*fitted), read_of(*shorter)) << line << " " << chunk;
    }
  }
}

// 1,000 experts of a MiB, 50 a token.
TEST(ReadBytesOfTurn, WeighsAPromptsReadsAgainstFrames) {
  const std::vector<ExpertClass> experts = {
      {.frame_bytes = kMiB, .n_pages = 1000, .n_active = 5, .n_cycle = 50}};
  const auto read = [&](uint32_t n_frames, uint32_t chunk) {
    const LineDivision division = {
        .residence = Residence::kPaged,
        .parts = {},
        .experts = {{.frame_bytes = kMiB, .n_pages = 1000, .n_frames = n_frames}}};
    return ReadBytesOfTurn(division, experts, chunk) / kMiB;
  };
  // With hardly a frame every token reads all that it uses, and every chunk all that there is.
  EXPECT_NEAR(read(5, 512), 2 * 995 + 256 * 50, 256);
  // More frames and longer chunks both read less.
  EXPECT_LT(read(250, 512), read(200, 512));
  EXPECT_LT(read(250, 512), read(250, 256));
  // Few frames more are worth less than half of the chunks where nearly everything is missing, and
  // many are worth more.
  EXPECT_LT(read(6, 512), read(10, 256));
  EXPECT_GT(read(100, 512), read(200, 256));
}

}  // namespace
}  // namespace plimsoll::engine
