#include "engine/chat.h"

#include <gtest/gtest.h>

namespace plimsoll::engine {
namespace {

std::unique_ptr<const text::Tokenizer> TinyTokenizer() {
  text::VocabularySpec spec;
  spec.tokens = {"a", "<s>", "</s>"};
  spec.types = {text::TokenType::kNormal, text::TokenType::kControl, text::TokenType::kControl};
  spec.pre_tokenizer = "gpt-2";
  spec.bos = 1;
  spec.eos = 2;
  auto tokenizer = text::Tokenizer::Create(std::move(spec));
  EXPECT_TRUE(tokenizer) << (tokenizer ? "" : tokenizer.error().message);
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

const std::vector<ChatMessage> kMessages = {{"system", "Be brief."},
                                            {"user", "Hi {{ bos_token }}"}};

TEST(RenderChat, WithoutATemplateItIsChatMl) {
  const auto tokenizer = TinyTokenizer();
  EXPECT_EQ(RenderChat(nullptr, *tokenizer, kMessages),
            "<|im_start|>system\nBe brief.<|im_end|>\n"
            "<|im_start|>user\nHi {{ bos_token }}<|im_end|>\n<|im_start|>assistant\n");
}

TEST(RenderChat, TheTemplateSeesMessagesTokensAndThatAnAnswerIsDue) {
  const auto tokenizer = TinyTokenizer();
  const auto chat_template = text::ChatTemplate::Parse(
      "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m['content'] }}{{ eos_token }}"
      "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}{% if tools is defined "
      "%}[tools]{% endif %}");
  ASSERT_TRUE(chat_template) << chat_template.error().message;
  EXPECT_EQ(RenderChat(chat_template->get(), *tokenizer, kMessages),
            "<s>[system] Be brief.</s>[user] Hi {{ bos_token }}</s>[assistant]");
}

TEST(RenderChat, WhatTheTemplateRefusesIsAnError) {
  const auto tokenizer = TinyTokenizer();
  const auto chat_template =
      text::ChatTemplate::Parse("{{ raise_exception('no system messages here') }}");
  ASSERT_TRUE(chat_template);
  const auto prompt = RenderChat(chat_template->get(), *tokenizer, kMessages);
  ASSERT_FALSE(prompt);
  EXPECT_NE(prompt.error().message.find("no system messages here"), std::string::npos);
}

}  // namespace
}  // namespace plimsoll::engine
