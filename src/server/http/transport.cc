#include "server/http/transport.h"

#include <array>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace plimsoll::server::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytesMax = 16 << 10;

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(Socket socket) : socket_(std::move(socket)) {
    error_code ignored;
    socket_.non_blocking(true, ignored);
  }

  asio::awaitable<bool> Handshake() override { co_return true; }

  asio::awaitable<bool> Read(std::string& into, size_t max_bytes) override {
    while (true) {
      // No buffer is held while nothing comes.
      const auto [waited] = co_await socket_.async_wait(Socket::wait_read, kAsTuple);
      if (waited) {
        co_return false;
      }
      const error_code ec = ReadNow(into, max_bytes);
      if (ec != asio::error::would_block && ec != asio::error::interrupted) {
        co_return !ec;
      }
    }
  }

  asio::awaitable<size_t> WriteSome(std::string_view bytes) override {
    const auto [ec, n_bytes] =
        co_await socket_.async_write_some(asio::buffer(bytes.data(), bytes.size()), kAsTuple);
    co_return ec ? 0 : n_bytes;
  }

  asio::awaitable<void> EndSending() override {
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    co_return;
  }

  [[nodiscard]] int64_t bytes() const override { return 4 << 10; }

 protected:
  Socket& socket() override { return socket_; }

 private:
  error_code ReadNow(std::string& into, size_t max_bytes) {
    std::array<char, kReadBytesMax> buffer;
    error_code ec;
    const size_t n_bytes =
        socket_.read_some(asio::buffer(buffer.data(), std::min(max_bytes, buffer.size())), ec);
    into.append(buffer.data(), n_bytes);
    return ec;
  }

  Socket socket_;
};

class TlsTransport final : public Transport {
 public:
  TlsTransport(Socket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {}

  asio::awaitable<bool> Handshake() override {
    const auto [ec] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kAsTuple);
    co_return !ec;
  }

  asio::awaitable<bool> Read(std::string& into, size_t max_bytes) override {
    const auto [ec, n_bytes] = co_await stream_.async_read_some(
        asio::buffer(buffer_.data(), std::min(max_bytes, buffer_.size())), kAsTuple);
    into.append(buffer_.data(), n_bytes);
    co_return !ec;
  }

  asio::awaitable<size_t> WriteSome(std::string_view bytes) override {
    const auto [ec, n_bytes] =
        co_await stream_.async_write_some(asio::buffer(bytes.data(), bytes.size()), kAsTuple);
    co_return ec ? 0 : n_bytes;
  }

  asio::awaitable<void> EndSending() override { (void)co_await stream_.async_shutdown(kAsTuple); }

  // Buffers of Asio (2 × 17 KiB), of OpenSSL (about 24 KiB), and this one.
  [[nodiscard]] int64_t bytes() const override { return 80 << 10; }

 protected:
  Socket& socket() override { return stream_.next_layer(); }

 private:
  asio::ssl::stream<Socket> stream_;
  std::array<char, kReadBytesMax> buffer_;
};

class OpenSslContext final : public TlsContext {
 public:
  [[nodiscard]] Result<> LoadFiles(const std::string& certificate_file,
                                   const std::string& key_file) {
    error_code ec;
    context_.set_options(asio::ssl::context::default_workarounds |
                             asio::ssl::context::no_compression | asio::ssl::context::no_sslv2 |
                             asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                             asio::ssl::context::no_tlsv1_1,
                         ec);
    SSL_CTX_set_options(context_.native_handle(), SSL_OP_NO_RENEGOTIATION);
    // Without it the library would ask on the terminal.
    context_.set_password_callback([](size_t, auto) { return std::string(); }, ec);
    context_.use_certificate_chain_file(certificate_file, ec);
    if (ec) {
      return Fail(ErrorKind::kIo, "{}: no certificate in PEM can be read from it ({})",
                  certificate_file, ec.message());
    }
    context_.use_private_key_file(key_file, asio::ssl::context::pem, ec);
    if (ec) {
      return Fail(ErrorKind::kIo,
                  "{}: no private key in PEM and without a password, that fits the certificate in "
                  "{}, can be read from it ({})",
                  key_file, certificate_file, ec.message());
    }
    return {};
  }

  std::unique_ptr<Transport> MakeTransport(Socket socket) override {
    return std::make_unique<TlsTransport>(std::move(socket), context_);
  }

 private:
  asio::ssl::context context_{asio::ssl::context::tls_server};
};

}  // namespace

void Transport::CancelRead() {
  error_code ignored;
  socket().cancel(ignored);
}

void Transport::Close(bool reset) {
  error_code ignored;
  if (reset) {
    socket().set_option(asio::socket_base::linger(true, 0), ignored);
  }
  socket().close(ignored);
}

std::unique_ptr<Transport> MakePlainTransport(Socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

Result<std::unique_ptr<TlsContext>> TlsContext::Load(const std::string& certificate_file,
                                                     const std::string& key_file) {
  auto context = std::make_unique<OpenSslContext>();
  if (auto loaded = context->LoadFiles(certificate_file, key_file); !loaded) {
    return Forward(loaded);
  }
  return context;
}

}  // namespace plimsoll::server::http
