// Sockets that listen.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>

#include "base/result.h"

namespace plimsoll::server::http {

// Closes its descriptor.
class ListeningSocket {
 public:
  ListeningSocket(int fd, int family) : fd_(fd), family_(family) {}
  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&&) = delete;
  ~ListeningSocket();

  [[nodiscard]] int family() const { return family_; }
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] int Release();

 private:
  int fd_;
  int family_;
};

// On all addresses that a name has. `port` 0: becomes the port that the first one got.
// `needs_loopback`: kUsage for an address that other machines can reach.
[[nodiscard]] Result<std::vector<ListeningSocket>> ListenOnHost(const std::string& host,
                                                                uint16_t& port,
                                                                bool needs_loopback);
// For this user alone. A socket that nobody listens on any more is replaced.
[[nodiscard]] Result<ListeningSocket> ListenOnPath(const std::string& path);

// "127.0.0.1", "::1"; "" for what is no internet address. IPv4 in IPv6 is IPv4.
[[nodiscard]] std::string AddressText(const sockaddr* address);
[[nodiscard]] uint16_t PortOf(const sockaddr* address);
// What counts as one client: an IPv4 address, or the first half of an IPv6 one.
[[nodiscard]] std::string AddressGroup(const std::string& address);
// For URLs: brackets around IPv6.
[[nodiscard]] std::string HostAndPort(const std::string& host, uint16_t port);

}  // namespace plimsoll::server::http
