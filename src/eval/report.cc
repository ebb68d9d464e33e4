#include <fmt/format.h>

#include "base/bytes.h"
#include "base/json_text.h"
#include "eval/suite.h"

namespace plimsoll::eval {
namespace {

void WriteTask(JsonText& json, const TaskResult& task) {
  json.BeginObject();
  json.Key("task").String(TaskName(task.task));
  json.Key("judged").Number(task.later.n);
  json.Key("score").Number(task.later.share());
  json.Key("score_turn_1").Number(task.first.share());
  json.Key("answer_nll").Number(task.nll);
  json.EndObject();
}

void WriteRow(JsonText& json, const Row& row) {
  json.BeginObject();
  json.Key("policy").String(row.setup.policy);
  json.Key("budget").String(row.setup.budget);
  json.Key("precision").String(row.setup.precision);
  json.Key("score").Number(row.score());
  json.Key("score_turn_1").Number(row.first_score());
  json.Key("kl").Number(row.text.kl);
  json.Key("perplexity").Number(row.text.perplexity());
  json.Key("peak_bytes").Number(row.peak_bytes);
  json.Key("tokens_per_second").Number(row.tokens_per_second);
  json.Key("tasks").BeginArray();
  for (const TaskResult& task : row.tasks) {
    WriteTask(json, task);
  }
  json.EndArray().EndObject();
}

}  // namespace

std::string ToJson(std::span<const Row> rows) {
  JsonText json;
  json.BeginArray();
  for (const Row& row : rows) {
    WriteRow(json, row);
  }
  json.EndArray();
  return json.text() + "\n";
}

std::string ToTable(std::span<const Row> rows) {
  std::string text = "| policy | budget | precision |";
  std::string rule = "|---|---|---|";
  if (!rows.empty()) {
    for (const TaskResult& task : rows.front().tasks) {
      text += fmt::format(" {} |", TaskName(task.task));
      rule += "--:|";
    }
  }
  text += " score | turn 1 | answer nll | perplexity | KL | peak | tokens/s |\n";
  text += rule + "--:|--:|--:|--:|--:|--:|--:|\n";
  for (const Row& row : rows) {
    text +=
        fmt::format("| {} | {} | {} |", row.setup.policy, row.setup.budget, row.setup.precision);
    double nll = 0;
    for (const TaskResult& task : row.tasks) {
      text += fmt::format(" {}/{} |", task.later.n_right, task.later.n);
      nll += task.nll / static_cast<double>(row.tasks.size());
    }
    text += fmt::format(" {:.3f} | {:.3f} | {:.4f} | {:.4f} | {:.6f} | {} | {:.0f} |\n",
                        row.score(), row.first_score(), nll, row.text.perplexity(), row.text.kl,
                        FormatBytes(row.peak_bytes), row.tokens_per_second);
  }
  return text;
}

}  // namespace plimsoll::eval
