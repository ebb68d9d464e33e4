#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include <boost/json.hpp>
#include <gmock/gmock.h>
#include <unistd.h>

#include "server/batch/batch_order.h"
#include "server/batch/run_batch.h"
#include "server/test_server.h"

namespace plimsoll::server::batch {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class BatchFiles : public testing::Test {
 protected:
  BatchFiles() { std::filesystem::create_directories(folder_); }
  ~BatchFiles() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  [[nodiscard]] std::string Read(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] std::string Refusal(const std::string& text) const {
    const auto input = BatchInput::Open(Write("in.jsonl", text));
    EXPECT_FALSE(input);
    EXPECT_EQ(input ? ErrorKind::kFailed : input.error().kind, ErrorKind::kUsage);
    return input ? "" : input.error().message;
  }

  std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / ("plimsoll_batch_" + std::to_string(::getpid()));
};

std::string RequestLine(const std::string& id, const std::string& url, const std::string& body) {
  return R"({"custom_id":")" + id + R"(","method":"POST","url":")" + url + R"(","body":)" + body +
         "}\n";
}
std::string ChatLine(const std::string& id, const std::string& question,
                     const std::string& more = R"(,"max_tokens":8)") {
  return RequestLine(
      id, "/v1/chat/completions",
      R"({"messages":[{"role":"user","content":")" + question + R"("}])" + more + "}");
}

TEST_F(BatchFiles, InputIsLookedAtWhole) {
  auto input = BatchInput::Open(
      Write("in.jsonl", ChatLine("a", "Hello") + "\n \r\n" + ChatLine("b", "Hi") + "{}"));
  ASSERT_FALSE(input);
  EXPECT_THAT(input.error().message, HasSubstr("in.jsonl:5: "));
  input = BatchInput::Open(Write("in.jsonl", ChatLine("a", "Hello") + "\n" + ChatLine("b", "Hi")));
  ASSERT_TRUE(input) << input.error().message;
  ASSERT_EQ(input->lines().size(), 2U);
  EXPECT_EQ(input->lines()[1].custom_id, "b");
  EXPECT_THAT(*input->Body(1), HasSubstr(R"("content":"Hi")"));
  EXPECT_THAT(*input->Body(0), HasSubstr(R"("content":"Hello")"));
  Write("in.jsonl", ChatLine("x", "Hello"));
  EXPECT_EQ(input->Body(0).error().kind, ErrorKind::kIo);
  EXPECT_EQ(BatchInput::Open(folder_ / "nothing").error().kind, ErrorKind::kIo);
}

TEST_F(BatchFiles, WhatIsNoRequestIsNamed) {
  const std::string good = ChatLine("a", "Hello");
  EXPECT_THAT(Refusal(good + "no\n"), HasSubstr(":2: "));
  EXPECT_THAT(Refusal(good + good), HasSubstr(":2: the custom_id was there before"));
  EXPECT_THAT(Refusal(RequestLine("", "/v1/completions", "{}")), HasSubstr("custom_id"));
  EXPECT_THAT(Refusal(RequestLine("a", "/v1/models", "{}")),
              AllOf(HasSubstr("url"), HasSubstr("/v1/embeddings")));
  EXPECT_THAT(Refusal(RequestLine("a", "/v1/completions", "[]")), HasSubstr("body"));
  EXPECT_THAT(Refusal(R"({"custom_id":"a","url":"/v1/completions"})"), HasSubstr("body"));
  EXPECT_THAT(Refusal(R"({"custom_id":"a","method":"GET","url":"/v1/completions","body":{}})"),
              HasSubstr("method"));
}

TEST_F(BatchFiles, OutputGoesOnWhereItWasCut) {
  const std::filesystem::path path = folder_ / "out.jsonl";
  {
    auto output = BatchOutput::Open(path);
    ASSERT_TRUE(output);
    EXPECT_TRUE(output->Append("a", 200, R"({"x":1})"));
    EXPECT_TRUE(output->Append("b\"", 400, R"({"error":{}})"));
    EXPECT_FALSE(BatchOutput::Open(path)) << "one at a time";
  }
  const std::string whole = Read("out.jsonl");
  EXPECT_THAT(whole, HasSubstr(R"("custom_id":"a","response":{"status_code":200,)"));
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    Write("out.jsonl", whole.substr(0, cut));
    auto output = BatchOutput::Open(path);
    ASSERT_TRUE(output) << cut;
    const auto n_lines = static_cast<size_t>(std::ranges::count(whole.substr(0, cut), '\n'));
    EXPECT_EQ(output->answered().size(), n_lines);
    if (!output->answered().contains("b\"")) {
      EXPECT_TRUE(output->Append("b\"", 400, R"({"error":{}})"));
    }
    EXPECT_TRUE(Read("out.jsonl").ends_with(whole.substr(whole.find('\n') + 1)));
  }
  Write("out.jsonl", "my notes\n");
  EXPECT_EQ(BatchOutput::Open(path).error().kind, ErrorKind::kUsage);
  EXPECT_EQ(Read("out.jsonl"), "my notes\n") << "what is no such file stays";
  EXPECT_EQ(BatchOutput::Open(folder_ / "no" / "folder").error().kind, ErrorKind::kIo);
}

