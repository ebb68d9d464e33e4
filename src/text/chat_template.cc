#include "text/chat_template.h"

#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"
#include "text/jinja/source.h"
#include "text/jinja/stop.h"

namespace plimsoll::text {

namespace {

// The longest in use have some 20 KiB.
constexpr size_t kMaxSourceBytes = 1 << 20;

// Blocks and expressions under evaluation at once for each level that a caller allows: a macro that
// calls itself takes a handful.
constexpr uint32_t kEvalsPerLevel = 4;

}  // namespace

struct ChatTemplate::Program {
  std::string source;
  jinja::Program program;
};

ChatTemplate::ChatTemplate(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
ChatTemplate::~ChatTemplate() = default;

std::string_view ChatTemplate::source() const { return program_->source; }

Result<std::unique_ptr<const ChatTemplate>> ChatTemplate::Parse(std::string_view source) {
  if (source.size() > kMaxSourceBytes) {
    return Fail(ErrorKind::kBadModel, "chat template: {} bytes, the limit is {}", source.size(),
                kMaxSourceBytes);
  }
  try {
    auto program = std::make_unique<const Program>(
        Program{std::string(source), jinja::ParseProgram(jinja::Source(source))});
    return std::unique_ptr<const ChatTemplate>(new ChatTemplate(std::move(program)));
  } catch (jinja::Stop& stop) {
    return tl::unexpected<Error>(std::move(stop.error));
  }
}

Result<std::string> ChatTemplate::Render(const jinja::Value& context, const TemplateLimits& limits,
                                         std::optional<std::tm> now) const {
  const jinja::Limits budget = {
      .steps = limits.steps,
      .time_ms = limits.time_ms,
      .output_bytes = limits.output_extra,
      .call_depth = limits.depth,
      .eval_depth = kEvalsPerLevel * limits.depth,
  };
  try {
    return jinja::Interpreter(program_->program, budget, now).Run(context);
  } catch (jinja::Stop& stop) {
    return tl::unexpected<Error>(std::move(stop.error));
  }
}

}  // namespace plimsoll::text
