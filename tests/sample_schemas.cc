// Prints texts that the grammars of JSON schemas say, at random: what tests/conformance/schemas.mjs
// has another program check.
//
// usage: sample_schemas FILE.jsonl COUNT
//
// Each line of FILE has a "schema"; for each a line is printed: {"error": MESSAGE} or
// {"texts": [TEXT, ...]} with COUNT texts, none for a schema that nothing satisfies.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

#include <simdjson.h>

#include "base/json_text.h"
#include "grammar/json_schema.h"
#include "grammar/sampler.h"

namespace {

std::string SchemaOf(const std::string& line) {
  simdjson::dom::parser parser;
  simdjson::dom::element schema;
  const auto error = parser.parse(line).at_key("schema").get(schema);
  return error == simdjson::SUCCESS ? simdjson::minify(schema) : std::string();
}

std::string Samples(const std::string& schema, int count, uint32_t seed) {
  plimsoll::JsonText json;
  json.BeginObject();
  // Sanitizers and emulators take their time.
  const auto grammar = plimsoll::grammar::CompileJsonSchema(schema, {.max_cpu_seconds = 10});
  if (!grammar) {
    json.Key("error").String(grammar.error().message);
  } else {
    plimsoll::grammar::Sampler sampler(*grammar, seed);
    json.Key("texts").BeginArray();
    for (int i = 0; sampler.says_anything() && i < count; ++i) json.String(sampler.Next());
    json.EndArray();
  }
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
    std::cout << Samples(SchemaOf(line), std::atoi(argv[2]), ++seed) << "\n";
  }
  return file.eof() ? 0 : 1;
}
