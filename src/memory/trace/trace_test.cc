// Traces: what is written is read back, text formats of others, and files that lie.
#include <cmath>
#include <csignal>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/file.h"
#include "memory/trace/binary_trace.h"
#include "memory/trace/recorder.h"
#include "memory/trace/trace_file.h"

namespace plimsoll::memory::trace {
namespace {

using policy::Phase;
using testing::HasSubstr;

std::filesystem::path TestPath() {
  return std::filesystem::path(testing::TempDir()) /
         ("plimsoll_trace_" + std::to_string(::getpid()));
}

constexpr std::string_view kCsv =
    "# route_trace v1\n"
    "# model=/m/tiny.gguf arch=tiny n_layer=2 n_expert=4 n_expert_used=2\n"
    "# layer=1 expert_bytes=4096 dense_bytes=1\n"
    "turn,phase,step,layer,slot,expert,weight,residency,expert_bytes\n"
    "0,0,0,0,0,3,0.75,0,10\n0,0,0,0,1,1,0.25,0,10\n"
    "0,0,1,0,0,0,0.5,0,10\n0,0,1,0,1,3,0.5,1,0\n"
    "0,0,1,1,0,2,0.9,0,10\n0,0,1,1,1,1,0.1,0,10\n"
    "0,1,2,0,0,3,0.6,0,10\n0,1,2,0,1,2,0.4,0,10\n"
    "0,1,2,1,0,2,0.6,0,10\n0,1,2,1,1,0,0.4,0,10\n";

TEST(RouteTraceV1Test, APromptIsOnePassAndEachDecodedTokenAnother) {
  const auto trace = ParseTrace(kCsv, "tiny.csv");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->model, "/m/tiny.gguf");
  EXPECT_EQ(trace->architecture, "tiny");
  ASSERT_EQ(trace->layers.size(), 2U);
  EXPECT_EQ(trace->layers[1].n_experts, 4U);
  EXPECT_EQ(trace->layers[1].n_active, 2U);
  EXPECT_EQ(trace->layers[1].expert_bytes, 4096U);
  ASSERT_EQ(trace->visits.size(), 4U);
  EXPECT_EQ(trace->visits[0].phase, Phase::kPrefill);
  EXPECT_EQ(trace->visits[0].n_tokens, 2U);
  EXPECT_EQ(trace->visits[1].n_tokens, 1U);
  EXPECT_EQ(trace->visits[2].phase, Phase::kDecode);
  EXPECT_EQ(trace->visits[2].pass, 1U);
  EXPECT_EQ(trace->ranked(trace->visits[0], 1)[1].expert, 3U);
  EXPECT_FLOAT_EQ(trace->ranked(trace->visits[0], 0)[0].probability, 0.75F);
}

std::string Replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result(text);
  result.replace(result.find(from), from.size(), to);
  return result;
}

TEST(RouteTraceV1Test, WhatNoModelDoesIsRefusedWithItsLine) {
  const auto message = [](std::string_view from, std::string_view to) {
    const auto trace = ParseTrace(Replaced(kCsv, from, to), "t.csv");
    return trace ? std::string("read") : trace.error().message;
  };
  EXPECT_THAT(message("0,0,0,0,0,3,", "0,0,0,0,0,4,"), HasSubstr("expert 4 of 4"));
  EXPECT_THAT(message("0,0,0,0,0,3,", "0,0,0,0,0,1,"), HasSubstr("stands twice"));
  EXPECT_THAT(message("0,0,0,0,0,3,0.75", "0,0,0,0,0,3,nan"), HasSubstr("no finite weight"));
  EXPECT_THAT(message("0,1,2,1,0,2", "0,1,2,9,0,2"), HasSubstr("line 13: layer 9 of 2"));
  EXPECT_THAT(message("0,1,2,1,0,2,", "0,2,2,1,0,2,"), HasSubstr("line 13: not a row"));
  EXPECT_THAT(message("0,1,2,1,1,0,0.4,0,10\n", ""), HasSubstr("1 experts of 1 ranked"));
  EXPECT_THAT(message("n_expert=4", "n_expert=4000000000"), HasSubstr("line 2"));
  EXPECT_THAT(message("n_layer=2", "n_layer=1024"), testing::AnyOf("read", HasSubstr("layer")));
  EXPECT_THAT(message("turn,phase", "phase,turn"), HasSubstr("columns"));
  EXPECT_THAT(ParseTrace("# route_trace v1\n", "t.csv").error().message, HasSubstr("no routing"));
}

