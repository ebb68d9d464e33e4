// The line of an engine that runs, moved between tokens: on SIGHUP to where the settings file has
// it now, and with --memory-floor out of the way of others that lack memory.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "engine/engine.h"
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
    engine::Engine& engine;
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

// Of `plimsoll run`, whose --memory came from `origin`. Takes SIGHUP over. Says on standard error
// when there is a floor and nothing can be given back. Null without interrupts (in tests).
// `context` outlives it.
[[nodiscard]] std::unique_ptr<LineKeeper> KeepLine(engine::Engine& engine,
                                                   const CommandContext& context,
                                                   CommandLine::Origin origin,
                                                   const std::optional<SizeSpec>& floor,
                                                   bool quiet);

}  // namespace plimsoll::cli
