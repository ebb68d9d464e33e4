// The line of an engine that runs, moved between tokens: on SIGHUP to where the settings file has
// it now, and with --memory-floor out of the way of others that lack memory.
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
#include "engine/engine.h"
#include "engine/memory_yield.h"

namespace plimsoll::cli {

// What is moved: the line of an engine, or of a server.
struct LineTarget {
  std::function<uint64_t()> line;
  std::function<uint64_t(const std::optional<SizeSpec>& memory)> line_for;  // what --memory means
  std::function<Result<>(uint64_t bytes)> set_line;
};

[[nodiscard]] LineTarget LineOf(engine::Engine& engine);

class LineKeeper {
 public:
  // What --memory is according to the settings file.
  struct Wanted {
    std::optional<SizeSpec> memory;  // nothing: what is built in
    std::string place;               // where it stands
  };
  struct Setup {
    LineTarget target;
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

// Of `plimsoll run`, whose --memory came from `origin`. Takes SIGHUP over. Says on standard error
// when there is a floor and nothing can be given back. Null without interrupts (in tests).
// `context` outlives it.
[[nodiscard]] std::unique_ptr<LineKeeper> KeepLine(engine::Engine& engine,
                                                   const CommandContext& context,
                                                   CommandLine::Origin origin,
                                                   const std::optional<SizeSpec>& floor,
                                                   bool quiet);

}  // namespace plimsoll::cli
