#include <csignal>
#include <cstdio>
#include <iostream>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include "cli/program.h"

int main(int argc, char** argv) {
  using namespace plimsoll;
  // A reader that goes away (| head) ends the program quietly, even where the parent ignores it.
  std::signal(SIGPIPE, SIG_DFL);
  struct stat input = {};
  const bool has_input = ::fstat(STDIN_FILENO, &input) == 0;
  const cli::Console console = {
      .in = std::cin,
      .out = std::cout,
      .err = std::cerr,
      .in_fd = STDIN_FILENO,
      .in_is_terminal = ::isatty(STDIN_FILENO) == 1,
      .in_is_piped = has_input && (S_ISREG(input.st_mode) || S_ISFIFO(input.st_mode)),
      .out_is_terminal = ::isatty(STDOUT_FILENO) == 1,
      .err_is_terminal = ::isatty(STDERR_FILENO) == 1,
  };
  cli::Interrupts interrupts;
  const cli::CommandContext context = {
      .console = console,
      .load = engine::Engine::Load,
      .interrupts = &interrupts,
      .open_terminal = [&] { return cli::OpenTerminal(interrupts, cli::HistoryPath()); },
      .settings_file = cli::FindSettingsFile(),
      .sources = {},
      .places = formats::store::PlacesOfUser(),
  };
  return cli::RunProgram(std::vector<std::string>(argv + 1, argv + argc), context);
}
