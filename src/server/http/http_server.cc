#include "server/http/http_server.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <new>
#include <random>
#include <thread>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/http/connection.h"
#include "server/http/listen.h"

namespace plimsoll::server::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;
using Clock = std::chrono::steady_clock;

constexpr auto kTick = std::chrono::milliseconds(100);
constexpr auto kAcceptPause = std::chrono::milliseconds(20);
// What the kernel keeps of a response that its reader does not take.
constexpr int kSendBufferBytes = 64 << 10;
// For the model, the log and the rest.
constexpr uint32_t kReservedFiles = 64;
constexpr int64_t kConnectionBytes = 4 << 10;

void WriteToStandardError(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n <= 0) {
      return;
    }
    text.remove_prefix(static_cast<size_t>(n));
  }
}

// Counts what is charged, within a limit of its own beside that of `inner`.
ChargeFn CountedCharge(std::shared_ptr<std::atomic<int64_t>> used, uint64_t most, ChargeFn inner) {
  return [used = std::move(used), most = static_cast<int64_t>(most),
          inner = std::move(inner)](int64_t bytes) {
    const int64_t before = used->fetch_add(bytes);
    const bool has_room = bytes <= 0 || before + bytes <= most;
    if (has_room && (!inner || inner(bytes))) {
      return true;
    }
    used->fetch_sub(bytes);
    return false;
  };
}

// As many as the limit of open files allows.
Limits WithinFileLimit(Limits limits) {
  rlimit files = {};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) {
    return limits;
  }
  const rlim_t wanted = rlim_t{limits.max_connections} + kReservedFiles;
  if (files.rlim_cur < wanted) {
    files.rlim_cur = std::min(files.rlim_max, wanted);
    (void)::setrlimit(RLIMIT_NOFILE, &files);
    (void)::getrlimit(RLIMIT_NOFILE, &files);
  }
  const rlim_t available =
      files.rlim_cur > 2 * kReservedFiles ? files.rlim_cur - kReservedFiles : files.rlim_cur / 2;
  limits.max_connections =
      static_cast<uint32_t>(std::min<rlim_t>(limits.max_connections, available));
  return limits;
}

}  // namespace

class AsioHttpServer final : public HttpServer {
 public:
  AsioHttpServer(const HttpOptions& options, AccessRules rules, std::unique_ptr<TlsContext> tls,
                 Router router)
      : stop_on_path_(options.unix_socket),
        tls_(std::move(tls)),
        log_(options.log_format, options.write_log ? options.write_log : WriteToStandardError),
        pool_(options.n_handler_threads),
        hub_{.limits = WithinFileLimit(options.limits),
             .rules = std::move(rules),
             .charge = CountedCharge(memory_, options.limits.max_memory_bytes, options.charge),
             .error_body = options.error_body,
             .log = log_,
             .stats = stats_,
             .pool = pool_,
             .io = io_,
             .router = std::make_shared<const Router>(std::move(router)),
             .next_id = (uint64_t{std::random_device()()} << 32) + std::random_device()(),
             .connections = {},
             .on_closed = [this](const Connection& closed) { OnClosed(closed); }},
        tick_timer_(io_) {}

  ~AsioHttpServer() override {
    asio::post(io_, [this] {
      CloseListeners();
      CutAll();
    });
    WaitForConnections(Clock::now() + std::chrono::seconds(5), {});
    pool_.join();  // what handlers still send goes nowhere
    work_.reset();
    io_.stop();
    if (thread_.joinable()) {
      thread_.join();
    }
    hub_.on_closed = nullptr;
  }

  void AddListener(ListeningSocket socket, std::string address) {
    asio::generic::stream_protocol protocol(socket.family(),
                                            socket.family() == AF_UNIX ? 0 : IPPROTO_TCP);
    acceptors_.emplace_back(io_, protocol, socket.Release());
    acceptors_.back().non_blocking(true);
    if (std::ranges::find(addresses_, address) == addresses_.end()) {  // a name may have several
      addresses_.push_back(std::move(address));
    }
  }

  void Run(uint16_t port) {
    port_ = port;
    for (Acceptor& acceptor : acceptors_) {
      asio::co_spawn(io_, Accept(acceptor), asio::detached);
    }
    thread_ = std::thread([this] { io_.run(); });
  }

  void SetRouter(Router router) override {
    asio::post(io_, [this, next = std::make_shared<const Router>(std::move(router))] {
      hub_.router = next;
    });
  }

  [[nodiscard]] const std::vector<std::string>& addresses() const override { return addresses_; }
  [[nodiscard]] uint16_t port() const override { return port_; }
  [[nodiscard]] ConnectionStats stats() const override {
    ConnectionStats stats = stats_.Snapshot();
    stats.memory_bytes = static_cast<uint64_t>(std::max<int64_t>(0, memory_->load()));
    return stats;
  }

