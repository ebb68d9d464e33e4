// Replies whose engine fails at random, whose readers fall behind and whose clients leave: each has
// exactly one end, and no client can take a part of an answer for the whole. The engine is a fake
// that says random tokens of the bundled model's vocabulary, half of them single bytes.
#include <cstdlib>
#include <random>
#include <unordered_map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json_text.h"
#include "base/utf8.h"
#include "engine/continuation.h"
#include "server/fake_service.h"
#include "server/test_server.h"
#include "text/jinja/value.h"

namespace plimsoll::server {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kSlowdown = 10;
#elif defined(__has_feature)
constexpr int kSlowdown =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ? 10 : 1;
#else
constexpr int kSlowdown = 1;
#endif

int NumberOfStreams() {
  return (std::getenv("PLIMSOLL_NIGHT") != nullptr ? 1'000'000 : 20'000) / kSlowdown;
}

using Random = std::mt19937;

uint32_t Draw(Random& random, uint32_t n) {
  return std::uniform_int_distribution<uint32_t>(0, n - 1)(random);
}
bool OneIn(Random& random, uint32_t n) { return Draw(random, n) == 0; }

// What is asked of it goes on when Turn is called, one token of one request at a time.
class FaultyService final : public FakeService {
 public:
  explicit FaultyService(const engine::Engine& engine, Random& random)
      : engine_(engine), random_(random) {
    for (TokenId id = 0; static_cast<size_t>(id) < engine.tokenizer().size(); ++id) {
      if (engine.tokenizer().Piece(id, false).size() == 1) {
        bytes_.push_back(id);
      }
    }
  }

  [[nodiscard]] const engine::ModelSummary& summary() const override { return engine_.summary(); }
  [[nodiscard]] const text::Tokenizer& tokenizer() const override { return engine_.tokenizer(); }
  [[nodiscard]] Result<const text::ChatTemplate*> chat_template() const override {
    return engine_.chat_template();
  }
  [[nodiscard]] Result<tl::expected<engine::RequestId, engine::Overload>> Submit(
      engine::GenerationRequest request, std::shared_ptr<engine::GenerationSink> sink) override {
    if (OneIn(random_, 60)) {
      return Fail(ErrorKind::kUsage, "a request that can never run");
    }
    if (OneIn(random_, 60)) {
      return tl::make_unexpected(engine::Overload{});
    }
    auto running = std::make_unique<Running>();
    running->request = std::move(request);
    running->sink = std::move(sink);
    running->says.emplace(tokenizer(), running->request.prompt.back(), running->request.options);
    running_.emplace(++last_id_, std::move(running));
    return last_id_;
  }
  void Cancel(engine::RequestId id) override { cancelled_.push_back(id); }

  // False when nothing is under way.
  bool Turn() {
    for (const engine::RequestId id : std::exchange(cancelled_, {})) {
      End(id, {.reason = engine::FinishReason::kInterrupted});
    }
    if (running_.empty()) {
      return false;
    }
    auto it = running_.begin();
    std::advance(it, Draw(random_, static_cast<uint32_t>(running_.size())));
    const engine::RequestId id = it->first;
    if (OneIn(random_, 40)) {
      constexpr std::array kKinds = {ErrorKind::kFailed, ErrorKind::kIo, ErrorKind::kDoesNotFit,
                                     ErrorKind::kTimeLimit, ErrorKind::kBadModel};
      End(id, {.reason = engine::FinishReason::kInterrupted,
               .error = Error{kKinds[Draw(random_, kKinds.size())], "a fault at random"}});
    } else if (OneIn(random_, 100)) {
      End(id, {.reason = engine::FinishReason::kInterrupted});  // the engine stops
    } else if (it->second->sink->HasRoom()) {
      Say(id, *it->second);
    }
    return true;
  }

  // Of requests that ended by themselves: all that they said.
  std::unordered_map<engine::RequestId, std::string> said;

 private:
  struct Running {
    engine::GenerationRequest request;
    std::shared_ptr<engine::GenerationSink> sink;
    std::optional<engine::Continuation> says;
    std::vector<TokenId> tokens;
  };

  void Say(engine::RequestId id, Running& running) {
    const TokenId token =
        OneIn(random_, 2)
            ? bytes_[Draw(random_, static_cast<uint32_t>(bytes_.size()))]
            : static_cast<TokenId>(Draw(random_, static_cast<uint32_t>(tokenizer().size())));
    running.tokens.push_back(token);
    const auto step = running.says->Add(token, running.tokens.size() < 60);
    const engine::GeneratedToken drawn = {.token = token, .top = {}};
    const auto sink = running.sink;
    sink->OnText(step.text, {&drawn, 1});
    if (step.end) {
      if (tokenizer().IsEndOfGeneration(token)) {
        running.tokens.pop_back();
      }
      said[id] = tokenizer().Decode(running.tokens, false);
      End(id, {.reason = *step.end, .stop_string = running.says->stop_string()});
    }
  }

  void End(engine::RequestId id, engine::GenerationEnd end) {
    const auto it = running_.find(id);
    if (it != running_.end()) {
      const auto sink = it->second->sink;
      end.stats.n_generated = it->second->says->n_generated();
      running_.erase(it);
      sink->OnEnd(end);
    }
  }

  const engine::Engine& engine_;
  Random& random_;
  std::vector<TokenId> bytes_;
  std::unordered_map<engine::RequestId, std::unique_ptr<Running>> running_;
  std::vector<engine::RequestId> cancelled_;
  engine::RequestId last_id_ = 0;
};

// Keeps what it is told; its client may leave, or read slowly.
class ShakyExchange final : public http::Exchange {
 public:
  ShakyExchange(http::Request request, Random& random)
      : request_(std::move(request)), random_(random) {}

  [[nodiscard]] const http::Request& request() const override { return request_; }
  void Respond(http::Response response) override {
    ++n_begun;
    ++n_ended;
    whole = response.status == 200;
    status = response.status;
    body = std::move(response.body);
  }
  void Begin(http::Response response, std::string /*keep_alive*/) override {
    ++n_begun;
    status = response.status;
    is_stream = true;
  }
  [[nodiscard]] bool has_begun() const override { return early || n_begun > 0; }
  bool Send(std::string part) override {
    body += part;
    n_after_end += n_ended;
    return !gone;
  }
  void End() override {
    ++n_ended;
    whole = true;
  }
  void Abort() override { ++n_ended; }
  [[nodiscard]] uint64_t unsent_bytes() const override { return OneIn(random_, 20) ? 1 << 30 : 0; }
  void OnGone(std::function<void()> on_gone) override { on_gone_ = std::move(on_gone); }
  void Leave() {
    gone = true;
    if (const auto tell = std::exchange(on_gone_, nullptr)) {
      tell();
    }
  }

  unsigned status = 0;
  std::string body;
  int n_begun = 0;
  int n_ended = 0;
  int n_after_end = 0;
  bool is_stream = false;
  bool whole = false;
  bool gone = false;
  bool early = false;  // its head has left already (AnswerLater)

 private:
  http::Request request_;
  Random& random_;
  std::function<void()> on_gone_;
};

size_t Count(std::string_view text, std::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) {
    ++n;
  }
  return n;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t n = Utf8Length(text);
    if (n == 0) {
      return false;
    }
    text.remove_prefix(n);
  }
  return true;
}

