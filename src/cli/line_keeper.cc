#include "cli/line_keeper.h"

#include <array>
#include <ostream>
#include <utility>

#include "cli/program.h"
#include "engine/group_limit.h"

namespace plimsoll::cli {
namespace {

// Of an error's message, which may have several.
std::string OnOneLine(std::string message) {
  for (size_t at = message.find('\n'); at != std::string::npos; at = message.find('\n', at)) {
    message.replace(at, 1, "; ");
  }
  return message;
}

}  // namespace

Result<LineKeeper::Wanted> ReadMemorySetting(const CommandContext& context,
                                             std::string_view command, CommandLine::Origin origin) {
  if (origin == CommandLine::Origin::kArguments || origin == CommandLine::Origin::kEnvironment) {
    return Fail(ErrorKind::kUsage, "{} beats the settings file",
                origin == CommandLine::Origin::kArguments ? "--memory on the command line"
                                                          : "PLIMSOLL_MEMORY");
  }
  const auto settings = ReadSettings(context);
  if (!settings) {
    return tl::unexpected(settings.error());
  }
  const std::array<std::string, 1> names = {"--memory"};
  const auto found = settings->Find(command, names);
  if (found.empty()) {
    return LineKeeper::Wanted{.memory = std::nullopt, .place = "no setting"};
  }
  auto size = ParseSize(found.front()->values.front());
  if (!size) {
    return Forward(size);
  }
  return LineKeeper::Wanted{.memory = *size, .place = settings->Place(*found.front())};
}

std::string LineKeeper::Tend(engine::MemoryYield::Time now) {
  return s_.take_hangup() ? OnHangup() : s_.yield ? Yield(now) : std::string();
}

std::string LineKeeper::Yield(engine::MemoryYield::Time now) {
  const auto move = s_.yield->Tend(now);
  if (!move) {
    return fmt::format("the line stays at {}: {}\n", FormatBytes(s_.target.line()),
                       OnOneLine(move.error().message));
  }
  if (!*move || s_.quiet) {
    return {};
  }
  const auto& [from, to, stalled_share, cgroup_line] = **move;
  const std::string why =
      to > from ? "there is room again"
      : (*move)->is_by_cgroup()
          ? fmt::format("the control group has room for {}", FormatBytes(*cgroup_line))
          : fmt::format("memory is short, processes waited for some {:.0f} % of the time",
                        100 * stalled_share);
  return fmt::format("the line moved from {} to {}: {}\n", FormatBytes(from), FormatBytes(to), why);
}

std::string LineKeeper::OnHangup() {
  const uint64_t present = s_.target.line();
  const auto stays = [&](std::string why) {
    return fmt::format("SIGHUP: the line stays at {}: {}\n", FormatBytes(present),
                       OnOneLine(std::move(why)));
  };
  const auto wanted = s_.read_again();
  if (!wanted) {
    return stays(wanted.error().message);
  }
  const uint64_t line = s_.target.line_for(wanted->memory);
  // Also a lower line: the limit may be lower than when the present one was drawn.
  Result<> moved;
  if (wanted->memory) {
    moved = engine::CheckGroupAllows(line, s_.target.machine());
  }
  if (moved) {
    moved = s_.target.set_line(line);
  }
  if (!moved) {
    return stays(fmt::format("{}: {}", wanted->place, moved.error().message));
  }
  if (s_.yield) {
    s_.yield->Restart();
  }
  return s_.quiet ? std::string()
                  : fmt::format("SIGHUP: the line moved from {} to {}: {}\n", FormatBytes(present),
                                FormatBytes(line), wanted->place);
}

void AddMemoryFloor(CommandLine& line, std::optional<SizeSpec>& floor) {
  line.Option("--memory-floor", "SIZE",
              "while memory is short, or its limit lowered, use less: down to this",
              [&floor](const std::string& value) -> Result<> {
                auto size = ParseSize(value);
                if (!size) {
                  return Forward(size);
                }
                floor = *size;
                return {};
              });
}

std::unique_ptr<LineKeeper> KeepLine(const engine::LineTarget& target,
                                     const CommandContext& context, const LineKeeping& keeping) {
  if (context.interrupts == nullptr) {
    return nullptr;
  }
  context.interrupts->CatchHangups();
  std::optional<engine::MemoryYield> yield;
  if (keeping.floor) {
    auto started =
        engine::MemoryYield::Create(target, *keeping.floor, std::chrono::steady_clock::now(), {});
    if (!started) {
      context.console.err << "warning: " << started.error().message << std::endl;
    } else if (yield = std::move(*started); !yield->counts_stalls()) {
      context.console.err << "warning: /proc/pressure/memory cannot be read (psi=1 at boot): "
                             "--memory-floor gives way to the control group's limit alone"
                          << std::endl;
    }
  }
  return std::make_unique<LineKeeper>(LineKeeper::Setup{
      .target = target,
      .take_hangup = [interrupts = context.interrupts] { return interrupts->TakeHangup(); },
      .read_again =
          [&context, command = std::string(keeping.command), origin = keeping.memory_origin] {
            return ReadMemorySetting(context, command, origin);
          },
      .yield = std::move(yield),
      .quiet = keeping.quiet});
}

}  // namespace plimsoll::cli