  void StopAccepting() override {
    asio::post(io_, [this] {
      CloseListeners();
      hub_.draining = true;
      ForAll([](Connection& connection) { connection.BeginDrain(); });
    });
  }

  bool Drain(Clock::time_point deadline, const std::function<bool()>& hurry) override {
    StopAccepting();
    if (WaitForConnections(deadline, hurry)) {
      return true;
    }
    asio::post(io_, [this] { CutAll(); });
    (void)WaitForConnections(Clock::now() + std::chrono::seconds(5), {});
    return false;
  }

 private:
  // Connections may go while they are told something.
  template <class Do>
  void ForAll(Do&& act) {
    std::vector<std::shared_ptr<Connection>> all;
    all.reserve(hub_.connections.size());
    for (Connection* connection : hub_.connections) {
      all.push_back(connection->shared_from_this());
    }
    for (const auto& connection : all) {
      act(*connection);
    }
  }

  void CutAll() {
    ForAll([](Connection& connection) { connection.Cut(); });
  }

  void CloseListeners() {
    error_code ignored;
    for (Acceptor& acceptor : acceptors_) {
      acceptor.close(ignored);
    }
    if (!stop_on_path_.empty()) {
      ::unlink(std::exchange(stop_on_path_, {}).c_str());
    }
  }

  bool WaitForConnections(Clock::time_point deadline, const std::function<bool()>& hurry) {
    // Behind what was posted before.
    std::unique_lock lock(mutex_);
    bool asked = false;
    asio::post(io_, [this, &asked] {
      const std::scoped_lock io_lock(mutex_);
      is_empty_ = hub_.connections.empty();
      asked = true;
      changed_.notify_all();
    });
    changed_.wait(lock, [&] { return asked; });
    while (!is_empty_ && Clock::now() < deadline && !(hurry && hurry())) {
      changed_.wait_until(lock, std::min(deadline, Clock::now() + kTick));
    }
    return is_empty_;
  }

  void OnClosed(const Connection& closed) {
    if (const auto found = per_address_.find(closed.address()); found != per_address_.end()) {
      if (--found->second == 0) {
        per_address_.erase(found);
      }
    }
    const std::scoped_lock lock(mutex_);
    is_empty_ = hub_.connections.empty();
    changed_.notify_all();
  }

  asio::awaitable<void> Accept(Acceptor& acceptor) {
    asio::steady_timer pause(io_);
    bool was_full = false;
    while (acceptor.is_open()) {
      const auto [waited] =
          co_await acceptor.async_wait(Acceptor::wait_read, asio::as_tuple(asio::use_awaitable));
      const bool is_full = hub_.connections.size() >= hub_.limits.max_connections;
      error_code ec = waited;
      if (!ec && !is_full) {
        Socket socket(io_);
        acceptor.accept(socket, ec);
        if (!ec) {
          Admit(std::move(socket));
        }
      }
      if (is_full) {
        if (!was_full) {
          stats_.Add(Breach::kConnections);
        }
        CloseLongestIdle();
      }
      was_full = is_full;
      if ((is_full || ec) && acceptor.is_open()) {
        // No room, out of files, or the client has gone again. Who waits, waits in the backlog.
        pause.expires_after(kAcceptPause);
        (void)co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
      }
    }
  }

  void CloseLongestIdle() {
    Connection* longest = nullptr;
    for (Connection* connection : hub_.connections) {
      const auto since = connection->idle_since();
      if (since && (longest == nullptr || *since < *longest->idle_since())) {
        longest = connection;
      }
    }
    if (longest != nullptr) {
      longest->CloseIdle();
    }
  }

  void Admit(Socket socket) {
    try {
      AdmitOrThrow(std::move(socket));
    } catch (const std::bad_alloc&) {  // this client goes, the others stay
    }
  }

