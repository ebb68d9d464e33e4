// Prints texts that the grammars of JSON schemas say, at random: what tests/conformance/schemas.mjs
// has another program check.
//
// usage: sample_schemas FILE.jsonl COUNT
//
// Each line of FILE has a "schema", or the "text" of one, and may have "samples" of its own; for
// each a line is printed: {"error": MESSAGE} or {"texts": [TEXT, ...]} with COUNT texts, or that
// many.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

#include <simdjson.h>

#include "base/json_text.h"
#include "grammar/automaton.h"
#include "grammar/json_schema.h"
#include "grammar/sampler.h"

namespace {

struct Line {
  std::string schema;
  int64_t n_samples = 0;
};

Line Read(const std::string& text, int64_t n_samples) {
  simdjson::dom::parser parser;
  const simdjson::dom::element line = parser.parse(text);
  Line read;
  if (line["samples"].get(read.n_samples) != simdjson::SUCCESS) {
    read.n_samples = n_samples;
  }
  std::string_view schema_text;
  if (line["text"].get(schema_text) == simdjson::SUCCESS) {
    read.schema = schema_text;
  } else {
    read.schema = simdjson::minify(simdjson::dom::element(line["schema"]));
  }
  return read;
}

std::string Samples(const Line& line, uint32_t seed) {
  plimsoll::JsonText json;
  json.BeginObject();
  // Sanitizers and emulators take their time.
  const auto grammar = plimsoll::grammar::CompileJsonSchema(line.schema, {.max_cpu_seconds = 10});
  if (!grammar) {
    return json.Key("error").String(grammar.error().message).EndObject().text();
  }
  if (const auto automaton = plimsoll::grammar::Automaton::Compile(*grammar); !automaton) {
    return json.Key("error").String(automaton.error().message).EndObject().text();
  }
  plimsoll::grammar::Sampler sampler(*grammar, seed);
  json.Key("texts").BeginArray();
  for (int64_t i = 0; i < line.n_samples; ++i) {
    json.String(sampler.Next());
  }
  json.EndArray();
  return json.EndObject().text();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: sample_schemas FILE.jsonl COUNT\n";
    return 2;
  }
  std::ifstream file(argv[1]);
  uint32_t seed = 0;
  for (std::string line; std::getline(file, line);) {
    std::cout << Samples(Read(line, std::atoi(argv[2])), ++seed) << "\n";
  }
  return file.eof() ? 0 : 1;
}
