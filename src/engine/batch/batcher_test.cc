#include "engine/batch/batcher.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/batch/batch_test_tools.h"

namespace plimsoll::engine::batch {
namespace {

using testing::HasSubstr;

std::vector<GenerationRequest> MixedRequests(const Engine& engine) {
  std::vector<GenerationRequest> requests;
  const std::vector<std::string> texts = {
      "What is the capital of France?",
      "Tell me a story about a fox called Ada.",
      "Hello",
      "What is the capital of Japan?",
      "Tell me a story about a bear called Max who lived by the sea.",
      "My name is Ida."};
  for (size_t i = 0; i < 2 * texts.size(); ++i) {
    GenerationRequest request;
    request.prompt = Encode(engine, Question(texts[i % texts.size()]));
    request.options.n_predict = static_cast<uint32_t>(10 + 7 * i % 40);
    request.options.sampling.temperature = i % 3 == 0 ? 0.0F : 0.9F;
    request.options.sampling.repeat_penalty = i % 4 == 1 ? 1.2F : 1.0F;
    request.options.sampling.seed = i;
    if (i % 5 == 2) {
      request.options.stop = {" the"};
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

std::string TextAlone(Engine& engine, const GenerationRequest& request) {
  auto session = engine.NewSession();
  std::string text;
  const auto stats = (*session)->Generate(request.prompt, request.options, [&](std::string_view t) {
    text += t;
    return true;
  });
  EXPECT_TRUE(stats);
  return text;
}

std::vector<std::string> TextsAlone(uint32_t n_ctx) {
  const auto engine = LoadBundled(n_ctx);
  std::vector<std::string> texts;
  for (const GenerationRequest& request : MixedRequests(*engine)) {
    texts.push_back(TextAlone(*engine, request));
  }
  return texts;
}

void ExpectSameTexts(Batcher& batcher, const Engine& engine,
                     const std::vector<std::string>& alone) {
  std::vector<std::shared_ptr<Heard>> heard;
  RequestId id = 0;
  for (const GenerationRequest& request : MixedRequests(engine)) {
    heard.push_back(std::make_shared<Heard>());
    batcher.Add(++id, request, heard.back(), Clock::now());
    if (id % 3 == 0) {  // the others come while these are under way
      static_cast<void>(batcher.Step(Clock::now()));
    }
  }
  Finish(batcher);
  for (size_t i = 0; i < heard.size(); ++i) {
    EXPECT_EQ(heard[i]->text, alone[i]) << i;
    EXPECT_EQ(heard[i]->n_ends, 1) << i;
    EXPECT_FALSE(heard[i]->end.error) << i;
  }
}

TEST(Batcher, SaysWhatASessionSays) {
  const auto alone = TextsAlone(256);
  const auto engine = LoadBundled(256, 4);
  const auto batcher = engine->NewBatcher({.n_parallel = 4}).value();
  ExpectSameTexts(*batcher, *engine, alone);
  EXPECT_EQ(batcher->totals().n_preempted, 0U);
  // Half of the requests begin as another did.
  EXPECT_GT(batcher->totals().prompt_tokens_reused, batcher->totals().prompt_tokens / 3);
}

// The line holds one context of 128 tokens, and a dozen requests want it.
TEST(Batcher, GivesMemoryToTheOldestAndSaysTheSame) {
  const auto alone = TextsAlone(128);
  const auto roomy = LoadBundled(128);
  const uint64_t least = roomy->ledger().reserved_bytes;
  const uint64_t kv = [&] {
    const auto session = roomy->NewSession().value();
    return roomy->ledger().reserved_bytes - least;
  }();
  const auto engine = LoadBundled(128, 1, SizeSpec{.bytes = least + kv});
  ASSERT_FALSE(engine->paging()) << "the experts should be resident";
  const auto batcher = engine->NewBatcher({.n_parallel = 1}).value();
  ExpectSameTexts(*batcher, *engine, alone);
  EXPECT_GT(batcher->totals().n_preempted, 0U);
  EXPECT_LT(batcher->n_blocks(), 2 * kv::BlockPool::BlocksFor(128));
}

TEST(Batcher, ComputesACommonBeginningOnce) {
  const auto engine = LoadBundled(512, 4);
  const auto batcher = engine->NewBatcher({.n_parallel = 4}).value();
  std::string system = "<|im_start|>system\n";
  for (int i = 0; i < 15; ++i) {
    system += "You are a very patient teacher. ";
  }
  system += "<|im_end|>\n";
  const std::vector<std::string> questions = {"Hello", "Who are you?",
                                              "What is the capital of Peru?"};
  uint64_t n_all = 0;
  std::vector<std::shared_ptr<Heard>> heard;
  for (size_t i = 0; i < questions.size(); ++i) {
    GenerationRequest request;
    request.prompt = Encode(*engine, system + Question(questions[i]));
    request.options.n_predict = 4;
    n_all += request.prompt.size();
    heard.push_back(std::make_shared<Heard>());
    batcher->Add(i + 1, std::move(request), heard.back(), Clock::now());
  }
  Finish(*batcher);
  const size_t n_system = Encode(*engine, system).size();
  ASSERT_GT(n_system, 150U);
  EXPECT_EQ(batcher->totals().prompt_tokens, n_all);
  EXPECT_GE(batcher->totals().prompt_tokens_reused, 2 * n_system);
  EXPECT_EQ(heard[0]->end.stats.n_prompt_reused, 0U);
  EXPECT_GE(heard[1]->end.stats.n_prompt_reused, n_system);
}

TEST(Batcher, GoesOnWhereAConversationEnded) {
  const auto engine = LoadBundled(512);
  const auto batcher = engine->NewBatcher({.n_parallel = 1}).value();
  GenerationRequest request;
  request.prompt = Encode(*engine, Question("My name is Ada."));
  request.options.sampling.temperature = 0;
  const auto first = std::make_shared<Heard>();
  batcher->Add(1, request, first, Clock::now());
  Finish(*batcher);
  ASSERT_EQ(first->end.reason, FinishReason::kEnd);
  const std::string said = Question("My name is Ada.") + first->text;
  GenerationRequest next = request;
  next.prompt = Encode(*engine, said + "<|im_end|>\n" + Question("What is my name?"));
  const auto second = std::make_shared<Heard>();
  batcher->Add(2, next, second, Clock::now());
  Finish(*batcher);
  EXPECT_GE(second->end.stats.n_prompt_reused, request.prompt.size());
}

TEST(Batcher, FreesTheMemoryOfACancelledRequest) {
  const auto engine = LoadBundled(128);
  const auto batcher = engine->NewBatcher({.n_parallel = 1}).value();
  std::vector<std::shared_ptr<Heard>> heard;
  for (RequestId id = 1; id <= 3; ++id) {
    GenerationRequest request;
    request.prompt = Encode(*engine, Question("Hello"));
    request.options.n_predict = 100;
    request.options.ignore_end = true;
    heard.push_back(std::make_shared<Heard>());
    batcher->Add(id, std::move(request), heard.back(), Clock::now());
  }
  static_cast<void>(batcher->Step(Clock::now()));
  static_cast<void>(batcher->Step(Clock::now()));
  batcher->Cancel(1);
  batcher->Cancel(1);
  batcher->Cancel(99);
  EXPECT_EQ(heard[0]->n_ends, 1);
  EXPECT_EQ(heard[0]->end.reason, FinishReason::kInterrupted);
  batcher->CancelAll();
  EXPECT_EQ(heard[1]->n_ends, 1);
  EXPECT_EQ(heard[2]->n_ends, 1);
  EXPECT_TRUE(batcher->running().empty());
  EXPECT_TRUE(batcher->waiting().empty());
  EXPECT_EQ(batcher->Step(Clock::now()), Batcher::Outcome::kIdle);
}

TEST(Batcher, WaitsForASlowReaderAndGivesItUpInTheEnd) {
  const auto engine = LoadBundled(128, 2);
  const auto batcher = engine->NewBatcher({.n_parallel = 2, .max_paused_seconds = 10}).value();
  GenerationRequest request;
  request.prompt = Encode(*engine, Question("Hello"));
  request.options.n_predict = 20;
  request.options.ignore_end = true;
  const auto slow = std::make_shared<Heard>();
  const auto quick = std::make_shared<Heard>();
  slow->has_room = false;
  batcher->Add(1, request, slow, Clock::now());
  batcher->Add(2, request, quick, Clock::now());
  const auto start = Clock::now();
  while (batcher->Step(start) == Batcher::Outcome::kWorked) {
  }
  EXPECT_EQ(quick->end.stats.n_generated, 20U);
  EXPECT_EQ(slow->n_ends, 0);
  EXPECT_EQ(batcher->Step(start + std::chrono::seconds(9)), Batcher::Outcome::kPaused);
  slow->has_room = true;
  EXPECT_EQ(batcher->Step(start + std::chrono::seconds(9)), Batcher::Outcome::kWorked);
  slow->has_room = false;
  EXPECT_EQ(batcher->Step(start + std::chrono::seconds(10)), Batcher::Outcome::kPaused);
  EXPECT_EQ(batcher->Step(start + std::chrono::seconds(30)), Batcher::Outcome::kIdle);
  ASSERT_TRUE(slow->end.error);
  EXPECT_EQ(slow->end.error->kind, ErrorKind::kTimeLimit);
  EXPECT_THAT(slow->end.error->message, HasSubstr("10 seconds"));
}

TEST(Batcher, StartsOthersWhileReadersAreBehind) {
  const auto engine = LoadBundled(128, 3);
  const auto batcher = engine->NewBatcher({.n_parallel = 3, .max_running = 1}).value();
  GenerationRequest request;
  request.prompt = Encode(*engine, Question("Hello"));
  request.options.n_predict = 5;
  request.options.ignore_end = true;
  std::vector<std::shared_ptr<Heard>> heard;
  const auto now = Clock::now();
  for (RequestId id = 1; id <= 3; ++id) {
    heard.push_back(std::make_shared<Heard>());
    heard.back()->has_room = id == 3;
    batcher->Add(id, request, heard.back(), now);
  }
  for (int i = 0; i < 30; ++i) {  // those that pause make room for the next
    static_cast<void>(batcher->Step(now));
  }
  EXPECT_EQ(heard[2]->end.stats.n_generated, 5U);
  EXPECT_EQ(heard[0]->n_ends + heard[1]->n_ends, 0);
  heard[0]->has_room = heard[1]->has_room = true;
  Finish(*batcher);
  EXPECT_EQ(heard[0]->n_ends + heard[1]->n_ends, 2);
}

// A line for one context: whoever does not read his answer gives his memory to those who read.
TEST(Batcher, ReadersThatAreBehindGiveTheirMemoryUp) {
  const auto engine = LoadBundled(128);
  const auto batcher = engine->NewBatcher({.n_parallel = 1}).value();
  const memory::LedgerSnapshot ledger = engine->ledger();
  ASSERT_TRUE(engine->SetLine(ledger.reserved_bytes + ledger.kept_bytes));
  RequestId last_id = 0;
  const auto add = [&](const std::string& question) {
    GenerationRequest request;
    request.prompt = Encode(*engine, Question(question));
    request.options.n_predict = 90;
    request.options.ignore_end = true;
    request.options.sampling.temperature = 0;
    request.prefix_owner = std::to_string(last_id);  // nothing is shared
    auto heard = std::make_shared<Heard>();
    batcher->Add(++last_id, std::move(request), heard, Clock::now());
    return heard;
  };
  const auto alone = add("Hello");
  Finish(*batcher);
  const auto slow = add("Hello");
  while (slow->tokens.size() < 60) {
    ASSERT_EQ(batcher->Step(Clock::now()), Batcher::Outcome::kWorked);
  }
  slow->has_room = false;
  const auto quick = add("Who are you?");
  while (batcher->Step(Clock::now()) == Batcher::Outcome::kWorked) {
  }
  EXPECT_EQ(quick->end.stats.n_generated, 90U);
  EXPECT_EQ(slow->tokens.size(), 60U);
  EXPECT_EQ(batcher->totals().n_preempted, 1U);
  ASSERT_EQ(batcher->paused().size(), 1U);
  // It is not computed anew for nothing.
  EXPECT_EQ(batcher->Step(Clock::now()), Batcher::Outcome::kPaused);
  EXPECT_EQ(batcher->paused()[0]->kv, nullptr);
  slow->has_room = true;
  Finish(*batcher);
  EXPECT_EQ(slow->n_ends, 1);
  EXPECT_EQ(slow->text, alone->text);
  EXPECT_EQ(batcher->totals().n_failed, 0U);
}

// What it has computed is there for others at once.
TEST(Batcher, DoesNotWaitForOneThatIsPaused) {
  const auto engine = LoadBundled(256, 2);
  const auto batcher = engine->NewBatcher({.n_parallel = 2}).value();
  GenerationRequest request;
  std::string text = "Hello";
  for (int i = 0; i < 15; ++i) {
    text += " my name is Ida.";
  }
  request.prompt = Encode(*engine, Question(text));
  ASSERT_GT(request.prompt.size(), 64U);
  request.options.n_predict = 20;
  request.options.ignore_end = true;
  request.options.sampling.temperature = 0;
  const auto paused = std::make_shared<Heard>();
  paused->has_room = false;
  batcher->Add(1, request, paused, Clock::now());
  const auto now = Clock::now();
  while (batcher->Step(now) == Batcher::Outcome::kWorked) {
  }
  // The next one asks for all that was said, the token included that is not computed yet.
  GenerationRequest next = request;
  next.prompt = batcher->paused()[0]->tokens;
  const auto quick = std::make_shared<Heard>();
  batcher->Add(2, next, quick, Clock::now());
  while (batcher->Step(now) == Batcher::Outcome::kWorked) {
  }
  EXPECT_EQ(quick->n_ends, 1);
  EXPECT_GE(quick->end.stats.n_prompt_reused + 1, request.prompt.size());
}

TEST(Batcher, AnIdleHourIsNoTimeOfWaiting) {
  const auto engine = LoadBundled(128);
  const auto batcher = engine->NewBatcher({.n_parallel = 1, .max_running = 1}).value();
  GenerationRequest request;
  request.prompt = Encode(*engine, Question("Hello"));
  request.options.n_predict = 2;
  auto now = Clock::now();
  const auto run = [&] {
    while (batcher->Step(now) == Batcher::Outcome::kWorked) {
      now += std::chrono::milliseconds(10);
    }
  };
  batcher->Add(1, request, std::make_shared<Heard>(), now);
  run();
  now += std::chrono::hours(1);
  for (RequestId id = 2; id <= 5; ++id) {
    batcher->Add(id, request, std::make_shared<Heard>(), now);
  }
  run();
  EXPECT_GT(batcher->seconds_per_start(), 0);
  EXPECT_LT(batcher->seconds_per_start(), 1);
}

TEST(Batcher, EndsARequestThatTakesTooLong) {
  const auto engine = LoadBundled(128);
  const auto batcher = engine->NewBatcher({.n_parallel = 1, .max_seconds = 5}).value();
  GenerationRequest request;
  request.prompt = Encode(*engine, Question("Hello"));
  const auto heard = std::make_shared<Heard>();
  const auto now = Clock::now();
  batcher->Add(1, request, heard, now);
  static_cast<void>(batcher->Step(now + std::chrono::seconds(6)));
  ASSERT_TRUE(heard->end.error);
  EXPECT_EQ(heard->end.error->kind, ErrorKind::kTimeLimit);
}

TEST(Batcher, TellsHowLikelyTokensWere) {
  const auto engine = LoadBundled(128);
  const auto batcher = engine->NewBatcher({.n_parallel = 1}).value();
  GenerationRequest request;
  request.prompt = Encode(*engine, Question("What is the capital of France?"));
  request.options.sampling.temperature = 0;
  request.n_top_logprobs = 3;
  const auto heard = std::make_shared<Heard>();
  batcher->Add(1, request, heard, Clock::now());
  Finish(*batcher);
  ASSERT_GT(heard->tokens.size(), 1U);
  for (const GeneratedToken& token : heard->tokens) {
    ASSERT_EQ(token.top.size(), 3U);
    EXPECT_EQ(token.top[0].token, token.token);  // greedy
    EXPECT_EQ(token.top[0].logprob, token.logprob);
    EXPECT_GE(token.top[0].logprob, token.top[1].logprob);
    EXPECT_LE(token.logprob, 0);
  }
}

TEST(Batcher, EmbedsBetweenSteps) {
  const auto engine = LoadBundled(128);
  const auto batcher = engine->NewBatcher({.n_parallel = 1}).value();
  const auto dot = [](const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i)
      sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return sum;
  };
  const auto long_text = Encode(
      *engine, "Once upon a time a fox called Ada lived by the sea. " + std::string(300, 'a'));
  ASSERT_GT(long_text.size(), 64U);  // more than a chunk
  const auto a = batcher->Embed(std::span(long_text).first(100)).value();
  const auto b = batcher->Embed(std::span(long_text).first(99)).value();
  const auto c = batcher->Embed(Encode(*engine, "{\"id\": 7}")).value();
  EXPECT_EQ(a.size(), 128U);
  EXPECT_NEAR(dot(a, a), 1, 1e-6);
  EXPECT_GT(dot(a, b), dot(a, c));
  EXPECT_FALSE(batcher->Embed({}));
  EXPECT_FALSE(batcher->Embed(std::vector<TokenId>(129, 5)));
}

TEST(CheckRequest, SaysWhyARequestCannotRun) {
  const auto refused = [](GenerationRequest request) {
    const auto checked = CheckRequest(request, 8, 100);
    return checked ? std::string("taken") : checked.error().message;
  };
  EXPECT_EQ(refused({.prompt = {1, 2, 3}}), "taken");
  EXPECT_EQ(refused({.prompt = std::vector<TokenId>(7, 1)}), "taken");
  EXPECT_THAT(refused({}), HasSubstr("no tokens"));
  EXPECT_THAT(refused({.prompt = std::vector<TokenId>(8, 1)}), HasSubstr("8 tokens"));
  EXPECT_THAT(refused({.prompt = {100}}), HasSubstr("100 is no token"));
  EXPECT_THAT(refused({.prompt = {-1}}), HasSubstr("-1 is no token"));
  EXPECT_THAT(refused({.prompt = {1}, .n_top_logprobs = 21}), HasSubstr("20"));
  GenerationRequest hot = {.prompt = {1}};
  hot.options.sampling.temperature = -1;
  EXPECT_THAT(refused(hot), HasSubstr("temperature"));
}

// Which of `requests` ended when, one running at a time.
std::vector<RequestId> OrderOfEnds(Engine& engine, const BatchOptions& options,
                                   const std::vector<GenerationRequest>& requests) {
  struct Ending final : GenerationSink {
    void OnText(std::string_view /*text*/, std::span<const GeneratedToken> /*drawn*/) override {}
    void OnEnd(const GenerationEnd& /*how*/) override { order->push_back(id); }
    std::vector<RequestId>* order = nullptr;
    RequestId id = 0;
  };
  std::vector<RequestId> order;
  auto batcher = engine.NewBatcher(options);
  for (const GenerationRequest& request : requests) {
    auto sink = std::make_shared<Ending>();
    sink->order = &order;
    sink->id = order.size() + (*batcher)->waiting().size() + 1;
    (*batcher)->Add(sink->id, request, sink, Clock::now());
  }
  Finish(**batcher);
  return order;
}

TEST(Batcher, TakesThoseThatWaitInThePolicysOrder) {
  const auto engine = LoadBundled(256);
  const std::string story = Question("Tell me a story about a bear called Max.");
  std::vector<GenerationRequest> requests(4);
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].prompt = Encode(*engine, i == 3 ? Question("Hello") : story);
    requests[i].options.ignore_end = true;
    requests[i].options.n_predict = i == 0 ? 60 : i == 1 ? 10 : 30;
    requests[i].priority = i == 2 ? -1 : static_cast<int32_t>(i);
  }
  const auto order = [&](const std::string& name) {
    return OrderOfEnds(*engine, {.max_running = 1, .order = name}, requests);
  };
  using testing::ElementsAre;
  EXPECT_THAT(order("fcfs"), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(order("priority"), ElementsAre(3, 1, 2, 4));
  EXPECT_THAT(order("sjf"), ElementsAre(2, 3, 4, 1));
  // The story's question is there after the first one, so that only its answer counts.
  EXPECT_THAT(order("svf"), ElementsAre(2, 3, 4, 1));
  EXPECT_THAT(order("prefix"), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(
      OrderOfEnds(*engine, {.max_running = 1, .order = "sjf", .max_order_seconds = -1}, requests),
      ElementsAre(1, 2, 3, 4))
      << "who waits for too long goes first";
  EXPECT_FALSE(engine->NewBatcher({.order = "lifo"}));
}

TEST(Batcher, TheOrderChangesNoText) {
  const std::vector<std::string> alone = TextsAlone(256);
  for (const std::string_view name : order::OrderPolicyNames()) {
    SCOPED_TRACE(name);
    const auto engine = LoadBundled(256);
    auto batcher = engine->NewBatcher({.max_running = 3, .order = std::string(name)});
    ASSERT_TRUE(batcher);
    ExpectSameTexts(**batcher, *engine, alone);
  }
}

// With lengths known, nobody is started who would have to give the memory up again; also where all
// begin with what one who is gone has computed.
TEST(Batcher, KnownLengthsAreMadeRoomFor) {
  const auto n_preempted = [](const std::string& order, bool is_shared) {
    const auto engine = LoadBundled(256);
    auto batcher = engine->NewBatcher({.n_parallel = 1, .order = order});
    EXPECT_TRUE(batcher);
    const memory::LedgerSnapshot ledger = engine->ledger();
    EXPECT_TRUE(engine->SetLine(ledger.reserved_bytes + ledger.kept_bytes));
    const auto add = [&](RequestId id, const std::string& text, uint32_t n_predict) {
      GenerationRequest request;
      request.prompt = Encode(*engine, text);
      request.options.ignore_end = true;
      request.options.n_predict = n_predict;
      request.prefix_owner = is_shared ? "all" : std::to_string(id);
      (*batcher)->Add(id, request, std::make_shared<Heard>(), Clock::now());
    };
    std::string beginning;
    for (int i = 0; is_shared && i < 5; ++i) {
      beginning += "Rule " + std::to_string(i) + ": be a very patient teacher. ";
    }
    if (is_shared) {
      add(100, beginning, 1);
      Finish(**batcher);
    }
    for (RequestId id = 1; id <= 6; ++id) {
      add(id, beginning + Question("Tell me of the sea, " + std::to_string(id)),
          is_shared ? 70 : 100);
    }
    Finish(**batcher);
    EXPECT_EQ((*batcher)->totals().n_failed, 0U);
    return (*batcher)->totals().n_preempted;
  };
  for (const bool is_shared : {false, true}) {
    EXPECT_GT(n_preempted("fcfs", is_shared), 0U) << is_shared;
    EXPECT_EQ(n_preempted("svf", is_shared), 0U) << is_shared;
  }
}

}  // namespace
}  // namespace plimsoll::engine::batch