  void AdmitOrThrow(Socket socket) {
    error_code failed;
    const auto local = socket.local_endpoint(failed);
    const auto remote = socket.remote_endpoint(failed);
    if (failed) {
      return;  // gone already
    }
    stats_.Add(&ConnectionStats::accepted);
    error_code ignored;
    socket.set_option(asio::socket_base::send_buffer_size(kSendBufferBytes), ignored);
    const bool is_unix = local.protocol().family() == AF_UNIX;
    if (!is_unix) {
      socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    }
    const std::string address = is_unix ? std::string() : AddressText(remote.data());
    const std::string group = AddressGroup(address);
    const bool too_many =
        !is_unix && per_address_[group]++ >= hub_.limits.max_connections_per_address;
    const bool is_tls = tls_ != nullptr && !is_unix;
    auto transport = is_tls && !too_many ? tls_->MakeTransport(std::move(socket))
                                         : MakePlainTransport(std::move(socket));
    const int64_t wanted = kConnectionBytes + transport->bytes();
    const bool has_memory = !hub_.charge || hub_.charge(wanted);
    const auto connection = std::make_shared<Connection>(
        hub_, std::move(transport),
        Entrance{.local_address = is_unix ? std::string() : AddressText(local.data()),
                 .is_tls = is_tls},
        is_unix ? "unix" : HostAndPort(address, PortOf(remote.data())), group,
        has_memory ? wanted : 0);
    StartTicking();
    if (too_many || !has_memory) {
      stats_.Add(too_many ? Breach::kConnectionsPerAddress : Breach::kMemory);
      if (is_tls) {
        connection->Cut();  // the handshake is what it costs most
      } else {
        connection->TurnAway();
      }
      return;
    }
    connection->Start();
  }

  void StartTicking() {
    if (!std::exchange(ticks_, true)) {
      asio::co_spawn(io_, Tick(), asio::detached);
    }
  }

  asio::awaitable<void> Tick() {
    while (!hub_.connections.empty()) {
      tick_timer_.expires_after(kTick);
      (void)co_await tick_timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      const Clock::time_point now = Clock::now();
      try {
        ForAll([now](Connection& connection) { connection.Tick(now); });
      } catch (const std::bad_alloc&) {  // there will be another tick
      }
    }
    ticks_ = false;
  }

  std::string stop_on_path_;  // the unix socket
  std::unique_ptr<TlsContext> tls_;
  StatsCounter stats_;
  std::shared_ptr<std::atomic<int64_t>> memory_ = std::make_shared<std::atomic<int64_t>>(0);
  AccessLog log_;
  asio::thread_pool pool_;
  std::map<std::string, uint32_t> per_address_;
  std::vector<std::string> addresses_;
  uint16_t port_ = 0;
  bool ticks_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_empty_ = true;  // no connection is left

  ConnectionHub hub_;
  // Its end destroys what waits in it: connections, which use what stands above.
  asio::io_context io_{1};
  asio::steady_timer tick_timer_;
  std::vector<Acceptor> acceptors_;
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  std::thread thread_;
};

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpOptions& options, Router router) {
  AccessOptions access = {.host = options.host,
                          .allowed_hosts = options.allowed_hosts,
                          .cors_origins = options.cors_origins,
                          .keys = {}};
  for (const std::string& key : options.api_keys) {
    if (auto added = access.keys.Add(key); !added) {
      return Forward(added);
    }
  }
  auto rules = AccessRules::Create(std::move(access));
  if (!rules) {
    return Forward(rules);
  }
  if (options.tls_certificate_file.empty() != options.tls_key_file.empty()) {
    return Fail(ErrorKind::kUsage, "TLS takes both --ssl-cert-file and --ssl-key-file");
  }
  std::unique_ptr<TlsContext> tls;
  if (!options.tls_certificate_file.empty()) {
    auto loaded = TlsContext::Load(options.tls_certificate_file, options.tls_key_file);
    if (!loaded) {
      return Forward(loaded);
    }
    tls = std::move(*loaded);
  }
  if (options.host.empty() && options.unix_socket.empty()) {
    return Fail(ErrorKind::kUsage,
                "there is no address to listen on: give --host or --unix-socket");
  }
  uint16_t port = options.host.empty() ? uint16_t{0} : options.port;
  std::vector<ListeningSocket> sockets;
  if (!options.host.empty()) {
    auto listening = ListenOnHost(options.host, port, options.api_keys.empty());
    if (!listening) {
      return Forward(listening);
    }
    sockets = std::move(*listening);
  }
  std::vector<std::string> addresses(
      sockets.size(), (tls ? "https://" : "http://") + HostAndPort(options.host, port));
  if (!options.unix_socket.empty()) {
    auto listening = ListenOnPath(options.unix_socket);
    if (!listening) {
      return Forward(listening);
    }
    sockets.push_back(std::move(*listening));
    addresses.push_back("unix:" + options.unix_socket);
  }
  // From here on the unix socket's file is the server's to remove.
  auto server = std::make_unique<AsioHttpServer>(options, std::move(*rules), std::move(tls),
                                                 std::move(router));
  for (size_t i = 0; i < sockets.size(); ++i) {
    server->AddListener(std::move(sockets[i]), std::move(addresses[i]));
  }
  server->Run(port);
  return server;
}

}  // namespace plimsoll::server::http
