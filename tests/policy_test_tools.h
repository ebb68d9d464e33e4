// What the tests of sequences that keep only some of their keys and values share.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "engine/batch/batch_test_tools.h"
#include "engine/engine.h"

namespace plimsoll::engine {

// Stories and questions, of as many tokens.
inline std::vector<TokenId> Text(const Engine& engine, size_t n_tokens,
                                 const std::string& begin = "") {
  std::string text = "<|im_start|>user\n" + begin;
  for (int i = 0; text.size() < 16 * n_tokens; ++i) {
    text += " The code of the " + std::string(i % 2 == 0 ? "red" : "blue") + " lamp is " +
            std::to_string(1000 + i * 7) + ". Ada walked to the river.";
  }
  auto tokens = engine.tokenizer().Encode(text, {.parse_special = true});
  tokens.resize(n_tokens);
  return tokens;
}

// Of every token, after appending pieces of these sizes, the last as often as needed.
inline std::vector<float> AllLogits(Engine& engine, std::span<const TokenId> tokens,
                                    const std::vector<size_t>& pieces) {
  auto session = engine.NewSession().value();
  std::vector<float> all;
  for (size_t i = 0, done = 0; done < tokens.size(); ++i) {
    const size_t n = std::min(pieces[std::min(i, pieces.size() - 1)], tokens.size() - done);
    EXPECT_TRUE(session->Append(tokens.subspan(done, n),
                                [&](uint32_t /*index*/, std::span<const float> logits) {
                                  all.insert(all.end(), logits.begin(), logits.end());
                                }));
    done += n;
  }
  return all;
}

// An answer; of exactly n_forced tokens where that is given.
inline std::string Say(Session& session, std::span<const TokenId> prompt, uint32_t n_forced = 0) {
  std::string said;
  auto stats = session.Generate(prompt,
                                {.sampling = {.temperature = 0},
                                 .n_predict = n_forced == 0 ? 48 : n_forced,
                                 .ignore_end = n_forced > 0},
                                [&](std::string_view text) {
                                  said += text;
                                  return true;
                                });
  EXPECT_TRUE(stats) << (stats ? "" : stats.error().message);
  return said;
}

// Prompts of several lengths together by the one engine, each by itself by the other.
inline void ExpectBatchSaysWhatSessionsSay(Engine& engine, Engine& alone) {
  const auto batcher = engine.NewBatcher({.n_parallel = 3}).value();
  std::vector<std::shared_ptr<batch::Heard>> heard;
  std::vector<std::vector<TokenId>> prompts;
  for (const size_t n : {size_t{40}, size_t{700}, size_t{300}}) {
    prompts.push_back(Text(engine, n));
    heard.push_back(std::make_shared<batch::Heard>());
    batcher->Add(
        RequestId{n},
        {.prompt = prompts.back(), .options = {.sampling = {.temperature = 0}, .n_predict = 48}},
        heard.back(), batch::Clock::now());
  }
  batch::Finish(*batcher);
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(heard[i]->text, Say(*alone.NewSession().value(), prompts[i])) << i;
  }
  EXPECT_EQ(engine.ledger().of(memory::Account::kPrefix).bytes, 0U);
}

}  // namespace plimsoll::engine
