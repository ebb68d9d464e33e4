// The bytes of a connection, with TLS or without. For the files of this folder alone: its header is
// a large one.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

#include "base/result.h"

namespace plimsoll::server::http {

using Socket = boost::asio::generic::stream_protocol::socket;

// Belongs to one thread. One Read and one WriteSome may wait at a time.
class Transport {
 public:
  virtual ~Transport() = default;

  // False when it failed.
  [[nodiscard]] virtual boost::asio::awaitable<bool> Handshake() = 0;
  // Waits for bytes and appends them, at most `max_bytes`. False when there will be none.
  [[nodiscard]] virtual boost::asio::awaitable<bool> Read(std::string& into, size_t max_bytes) = 0;
  // How many have left; 0: it failed.
  [[nodiscard]] virtual boost::asio::awaitable<size_t> WriteSome(std::string_view bytes) = 0;
  // Tells the peer that nothing more comes. No Read may wait.
  [[nodiscard]] virtual boost::asio::awaitable<void> EndSending() = 0;

  // Ends a Read that waits.
  void CancelRead();
  // What waits fails. A reset drops what the peer has not taken.
  void Close(bool reset);
  // Of memory that it takes for itself.
  [[nodiscard]] virtual int64_t bytes() const = 0;

 protected:
  [[nodiscard]] virtual Socket& socket() = 0;
};

[[nodiscard]] std::unique_ptr<Transport> MakePlainTransport(Socket socket);

// What servers need to speak TLS 1.2 and 1.3.
class TlsContext {
 public:
  // kIo or kUsage when a file cannot be read or does not hold what it should.
  [[nodiscard]] static Result<std::unique_ptr<TlsContext>> Load(const std::string& certificate_file,
                                                                const std::string& key_file);
  virtual ~TlsContext() = default;
  [[nodiscard]] virtual std::unique_ptr<Transport> MakeTransport(Socket socket) = 0;
};

}  // namespace plimsoll::server::http