struct Route {
  const char* path;
  const char* members;     // of its body, beside the prompt's and "stream"
  const char* reason;      // what each choice's end has, and only it
  const char* whole_end;   // of a stream
  const char* error_mark;  // of a stream that failed
};

constexpr Route kRoutes[] = {
    {"/v1/completions", R"("prompt":[20,30,40])", R"("finish_reason":")", "data: [DONE]\n\n",
     R"(data: {"error":{)"},
    {"/v1/chat/completions", R"("messages":[{"role":"user","content":"Hi"}])",
     R"("finish_reason":")", "data: [DONE]\n\n", R"(data: {"error":{)"},
    {"/v1/messages", R"("model":"","messages":[{"role":"user","content":"Hi"}])",
     R"("stop_reason":")", "data: {\"type\":\"message_stop\"}\n\n", "event: error\n"},
    {"/v1/responses", R"("input":"Hi")", nullptr, nullptr, "event: response.failed\n"},
    {"/api/generate", R"("model":"","prompt":"Hi","raw":true)", R"("done_reason":")", "}\n",
     R"({"error":")"},
};

// The texts of a stream of /v1/completions together; each event is a JSON text of its own.
std::string TextOf(std::string_view stream) {
  std::string text;
  while (stream.starts_with("data: {")) {
    const size_t end = stream.find("\n\n");
    const auto chunk = text::jinja::ParseJson(std::string(stream.substr(6, end - 6)));
    EXPECT_TRUE(chunk) << stream.substr(6, end - 6);
    for (const auto& choice : chunk->Get("choices").list()) {
      text += choice.Get("text").string();
    }
    stream.remove_prefix(end + 2);
  }
  EXPECT_EQ(stream, "data: [DONE]\n\n");
  return text;
}

