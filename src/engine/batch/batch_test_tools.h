// What tests of a batcher share.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/batch/batcher.h"

namespace plimsoll::engine::batch {

// What a sink was told.
struct Heard final : GenerationSink {
  void OnText(std::string_view part, std::span<const GeneratedToken> drawn) override {
    text += part;
    tokens.insert(tokens.end(), drawn.begin(), drawn.end());
  }
  void OnEnd(const GenerationEnd& how) override {
    ++n_ends;
    end = how;
  }
  [[nodiscard]] bool HasRoom() const override { return has_room; }

  std::string text;
  std::vector<GeneratedToken> tokens;
  GenerationEnd end;
  int n_ends = 0;
  bool has_room = true;
};

inline std::unique_ptr<Engine> LoadBundled(uint32_t n_ctx, uint32_t n_parallel = 1,
                                           std::optional<SizeSpec> memory = std::nullopt,
                                           const kv::Precision& kv = {}) {
  auto engine = Engine::Load({.memory = memory,
                              .n_ctx = n_ctx,
                              .n_parallel = n_parallel,
                              .n_threads = 1,
                              .prefill_chunk = 64,
                              .batches = true,
                              .kv = kv},
                             {});
  EXPECT_TRUE(engine) << (engine ? "" : engine.error().message);
  return std::move(*engine);
}

inline std::vector<TokenId> Encode(const Engine& engine, const std::string& text) {
  return engine.tokenizer().Encode(text, {.parse_special = true});
}

inline std::string Question(const std::string& text) {
  return "<|im_start|>user\n" + text + "<|im_end|>\n<|im_start|>assistant\n";
}

// Runs until there is nothing to do.
inline void Finish(Batcher& batcher) {
  for (int i = 0; i < 100000; ++i) {
    if (batcher.Step(Clock::now()) == Batcher::Outcome::kIdle) {
      return;
    }
  }
  FAIL() << "it never ends";
}

}  // namespace plimsoll::engine::batch
