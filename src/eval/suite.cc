#include "eval/suite.h"

#include <utility>

#include "eval/play.h"

namespace plimsoll::eval {
namespace {

// Sentences of filler, of some 12 tokens each, that leave room for four questions and answers.
uint32_t FillerFor(uint32_t n_ctx) {
  constexpr uint32_t kTurnTokens = 320;
  constexpr uint32_t kSentenceTokens = 14;
  return n_ctx > kTurnTokens ? (n_ctx - kTurnTokens) / kSentenceTokens : 0;
}

// Behind those that are played.
constexpr uint32_t kFirstTranscript = 1U << 20U;

Result<std::vector<std::vector<TokenId>>> GeneratedTexts(const engine::Engine& engine,
                                                         uint64_t seed) {
  std::vector<std::vector<TokenId>> texts;
  for (const Task task : {Task::kMultiKey, Task::kMultiTurn, Task::kState, Task::kCopy}) {
    auto text = Transcript(
        engine, MakeDialogue(task, seed, kFirstTranscript, FillerFor(engine.summary().n_ctx)));
    if (!text) {
      return Forward(text);
    }
    texts.push_back(std::move(*text));
  }
  return texts;
}

// Sums over the dialogues of a task, and what they took.
class TaskSums {
 public:
  explicit TaskSums(Task task) { result_.task = task; }

  void Add(const Dialogue& dialogue, std::span<const TurnOutcome> outcomes) {
    result_.first.Add(outcomes.front().is_right);
    for (size_t i = 1; i < outcomes.size(); ++i) {
      if (!dialogue.turns[i].is_small_talk) {
        result_.later.Add(outcomes[i].is_right);
        result_.nll += outcomes[i].answer_nll;
      }
    }
  }
  [[nodiscard]] TaskResult Result() const {
    TaskResult result = result_;
    result.nll /= result.later.n == 0 ? 1 : result.later.n;
    return result;
  }

 private:
  TaskResult result_;
};

// How fast tokens followed one another.
class DecodeRate {
 public:
  void Add(const engine::GenerateStats& stats) {
    if (stats.n_generated > 1) {
      n_tokens_ += stats.n_generated - 1;
      seconds_ += stats.decode_seconds;
    }
  }
  [[nodiscard]] double tokens_per_second() const { return seconds_ > 0 ? n_tokens_ / seconds_ : 0; }

 private:
  double n_tokens_ = 0;
  double seconds_ = 0;
};

double MeanShare(std::span<const TaskResult> tasks, Score TaskResult::*score) {
  double sum = 0;
  for (const TaskResult& task : tasks) {
    sum += (task.*score).share();
  }
  return tasks.empty() ? 0 : sum / static_cast<double>(tasks.size());
}

}  // namespace

double Row::score() const { return MeanShare(tasks, &TaskResult::later); }
double Row::first_score() const { return MeanShare(tasks, &TaskResult::first); }

Result<Suite> Suite::Make(const engine::Engine& engine, SuiteOptions options) {
  auto texts = std::exchange(options.texts, {});
  if (texts.empty()) {
    auto generated = GeneratedTexts(engine, options.seed);
    if (!generated) {
      return Forward(generated);
    }
    texts = std::move(*generated);
  }
  const auto vocab_size = static_cast<uint32_t>(engine.tokenizer().size());
  return Suite(std::move(options), TextComparison(std::move(texts), vocab_size));
}

Result<Row> Suite::Run(engine::Engine& engine, const Setup& setup) {
  auto session = engine.NewSession();
  if (!session) {
    return Forward(session);
  }
  Row row = {.setup = setup};
  DecodeRate rate;
  const auto n_all = static_cast<uint32_t>(options_.tasks.size()) * options_.n_dialogues;
  uint32_t n_done = 0;
  for (const Task task : options_.tasks) {
    TaskSums sums(task);
    for (uint32_t i = 0; i < options_.n_dialogues; ++i) {
      const Dialogue dialogue =
          MakeDialogue(task, options_.seed, i, FillerFor((*session)->n_ctx()));
      auto outcomes = Play(engine, **session, dialogue);
      if (!outcomes) {
        return Forward(outcomes);
      }
      sums.Add(dialogue, *outcomes);
      for (const TurnOutcome& outcome : *outcomes) {
        rate.Add(outcome.stats);
      }
      if (options_.on_progress) {
        options_.on_progress(++n_done, n_all);
      }
    }
    row.tasks.push_back(sums.Result());
  }
  auto text = texts_.Run(**session);
  if (!text) {
    return Forward(text);
  }
  row.text = *text;
  row.tokens_per_second = rate.tokens_per_second();
  row.peak_bytes = engine.ledger().of(memory::Account::kKv).high_water_bytes;
  return row;
}

}  // namespace plimsoll::eval
