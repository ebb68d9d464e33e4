// Schemas, regular expressions and GBNF as clients send them: whatever the bytes, compiling ends
// soon, with a grammar within the limits or with an error that a client can be told; and what a
// grammar says can be followed by the matcher.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <simdjson.h>

#include "base/invariant.h"
#include "base/utf8.h"
#include "grammar/automaton.h"
#include "grammar/gbnf.h"
#include "grammar/json_schema.h"
#include "grammar/matcher.h"
#include "grammar/regex.h"
#include "grammar/sampler.h"

namespace grammar = plimsoll::grammar;
using plimsoll::Invariant;

namespace {

// Small, so that inputs are many.
constexpr grammar::GrammarLimits kLimits = {.max_symbols = 20'000, .max_depth = 256};

void CheckError(const plimsoll::Error& error) {
  Invariant(
      error.kind == plimsoll::ErrorKind::kUsage || error.kind == plimsoll::ErrorKind::kDoesNotFit,
      "it is the client's fault");
  Invariant(!error.message.empty() && error.message.size() < 1000, "a message of some lines");
  for (std::string_view text = error.message; !text.empty();) {
    const size_t length = plimsoll::Utf8Length(text);
    Invariant(length > 0 && static_cast<unsigned char>(text[0]) >= 0x20, "a message to be shown");
    text.remove_prefix(length);
  }
}

size_t CountSymbols(const grammar::Grammar& of) {
  size_t count = 0;
  for (const grammar::Rule& rule : of.rules) {
    for (const grammar::Sequence& sequence : rule.alternatives) count += sequence.size();
  }
  return count;
}

void CheckGrammar(const grammar::Grammar& of, bool is_json) {
  const size_t n_symbols = CountSymbols(of);
  Invariant(n_symbols <= kLimits.max_symbols, "no more symbols than allowed");
  const auto automaton = grammar::Automaton::Compile(of);
  if (!automaton) {
    CheckError(automaton.error());
    return;
  }
  if (n_symbols > 2000) return;
  grammar::Sampler sampler(of, 1);
  Invariant(sampler.says_anything(), "the automaton found a way to say something");
  if (!is_json) return;
  const std::string text = sampler.Next();
  simdjson::dom::parser parser;
  const auto error = parser.parse(text).error();
  Invariant(error == simdjson::SUCCESS || error == simdjson::DEPTH_ERROR, "a schema allows JSON");
  if (text.size() > 200) return;
  grammar::Matcher matcher(std::make_shared<const grammar::Automaton>(*automaton));
  Invariant(matcher.IsWhole(matcher.Step(matcher.start(), text)), "what is said is taken");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto result = data[0] == 's'   ? grammar::CompileJsonSchema(text, kLimits)
                      : data[0] == 'r' ? grammar::CompileRegex(text, kLimits)
                                       : grammar::CompileGbnf(text, kLimits);
  if (result) {
    CheckGrammar(*result, data[0] == 's');
  } else {
    CheckError(result.error());
  }
  return 0;
}
