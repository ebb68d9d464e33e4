// The options of `plimsoll serve` that are of HTTP.
#pragma once

#include <optional>
#include <string>

#include "cli/command_line.h"
#include "server/http/http_server.h"

namespace plimsoll::cli {

struct HttpFlags {
  server::http::HttpOptions http;
  std::optional<std::string> log_format;  // nothing: text on a terminal, else JSON
  std::string api_key_file;
};

void AddHttpOptions(CommandLine& line, HttpFlags& flags);

// Reads the key file and settles what depends on several options.
[[nodiscard]] Result<> FinishHttpOptions(HttpFlags& flags, bool err_is_terminal);

}  // namespace plimsoll::cli