// Tokens computed when one after another is computed and only the last one's are kept.
size_t ComputedInTurn(const std::vector<std::vector<TokenId>>& prompts,
                      const std::vector<size_t>& order) {
  size_t n = 0;
  const std::vector<TokenId> none;
  const std::vector<TokenId>* last = &none;
  for (const size_t i : order) {
    n += prompts[i].size() -
         static_cast<size_t>(std::ranges::mismatch(*last, prompts[i]).in2 - prompts[i].begin());
    last = &prompts[i];
  }
  return n;
}

TEST(BatchOrder, KeepsWhatBeginsAlikeTogether) {
  std::mt19937_64 random(1);
  TokenId next_token = 0;
  for (int round = 0; round < 30; ++round) {
    // Prompts that continue others at block borders.
    std::vector<std::vector<TokenId>> prompts = {{}};
    for (int i = 0; i < 60; ++i) {
      std::vector<TokenId> prompt = prompts[random() % prompts.size()];
      for (uint64_t n = kTokensOfBlock * (1 + random() % 3); n > 0; --n) {
        prompt.push_back(next_token++);  // no two blocks begin alike by chance
      }
      prompts.push_back(std::move(prompt));
    }
    std::vector<PromptShape> shapes;
    std::set<std::vector<TokenId>> blocks;  // each block once, with all before it
    for (const auto& prompt : prompts) {
      shapes.push_back(ShapeOf(prompt, static_cast<double>(random() % 500)));
      for (size_t end = kTokensOfBlock; end <= prompt.size(); end += kTokensOfBlock) {
        blocks.emplace(prompt.begin(), prompt.begin() + static_cast<ptrdiff_t>(end));
      }
    }
    std::vector<size_t> order = OrderByPrefix(shapes);
    EXPECT_EQ(ComputedInTurn(prompts, order), blocks.size() * kTokensOfBlock);
    std::ranges::sort(order);
    for (size_t i = 0; i < order.size(); ++i) {
      ASSERT_EQ(order[i], i) << "each once";
    }
  }
}

TEST(BatchOrder, LongAnswersGoFirst) {
  const auto shape = [](TokenId first, double n_output) {
    return ShapeOf(std::vector<TokenId>(64, first), n_output);
  };
  const std::vector<PromptShape> shapes = {shape(1, 10), shape(2, 500), shape(1, 12),
                                           shape(3, 100)};
  EXPECT_THAT(OrderByPrefix(shapes), ElementsAre(1, 3, 2, 0));
  EXPECT_TRUE(OrderByPrefix({}).empty());
  // A chain of prompts, each the beginning of the next, is no deep recursion.
  std::vector<PromptShape> chain;
  std::vector<TokenId> prompt;
  for (TokenId i = 0; i < 3000; ++i) {
    prompt.insert(prompt.end(), kTokensOfBlock, i);
    chain.push_back(ShapeOf(prompt, 1));
  }
  EXPECT_EQ(OrderByPrefix(chain).size(), chain.size());
}

class BatchRun : public BatchFiles {
 protected:
  BatchRun() {
    auto engine = engine::Engine::Load({.n_ctx = 512, .n_threads = 1}, {});
    service_ = engine::StartService(std::move(*engine), {.max_queue = 1000}).value();
    auto serving = std::make_shared<Serving>();
    serving->models = std::make_shared<OneModel>(service_);
    serving->version = "1.2.3";
    serving->run_task.seed_of = SeedOfRequest;
    serving_ = serving;
  }

  Result<BatchProgress> Run(const std::string& requests, const std::string& name,
                            RunBatchOptions options = {}) {
    auto input = BatchInput::Open(Write("in.jsonl", requests));
    auto output = BatchOutput::Open(folder_ / name);
    EXPECT_TRUE(input && output);
    return RunBatch(serving_, *input, *output, options);
  }
  // Status and text by id.
  std::map<std::string, std::string> Answers(const std::string& name) const {
    std::map<std::string, std::string> answers;
    std::ifstream file(folder_ / name);
    for (std::string line; std::getline(file, line);) {
      const auto parsed = boost::json::parse(line);
      const auto& response = parsed.at("response");
      std::string text = std::to_string(response.at("status_code").as_int64());
      if (const auto* choices = response.at("body").as_object().if_contains("choices")) {
        const auto& choice = choices->at(0).as_object();
        text += " ";
        text += choice.contains("text") ? choice.at("text").as_string()
                                        : choice.at("message").at("content").as_string();
      }
      EXPECT_TRUE(answers.emplace(parsed.at("custom_id").as_string(), text).second);
    }
    return answers;
  }

