#include "server/http/listen.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace plimsoll::server::http {
namespace {

constexpr int kBacklog = 1024;

bool IsLoopbackAddress(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* const v4 = reinterpret_cast<const sockaddr_in*>(address);
    return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
  }
  return AddressText(address) == "::1";
}

void SetPort(sockaddr* address, uint16_t port) {
  if (address->sa_family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(port);
  }
}

tl::unexpected<Error> CannotListen(const std::string& host, uint16_t port, int error) {
  switch (error) {
    case EADDRINUSE:
      return Fail(ErrorKind::kPortOrPermission,
                  "port {} of {} is in use by another program\nend that one, or choose another: "
                  "--port {} (0: any that is free)",
                  port, host, port == 65535 ? port - 1 : port + 1);
    case EACCES:
      return Fail(ErrorKind::kPortOrPermission,
                  "port {} of {} needs a permission that this user lacks\nchoose one from 1024 on: "
                  "--port 8642",
                  port, host);
    case EADDRNOTAVAIL:
      return Fail(ErrorKind::kPortOrPermission,
                  "{} is no address of this machine\nchoose one that it has, or --host 127.0.0.1",
                  host);
    default:
      return Fail(ErrorKind::kPortOrPermission, "port {} of {}: {}", port, host,
                  std::strerror(error));
  }
}

Result<ListeningSocket> ListenOn(const addrinfo& where, const std::string& host, uint16_t& port) {
  const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  ListeningSocket socket(::socket(where.ai_family, type, 0), where.ai_family);
  if (socket.fd() < 0) {
    return CannotListen(host, port, errno);
  }
  const int on = 1;
  (void)::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (where.ai_family == AF_INET6) {
    // "::" is all addresses, those of IPv4 too.
    const int off = 0;
    (void)::setsockopt(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  SetPort(where.ai_addr, port);
  if (::bind(socket.fd(), where.ai_addr, where.ai_addrlen) != 0 ||
      ::listen(socket.fd(), kBacklog) != 0) {
    return CannotListen(host, port, errno);
  }
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&bound), &size) == 0) {
    port = PortOf(reinterpret_cast<const sockaddr*>(&bound));
  }
  return socket;
}

// Whether something answers at a unix socket's path.
bool IsListenedOn(const sockaddr_un& address) {
  const ListeningSocket probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), AF_UNIX);
  return ::connect(probe.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
         errno != ECONNREFUSED;
}

}  // namespace

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : fd_(other.Release()), family_(other.family_) {}

ListeningSocket::~ListeningSocket() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

int ListeningSocket::Release() { return std::exchange(fd_, -1); }

Result<std::vector<ListeningSocket>> ListenOnHost(const std::string& host, uint16_t& port,
                                                  bool needs_loopback) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int failed = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); failed != 0) {
    return Fail(ErrorKind::kUsage,
                "--host {}: {}\ngive a name or an address of this machine, as 127.0.0.1", host,
                ::gai_strerror(failed));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, &::freeaddrinfo);
  std::vector<ListeningSocket> sockets;
  for (addrinfo* where = found; where != nullptr; where = where->ai_next) {
    if (where->ai_family != AF_INET && where->ai_family != AF_INET6) {
      continue;
    }
    if (needs_loopback && !IsLoopbackAddress(where->ai_addr)) {
      return Fail(ErrorKind::kUsage,
                  "other machines can reach {}, and no API key protects this server\ngive it keys "
                  "with --api-key-file FILE, or listen on --host 127.0.0.1",
                  host);
    }
    auto socket = ListenOn(*where, host, port);
    if (socket) {
      sockets.push_back(std::move(*socket));
    } else if (where->ai_next != nullptr || sockets.empty()) {
      // A name's second address may be of a protocol that the machine has switched off.
      if (where->ai_next == nullptr || socket.error().message.find("in use") != std::string::npos) {
        return Forward(socket);
      }
    }
  }
  if (sockets.empty()) {
    return Fail(ErrorKind::kUsage, "--host {}: it has no internet address", host);
  }
  return sockets;
}

Result<ListeningSocket> ListenOnPath(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Fail(ErrorKind::kUsage, "{}: the path of a unix socket has at most {} bytes", path,
                sizeof(address.sun_path) - 1);
  }
  path.copy(address.sun_path, path.size());
  struct stat facts = {};
  if (::lstat(path.c_str(), &facts) == 0) {
    if (!S_ISSOCK(facts.st_mode) || IsListenedOn(address)) {
      return Fail(ErrorKind::kPortOrPermission,
                  "{} is there already, and {}\ngive another path with --unix-socket PATH", path,
                  S_ISSOCK(facts.st_mode) ? "a program listens on it" : "it is no socket");
    }
    ::unlink(path.c_str());
  }
  ListeningSocket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), AF_UNIX);
  // Nobody can connect before listen(2).
  if (socket.fd() < 0 ||
      ::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 || ::listen(socket.fd(), kBacklog) != 0) {
    return Fail(ErrorKind::kPortOrPermission, "{}: {}\ngive another path with --unix-socket PATH",
                path, std::strerror(errno));
  }
  return socket;
}

std::string AddressText(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text = {};
  if (address->sa_family == AF_INET) {
    const auto* const v4 = reinterpret_cast<const sockaddr_in*>(address);
    ::inet_ntop(AF_INET, &v4->sin_addr, text.data(), text.size());
  } else if (address->sa_family == AF_INET6) {
    const auto* const v6 = reinterpret_cast<const sockaddr_in6*>(address);
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
      ::inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text.data(), text.size());
    } else {
      ::inet_ntop(AF_INET6, &v6->sin6_addr, text.data(), text.size());
    }
  }
  return text.data();
}

uint16_t PortOf(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    return ntohs(reinterpret_cast<const sockaddr_in*>(address)->sin_port);
  }
  if (address->sa_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(address)->sin6_port);
  }
  return 0;
}

std::string AddressGroup(const std::string& address) {
  in6_addr v6 = {};
  if (address.find(':') == std::string::npos || ::inet_pton(AF_INET6, address.c_str(), &v6) != 1) {
    return address;
  }
  return std::string(reinterpret_cast<const char*>(v6.s6_addr), 8);
}

std::string HostAndPort(const std::string& host, uint16_t port) {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

}  // namespace plimsoll::server::http
