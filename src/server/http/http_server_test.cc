#include "server/http/http_server.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>

#include "server/http/test_client.h"

namespace plimsoll::server::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

template <class Condition>
bool Eventually(Condition&& condition, milliseconds wait = seconds(5)) {
  const auto end = std::chrono::steady_clock::now() + wait;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::sleep_for(milliseconds(2));
  }
  return true;
}

// A server with a few routes. /hold and /stream give their exchange to the test.
class ServerTest : public testing::Test {
 protected:
  HttpOptions options_;
  std::unique_ptr<HttpServer> server_;
  std::atomic<int64_t> charged_ = 0;
  std::mutex log_mutex_;
  std::string log_;

  ServerTest() {
    options_.port = 0;
    options_.write_log = [this](std::string_view lines) {
      const std::scoped_lock lock(log_mutex_);
      log_ += lines;
    };
    options_.charge = [this](int64_t bytes) {
      charged_ += bytes;
      return true;
    };
  }
  ~ServerTest() override {
    held_.clear();
    if (server_) {
      EXPECT_TRUE(server_->Drain(std::chrono::steady_clock::now() + seconds(5), {}));
      EXPECT_TRUE(Eventually([this] { return stats().memory_bytes == 0; }));
    }
    server_.reset();
    EXPECT_EQ(charged_, 0);
  }

  void Start() {
    auto started = HttpServer::Start(options_, Routes());
    ASSERT_TRUE(started) << started.error().message;
    server_ = std::move(*started);
  }
  uint16_t port() const { return server_->port(); }
  ConnectionStats stats() const { return server_->stats(); }

  // The next exchange of /hold or /stream.
  std::shared_ptr<Exchange> Held() {
    std::unique_lock lock(mutex_);
    if (!has_held_.wait_for(lock, seconds(5), [this] { return !held_.empty(); })) {
      return nullptr;
    }
    auto exchange = std::move(held_.front());
    held_.pop_front();
    return exchange;
  }

  Router Routes() {
    Router router;
    router.Add({.method = "GET",
                .path = "/livez",
                .handler = [](const auto& e) { e->Respond({.body = "{}", .headers = {}}); },
                .open = true,
                .quick = true});
    router.Add({.method = "GET", .path = "/hello", .handler = [](const auto& e) {
                  e->Respond({.content_type = "text/plain", .body = "hello", .headers = {}});
                }});
    router.Add({.method = "POST", .path = "/echo", .handler = [](const auto& e) {
                  e->Respond({.body = e->request().body, .headers = {}});
                }});
    router.Add({.method = "GET", .path = "/query/*", .handler = [](const auto& e) {
                  e->Respond({.body = e->request().path + " " + e->request().query, .headers = {}});
                }});
    router.Add({.method = "GET", .path = "/lost", .handler = [](const auto&) {}});
    router.Add({.method = "GET", .path = "/throws", .handler = [](const auto&) {
                  throw std::bad_alloc();
                }});
    const auto hold = [this](std::shared_ptr<Exchange> e) {
      const std::scoped_lock lock(mutex_);
      held_.push_back(std::move(e));
      has_held_.notify_one();
    };
    router.Add({.method = "GET", .path = "/hold", .handler = hold});
    return router;
  }

 private:
  std::mutex mutex_;
  std::condition_variable has_held_;
  std::deque<std::shared_ptr<Exchange>> held_;
};

TEST_F(ServerTest, AnswersOneRequestAfterAnother) {
  Start();
  EXPECT_THAT(server_->addresses(),
              testing::ElementsAre("http://127.0.0.1:" + std::to_string(port())));
  TestClient client(port());
  for (int i = 0; i < 3; ++i) {
    const auto reply = client.Get("/hello");
    EXPECT_EQ(reply.status, 200U);
    EXPECT_EQ(reply.body, "hello");
    EXPECT_EQ(reply.headers.at("content-type"), "text/plain");
    EXPECT_EQ(reply.headers.at("content-length"), "5");
    EXPECT_THAT(reply.headers.at("x-request-id"), StartsWith("req-"));
    EXPECT_FALSE(reply.headers.contains("connection"));
  }
  EXPECT_EQ(stats().requests, 3U);
  EXPECT_EQ(stats().accepted, 1U);
  EXPECT_TRUE(Eventually([&] { return stats().responses[2] == 3; }));
}

