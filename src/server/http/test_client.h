// A client for tests: sends bytes as they are and reads what comes.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace plimsoll::server::http {

class TestClient {
 public:
  struct Reply {
    unsigned status = 0;                         // 0: there was none
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;
    bool whole = false;  // the body has its length, or its last chunk
  };

  explicit TestClient(uint16_t port, const char* source = "127.0.0.1", int receive_buffer = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) {
      (void)::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    }
    sockaddr_in from = {.sin_family = AF_INET, .sin_port = 0, .sin_addr = {}, .sin_zero = {}};
    ::inet_pton(AF_INET, source, &from.sin_addr);
    (void)::bind(fd_, reinterpret_cast<const sockaddr*>(&from), sizeof(from));
    sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
    ::inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
  }
  explicit TestClient(const std::string& path) {
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un to = {};
    to.sun_family = AF_UNIX;
    path.copy(to.sun_path, sizeof(to.sun_path) - 1);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
  }
  TestClient(TestClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        connected_(other.connected_),
        unread_(std::move(other.unread_)) {}
  TestClient& operator=(TestClient&&) = delete;
  ~TestClient() { Close(); }

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] int fd() const { return fd_; }

  void Close() {
    if (fd_ >= 0) {
      ::close(std::exchange(fd_, -1));
    }
  }
  // With a reset instead of an end.
  void Reset() {
    const linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    Close();
  }

  // False when the peer takes no more.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) {
        return false;
      }
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  // What comes next, at most so much; "" at the end, at a reset and when nothing comes for a while.
  std::string ReadSome(size_t max_bytes = 65536,
                       std::chrono::milliseconds wait = std::chrono::seconds(5)) {
    pollfd poll = {.fd = fd_, .events = POLLIN, .revents = 0};
    std::string bytes(max_bytes, '\0');
    if (::poll(&poll, 1, static_cast<int>(wait.count())) != 1) {
      return {};
    }
    const ssize_t n = ::recv(fd_, bytes.data(), bytes.size(), 0);
    bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return bytes;
  }
  std::string ReadToEnd(std::chrono::milliseconds wait = std::chrono::seconds(5)) {
    std::string all = std::exchange(unread_, {});
    for (std::string more = ReadSome(65536, wait); !more.empty(); more = ReadSome(65536, wait)) {
      all += more;
    }
    return all;
  }
  // Whether the peer has closed, or closes within the time.
  bool IsClosed(std::chrono::milliseconds wait = std::chrono::seconds(5)) {
    pollfd poll = {.fd = fd_, .events = POLLIN, .revents = 0};
    char byte = 0;
    return ::poll(&poll, 1, static_cast<int>(wait.count())) == 1 &&
           ::recv(fd_, &byte, 1, MSG_PEEK) <= 0;
  }

  Reply Ask(std::string_view request, bool to_head = false) {
    Send(request);
    return ReadReply(to_head);
  }
  Reply Get(std::string_view path, std::string_view more_headers = "") {
    return Ask("GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" +
               std::string(more_headers) + "\r\n");
  }

  Reply ReadReply(bool to_head = false) {
    Reply reply;
    const auto head_end = [this] { return unread_.find("\r\n\r\n"); };
    while (head_end() == std::string::npos) {
      if (!More()) {
        return reply;
      }
    }
    std::string head = unread_.substr(0, head_end() + 2);
    unread_.erase(0, head_end() + 4);
    reply.status = static_cast<unsigned>(std::stoul(head.substr(9, 3)));
    head.erase(0, head.find("\r\n") + 2);
    while (!head.empty()) {
      const size_t colon = head.find(": ");
      const size_t end = head.find("\r\n");
      std::string name = head.substr(0, colon);
      for (char& c : name) {
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      }
      reply.headers[name] = head.substr(colon + 2, end - colon - 2);
      head.erase(0, end + 2);
    }
    if (to_head || reply.status == 204 || reply.status == 100) {
      reply.whole = true;
    } else if (reply.headers.contains("content-length")) {
      ReadLength(reply, std::stoul(reply.headers["content-length"]));
    } else if (reply.headers.contains("transfer-encoding")) {
      ReadChunks(reply);
    } else {
      reply.body = ReadToEnd();
    }
    return reply;
  }

 private:
  bool More() {
    const std::string more = ReadSome();
    unread_ += more;
    return !more.empty();
  }
  void ReadLength(Reply& reply, size_t length) {
    while (unread_.size() < length && More()) {
    }
    reply.whole = unread_.size() >= length;
    reply.body += unread_.substr(0, length);
    unread_.erase(0, length);
  }
  void ReadChunks(Reply& reply) {
    while (true) {
      while (unread_.find("\r\n") == std::string::npos) {
        if (!More()) {
          return;
        }
      }
      const size_t length = std::stoul(unread_, nullptr, 16);
      unread_.erase(0, unread_.find("\r\n") + 2);
      while (unread_.size() < length + 2) {
        if (!More()) {
          return;
        }
      }
      reply.body += unread_.substr(0, length);
      unread_.erase(0, length + 2);
      if (length == 0) {
        reply.whole = true;
        return;
      }
    }
  }

  int fd_ = -1;
  bool connected_ = false;
  std::string unread_;
};

}  // namespace plimsoll::server::http
