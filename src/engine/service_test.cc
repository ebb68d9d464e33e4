#include "engine/service.h"

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::engine {
namespace {

using testing::HasSubstr;

class Listener final : public GenerationSink {
 public:
  void OnText(std::string_view part, std::span<const GeneratedToken> /*tokens*/) override {
    const std::lock_guard lock(mutex_);
    text_ += part;
  }
  void OnEnd(const GenerationEnd& end) override {
    const std::lock_guard lock(mutex_);
    end_ = end;
    ended_.notify_all();
  }
  GenerationEnd Wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(ended_.wait_for(lock, std::chrono::seconds(60), [&] { return end_.has_value(); }));
    return end_.value_or(GenerationEnd{});
  }
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::string text_;
  std::optional<GenerationEnd> end_;
};

std::shared_ptr<Service> StartBundled(ServiceOptions options = {}) {
  options.n_parallel = 2;
  auto engine = Engine::Load({.n_ctx = 256, .n_parallel = 2, .n_threads = 1}, {});
  EXPECT_TRUE(engine);
  return StartService(std::move(*engine), options).value();
}

GenerationRequest Ask(const Service& service, const std::string& text, uint32_t n_predict) {
  GenerationRequest request;
  request.prompt = service.tokenizer().Encode(
      "<|im_start|>user\n" + text + "<|im_end|>\n<|im_start|>assistant\n", {.parse_special = true});
  request.options.n_predict = n_predict;
  request.options.ignore_end = true;
  request.options.sampling.temperature = 0;
  return request;
}

TEST(Service, AnswersManyThreadsAlike) {
  const auto service = StartBundled();
  const auto alone = std::make_shared<Listener>();
  ASSERT_TRUE(service->Submit(Ask(*service, "Hello", 20), alone).value());
  EXPECT_EQ(alone->Wait().stats.n_generated, 20U);
  std::vector<std::thread> clients;
  std::atomic<int> n_same = 0;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      const auto listener = std::make_shared<Listener>();
      EXPECT_TRUE(service->Submit(Ask(*service, "Hello", 20), listener).value());
      listener->Wait();
      n_same += listener->text() == alone->text() ? 1 : 0;
    });
  }
  for (std::thread& client : clients) {
    client.join();
  }
  EXPECT_EQ(n_same, 8);
  service->Drain(std::chrono::steady_clock::now() + std::chrono::seconds(60));
  const ServiceSnapshot snapshot = service->Snapshot();
  EXPECT_EQ(snapshot.n_accepted, 9U);
  EXPECT_EQ(snapshot.n_finished[static_cast<size_t>(FinishReason::kLength)], 9U);
  EXPECT_EQ(snapshot.generated_tokens, 180U);
  EXPECT_TRUE(snapshot.running.empty());
  EXPECT_TRUE(snapshot.paused.empty());
}

TEST(Service, RefusesWhatCanNeverRun) {
  const auto service = StartBundled();
  const auto refused = service->Submit({}, std::make_shared<Listener>());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
}

TEST(Service, RefusesWhatTheQueueCannotHold) {
  const auto service = StartBundled({.max_queue = 3, .max_running = 1});
  std::vector<std::shared_ptr<Listener>> listeners;
  std::optional<Overload> overload;
  for (int i = 0; i < 50 && !overload; ++i) {
    listeners.push_back(std::make_shared<Listener>());
    const auto taken = service->Submit(Ask(*service, "Hello", 200), listeners.back()).value();
    if (!taken) {
      overload = taken.error();
      listeners.pop_back();
    }
  }
  ASSERT_TRUE(overload);
  EXPECT_EQ(overload->limit, Overload::Limit::kRequests);
  EXPECT_GE(overload->retry_seconds, 1);
  EXPECT_EQ(service->Snapshot().n_rejected, 1U);
  for (const auto& listener : listeners) {
    EXPECT_EQ(listener->Wait().reason, FinishReason::kLength);  // nobody who was taken is lost
  }
}

TEST(Service, CancelsBetweenSteps) {
  const auto service = StartBundled();
  const auto listener = std::make_shared<Listener>();
  const auto id = service->Submit(Ask(*service, "Hello", 0), listener).value();
  ASSERT_TRUE(id);
  service->Cancel(*id);
  EXPECT_EQ(listener->Wait().reason, FinishReason::kInterrupted);
}

