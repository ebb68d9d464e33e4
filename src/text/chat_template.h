// Conversations to prompts, by the template that the model's file carries.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/jinja/value.h"

namespace plimsoll::text {

struct TemplateLimits {
  uint64_t steps = 5'000'000;
  uint32_t depth = 256;  // of nesting in the source and of calls
  uint64_t time_ms = 200;
  // Output may reach 4 x the size of the input (template and conversation) and this.
  uint64_t output_extra = 1 << 20;
};

// A parsed template. Immutable and thread-safe; rendering cannot reach anything but its arguments.
class ChatTemplate {
 public:
  // kBadModel with line and column of a syntax error.
  [[nodiscard]] static Result<std::unique_ptr<const ChatTemplate>> Parse(std::string_view source);
  ~ChatTemplate();

  // As the file has it.
  [[nodiscard]] std::string_view source() const;

  // `context` holds messages, tools, add_generation_prompt, bos_token, eos_token and whatever else
  // the caller passes. kFailed with the template's own message when it calls raise_exception, or
  // with the limit that was reached. strftime_now formats `now`, or the clock's local time.
  [[nodiscard]] Result<std::string> Render(const jinja::Value& context,
                                           const TemplateLimits& limits = {},
                                           std::optional<std::tm> now = std::nullopt) const;

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<const Program> program);

  std::unique_ptr<const Program> program_;
};

}  // namespace plimsoll::text