// What is not UTF-8 is told as U+FFFD.
std::string AsJson(std::string_view bytes) {
  return text::jinja::ParseJson(JsonText().String(bytes).text())->string();
}

class StreamFaults : public testing::Test {
 protected:
  StreamFaults() {
    auto loaded = engine::Engine::Load({.n_ctx = 512, .n_threads = 1}, {});
    engine_ = std::move(*loaded);
    service_ = std::make_shared<FaultyService>(*engine_, random_);
    auto serving = std::make_shared<Serving>();
    serving->models = std::make_shared<OneModel>(service_);
    router_ = MakeRoutes(serving);
  }

  std::shared_ptr<ShakyExchange> Ask(const char* path, std::string body, bool early = false) {
    auto exchange = std::make_shared<ShakyExchange>(http::Request{.method = "POST",
                                                                  .path = path,
                                                                  .query = {},
                                                                  .headers = {},
                                                                  .body = std::move(body),
                                                                  .id = "test"},
                                                    random_);
    exchange->early = early;
    router_.Find("POST", path).route->handler(exchange);
    return exchange;
  }

  Random random_{20261121};
  std::unique_ptr<engine::Engine> engine_;
  std::shared_ptr<FaultyService> service_;
  http::Router router_;
};

void ExpectAnEnd(const Route& route, const ShakyExchange& exchange, size_t n_choices) {
  ASSERT_EQ(exchange.n_begun, 1);
  ASSERT_EQ(exchange.n_after_end, 0) << exchange.body;
  ASSERT_TRUE(IsUtf8(exchange.body));
  if (exchange.gone) {
    ASSERT_LE(exchange.n_ended, 1);
    return;
  }
  ASSERT_EQ(exchange.n_ended, 1);
  if (!exchange.is_stream) {
    ASSERT_TRUE(exchange.whole || exchange.status >= 400);
    ASSERT_EQ(Count(exchange.body, "\"error\":{") + Count(exchange.body, "{\"error\":\""),
              exchange.whole ? 0U : 1U)
        << exchange.body;
  }
  if (route.reason != nullptr && exchange.whole) {
    ASSERT_EQ(Count(exchange.body, route.reason), n_choices) << exchange.body;
  }
  if (!exchange.is_stream) {
    return;
  }
  if (!exchange.whole) {
    ASSERT_EQ(Count(exchange.body, route.error_mark), 1U) << exchange.body;
    ASSERT_FALSE(route.whole_end != nullptr && exchange.body.ends_with("data: [DONE]\n\n"));
  } else if (route.whole_end != nullptr) {
    ASSERT_TRUE(exchange.body.ends_with(route.whole_end)) << exchange.body;
    ASSERT_EQ(Count(exchange.body, route.error_mark), 0U);
  } else {
    ASSERT_EQ(Count(exchange.body, "event: response.completed\n") +
                  Count(exchange.body, "event: response.incomplete\n"),
              1U)
        << exchange.body;
  }
}