TEST(ColibriTraceTest, PassesAndPromptsAreToldByCallsAndRows) {
  const auto trace = ParseTrace(
      "0 0 1 5:0.7500 2:0.2500\n0 1 1 5:0.6000 3:0.4000\n"
      "1 0 2 1:0.5000 2:0.5000\n1 1 2 7:0.6000 3:0.4000\n"
      "2 0 1 4:0.6000 3:0.4000\n3 0 2 1:0.6000 0:0.4000\n",
      "trace.txt");
  ASSERT_TRUE(trace) << trace.error().message;
  ASSERT_EQ(trace->layers.size(), 3U);
  EXPECT_EQ(trace->layers[0].n_experts, 0U);  // no row: a dense layer
  EXPECT_EQ(trace->layers[1].n_experts, 8U);  // as the highest id, of layer 2, asks for
  ASSERT_EQ(trace->visits.size(), 4U);
  EXPECT_EQ(trace->visits[1].phase, Phase::kPrefill);
  EXPECT_EQ(trace->visits[1].n_tokens, 2U);
  EXPECT_EQ(trace->visits[2].phase, Phase::kDecode);
  EXPECT_EQ(trace->visits[2].pass, 1U);

  EXPECT_THAT(ParseTrace("0 0 1 5:0.7\nhello\n", "t").error().message, HasSubstr("t, line 2"));
  EXPECT_THAT(ParseTrace("0 0 1 5\n", "t").error().message, HasSubstr("line 1"));
  EXPECT_THAT(ParseTrace("0 0 1 99999:1\n", "t").error().message, HasSubstr("expert 99999"));
  EXPECT_FALSE(ParseTrace("", "t"));
}

// Records two decoded tokens and a prompt between them, with one near-miss each.
Result<> Record(const std::filesystem::path& path, size_t n_more = 0) {
  std::vector<TraceLayer> layers = {{0, 0, 0, 0}, {8, 2, 3, 4096}};
  auto recorder = Recorder::Create(path, "tiny", "moe", layers);
  if (!recorder) {
    return Forward(recorder);
  }
  const std::vector<uint32_t> experts = {1, 7, 0, 3};
  const std::vector<float> probabilities = {0.5F, 0.25F, 0.625F, 0.125F};
  const std::vector<uint32_t> near = {2, 6};
  const std::vector<float> near_probabilities = {0.0625F, 0.03125F};
  const auto visit = [&](uint64_t step, Phase phase, uint32_t n) {
    (*recorder)->OnVisit({1, step, phase, n, std::span(experts).first(2 * n),
                          std::span(probabilities).first(2 * n), std::span(near).first(n),
                          std::span(near_probabilities).first(n)});
  };
  visit(10, Phase::kDecode, 1);
  visit(11, Phase::kPrefill, 2);
  for (size_t i = 0; i <= n_more; ++i) {
    visit(12 + i, Phase::kDecode, 1);
  }
  return (*recorder)->Finish();
}

TEST(RecorderTest, WhatIsRecordedIsReadBack) {
  const auto path = TestPath();
  ASSERT_TRUE(Record(path));
  const auto trace = ReadTrace(path);
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->model, "tiny");
  EXPECT_EQ(trace->architecture, "moe");
  EXPECT_EQ(trace->layers[0].n_experts, 0U);
  EXPECT_EQ(trace->layers[1].n_ranked, 3U);
  EXPECT_EQ(trace->layers[1].expert_bytes, 4096U);
  ASSERT_EQ(trace->visits.size(), 3U);
  EXPECT_EQ(trace->visits[1].phase, Phase::kPrefill);
  EXPECT_EQ(trace->visits[2].pass, 2U);
  const auto second = trace->ranked(trace->visits[1], 1);
  EXPECT_EQ(second[1].expert, 3U);
  EXPECT_EQ(second[2].expert, 6U);
  EXPECT_FLOAT_EQ(second[2].probability, 0.03125F);
  std::filesystem::remove(path);
}

