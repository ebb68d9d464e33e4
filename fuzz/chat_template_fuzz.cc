// Chat templates as files bring them: whatever the text, parsing and rendering end soon and
// cleanly.
#include <cstdint>
#include <string>

#include "base/invariant.h"
#include "text/chat_template.h"

using plimsoll::text::ChatTemplate;
using plimsoll::text::jinja::Value;

namespace {

Value Conversation() {
  const Value call = Value::Object(
      {{"function", Value::Object({{"name", "f"}, {"arguments", Value::Object({{"a", 1.5}})}})}});
  return Value::Object({
      {"messages",
       Value::List({
           Value::Object({{"role", "system"}, {"content", "Be brief."}}),
           Value::Object({{"role", "user"}, {"content", "H\xc3\xa9llo"}}),
           Value::Object(
               {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", Value::List({call})}}),
           Value::Object({{"role", "tool"}, {"content", "7"}}),
       })},
      {"tools", Value::List({})},
      {"add_generation_prompt", true},
      {"bos_token", "<s>"},
      {"n", 3},
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Value kContext = Conversation();
  const auto parsed = ChatTemplate::Parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!parsed) {
    plimsoll::Invariant(!parsed.error().message.empty(), "an error says what is wrong");
    return 0;
  }
  const auto rendered = (*parsed)->Render(kContext, {.steps = 200'000, .time_ms = 2'000});
  if (rendered) {
    plimsoll::Invariant(rendered->size() <= 4 * (size + 4096) + (1 << 20),
                        "output within its limit");
  }
  return 0;
}