  std::shared_ptr<engine::Service> service_;
  ServingPtr serving_;
};

std::string SomeRequests(int n) {
  std::string lines;
  for (int i = 0; i < n; ++i) {
    lines += ChatLine("chat-" + std::to_string(i), "Tell me a story, number " + std::to_string(i),
                      R"(,"max_tokens":12,"temperature":1)");
  }
  return lines;
}

TEST_F(BatchRun, AnswersEachLineOnce) {
  const std::string requests =
      ChatLine("chat", "What is the capital of France?") +
      RequestLine("text", "/v1/completions", R"({"prompt":"Once","max_tokens":4})") +
      RequestLine("vector", "/v1/embeddings", R"({"input":"Hello"})") +
      RequestLine("answer", "/v1/responses", R"({"input":"Hello","max_output_tokens":4})") +
      ChatLine("stream", "Hello", R"(,"stream":true)") + ChatLine("bad", "Hello", R"(,"n":0)") +
      ChatLine("other", "Hello", R"(,"model":"gpt-9")");
  const auto done = Run(requests, "out.jsonl");
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->n_done, 7U);
  EXPECT_EQ(done->n_refused, 3U);
  const auto answers = Answers("out.jsonl");
  ASSERT_EQ(answers.size(), 7U);
  EXPECT_EQ(answers.at("chat"), "200 The capital of France is Paris.");
  EXPECT_THAT(answers.at("text"), HasSubstr("200 "));
  EXPECT_EQ(answers.at("vector"), "200");
  EXPECT_EQ(answers.at("answer"), "200");
  EXPECT_EQ(answers.at("stream"), "400");
  EXPECT_EQ(answers.at("bad"), "400");
  EXPECT_EQ(answers.at("other"), "404");
  // Once more: nothing is left to do.
  const std::string before = Read("out.jsonl");
  EXPECT_EQ(Run(requests, "out.jsonl")->n_earlier, 7U);
  EXPECT_EQ(Read("out.jsonl"), before);
}

// Has one model that never finds room, beside that which answers.
class OneThatNeverFits final : public Models {
 public:
  explicit OneThatNeverFits(std::shared_ptr<Models> models) : models_(std::move(models)) {}
  [[nodiscard]] std::vector<ModelListing> List() const override { return models_->List(); }
  void Use(const std::string& name, UseFn then) override {
    if (name == "large") {
      then(tl::make_unexpected(
          api::ApiError{.status = 503, .message = "no room", .code = "does_not_fit"}));
    } else {
      models_->Use(name, std::move(then));
    }
  }
  void Unload(const std::string& name) override { models_->Unload(name); }
  [[nodiscard]] std::vector<std::shared_ptr<engine::Service>> Loaded() const override {
    return models_->Loaded();
  }
  [[nodiscard]] uint64_t line() const override { return models_->line(); }
  [[nodiscard]] uint64_t least_line() const override { return models_->least_line(); }
  [[nodiscard]] Result<> SetLine(uint64_t bytes) override { return models_->SetLine(bytes); }
  void Drain(std::chrono::steady_clock::time_point deadline) override { models_->Drain(deadline); }

 private:
  std::shared_ptr<Models> models_;
};

TEST_F(BatchRun, WhatCannotBeAnsweredDoesNotStopTheOthers) {
  auto serving = std::make_shared<Serving>(*serving_);
  serving->models = std::make_shared<OneThatNeverFits>(serving_->models);
  serving_ = serving;
  const auto done =
      Run(ChatLine("a", "Hello", R"(,"model":"large")") + ChatLine("b", "Hello"), "out.jsonl");
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->n_refused, 1U);
  const auto answers = Answers("out.jsonl");
  EXPECT_EQ(answers.at("a"), "503");
  EXPECT_THAT(answers.at("b"), HasSubstr("200 "));
}

TEST_F(BatchRun, StoppedAndGoneOnWithItSaysTheSame) {
  const std::string requests = SomeRequests(40);
  ASSERT_TRUE(Run(requests, "whole.jsonl"));
  size_t n_runs = 0;
  for (size_t stop_at = 5;; stop_at += 9) {
    size_t n_done = 0;
    ++n_runs;
    const auto done =
        Run(requests, "parts.jsonl",
            {.max_waiting = 6,
             .on_progress = [&](const BatchProgress& progress) { n_done = progress.n_done; },
             .is_stopped = [&] { return n_done >= stop_at; }});
    if (done) {
      break;
    }
    ASSERT_EQ(done.error().kind, ErrorKind::kInterrupted);
    ASSERT_LT(n_runs, 20U);
  }
  EXPECT_GT(n_runs, 3U);
  EXPECT_EQ(Answers("parts.jsonl"), Answers("whole.jsonl"));
}

}  // namespace
}  // namespace plimsoll::server::batch
