#include "server/api/answer_grammars.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "grammar/grammar_filter.h"

namespace plimsoll::server::api {
namespace {

std::vector<std::string> ControlSpellings(const text::Tokenizer& tokenizer) {
  std::vector<std::string> spellings;
  for (size_t i = 0; i < tokenizer.size(); ++i) {
    const auto token = static_cast<TokenId>(i);
    if (tokenizer.Piece(token, false).empty() && !tokenizer.Piece(token, true).empty()) {
      spellings.emplace_back(tokenizer.Piece(token, true));
    }
  }
  return spellings;
}

}  // namespace

ApiResult<std::shared_ptr<const grammar::Automaton>> CompileForm(const output::AnswerForm& form) {
  auto grammar = output::MakeAnswerGrammar(form);
  if (!grammar) {
    return tl::make_unexpected(std::move(grammar).error());
  }
  auto automaton = grammar::Automaton::Compile(*std::move(grammar));
  if (!automaton) {
    const std::string param = form.content ? form.content->param : "tools";
    return tl::make_unexpected(ApiError{
        .message = fmt::format("'{}' cannot be followed: {}", param, automaton.error().message),
        .code = "unsupported_value",
        .param = param,
        .retry_after_seconds = std::nullopt});
  }
  return std::make_shared<const grammar::Automaton>(*std::move(automaton));
}

std::shared_ptr<AnswerGrammars::Entry> AnswerGrammars::EntryOf(const std::string& key) {
  const std::lock_guard lock(mutex_);
  if (const auto at = index_.find(key); at != index_.end()) {
    line_.splice(line_.begin(), line_, at->second);
    return at->second->second;
  }
  line_.emplace_front(key, std::make_shared<Entry>());
  index_.emplace(key, line_.begin());
  if (line_.size() > kMaxGrammars) {
    DropLast();
  }
  return line_.front().second;
}

void AnswerGrammars::DropLast() {
  bytes_ -= line_.back().second->bytes;
  index_.erase(line_.back().first);
  line_.pop_back();
}

void AnswerGrammars::Count(const std::string& key, Entry& entry) {
  const std::lock_guard lock(mutex_);
  const auto at = index_.find(key);
  if (!entry.compiled || at == index_.end() || at->second->second.get() != &entry) {
    return;
  }
  entry.bytes = 2 * key.size() + (*entry.compiled)->Bytes();
  bytes_ += entry.bytes;
  // One that is too large is of those requests alone that hold it now.
  if (entry.bytes <= max_grammar_bytes_) {
    line_.splice(line_.begin(), line_, at->second);
  } else {
    line_.splice(line_.end(), line_, at->second);
  }
  while (bytes_ > max_grammar_bytes_) {
    DropLast();
  }
}

// An error may be one of a busy moment.
void AnswerGrammars::Forget(const std::string& key, const Entry& entry) {
  const std::lock_guard lock(mutex_);
  if (const auto at = index_.find(key); at != index_.end() && at->second->second.get() == &entry) {
    line_.erase(at->second);
    index_.erase(at);
  }
}

AnswerGrammars::Compiled AnswerGrammars::Compile(output::AnswerForm form) {
  {
    const std::lock_guard lock(mutex_);
    ++n_compiled_;
  }
  if (form.format.shows_control_tokens) {
    form.control = ControlSpellings(tokenizer_);
  }
  return CompileForm(form);
}

std::shared_ptr<grammar::TokenMasks> AnswerGrammars::Masks() {
  std::call_once(masks_once_, [this] {
    masks_ = std::make_shared<grammar::TokenMasks>(
        std::make_shared<const grammar::VocabularyTrie>(tokenizer_),
        sampling::KeptMaskBytes(tokenizer_.size()));
  });
  return masks_;
}

ApiResult<std::shared_ptr<sampling::TokenFilter>> AnswerGrammars::Filter(
    const output::AnswerForm& form, bool at_start) {
  const std::string key = output::KeyOf(form);
  const std::shared_ptr<Entry> entry = EntryOf(key);
  std::call_once(entry->once, [&] {
    entry->compiled = Compile(form);
    Count(key, *entry);
  });
  if (!entry->compiled) {
    Forget(key, *entry);
    return tl::make_unexpected(entry->compiled.error());
  }
  return std::make_shared<grammar::GrammarFilter>(*entry->compiled, Masks(), form.said, at_start);
}

AnswerGrammars::Totals AnswerGrammars::totals() const {
  const std::lock_guard lock(mutex_);
  return {.n_compiled = n_compiled_, .n_kept = line_.size(), .bytes = bytes_};
}

std::shared_ptr<AnswerGrammars> GrammarsByModel::Of(
    const std::shared_ptr<engine::Service>& service) {
  const std::lock_guard lock(mutex_);
  std::erase_if(models_, [](const auto& model) { return model.second.service.expired(); });
  OfModel& model = models_[service.get()];
  if (model.grammars == nullptr) {
    model = {service, std::make_shared<AnswerGrammars>(service->tokenizer())};
  }
  return model.grammars;
}

}  // namespace plimsoll::server::api
