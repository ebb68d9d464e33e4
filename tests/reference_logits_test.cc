// The lab model against the logits that its trainer's own float32 forward pass gave.
#include <algorithm>
#include <cmath>
#include <fstream>

#include <simdjson.h>

#include "tests/loaded_model.h"

namespace plimsoll::tests {
namespace {

struct Reference {
  std::vector<TokenId> ids;
  std::vector<float> last_logits;
  std::vector<TokenId> greedy_ids;
};

template <class T>
std::vector<T> Numbers(simdjson::dom::element array) {
  std::vector<T> out;
  for (const auto value : array.get_array()) {
    out.push_back(static_cast<T>(double(value)));
  }
  return out;
}

std::vector<Reference> ReadReferences(const std::filesystem::path& file) {
  std::vector<Reference> references;
  simdjson::dom::parser parser;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const simdjson::dom::element entry = parser.parse(line);
    references.push_back({Numbers<TokenId>(entry["ids"]), Numbers<float>(entry["last_logits"]),
                          Numbers<TokenId>(entry["greedy_ids"])});
  }
  return references;
}

size_t ArgMax(std::span<const float> values) {
  return static_cast<size_t>(std::ranges::max_element(values) - values.begin());
}

class ReferenceLogits : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = SharedFolder() / "models";
    if (!std::filesystem::exists(folder_ / "reference.jsonl")) {
      GTEST_SKIP() << "no reference logits at " << folder_ << " (set PLIMSOLL_SHARED)";
    }
    references_ = ReadReferences(folder_ / "reference.jsonl");
    ASSERT_GE(references_.size(), 18U);
  }

  std::filesystem::path folder_;
  std::vector<Reference> references_;
};

TEST_F(ReferenceLogits, F32IsWithinAThousandth) {
  LoadedModel loaded(folder_ / "lab-moe-f32.gguf", {});
  double worst = 0;
  for (const Reference& reference : references_) {
    const auto all = loaded.AllLogits(reference.ids, 512);
    const size_t vocab = loaded.model().hyper_params().vocab_size;
    const std::span<const float> last = std::span(all).last(vocab);
    ASSERT_EQ(reference.last_logits.size(), vocab);
    double difference = 0;
    double largest = 0;
    for (size_t i = 0; i < vocab; ++i) {
      difference = std::max(difference, std::abs(double{last[i]} - reference.last_logits[i]));
      largest = std::max(largest, std::abs(double{reference.last_logits[i]}));
    }
    EXPECT_LE(difference / largest, 1e-3) << reference.ids.size() << " tokens";
    worst = std::max(worst, difference / largest);
  }
  RecordProperty("worst_relative_difference", std::to_string(worst));
  std::printf("worst max |difference| / max |reference|: %.2e\n", worst);
}

TEST_F(ReferenceLogits, F32SaysTheSameGreedily) {
  LoadedModel loaded(folder_ / "lab-moe-f32.gguf", {});
  for (const Reference& reference : references_) {
    kv::KvSequence sequence(loaded.pool(), 1024);
    std::vector<TokenId> next = reference.ids;
    std::vector<TokenId> said;
    while (said.size() < reference.greedy_ids.size()) {
      for (size_t done = 0; done < next.size(); done += 512) {
        const auto part = std::span(next).subspan(done, std::min<size_t>(512, next.size() - done));
        const auto chunk = LoadedModel::Append(sequence, part);
        const auto last = static_cast<uint32_t>(part.size() - 1);
        TokenId best = 0;
        EXPECT_TRUE(loaded.model().Forward({.tokens = chunk, .wanted_logits = {&last, 1}},
                                           [&](uint32_t /*token*/, std::span<float> logits) {
                                             best = static_cast<TokenId>(ArgMax(logits));
                                           }));
        if (done + part.size() == next.size()) {
          said.push_back(best);
        }
      }
      next = {said.back()};
    }
    EXPECT_EQ(said, reference.greedy_ids);
  }
}

}  // namespace
}  // namespace plimsoll::tests
