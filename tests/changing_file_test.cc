// A model's file that is cut short, written to, removed, replaced or forbidden at any moment while
// the model is loaded and decodes: each token has the logits that it should have, or an error that
// names the file.
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "engine/planner.h"
#include "tests/failing_model.h"
#include "tests/is_night.h"
#include "tools/random_model/random_model.h"

namespace plimsoll::tests {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

enum class Change { kCutShort, kWrittenTo, kRemoved, kReplaced, kForbidden };

std::string NameOf(Change change) {
  constexpr std::array kNames = {"cut_short", "written_to", "removed", "replaced", "forbidden"};
  return kNames[static_cast<size_t>(change)];
}

// Whether it leaves the open file as it is.
bool IsHarmless(Change change) {
  return change != Change::kCutShort && change != Change::kWrittenTo;
}

constexpr uint32_t kTokens = 8;

TokenId TokenAt(uint32_t i) { return static_cast<TokenId>(200 + 29 * i); }

struct Decoded {
  std::vector<std::vector<float>> logits;  // of each token, as far as it went
  std::vector<Error> errors;               // of loading, or of a token
};

// A model, the line that it runs under, and what it says.
struct Subject {
  fs::path source;
  uint64_t line = 0;
  Decoded expected;
  steady_clock::duration length{};  // of reading weights and decoding
};

class ChangingFileTest : public testing::TestWithParam<Change> {
 protected:
  ChangingFileTest()
      : file_(fs::path(testing::TempDir()) / ("plimsoll-changing-" + std::to_string(::getpid()))) {
    options_ = {.model = file_, .n_ctx = 64, .n_threads = 2, .prefill_chunk = 32};
    random_model::ModelSpec spec;
    EXPECT_TRUE(random_model::ApplyPreset("tiny", spec));
    spec.arch = "qwen3moe";
    spec.type = tensor::DType::kQ8_0;
    spec.hidden_dim = 512;
    spec.n_heads = spec.n_kv_heads = 8;
    spec.head_dim = 64;
    spec.ffn_dim = 1024;
    spec.expert_ffn_dim = 128;
    spec.n_experts = 8;
    spec.vocab_size = 2000;
    random_file_ = file_.string() + ".source";
    EXPECT_TRUE(random_model::WriteRandomModel(spec, random_file_));
    subjects_ = {MakeSubject(BundledModel(), model::Residence::kAll),
                 MakeSubject(BundledModel(), model::Residence::kPaged),
                 MakeSubject(random_file_, model::Residence::kStreamed)};
  }
  ~ChangingFileTest() override {
    fs::remove(file_);
    fs::remove(random_file_);
  }

  // With a line for all of it, or the least; where it streams, embeddings are read by row.
  Subject MakeSubject(const fs::path& source, model::Residence residence) {
    Subject subject = {.source = source, .line = kGiB};
    MakeFile(source);
    options_.memory = SizeSpec{.bytes = kGiB};
    if (residence != model::Residence::kAll) {
      subject.line = engine::Planner::Open(options_).value()->landmarks().least;
      options_.memory = SizeSpec{.bytes = subject.line};
    }
    {
      const auto engine = engine::Engine::Load(options_, {});
      EXPECT_EQ((*engine)->paging().has_value(), residence != model::Residence::kAll);
      EXPECT_EQ((*engine)->streaming().has_value(), residence == model::Residence::kStreamed);
    }
    auto begin = steady_clock::now();
    subject.expected = Decode([&] { begin = steady_clock::now(); });
    subject.length = steady_clock::now() - begin;
    EXPECT_EQ(subject.expected.logits.size(), kTokens);
    return subject;
  }

  const Subject& UseSubject(size_t which) {
    const Subject& subject = subjects_[which];
    MakeFile(subject.source);
    options_.memory = SizeSpec{.bytes = subject.line};
    return subject;
  }

  // Written long ago: what is written in the tick of the clock in which a file is opened has no
  // later time.
  void MakeFile(const fs::path& source) const {
    fs::remove(file_);
    fs::copy_file(source, file_);
    fs::permissions(file_, fs::perms::owner_all);
    fs::last_write_time(file_, fs::last_write_time(file_) - std::chrono::hours(1));
  }

