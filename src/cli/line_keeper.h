// The line of an engine that runs, moved between tokens: on SIGHUP to where the settings file has
// it now, and with --memory-floor out of the way of others that lack memory, and below what the
// control group allows.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "engine/line_target.h"
#include "engine/memory_yield.h"

namespace plimsoll::cli {

class LineKeeper {
 public:
  // What --memory is according to the settings file.
  struct Wanted {
    std::optional<SizeSpec> memory;  // nothing: what is built in
    std::string place;               // where it stands
  };
  struct Setup {
    engine::LineTarget target;          // an engine's, or a server's
    std::function<bool()> take_hangup;  // whether there was a SIGHUP since the last call
    std::function<Result<Wanted>()> read_again;
    std::optional<engine::MemoryYield> yield;
    bool quiet = false;  // only what was refused is said
  };
  explicit LineKeeper(Setup setup) : s_(std::move(setup)) {}

  // To be called between tokens, and now and then while nothing is computed. What was done or why
  // not, for standard error: a line with its newline, mostly nothing.
  [[nodiscard]] std::string Tend(engine::MemoryYield::Time now = std::chrono::steady_clock::now());

 private:
  [[nodiscard]] std::string OnHangup();
  [[nodiscard]] std::string Yield(engine::MemoryYield::Time now);

  Setup s_;
};

// What --memory of a command is in the settings file as it is now; kUsage when the command line or
// the environment, that `origin` names, beats it.
[[nodiscard]] Result<LineKeeper::Wanted> ReadMemorySetting(const CommandContext& context,
                                                           std::string_view command,
                                                           CommandLine::Origin origin);

// Adds --memory-floor.
void AddMemoryFloor(CommandLine& line, std::optional<SizeSpec>& floor);

struct LineKeeping {
  std::string_view command;           // whose setting of --memory counts
  CommandLine::Origin memory_origin;  // of its --memory
  std::optional<SizeSpec> floor;      // --memory-floor
  bool quiet = false;
};

// Takes SIGHUP over. Says on standard error when there is a floor and nothing can be given back, or
// the kernel does not say when memory is short.
// Null without interrupts (in tests). `context` and what the target refers to outlive it.
[[nodiscard]] std::unique_ptr<LineKeeper> KeepLine(const engine::LineTarget& target,
                                                   const CommandContext& context,
                                                   const LineKeeping& keeping);

}  // namespace plimsoll::cli
