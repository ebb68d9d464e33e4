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
#include "server/api/api_error.h"
#include "server/api/output/answer_grammar.h"

namespace plimsoll::server::api {

// Of one model. Thread-safe.
class AnswerGrammars {
 public:
  static constexpr size_t kMaxGrammars = 64;
  static constexpr uint64_t kMaxMaskBytes = 32 << 20;

  // `tokenizer` outlives it.
  explicit AnswerGrammars(const text::Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // What holds a new answer to the form; its masks are shared. `at_start`: of
  // grammar::GrammarFilter. Requests that come together with one form wait for one compilation;
  // what was compiled is kept, of kMaxGrammars forms. Errors: of
  // output::MakeAnswerGrammar, and 400 for a form that no text can have.
  [[nodiscard]] ApiResult<std::shared_ptr<sampling::TokenFilter>> Filter(
      const output::AnswerForm& form, bool at_start);

  [[nodiscard]] uint64_t n_compiled() const;

 private:
  using Compiled = ApiResult<std::shared_ptr<const grammar::Automaton>>;
  struct Entry {
    std::once_flag once;
    Compiled compiled;
  };
  using Line = std::list<std::pair<std::string, std::shared_ptr<Entry>>>;

  [[nodiscard]] std::shared_ptr<Entry> EntryOf(const std::string& key);
  void Forget(const std::string& key, const Entry& entry);
  [[nodiscard]] Compiled Compile(output::AnswerForm form);
  [[nodiscard]] std::shared_ptr<grammar::TokenMasks> Masks();

  const text::Tokenizer& tokenizer_;
  mutable std::mutex mutex_;
  Line line_;  // used last first
  std::unordered_map<std::string, Line::iterator> index_;
  uint64_t n_compiled_ = 0;
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
