// plimsoll trace check: whether a prefix cache evicted what its rule says.
#include "base/bytes.h"
#include "cli/trace_command.h"
#include "engine/prefix/check_log.h"

namespace plimsoll::cli {

Result<> TraceCheckCommand(std::vector<std::string> args, const CommandContext& context) {
  std::optional<std::string> path;
  CommandLine line(
      "trace check",
      "Do the sums of a prefix cache again, from the log that serve --prefix-log "
      "wrote:\nwhether each block that it evicted was the one that cost least to lose. "
      "Names the first\nline that is wrong.",
      "plimsoll trace check LOG");
  line.Positional("LOG", "what serve --prefix-log wrote", path);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!path || path->empty()) {
    return Fail(ErrorKind::kUsage, "which log? Give the path of its file");
  }
  const auto checked = engine::prefix::CheckLogFile(*path);
  if (!checked) {
    return tl::unexpected<Error>(checked.error());
  }
  return context.console.Write(fmt::format(
      "{} evictions of {} were right; {} blocks of prefixes, {} requests that used "
      "some\n",
      checked->n_evicted, FormatBytes(checked->bytes_evicted), checked->n_nodes, checked->n_uses));
}

}  // namespace plimsoll::cli