TEST_F(ServerTest, AnswersPipelinedRequestsInTurn) {
  Start();
  TestClient client(port());
  const std::string get = "GET /query/%61?b=%20 HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const std::string post =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody";
  client.Send(get + post + get);
  EXPECT_EQ(client.ReadReply().body, "/query/a b=%20");
  EXPECT_EQ(client.ReadReply().body, "body");
  EXPECT_EQ(client.ReadReply().body, "/query/a b=%20");
}

TEST_F(ServerTest, ReadsARequestHoweverItIsCut) {
  Start();
  const std::string request =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;a=b\r\nhello\r\n1\r\n \r\n00a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
  TestClient client(port());
  for (size_t cut = 1; cut < request.size(); cut += 3) {
    client.Send(request.substr(0, cut));
    std::this_thread::sleep_for(milliseconds(1));
    client.Send(request.substr(cut));
    ASSERT_EQ(client.ReadReply().body, "hello 0123456789") << cut;
  }
}

TEST_F(ServerTest, StreamsInChunksWithASignOfLife) {
  options_.limits.ping_interval = milliseconds(150);
  Start();
  TestClient client(port());
  client.Send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto exchange = Held();
  ASSERT_TRUE(exchange);
  exchange->Begin({.content_type = "text/event-stream", .headers = {}}, ": ping\n\n");
  EXPECT_TRUE(exchange->Send("data: a\n\n"));
  std::string seen;
  while (seen.find(": ping", seen.find("data: a")) == std::string::npos) {
    const std::string more = client.ReadSome();
    ASSERT_FALSE(more.empty()) << seen;
    seen += more;
  }
  EXPECT_THAT(seen,
              HasSubstr("\r\n\r\n8\r\n: ping\n\n\r\n9\r\ndata: a\n\n\r\n8\r\n: ping\n\n\r\n"));
  EXPECT_THAT(seen, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_TRUE(Eventually([&] { return exchange->unsent_bytes() == 0; }));
  exchange->End();
  EXPECT_FALSE(exchange->Send("more"));
  EXPECT_EQ(client.ReadSome(), "0\r\n\r\n");
  EXPECT_EQ(client.Get("/hello").status, 200U) << "the connection goes on";
}

TEST_F(ServerTest, AnswersLaterBehindSpaces) {
  options_.limits.ping_interval = milliseconds(100);
  options_.limits.pad_after = milliseconds(250);
  Start();
  TestClient client(port());
  const auto wait_for_spaces = [&] {
    std::string seen;
    while (!seen.ends_with("1\r\n \r\n1\r\n \r\n")) {
      const std::string more = client.ReadSome();
      if (more.empty()) {
        break;
      }
      seen += more;
    }
    return seen;
  };
  const auto ask = [&] {
    client.Send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    auto exchange = Held();
    exchange->AnswerLater({.headers = {}}, " ");
    EXPECT_FALSE(exchange->has_begun());
    return exchange;
  };
  {
    const auto exchange = ask();
    const std::string seen = wait_for_spaces();
    EXPECT_THAT(seen, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(seen, HasSubstr("Content-Type: application/json\r\n"));
    EXPECT_TRUE(exchange->has_begun());
    exchange->Respond({.body = "{}", .headers = {}});
    EXPECT_EQ(client.ReadSome(), "2\r\n{}\r\n0\r\n\r\n");
    EXPECT_EQ(client.Get("/hello").status, 200U) << "the connection goes on";
  }
  {  // What comes in time is as it always was.
    const auto exchange = ask();
    exchange->Respond({.status = 429, .body = "{}", .headers = {}});
    const auto reply = client.ReadReply();
    EXPECT_EQ(reply.status, 429U);
    EXPECT_EQ(reply.headers.at("content-length"), "2");
  }
  {  // A stream goes on behind it.
    const auto exchange = ask();
    wait_for_spaces();
    exchange->Begin({.headers = {}}, " ");
    EXPECT_TRUE(exchange->Send("[]"));
    exchange->End();
    EXPECT_THAT(client.ReadToEnd(milliseconds(300)), testing::EndsWith("2\r\n[]\r\n0\r\n\r\n"));
  }
  {  // An error can no longer be told by the status: the body says it, and is not whole.
    const auto exchange = ask();
    wait_for_spaces();
    exchange->Respond({.status = 500, .body = "{}", .headers = {}});
    EXPECT_EQ(client.ReadToEnd(), "2\r\n{}\r\n");
    EXPECT_TRUE(client.IsClosed());
  }
}

TEST_F(ServerTest, AbortIsNoWholeResponse) {
  Start();
  for (const char* version : {"1.1", "1.0"}) {
    TestClient client(port());
    client.Send(std::string("GET /hold HTTP/") + version + "\r\nHost: localhost\r\n\r\n");
    const auto exchange = Held();
    ASSERT_TRUE(exchange);
    exchange->Begin({.headers = {}}, "");
    exchange->Send("part");
    if (version == std::string("1.1")) {
      exchange->Abort();
      const auto reply = client.ReadReply();
      EXPECT_EQ(reply.body, "part");
      EXPECT_FALSE(reply.whole);
    } else {
      std::string seen;
      while (!seen.ends_with("part")) {
        const std::string more = client.ReadSome();
        ASSERT_FALSE(more.empty()) << seen;
        seen += more;
      }
      exchange->Abort();
      char byte = 0;
      EXPECT_EQ(::recv(client.fd(), &byte, 1, 0), -1) << "a reset, since an end would be the end";
    }
  }
}

TEST_F(ServerTest, AForgottenRequestIsAnswered) {
  Start();
  TestClient client(port());
  EXPECT_EQ(client.Get("/lost").status, 500U);
  EXPECT_EQ(client.Get("/throws").status, 500U);
  EXPECT_EQ(client.Get("/hello").status, 200U);
}

TEST_F(ServerTest, TellsWhenTheClientIsGone) {
  Start();
  for (const bool reset : {false, true}) {
    for (const bool streaming : {false, true}) {
      TestClient client(port());
      client.Send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
      const auto exchange = Held();
      ASSERT_TRUE(exchange);
      if (streaming) {
        exchange->Begin({.headers = {}}, "");
      }
      std::atomic<int> n_told = 0;
      exchange->OnGone([&] { ++n_told; });
      EXPECT_EQ(n_told, 0);
      reset ? client.Reset() : client.Close();
      EXPECT_TRUE(Eventually([&] { return n_told == 1; }));
      EXPECT_FALSE(exchange->Send("x"));
      std::atomic<bool> told_at_once = false;
      exchange->OnGone([&] { told_at_once = true; });
      EXPECT_TRUE(told_at_once);
    }
  }
  EXPECT_TRUE(Eventually([&] { return stats().vanished == 4; }));
  EXPECT_TRUE(Eventually([&] { return stats().active_connections == 0; }));
}

TEST_F(ServerTest, NobodyIsToldAfterTheEnd) {
  Start();
  std::atomic<bool> told = false;
  std::shared_ptr<Exchange> exchange;
  {
    TestClient client(port());
    client.Send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
    exchange = Held();
    exchange->OnGone([&told, exchange] { told = true; });  // which holds itself
    exchange->Respond({.body = "x", .headers = {}});
    EXPECT_EQ(client.ReadReply().body, "x");
  }
  EXPECT_TRUE(Eventually([&] { return stats().active_connections == 0; }));
  EXPECT_FALSE(told);
}

TEST_F(ServerTest, CutsAReaderThatTakesNothing) {
  options_.limits.max_stall = milliseconds(300);
  Start();
  TestClient client(port(), "127.0.0.1", 4096);
  client.Send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto exchange = Held();
  ASSERT_TRUE(exchange);
  exchange->Begin({.headers = {}}, "");
  std::atomic<bool> gone = false;
  exchange->OnGone([&] { gone = true; });
  const std::string part(4096, 'x');
  for (int i = 0; i < 1024 && exchange->Send(part); ++i) {
  }
  EXPECT_GT(exchange->unsent_bytes(), 1U << 20) << "Send does not wait for the reader";
  EXPECT_TRUE(Eventually([&] { return gone.load(); }));
  EXPECT_FALSE(exchange->Send(part));
  EXPECT_EQ(stats().of(Breach::kStall), 1U);
}

TEST_F(ServerTest, AReaderThatIsBehindGetsPartsOfAnySize) {
  Start();
  TestClient client(port(), "127.0.0.1", 4096);
  client.Send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto exchange = Held();
  ASSERT_TRUE(exchange);
  exchange->Begin({.headers = {}}, "");
  std::string all;
  for (size_t i = 1; i <= 400; ++i) {
    const std::string part(i * i % 9001 + 1, static_cast<char>('a' + i % 26));
    ASSERT_TRUE(exchange->Send(part));
    all += part;
  }
  EXPECT_GT(exchange->unsent_bytes(), 1U << 20) << "most of it waits";
  exchange->End();
  EXPECT_EQ(client.ReadReply().body, all);
}

TEST_F(ServerTest, HeadersOptionsAndUnknownPaths) {
  Start();
  TestClient client(port());
  const auto head = client.Ask("HEAD /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", true);
  EXPECT_EQ(head.status, 200U);
  EXPECT_EQ(head.headers.at("content-length"), "5");
  const auto options = client.Ask("OPTIONS /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(options.status, 204U);
  EXPECT_EQ(options.headers.at("allow"), "GET");
  EXPECT_EQ(client.Ask("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 204U);
  const auto wrong = client.Ask("DELETE /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(wrong.status, 405U);
  EXPECT_EQ(wrong.headers.at("allow"), "GET");
  const auto unknown = client.Get("/<script>?x=1");
  EXPECT_EQ(unknown.status, 404U);
  EXPECT_THAT(unknown.body, Not(HasSubstr("script")));
  EXPECT_THAT(unknown.body,
              HasSubstr(R"("type":"not_found_error","param":null,"code":"unknown_url")"));
}

TEST_F(ServerTest, RefusalsAreWordedForTheirPath) {
  options_.error_body = [](const HttpError& error, std::string_view path) {
    return std::to_string(error.status) + " at " + std::string(path);
  };
  options_.limits.max_body_bytes = 10;
  Start();
  TestClient client(port());
  EXPECT_EQ(client.Get("/nothing?x=1").body, "404 at /nothing");
  EXPECT_EQ(client.Ask("DELETE /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").body, "405 at /hello");
  EXPECT_EQ(
      client.Ask("POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n").body,
      "413 at /hello");
}

TEST_F(ServerTest, EchoesAGoodRequestIdAndNoOther) {
  Start();
  TestClient client(port());
  EXPECT_EQ(client.Get("/hello", "X-Request-Id: a.B_9-\r\n").headers.at("x-request-id"), "a.B_9-");
  EXPECT_THAT(client.Get("/hello", "X-Request-Id: a b\r\n").headers.at("x-request-id"),
              StartsWith("req-"));
}

TEST_F(ServerTest, ExpectAndOldVersions) {
  Start();
  TestClient client(port());
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: h.localhost\r\nContent-Length: 2\r\nExpect: "
      "100-Continue\r\n\r\n");
  EXPECT_EQ(client.ReadReply().status, 100U);
  client.Send("ok");
  EXPECT_EQ(client.ReadReply().body, "ok");
  EXPECT_EQ(client
                .Ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: "
                     "200-x\r\n\r\n")
                .status,
            417U);
  TestClient old(port());
  const auto kept = old.Ask("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(kept.headers.at("connection"), "keep-alive");
  const auto last = old.Ask("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_EQ(last.headers.at("connection"), "close");
  EXPECT_TRUE(old.IsClosed());
}

TEST_F(ServerTest, RefusesWhatIsTooLarge) {
  options_.limits.max_header_bytes = 512;
  options_.limits.max_request_line_bytes = 100;
  options_.limits.max_header_fields = 5;
  options_.limits.max_body_bytes = 1000;
  Start();
  const auto status = [&](const std::string& request) {
    TestClient client(port());
    const auto reply = client.Ask(request);
    EXPECT_TRUE(reply.whole);
    return reply.status;
  };
  const auto with_line = [](size_t bytes) {
    return "GET /query/" + std::string(bytes - 20, 'x') + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  };
  EXPECT_EQ(status(with_line(99)), 200U);
  EXPECT_EQ(status(with_line(100)), 200U);
  EXPECT_EQ(status(with_line(101)), 414U);
  const auto with_head = [](size_t bytes) {
    const std::string start = "GET /hello HTTP/1.1\r\nHost: localhost\r\nX: ";
    return start + std::string(bytes - start.size() - 4, 'x') + "\r\n\r\n";
  };
  EXPECT_EQ(status(with_head(511)), 200U);
  EXPECT_EQ(status(with_head(512)), 200U);
  EXPECT_EQ(status(with_head(513)), 431U);
  const auto with_fields = [](int n) {
    std::string request = "GET /hello HTTP/1.1\r\nHost: localhost\r\n";
    for (int i = 1; i < n; ++i) {
      request += "X: y\r\n";
    }
    return request + "\r\n";
  };
  EXPECT_EQ(status(with_fields(4)), 200U);
  EXPECT_EQ(status(with_fields(5)), 200U);
  EXPECT_EQ(status(with_fields(6)), 431U);
  const auto with_body = [](size_t bytes) {
    return "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(bytes) +
           "\r\n\r\n" + std::string(bytes, 'x');
  };
  EXPECT_EQ(status(with_body(999)), 200U);
  EXPECT_EQ(status(with_body(1000)), 200U);
  EXPECT_EQ(status(with_body(1001)), 413U);
  const auto with_chunks = [](size_t bytes) {
    std::string request =
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (; bytes > 100; bytes -= 100) {
      request += "64\r\n" + std::string(100, 'x') + "\r\n";
    }
    return request + "1\r\nx\r\n0\r\n\r\n";
  };
  EXPECT_EQ(status(with_chunks(1000)), 200U);  // 901
  EXPECT_EQ(status(with_chunks(1101)), 413U);
  EXPECT_EQ(stats().of(Breach::kRequestLine), 1U);
  EXPECT_EQ(stats().of(Breach::kHeaderBytes), 1U);
  EXPECT_EQ(stats().of(Breach::kHeaderFields), 1U);
  EXPECT_EQ(stats().of(Breach::kBodyBytes), 2U);
}

TEST_F(ServerTest, AnswersBeforeAHugeBodyHasCome) {
  Start();
  TestClient client(port());
  client.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n");
  client.Send(std::string(1 << 20, 'x'));
  const auto reply = client.ReadReply();
  EXPECT_EQ(reply.status, 413U);
  EXPECT_TRUE(reply.whole);
  EXPECT_EQ(reply.headers.at("connection"), "close");
}

TEST_F(ServerTest, EndsSlowSenders) {
  options_.limits.max_header_time = milliseconds(300);
  options_.limits.body_window = milliseconds(300);
  options_.limits.min_bytes_per_second = 1000;  // 300 a window
  Start();
  TestClient head(port());
  head.Send("GET /hello HTTP/1.1\r\n");
  TestClient body(port());
  body.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n");
  TestClient good(port());
  good.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1500\r\n\r\n");
  for (int i = 0; i < 15; ++i) {
    good.Send(std::string(100, 'x'));
    body.Send("x");
    std::this_thread::sleep_for(milliseconds(45));
  }
  EXPECT_EQ(good.ReadReply().status, 200U);
  EXPECT_TRUE(head.IsClosed());
  EXPECT_EQ(head.ReadToEnd(), "");
  const auto reply = body.ReadReply();
  EXPECT_EQ(reply.status, 408U);
  EXPECT_TRUE(reply.whole);
  EXPECT_EQ(stats().of(Breach::kHeaderTime), 1U);
  EXPECT_EQ(stats().of(Breach::kBodyTime), 1U);
}

TEST_F(ServerTest, ClosesIdleAndWornConnections) {
  options_.limits.max_idle = milliseconds(300);
  options_.limits.max_requests = 3;
  Start();
  TestClient worn(port());
  EXPECT_FALSE(worn.Get("/hello").headers.contains("connection"));
  EXPECT_FALSE(worn.Get("/hello").headers.contains("connection"));
  EXPECT_EQ(worn.Get("/hello").headers.at("connection"), "close");
  EXPECT_TRUE(worn.IsClosed(milliseconds(200)));
  TestClient idle(port());
  EXPECT_EQ(idle.Get("/hello").status, 200U);
  EXPECT_FALSE(idle.IsClosed(milliseconds(150)));
  EXPECT_TRUE(idle.IsClosed(milliseconds(1000)));
  EXPECT_EQ(stats().of(Breach::kIdle), 1U);
  EXPECT_EQ(stats().of(Breach::kRequests), 1U);
}

TEST_F(ServerTest, CountsConnectionsByAddress) {
  options_.limits.max_connections_per_address = 3;
  Start();
  std::vector<TestClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(port());
    EXPECT_EQ(clients.back().Get("/hello").status, 200U);
  }
  TestClient refused(port());
  EXPECT_EQ(refused.ReadReply().status, 503U);
  EXPECT_TRUE(refused.IsClosed());
  EXPECT_EQ(TestClient(port(), "127.0.0.2").Get("/hello").status, 200U);
  clients.pop_back();
  refused.Close();
  EXPECT_TRUE(Eventually([&] { return TestClient(port()).Get("/hello").status == 200; }));
  EXPECT_GE(stats().of(Breach::kConnectionsPerAddress), 1U);
}

TEST_F(ServerTest, MakesRoomAtTheMostConnectionsByClosingTheIdle) {
  options_.limits.max_connections = 2;
  Start();
  TestClient idle(port());
  EXPECT_EQ(idle.Get("/hello").status, 200U);
  TestClient busy(port());
  busy.Send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto exchange = Held();
  TestClient next(port());
  EXPECT_EQ(next.Get("/hello").status, 200U);
  EXPECT_TRUE(idle.IsClosed());
  exchange->Respond({.body = "still there", .headers = {}});
  EXPECT_EQ(busy.ReadReply().body, "still there");
}

TEST_F(ServerTest, DrainsAndThenCuts) {
  Start();
  TestClient idle(port());
  EXPECT_EQ(idle.Get("/hello").status, 200U);
  TestClient quick(port());
  quick.Send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto quick_exchange = Held();
  TestClient slow(port());
  slow.Send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto slow_exchange = Held();
  std::atomic<bool> gone = false;
  slow_exchange->OnGone([&] { gone = true; });
  std::thread answers([&] {
    EXPECT_TRUE(idle.IsClosed());
    EXPECT_FALSE(TestClient(port()).connected());
    quick_exchange->Respond({.body = "done", .headers = {}});
    const auto reply = quick.ReadReply();
    EXPECT_EQ(reply.body, "done");
    EXPECT_EQ(reply.headers.at("connection"), "close");
  });
  EXPECT_FALSE(server_->Drain(std::chrono::steady_clock::now() + milliseconds(500), {}));
  answers.join();
  EXPECT_TRUE(gone);
  EXPECT_TRUE(slow.IsClosed());
  EXPECT_EQ(stats().active_connections, 0U);
}

TEST_F(ServerTest, LogsWhatWasAskedAndNotTheText) {
  options_.log_format = LogFormat::kJson;
  Start();
  TestClient client(port());
  client.Ask(
      "GET /query/secret?also=secret HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: mine\r\n\r\n");
  client.Close();
  server_.reset();
  EXPECT_THAT(log_,
              HasSubstr(R"("request_id":"mine","method":"GET","path":"/query/*","status":200)"));
  EXPECT_THAT(log_, Not(HasSubstr("secret")));
}

TEST_F(ServerTest, LivezAnswersWhileAllHandlersCompute) {
  options_.n_handler_threads = 1;
  Start();
  std::atomic<bool> stop = false;
  Router router = Routes();
  router.Add({.method = "GET", .path = "/busy", .handler = [&stop](const auto& e) {
                while (!stop) {
                }
                e->Respond({.body = "", .headers = {}});
              }});
  server_->SetRouter(std::move(router));
  TestClient busy(port());
  busy.Send("GET /busy HTTP/1.1\r\nHost: localhost\r\n\r\n");
  TestClient client(port());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(client.Get("/livez").status, 200U);
  }
  stop = true;
  EXPECT_EQ(busy.ReadReply().status, 200U);
}

TEST_F(ServerTest, ListensOnAUnixSocketOfThisUser) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("plimsoll-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  options_.unix_socket = (folder / "s.sock").string();
  options_.host = "";
  Start();
  EXPECT_EQ(port(), 0);
  EXPECT_EQ(std::filesystem::status(options_.unix_socket).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  // Any Host: no browser comes this way.
  EXPECT_EQ(TestClient(options_.unix_socket)
                .Ask("GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n")
                .status,
            200U);
  const auto second = HttpServer::Start(options_, Routes());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kPortOrPermission);
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(options_.unix_socket));
  std::filesystem::remove_all(folder);
}

TEST_F(ServerTest, ChecksWhoAsks) {
  options_.api_keys = {"good", "better"};
  options_.cors_origins = {"https://chat.example"};
  Start();
  TestClient client(port());
  const auto status = [&](const std::string& path, const std::string& headers) {
    return TestClient(port()).Get(path, headers).status;
  };
  EXPECT_EQ(status("/livez", ""), 200U);
  for (const char* path : {"/hello", "/hold", "/lost", "/nothing"}) {
    for (const char* headers :
         {"", "Authorization: Bearer bad\r\n", "Authorization: Basic good\r\n",
          "Authorization: Bearer \r\n", "X-Api-Key: goo\r\n"}) {
      EXPECT_EQ(status(path, headers), 401U) << path << headers;
    }
  }
  EXPECT_EQ(status("/hello", "Authorization: bearer good\r\n"), 200U);
  EXPECT_EQ(status("/hello", "X-Api-Key: better\r\n"), 200U);
  const std::string key = "X-Api-Key: good\r\n";
  EXPECT_EQ(status("/hello", key + "Origin: https://evil.example\r\n"), 403U);
  const auto allowed = client.Get("/hello", key + "Origin: https://chat.example\r\n");
  EXPECT_EQ(allowed.headers.at("access-control-allow-origin"), "https://chat.example");
  EXPECT_FALSE(allowed.headers.contains("access-control-allow-credentials"));
  const auto preflight = client.Ask(
      "OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: https://chat.example\r\n"
      "Access-Control-Request-Method: POST\r\n\r\n");
  EXPECT_EQ(preflight.status, 204U);
  EXPECT_EQ(preflight.headers.at("access-control-allow-methods"), "POST");
  EXPECT_EQ(client.Ask("GET /hello HTTP/1.1\r\nHost: evil.example\r\n" + key + "\r\n").status,
            403U);
}

TEST_F(ServerTest, IsNotOpenToOthersWithoutAKey) {
  for (const char* host : {"0.0.0.0", "::"}) {
    options_.host = host;
    const auto open = HttpServer::Start(options_, Routes());
    ASSERT_FALSE(open) << host;
    EXPECT_EQ(open.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(open.error().message, HasSubstr("--api-key-file"));
  }
}

TEST_F(ServerTest, NamesAPortThatIsInUse) {
  Start();
  options_.port = port();
  const auto second = HttpServer::Start(options_, Routes());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kPortOrPermission);
  EXPECT_THAT(second.error().message, HasSubstr("port " + std::to_string(port())));
  EXPECT_THAT(second.error().message, HasSubstr("--port"));
}

TEST_F(ServerTest, RefusesWhatThereIsNoMemoryFor) {
  std::atomic<bool> full = false;
  options_.charge = [&](int64_t bytes) {
    if (bytes > 0 && full) {
      return false;
    }
    charged_ += bytes;
    return true;
  };
  Start();
  TestClient client(port());
  EXPECT_EQ(client.Get("/hello").status, 200U);
  full = true;
  EXPECT_EQ(client.Get("/hello").status, 503U);
  EXPECT_EQ(TestClient(port()).ReadReply().status, 503U);
  full = false;
  TestClient streaming(port());
  streaming.Send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto exchange = Held();
  exchange->Begin({.headers = {}}, "");
  full = true;
  EXPECT_FALSE(exchange->Send("x"));
  EXPECT_FALSE(streaming.ReadReply().whole);
  EXPECT_EQ(stats().of(Breach::kMemory), 2U);
}

TEST_F(ServerTest, CountsItsMemoryWithinALimit) {
  options_.limits.max_memory_bytes = 300'000;
  Start();
  const auto post = [](size_t n) {
    return "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(n) +
           "\r\n\r\n" + std::string(n, 'x');
  };
  EXPECT_EQ(TestClient(port()).Ask(post(60'000)).status, 200U);
  EXPECT_EQ(TestClient(port()).Ask(post(400'000)).status, 503U);
  TestClient client(port());
  client.Send("GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto exchange = Held();
  ASSERT_TRUE(exchange);
  exchange->Begin({.headers = {}}, "");
  EXPECT_GT(stats().memory_bytes, 0U);
  EXPECT_FALSE(exchange->Send(std::string(300'000, 'x')));
  EXPECT_FALSE(client.ReadReply().whole);
}

// Or a few hundred of them would leave nothing to others.
TEST_F(ServerTest, SlowHeadsTakeLittleOfIt) {
  options_.limits.max_memory_bytes = 400'000;
  Start();
  std::vector<TestClient> slow;
  for (int i = 0; i < 30; ++i) {
    slow.emplace_back(port());
    slow.back().Send("POST /echo HTTP/1.1\r\nHost: localhost\r\n");
  }
  EXPECT_TRUE(Eventually([&] { return stats().memory_bytes > 250'000; }));
  TestClient good(port());
  EXPECT_EQ(good.Get("/hello").status, 200U);
  for (TestClient& client : slow) {
    EXPECT_EQ(client.Ask("Content-Length: 2\r\n\r\nhi").body, "hi");
  }
}

TEST_F(ServerTest, GarbageIsRefusedAndForgotten) {
  Start();
  for (const char* garbage :
       {"\x16\x03\x01\x02",
        "GET /hello\r\n\r\n",
        "GET /hello HTTP/1.1\nHost: localhost\n\n",
        "GET /hello HTTP/1.1\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: localhost\r\n X: folded\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost : localhost\r\n\r\n",
        "GET  /hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /../hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
        "GET http://other/hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 1\r\n\r\nx",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: +1\r\n\r\nx",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nxx\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0x2\r\nxx\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        "chunked\r\n\r\n10000000000000000\r\nxx\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        "chunked\r\n\r\n2\r\nxxx\r\n0\r\n\r\n"}) {
    TestClient client(port());
    const auto reply = client.Ask(garbage);
    EXPECT_EQ(reply.status, 400U) << garbage;
    EXPECT_TRUE(reply.whole);
    EXPECT_EQ(client.ReadToEnd(), "") << "one answer: " << garbage;
  }
  TestClient client(port());
  EXPECT_EQ(client.Ask("GET /hello HTTP/2.0\r\nHost: localhost\r\n\r\n").status, 505U);
  EXPECT_EQ(TestClient(port()).Get("/hello").status, 200U);
}

}  // namespace
}  // namespace plimsoll::server::http
