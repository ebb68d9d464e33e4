// Grammars of answers, compiled once for all requests of a model.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "engine/service.h"
#include "grammar/automaton.h"
#include "grammar/token_masks.h"
#include "sampling/constrained_memory.h"
#include "server/api/api_error.h"
#include "server/api/output/answer_grammar.h"

namespace plimsoll::server::api {

// Errors: of output::MakeAnswerGrammar, and 400 for a form that no text can have.
[[nodiscard]] ApiResult<std::shared_ptr<const grammar::Automaton>> CompileForm(
    const output::AnswerForm& form);

// Of one model. Thread-safe.
class AnswerGrammars {
 public:
  static constexpr size_t kMaxGrammars = 64;

  // `tokenizer` outlives it. What is kept is within sampling::ConstrainedMemoryOf(tokenizer), which
  // the engine has reserved (EngineOptions::constrained).
  explicit AnswerGrammars(const text::Tokenizer& tokenizer)
      : AnswerGrammars(tokenizer, sampling::KeptGrammarBytes(tokenizer.size())) {}
  AnswerGrammars(const text::Tokenizer& tokenizer, uint64_t max_grammar_bytes)
      : tokenizer_(tokenizer), max_grammar_bytes_(max_grammar_bytes) {}

  // What holds a new answer to the form; its masks are shared. `at_start`: of
  // grammar::GrammarFilter. Requests that come together with one form wait for one compilation;
  // the latest that were compiled are kept: kMaxGrammars of max_grammar_bytes, and none that is
  // larger alone. Errors: of CompileForm.
  [[nodiscard]] ApiResult<std::shared_ptr<sampling::TokenFilter>> Filter(
      const output::AnswerForm& form, bool at_start);

  struct Totals {
    uint64_t n_compiled = 0;  // since the start
    size_t n_kept = 0;
    uint64_t bytes = 0;  // of these
  };
  [[nodiscard]] Totals totals() const;

 private:
  using Compiled = ApiResult<std::shared_ptr<const grammar::Automaton>>;
  struct Entry {
    std::once_flag once;
    Compiled compiled;
    uint64_t bytes = 0;  // that are part of the total; with the lock held
  };
  using Line = std::list<std::pair<std::string, std::shared_ptr<Entry>>>;

  [[nodiscard]] std::shared_ptr<Entry> EntryOf(const std::string& key);
  void Forget(const std::string& key, const Entry& entry);
  // It has been compiled: others go for it.
  void Count(const std::string& key, Entry& entry);
  void DropLast();  // with the lock held
  [[nodiscard]] Compiled Compile(output::AnswerForm form);
  [[nodiscard]] std::shared_ptr<grammar::TokenMasks> Masks();

  const text::Tokenizer& tokenizer_;
  const uint64_t max_grammar_bytes_;
  mutable std::mutex mutex_;
  Line line_;  // used last first
  std::unordered_map<std::string, Line::iterator> index_;
  uint64_t n_compiled_ = 0;
  uint64_t bytes_ = 0;
  std::once_flag masks_once_;
  std::shared_ptr<grammar::TokenMasks> masks_;
};

// Those of the models that are loaded. Thread-safe.
class GrammarsByModel {
 public:
  [[nodiscard]] std::shared_ptr<AnswerGrammars> Of(const std::shared_ptr<engine::Service>& service);

 private:
  struct OfModel {
    std::weak_ptr<engine::Service> service;
    std::shared_ptr<AnswerGrammars> grammars;
  };
  std::mutex mutex_;
  std::map<const engine::Service*, OfModel> models_;
};

}  // namespace plimsoll::server::api
