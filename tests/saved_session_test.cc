// Sessions of the bundled model that are saved and restored: the same text as if they had never
// ended, whatever became of the file.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/chat.h"
#include "engine/engine.h"
#include "io/checksum.h"

namespace plimsoll::engine {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kStory =
    "Once upon a time a small fox lived at the edge of a great forest. Every morning it went to "
    "the "
    "river, looked at the water, and asked the fish how they had slept. The fish never answered. "
    "One day ";

class SavedSession : public testing::Test {
 protected:
  SavedSession()
      : path_(fs::temp_directory_path() / fmt::format("plimsoll-saved-{}", ::getpid())),
        engine_(Engine::Load({.n_ctx = 512, .n_threads = 2}, {}).value()),
        prompt_(EncodePrompt(engine_->tokenizer(), kStory)) {}
  ~SavedSession() override { fs::remove(path_); }

  // The text behind `prompt`, and how much of that was there.
  static std::pair<std::string, uint32_t> Say(Session& session, std::span<const TokenId> prompt) {
    std::string text;
    GenerateOptions options{.n_predict = 24, .ignore_end = true};
    options.sampling.temperature = 0;
    const auto stats = session.Generate(prompt, options, [&](std::string_view more) {
      text += more;
      return true;
    });
    EXPECT_TRUE(stats) << stats.error().message;
    return {text, stats->n_prompt_reused};
  }
  // What the session says next: its tokens and then some.
  std::pair<std::string, uint32_t> GoOn(Session& session, std::vector<TokenId> tokens) const {
    const auto more = engine_->tokenizer().Encode(" And then", {});
    tokens.insert(tokens.end(), more.begin(), more.end());
    return Say(session, tokens);
  }
  // Saves a session, and what it would have said next.
  void Save() {
    auto session = engine_->NewSession().value();
    Say(*session, prompt_);
    tokens_.assign(session->tokens().begin(), session->tokens().end());
    const auto saved = session->Save(path_, "a note");
    ASSERT_TRUE(saved) << saved.error().message;
    expected_ = GoOn(*session, tokens_).first;
  }
  void FlipByte(uint64_t at) const {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 1));
  }

  fs::path path_;
  std::unique_ptr<Engine> engine_;
  std::vector<TokenId> prompt_;
  std::vector<TokenId> tokens_;
  std::string expected_;
};

TEST_F(SavedSession, GoesOnAsIfItHadNeverEnded) {
  Save();
  // On another machine, so to say: other kernels, other threads.
  for (const char* kernels : {"", "ref"}) {
    const auto engine =
        Engine::Load({.n_ctx = 512, .n_threads = 1, .kernels = kernels}, {}).value();
    auto session = engine->NewSession().value();
    const auto restored = session->Restore(path_);
    ASSERT_TRUE(restored) << restored.error().message;
    EXPECT_THAT(restored->problem, IsEmpty());
    EXPECT_EQ(restored->note, "a note");
    EXPECT_EQ(restored->tokens, tokens_);
    EXPECT_EQ(restored->n_restored, tokens_.size() / 32 * 32);
    const auto [text, n_reused] = GoOn(*session, restored->tokens);
    EXPECT_EQ(text, expected_);
    EXPECT_EQ(n_reused, restored->n_restored);
  }
}

TEST_F(SavedSession, DamagedBlocksAreComputedAgain) {
  Save();
  const uint64_t n_blocks = tokens_.size() / 32;
  ASSERT_GE(n_blocks, 2U);
  const uint64_t block = (fs::file_size(path_) - 4096) / n_blocks;
  FlipByte(4096 + block + 7);
  auto session = engine_->NewSession().value();
  auto restored = session->Restore(path_);
  ASSERT_TRUE(restored);
  EXPECT_THAT(restored->problem, HasSubstr("block 1 is damaged"));
  EXPECT_EQ(restored->n_restored, 32U);
  EXPECT_EQ(GoOn(*session, restored->tokens).first, expected_);

  fs::resize_file(path_, 4096 + 100);
  restored = session->Restore(path_);
  ASSERT_TRUE(restored);
  EXPECT_THAT(restored->problem, HasSubstr("cut short"));
  EXPECT_EQ(restored->n_restored, 0U);
  EXPECT_EQ(GoOn(*session, restored->tokens).first, expected_);
}

TEST_F(SavedSession, ADamagedHeaderIsRefusedAndChangesNothing) {
  Save();
  FlipByte(100);
  auto session = engine_->NewSession().value();
  const std::string said = Say(*session, prompt_).first;
  const auto restored = session->Restore(path_);
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().kind, ErrorKind::kBadModel);
  EXPECT_EQ(session->tokens().size(), tokens_.size());
  EXPECT_EQ(GoOn(*session, tokens_).first, expected_);
}

TEST_F(SavedSession, KeysAndValuesOfAnotherModelAreNotUsed) {
  Save();
  FlipByte(64);  // the model's identity, and the header's checksum made right
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  std::string header(4096, '\0');
  file.read(header.data(), 4096);
  const uint64_t sum = io::Checksum64(std::as_bytes(std::span(header)).first(4088));
  file.seekp(4088);
  file.write(reinterpret_cast<const char*>(&sum), 8);
  file.close();
  auto session = engine_->NewSession().value();
  const auto restored = session->Restore(path_);
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_THAT(restored->problem, HasSubstr("another model"));
  EXPECT_THAT(restored->tokens, IsEmpty());
  EXPECT_EQ(restored->note, "a note");
  EXPECT_THAT(session->tokens(), IsEmpty());
}

TEST_F(SavedSession, AShorterContextTakesWhatItCan) {
  Save();
  const auto engine = Engine::Load({.n_ctx = 64, .n_threads = 1}, {}).value();
  auto session = engine->NewSession().value();
  const auto restored = session->Restore(path_);
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->n_restored, std::min<size_t>(64, tokens_.size() / 32 * 32));
}

}  // namespace
}  // namespace plimsoll::engine