  // Loads the model and appends tokens; after an error a few more.
  Decoded Decode(const std::function<void()>& on_open) const {
    Decoded decoded;
    const auto engine =
        engine::Engine::Load(options_, [&, told = false](const engine::LoadProgress&) mutable {
          if (on_open && !std::exchange(told, true)) {
            on_open();
          }
        });
    if (!engine) {
      decoded.errors.push_back(engine.error());
      return decoded;
    }
    const auto session = (*engine)->NewSession();
    for (uint32_t i = 0; i < kTokens && decoded.errors.size() < 3; ++i) {
      const TokenId token = TokenAt(static_cast<uint32_t>(decoded.logits.size()));
      const auto logits = (*session)->AppendForLogits({&token, 1});
      if (logits) {
        decoded.logits.emplace_back(logits->begin(), logits->end());
      } else {
        decoded.errors.push_back(logits.error());
      }
    }
    return decoded;
  }

  void Make(Change change, uint64_t seed) const {
    const uint64_t bytes = fs::file_size(file_);
    const auto draw = [&](uint64_t which) { return Philox(seed, which, 5)[0]; };
    switch (change) {
      case Change::kCutShort:
        return fs::resize_file(file_, draw(0) % bytes);
      case Change::kWrittenTo: {
        // All over it, header and weights.
        std::fstream out(file_, std::ios::in | std::ios::out | std::ios::binary);
        const std::string garbage(64 << 10, static_cast<char>(seed));
        for (uint64_t i = 1; i <= 30; ++i) {
          out.seekp(static_cast<std::streamoff>(draw(i) % (bytes - garbage.size())));
          out.write(garbage.data(), static_cast<std::streamsize>(garbage.size())).flush();
        }
        return;
      }
      case Change::kRemoved:
        fs::remove(file_);
        return;
      case Change::kReplaced: {
        const fs::path other = file_.string() + ".other";
        std::ofstream(other) << std::string(draw(0) % (1 << 20), 'x');
        return fs::rename(other, file_);
      }
      case Change::kForbidden:
        return fs::permissions(file_, fs::perms::none);
    }
  }

  // How many errors there were, with every token checked that was computed.
  size_t ErrorsOfTrial(Change change, uint64_t seed) {
    const Subject& subject = UseSubject(seed % subjects_.size());
    options_.io = seed % 4 == 0 ? "best" : "buffered";
    const double share = seed <= subjects_.size() ? 0 : UniformAt(seed, 0);  // some at once
    const auto wait = std::chrono::duration_cast<std::chrono::microseconds>(share * subject.length);
    std::thread changer;
    const Decoded decoded = Decode([&] {
      changer = std::thread([this, change, seed, wait] {
        std::this_thread::sleep_for(wait);
        Make(change, seed);
      });
    });
    EXPECT_TRUE(changer.joinable());
    changer.join();
    for (size_t i = 0; i < decoded.logits.size(); ++i) {
      const auto& right = subject.expected.logits[i];
      EXPECT_EQ(std::memcmp(decoded.logits[i].data(), right.data(), right.size() * sizeof(float)),
                0)
          << "seed " << seed << ", token " << i;
    }
    for (const Error& error : decoded.errors) {
      EXPECT_EQ(error.kind, ErrorKind::kIo) << error.message;
      EXPECT_NE(error.message.find("plimsoll-changing"), std::string::npos) << error.message;
    }
    EXPECT_EQ(decoded.logits.size() == kTokens, decoded.errors.empty()) << "seed " << seed;
    return decoded.errors.size();
  }

  fs::path file_;
  fs::path random_file_;
  engine::EngineOptions options_;
  std::vector<Subject> subjects_;
};

TEST_P(ChangingFileTest, EachTokenIsRightOrTheFileIsNamed) {
  const Change change = GetParam();
  const uint64_t n_trials = IsNight() ? 1000 : 6;
  uint64_t n_noticed = 0;
  for (uint64_t seed = 1; seed <= n_trials; ++seed) {
    n_noticed += ErrorsOfTrial(change, seed) > 0 ? 1U : 0U;
  }
  if (IsHarmless(change)) {
    EXPECT_EQ(n_noticed, 0U);
  } else {
    EXPECT_GT(n_noticed, IsNight() ? n_trials / 5 : 0);
  }
  RecordProperty("noticed", std::to_string(n_noticed));
}

INSTANTIATE_TEST_SUITE_P(Changes, ChangingFileTest,
                         testing::Values(Change::kCutShort, Change::kWrittenTo, Change::kRemoved,
                                         Change::kReplaced, Change::kForbidden),
                         [](const auto& change) { return NameOf(change.param); });

}  // namespace
}  // namespace plimsoll::tests
