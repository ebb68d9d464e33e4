#include "cli/serve_options.h"

#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "base/bytes.h"
#include "server/http/api_keys.h"

namespace plimsoll::cli {
namespace {

using server::http::Limits;
using server::http::LogFormat;

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
constexpr float kSecondsMax = 7 * 86400;

void Seconds(CommandLine& line, std::string_view names, std::string_view help,
             std::chrono::milliseconds& target) {
  line.Option(names, "SECONDS", help, [&target](const std::string& value) -> Result<> {
    const auto seconds = ParseReal(value);
    if (!seconds) {
      return tl::unexpected(seconds.error());
    }
    if (!(*seconds >= 0.001F && *seconds <= kSecondsMax)) {
      return Fail(ErrorKind::kUsage, "{} is not between 0.001 and {} seconds", value, kSecondsMax);
    }
    target = std::chrono::milliseconds(std::lround(*seconds * 1000));
    return {};
  });
}

void Bytes(CommandLine& line, std::string_view names, std::string_view help, auto& target,
           uint64_t min, uint64_t max) {
  line.Option(names, "SIZE", help, [&target, min, max](const std::string& value) -> Result<> {
    const auto size = ParseSize(value);
    if (!size) {
      return tl::unexpected(size.error());
    }
    if (size->percent > 0 || size->bytes < min || size->bytes > max) {
      return Fail(ErrorKind::kUsage, "{} is not between {} and {}", value, FormatBytes(min),
                  FormatBytes(max));
    }
    target = static_cast<std::remove_reference_t<decltype(target)>>(size->bytes);
    return {};
  });
}

void AddAddressOptions(CommandLine& line, HttpFlags& flags) {
  server::http::HttpOptions& http = flags.http;
  line.Topic("Address");
  line.Text("--host", "ADDRESS",
            "where to listen (default 127.0.0.1); PATH.sock: on that unix socket alone", http.host);
  line.Integer("--port", "default 8642; 0: any that is free", http.port, 0, 65535);
  line.Text("--unix-socket", "PATH", "listen on a unix socket too", http.unix_socket);
  line.Text("--ssl-cert-file,--tls-cert-file", "FILE", "TLS: the certificate chain, PEM",
            http.tls_certificate_file);
  line.Text("--ssl-key-file,--tls-key-file", "FILE", "TLS: the private key, PEM",
            http.tls_key_file);
}

void AddAccessOptions(CommandLine& line, HttpFlags& flags) {
  server::http::HttpOptions& http = flags.http;
  line.Topic("Who may ask");
  line.Text("--api-key-file", "FILE", "keys, one a line; only its owner may read the file",
            flags.api_key_file);
  line.Option("--api-key", "KEY", "a key; others on this machine can see it in the process list",
              [&http](const std::string& value) -> Result<> {
                http.api_keys = SplitAtCommas(value);
                return {};
              });
  line.Repeated("--cors-origin", "ORIGIN",
                "web pages from there may ask: https://chat.example, or * for all",
                [&http](const std::string& value) -> Result<> {
                  http.cors_origins.push_back(value);
                  return {};
                });
  line.Repeated("--allowed-host", "NAME", "a name that this server goes by beside its address; *",
                [&http](const std::string& value) -> Result<> {
                  http.allowed_hosts.push_back(value);
                  return {};
                });
}

void AddLimitOptions(CommandLine& line, HttpFlags& flags) {
  Limits& limits = flags.http.limits;
  line.Topic("Limits of clients");
  line.Integer("--max-connections", "at a time (default 4096)", limits.max_connections, 1, kMost);
  line.Integer("--max-connections-per-address", "at a time (default 256)",
               limits.max_connections_per_address, 1, kMost);
  Bytes(line, "--max-header-bytes", "of a request line and headers (default 16K)",
        limits.max_header_bytes, 256, kMiB);
  line.Integer("--max-headers", "of a request (default 100)", limits.max_header_fields, 1, 10000);
  Bytes(line, "--max-request-line-bytes", "default 8K", limits.max_request_line_bytes, 64, kMiB);
  Bytes(line, "--max-body-bytes", "of a request (default 16M)", limits.max_body_bytes, 1,
        server::http::kMaxBodyBytesCeiling);
  Seconds(line, "--header-seconds", "for a request's headers, and TLS (default 10)",
          limits.max_header_time);
  line.Integer("--min-bytes-per-second", "of a body, and of a reader (default 4096)",
               limits.min_bytes_per_second, 1, kMost);
  Seconds(line, "--body-window-seconds", "that the speed of a body is averaged over (default 10)",
          limits.body_window);
  Seconds(line, "--stall-seconds,--timeout,-to",
          "that the speed of a reader is averaged over (default 60)", limits.max_stall);
  Bytes(line, "--max-unsent-bytes", "of a stream; its answer waits for the reader (default 256K)",
        limits.max_unsent_bytes, 1024, kGiB);
  Bytes(line, "--max-connection-memory",
        "of the line, for connections, requests and what is unsent (default 32M, or a sixteenth)",
        limits.max_memory_bytes, kMiB, uint64_t{1} << 50);
  Seconds(line, "--idle-seconds", "between two requests of a connection (default 75)",
          limits.max_idle);
  line.Integer("--max-requests-per-connection", "default 1000", limits.max_requests, 1, kMost);
  Seconds(line, "--ping-seconds", "after which a silent stream gets a sign of life (default 10)",
          limits.ping_interval);
  Seconds(line, "--pad-after-seconds",
          "after which a reply that takes long begins with spaces (default 30)", limits.pad_after);
  line.Integer("--http-threads,--threads-http", "that read requests (default 2)",
               flags.http.n_handler_threads, 1, 256);
}

}  // namespace

void AddHttpOptions(CommandLine& line, HttpFlags& flags) {
  AddAddressOptions(line, flags);
  AddAccessOptions(line, flags);
  AddLimitOptions(line, flags);
  line.Topic("Output");
  line.Text("--log-format", "FORMAT",
            "of a line for each request: text, json or none (default: text on a terminal)",
            flags.log_format);
}

Result<> FinishHttpOptions(HttpFlags& flags, bool err_is_terminal) {
  server::http::HttpOptions& http = flags.http;
  if (http.host.ends_with(".sock")) {
    if (!http.unix_socket.empty()) {
      return Fail(ErrorKind::kUsage, "two unix sockets: --host {} and --unix-socket {}", http.host,
                  http.unix_socket);
    }
    http.unix_socket = std::exchange(http.host, {});
  }
  if (!flags.api_key_file.empty()) {
    auto keys = server::http::ReadApiKeyFile(flags.api_key_file);
    if (!keys) {
      return Forward(keys);
    }
    http.api_keys.insert(http.api_keys.end(), keys->begin(), keys->end());
  }
  const std::string format = flags.log_format.value_or(err_is_terminal ? "text" : "json");
  if (format != "text" && format != "json" && format != "none") {
    return Fail(ErrorKind::kUsage, "--log-format: \"{}\" is not one of text, json, none", format);
  }
  http.log_format = format == "text"   ? LogFormat::kText
                    : format == "json" ? LogFormat::kJson
                                       : LogFormat::kNone;
  return {};
}

}  // namespace plimsoll::cli
