// What the tests of sequences that keep only some of their keys and values share.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

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

}  // namespace plimsoll::engine