TEST(Service, DrainsAndThenTakesNothing) {
  const auto service = StartBundled();
  const auto patient = std::make_shared<Listener>();
  ASSERT_TRUE(service->Submit(Ask(*service, "Hello", 30), patient).value());
  service->Drain(std::chrono::steady_clock::now() + std::chrono::seconds(60));
  EXPECT_EQ(patient->Wait().reason, FinishReason::kLength);
  const auto late =
      service->Submit(Ask(*service, "Hello", 1), std::make_shared<Listener>()).value();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().limit, Overload::Limit::kStopping);
}

TEST(Service, EndsWhatIsNotDoneAtTheDeadline) {
  const auto service = StartBundled();
  const auto cut = std::make_shared<Listener>();
  ASSERT_TRUE(service->Submit(Ask(*service, "Hello", 0), cut).value());
  service->Drain(std::chrono::steady_clock::now());
  EXPECT_EQ(cut->Wait().reason, FinishReason::kInterrupted);
}

// Holds the service, and lets it go at its end.
class LastHolder final : public GenerationSink {
 public:
  explicit LastHolder(std::shared_ptr<Service> service, std::atomic<bool>& ended)
      : service_(std::move(service)), ended_(ended) {}
  void OnText(std::string_view /*text*/, std::span<const GeneratedToken> /*tokens*/) override {}
  void OnEnd(const GenerationEnd& /*end*/) override {
    service_.reset();
    ended_ = true;
  }

 private:
  std::shared_ptr<Service> service_;
  std::atomic<bool>& ended_;
};

TEST(Service, MayBeLetGoByItsOwnThread) {
  std::atomic<bool> ended = false;
  auto service = StartBundled();
  ASSERT_TRUE(
      service->Submit(Ask(*service, "Hello", 5), std::make_shared<LastHolder>(service, ended))
          .value());
  service.reset();
  while (!ended) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST(Service, EndsWhatItStillHasWhenItIsLetGo) {
  auto service = StartBundled();
  std::vector<std::shared_ptr<Listener>> listeners;
  for (int i = 0; i < 5; ++i) {
    listeners.push_back(std::make_shared<Listener>());
    ASSERT_TRUE(service->Submit(Ask(*service, "Hello", 0), listeners.back()).value());
  }
  service.reset();
  for (const auto& listener : listeners) {
    EXPECT_EQ(listener->Wait().reason, FinishReason::kInterrupted);
  }
}

TEST(Service, CancelsAndLimitsEmbeddings) {
  const auto service = StartBundled({.max_queue = 1});
  const auto tokens = Ask(*service, "Hello", 0).prompt;
  std::promise<Result<std::vector<std::vector<float>>>> result;
  const auto id = service->Embed(Service::Texts(100'000, tokens),
                                 [&](auto done) { result.set_value(std::move(done)); });
  ASSERT_TRUE(id);
  const auto refused = service->Embed({tokens}, [](const auto&) { FAIL(); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().limit, Overload::Limit::kRequests);
  service->Cancel(*id);
  const auto done = result.get_future().get();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::kInterrupted);
}

TEST(Service, MovesTheLineAndEmbedsWhileItAnswers) {
  const auto service = StartBundled();
  const auto listener = std::make_shared<Listener>();
  ASSERT_TRUE(service->Submit(Ask(*service, "Hello", 60), listener).value());
  const uint64_t line = service->ledger().budget_bytes;
  EXPECT_TRUE(service->SetLine(line - 1024));
  EXPECT_EQ(service->ledger().budget_bytes, line - 1024);
  const auto refused = service->SetLine(1024);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
  std::atomic<size_t> n_floats = 0;
  const auto tokens = Ask(*service, "Hello", 0).prompt;
  ASSERT_TRUE(service->Embed({tokens, tokens, tokens},
                             [&](const Result<std::vector<std::vector<float>>>& done) {
                               n_floats = done->size() * done->front().size();
                             }));
  EXPECT_EQ(listener->Wait().stats.n_generated, 60U);
  service->Drain(std::chrono::steady_clock::now() + std::chrono::seconds(60));
  EXPECT_EQ(n_floats, 3 * 128U);
}

}  // namespace
}  // namespace plimsoll::engine