TEST(RecorderTest, AKilledRecordingIsReadUpToItsLastWholeBlock) {
  const auto path = TestPath();
  ASSERT_TRUE(Record(path, 20'000));
  const std::string bytes = io::ReadWhole(path, uint64_t{1} << 24).value();
  const auto whole = ParseTrace(bytes, "t");
  ASSERT_TRUE(whole);
  uint64_t ignored = 0;
  const auto cut =
      ParseBinaryTrace(std::string_view(bytes).substr(0, bytes.size() - 1), "t", &ignored);
  ASSERT_TRUE(cut) << cut.error().message;
  EXPECT_GT(ignored, 0U);
  EXPECT_LT(cut->visits.size(), whole->visits.size());
  EXPECT_GT(cut->visits.size(), 1000U);
  std::filesystem::remove(path);
}

TEST(RecorderTest, AFullDiskEndsTheTraceAndSaysSo) {
  const auto path = TestPath();
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit tight = {100'000, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const auto recorded = Record(path, 20'000);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(recorded);
  EXPECT_EQ(recorded.error().kind, ErrorKind::kIo);
  EXPECT_THAT(recorded.error().message, HasSubstr("The trace ends here"));
  const auto trace = ReadTrace(path);
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_GT(trace->visits.size(), 1000U);
  std::filesystem::remove(path);
}

std::string AnyTraceBytes() {
  const std::vector<TraceLayer> layers = {{16, 2, 4, 1}, {300, 1, 1, 2}};
  std::string bytes = EncodeTraceHeader("m", "a", layers);
  BlockEncoder encoder;
  for (uint32_t pass = 0; pass < 3; ++pass) {
    const std::vector<Choice> wide = {{pass, 0.5F}, {9, 0.25F}, {15, 0.125F}, {12, 0.0625F}};
    const std::vector<Choice> narrow = {{299 - pass, 1}};
    encoder.Add(0, pass, Phase::kDecode, 1, wide);
    encoder.Add(1, pass, Phase::kDecode, 1, narrow);
    bytes += encoder.TakeBlock();
  }
  return bytes;
}

TEST(BinaryTraceTest, AnyFlippedByteIsFoundOrHarmless) {
  const std::string bytes = AnyTraceBytes();
  ASSERT_TRUE(ParseTrace(bytes, "t"));
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    const auto trace = ParseTrace(damaged, "t");
    // A damaged length makes the rest look cut off; all else is an error.
    EXPECT_TRUE(!trace || trace->visits.size() < 6) << "byte " << i;
  }
}

TEST(BinaryTraceTest, TruncatedAnywhereItIsReadInPartOrRefused) {
  const std::string bytes = AnyTraceBytes();
  for (size_t n = 0; n < bytes.size(); ++n) {
    const auto trace = ParseTrace(std::string_view(bytes).substr(0, n), "t");
    EXPECT_TRUE(!trace || trace->visits.size() < 6) << n;
  }
}

TEST(BinaryTraceTest, EveryTraceSurvivesTheRoundTrip) {
  EXPECT_TRUE(rc::check([] {
    const auto n_active = *rc::gen::inRange(1U, 5U);
    const auto n_ranked = *rc::gen::inRange(n_active, 9U);
    const std::vector<TraceLayer> layers(2, {64, n_active, n_ranked, 7});
    std::string bytes = EncodeTraceHeader("model", "", layers);
    BlockEncoder encoder;
    std::vector<Choice> all;
    const auto n_visits = *rc::gen::inRange(1U, 20U);
    for (uint32_t i = 0; i < n_visits; ++i) {
      const auto first = *rc::gen::inRange(0U, 64U);
      std::vector<Choice> ranked;
      for (uint32_t j = 0; j < n_ranked; ++j) {
        ranked.push_back({(first + 7 * j) % 64, std::ldexp(1.0F, -static_cast<int>(j))});
      }
      encoder.Add(i % 2, i / 2, Phase::kDecode, 1, ranked);
      all.insert(all.end(), ranked.begin(), ranked.end());
      if (*rc::gen::arbitrary<bool>()) {
        bytes += encoder.TakeBlock();
      }
    }
    bytes += encoder.TakeBlock();
    const auto trace = ParseTrace(bytes, "t");
    RC_ASSERT(trace.has_value());
    RC_ASSERT(trace->visits.size() == n_visits);
    RC_ASSERT(trace->choices.size() == all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      RC_ASSERT(trace->choices[i].expert == all[i].expert);
      RC_ASSERT(trace->choices[i].probability == all[i].probability);
    }
  }));
}

}  // namespace
}  // namespace plimsoll::memory::trace