// Reliability row L8; row P11 for those that are whole.
TEST_F(StreamFaults, EachReplyHasOneEndAndItsReason) {
  const int n_streams = NumberOfStreams();
  size_t n_whole = 0;
  size_t n_failed = 0;
  size_t n_gone = 0;
  size_t n_refused = 0;
  size_t n_stopped = 0;
  for (int i = 0; i < n_streams; ++i) {
    // The cheapest of them most often.
    const Route& route = kRoutes[OneIn(random_, 8) ? Draw(random_, std::size(kRoutes)) : 0];
    const bool has_n =
        route.whole_end != nullptr && std::string_view(route.whole_end) == "data: [DONE]\n\n";
    const uint32_t n = has_n && OneIn(random_, 10) ? 1 + Draw(random_, 3) : 1;
    const bool stream = !OneIn(random_, 4);
    const bool is_text = &route == &kRoutes[0] && stream && n == 1;
    std::string stop;
    std::string body = std::string("{") + route.members;
    if (is_text && OneIn(random_, 3)) {
      constexpr std::array kStops = {"e", "th", "aa", " t", "\u00e9"};
      stop = kStops[Draw(random_, kStops.size())];
      body += R"(,"stop":")" + stop + '"';
    }
    body += has_n ? ",\"n\":" + std::to_string(n) : "";
    body += stream ? ",\"stream\":true" : ",\"stream\":false";
    if (std::string_view(route.path) == "/v1/messages" || OneIn(random_, 2)) {
      const char* name = std::string_view(route.path) == "/v1/responses" ? "max_output_tokens"
                         : route.path[1] == 'a'                          ? "num_predict"
                                                                         : "max_tokens";
      const std::string member =
          std::string("\"") + name + "\":" + std::to_string(1 + Draw(random_, 30));
      body += route.path[1] == 'a' ? ",\"options\":{" + member + "}" : "," + member;
    }
    const auto exchange = Ask(route.path, body + "}");
    bool has_left = false;
    do {
      if (OneIn(random_, 200) && exchange->n_ended == 0) {
        has_left = true;
        exchange->Leave();
      }
    } while (service_->Turn());
    ASSERT_NO_FATAL_FAILURE(ExpectAnEnd(route, *exchange, n))
        << route.path << " " << body << " " << i;
    n_gone += has_left ? 1U : 0U;
    n_whole += !has_left && exchange->whole ? 1U : 0U;
    n_refused += !has_left && exchange->status >= 400 ? 1U : 0U;
    n_failed += !has_left && exchange->is_stream && !exchange->whole ? 1U : 0U;
    if (is_text && exchange->whole && !has_left) {
      ASSERT_EQ(service_->said.size(), 1U);
      const std::string& said = service_->said.begin()->second;
      const std::string_view told =
          std::string_view(said).substr(0, stop.empty() ? said.npos : said.find(stop));
      ASSERT_EQ(TextOf(exchange->body), AsJson(told)) << body << " " << i;
      n_stopped += told.size() < said.size() ? 1U : 0U;
    }
    // It is held by nobody any more, or it would be held for ever.
    ASSERT_EQ(exchange.use_count(), 1) << route.path;
    service_->said.clear();
  }
  std::printf(
      "%d replies: %zu whole, %zu at a stop string, %zu with an error event, %zu refused, %zu "
      "left\n",
      n_streams, n_whole, n_stopped, n_failed, n_refused, n_gone);
  const auto least = static_cast<size_t>(n_streams / 50);
  EXPECT_GT(n_whole, least);
  EXPECT_GT(n_failed, least);
  EXPECT_GT(n_refused, least);
  EXPECT_GT(n_gone, least);
  EXPECT_GT(n_stopped, least);
}

// Its model could not be loaded, say, and the client has waited for long.
TEST_F(StreamFaults, AStreamThatBeganEarlyIsToldItsErrorAsAnEvent) {
  for (const Route& route : kRoutes) {
    const std::string body = std::string("{") + route.members;
    const bool has_model = body.find("model") != std::string::npos;
    const std::string named = has_model ? "{\"model\":\"other\"," + body.substr(body.find(',') + 1)
                                        : body + ",\"model\":\"other\"";
    const auto exchange =
        Ask(route.path, named + ",\"max_tokens\":9,\"stream\":true}", /*early=*/true);
    EXPECT_EQ(exchange->n_ended, 1);
    EXPECT_FALSE(exchange->whole);
    EXPECT_EQ(Count(exchange->body, route.error_mark), 1U) << route.path << exchange->body;
  }
}

}  // namespace
}  // namespace plimsoll::server
