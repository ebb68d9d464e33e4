// What a client may use of connections, bytes and time, and how often each limit was met.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace plimsoll::server::http {

struct Limits {
  uint32_t max_connections = 4096;
  uint32_t max_connections_per_address = 256;  // an IPv6 address: all of its /64
  uint32_t max_header_bytes = 16 << 10;        // request line and headers with their line ends
  uint32_t max_header_fields = 100;
  uint32_t max_request_line_bytes = 8 << 10;  // without its line end
  uint64_t max_body_bytes = uint64_t{16} << 20;
  // From the first byte of a request to the end of its headers, and of a TLS handshake.
  std::chrono::milliseconds max_header_time = std::chrono::seconds(10);
  // A body comes, and a response is taken, at this speed at least, averaged over the window.
  uint32_t min_bytes_per_second = 4 << 10;
  std::chrono::milliseconds body_window = std::chrono::seconds(10);
  std::chrono::milliseconds max_stall = std::chrono::seconds(60);  // the window of a response
  std::chrono::milliseconds max_idle = std::chrono::seconds(75);   // between two requests
  uint32_t max_requests = 1000;                                    // of a connection
  uint64_t max_unsent_bytes = 256 << 10;  // of a stream: what is computed for it pauses
  // Of connections, requests and what is unsent, together.
  uint64_t max_memory_bytes = uint64_t{32} << 20;
  std::chrono::milliseconds ping_interval = std::chrono::seconds(10);
  // After which a response that takes long begins without its body (Exchange::AnswerLater).
  std::chrono::milliseconds pad_after = std::chrono::seconds(30);
};

// The highest body limit that can be asked for.
inline constexpr uint64_t kMaxBodyBytesCeiling = uint64_t{256} << 20;

// What was done to a client because a limit was met.
enum class Breach : uint8_t {
  kConnections,
  kConnectionsPerAddress,
  kHeaderBytes,
  kHeaderFields,
  kRequestLine,
  kHeaderTime,
  kBodyBytes,
  kBodyTime,
  kIdle,
  kRequests,
  kStall,
  kMemory,
};
inline constexpr size_t kNBreaches = 12;

// "header_bytes": a label of /metrics.
[[nodiscard]] std::string_view BreachName(Breach breach);

// Since the start, but for the first three, which are of now.
struct ConnectionStats {
  uint64_t active_connections = 0;
  uint64_t active_requests = 0;
  uint64_t memory_bytes = 0;  // of what max_memory_bytes limits
  uint64_t accepted = 0;
  uint64_t requests = 0;  // whose head was read
  uint64_t malformed = 0;
  uint64_t refused = 0;   // for their key, Host or Origin
  uint64_t vanished = 0;  // clients that went before their response had ended
  uint64_t tls_failures = 0;
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
  std::array<uint64_t, 6> responses = {};  // by the first digit of their status
  std::array<uint64_t, kNBreaches> breaches = {};

  [[nodiscard]] uint64_t of(Breach breach) const { return breaches[static_cast<size_t>(breach)]; }
};

}  // namespace plimsoll::server::http
