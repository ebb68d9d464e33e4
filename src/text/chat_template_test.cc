// Against goldens of npm @huggingface/jinja, which tests/node/jinja_golden.mjs makes, and of Jinja
// in Python, which tests/python/jinja_golden.py makes.
#include "text/chat_template.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "base/fnv.h"

namespace plimsoll::text {
namespace {

using jinja::Kind;
using jinja::Value;

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Value Golden(const char* name) {
  const auto path = std::filesystem::path(PLIMSOLL_SOURCE_DIR "/tests/golden/jinja") / name;
  auto parsed = jinja::ParseJson(ReadFile(path));
  EXPECT_TRUE(parsed) << path;
  return parsed ? *parsed : Value();
}

// The time at which the goldens were made.
std::tm GoldenTime() {
  std::tm time{};
  time.tm_year = 124;
  time.tm_mon = 6;
  time.tm_mday = 4;
  time.tm_hour = 9;
  time.tm_min = 5;
  return time;
}

Result<std::string> Render(const ChatTemplate& parsed, const Value& context) {
  TemplateLimits limits;
  limits.time_ms = 10'000;  // for sanitizers and busy machines
  return parsed.Render(context, limits, GoldenTime());
}

Result<std::string> Render(const std::string& source, const Value& context) {
  auto parsed = ChatTemplate::Parse(source);
  if (!parsed) return Forward(parsed);
  return Render(**parsed, context);
}

// What Jinja has and the reference lacks: there we render and it does not.
bool IsGapOfReference(const std::string& error) {
  return error == "Unknown ArrayValue filter: reject";
}

// The reference prints the source of a function; we refuse.
bool PrintsFunction(const Value& golden) {
  const Value output = golden.Get("output");
  return output.is(Kind::kString) && output.string().starts_with("(") &&
         output.string().find("=>") != std::string::npos;
}

// `item` has the output that is wanted, or none where the template is to be refused.
void ExpectRendered(const Value& item, const Value& context) {
  const std::string& source = item.Get("template").string();
  const auto rendered = Render(source, context);
  const Value output = item.Get("output");
  if (output.is(Kind::kUndefined) || PrintsFunction(item)) {
    EXPECT_FALSE(rendered) << source << "\nthe reference: "
                           << (output.is(Kind::kUndefined) ? item.Get("error").string() : "");
  } else if (!rendered) {
    ADD_FAILURE() << source << "\n  " << rendered.error().message << "\n  instead of "
                  << output.string();
  } else {
    EXPECT_EQ(*rendered, output.string()) << source;
  }
}

TEST(ChatTemplate, ConstructsEqualTheReference) {
  const Value golden = Golden("constructs.json");
  ASSERT_GE(golden.Get("cases").list().size(), 300U);
  std::set<std::string> pythons;  // where Python is followed and not the package
  // mixed.json: Python's printing of what otherwise is as in the package. Kept by hand.
  for (const Value& followed : {Golden("python.json"), Golden("mixed.json")}) {
    for (const Value& item : followed.list()) {
      pythons.insert(item.Get("template").string());
      ExpectRendered(item, golden.Get("context"));
    }
  }
  for (const Value& item : golden.Get("cases").list()) {
    if (pythons.contains(item.Get("template").string())) continue;
    ExpectRendered(item, golden.Get("context"));
  }
}

TEST(ChatTemplate, PublicTemplatesEqualTheReference) {
  const char* shared = std::getenv("PLIMSOLL_SHARED");
  const std::filesystem::path folder =
      std::filesystem::path(shared != nullptr ? shared : PLIMSOLL_SOURCE_DIR "/../shared") /
      "data/templates";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no shared templates at " << folder;
  const Value golden = Golden("templates.json");
  std::map<std::string, Value> contexts;
  for (const Value& item : golden.Get("conversations").list()) {
    contexts[item.Get("name").string()] = item.Get("context");
  }
  size_t gaps = 0;
  std::map<std::string, std::unique_ptr<const ChatTemplate>> files;
  for (const Value& item : golden.Get("results").list()) {
    const std::string& file = item.Get("file").string();
    if (!files.contains(file)) {
      auto parsed = ChatTemplate::Parse(ReadFile(folder / file));
      ASSERT_TRUE(parsed) << file << "\n  " << parsed.error().message;
      files[file] = *std::move(parsed);
    }
    const std::string what = file + ": " + item.Get("name").string();
    const auto rendered = Render(*files.at(file), contexts.at(item.Get("name").string()));
    if (item.Get("error").is(Kind::kString)) {
      const bool gap = IsGapOfReference(item.Get("error").string());
      gaps += gap ? 1 : 0;
      EXPECT_EQ(rendered.has_value(), gap) << what << "\n  " << item.Get("error").string();
      continue;
    }
    ASSERT_TRUE(rendered) << what << "\n  " << rendered.error().message;
    EXPECT_EQ(rendered->size(), *item.Get("bytes").exact_integer()) << what;
    EXPECT_EQ(fmt::format("{:016x}", Fnv1a(*rendered)), item.Get("hash").string()) << what;
  }
  EXPECT_EQ(files.size(), 12U);
  EXPECT_LE(gaps, 10U);
}

TEST(ChatTemplate, RaiseExceptionGivesTheTemplatesOwnMessage) {
  const auto rendered =
      Render("a{{ raise_exception('Roles must alternate: ' ~ 2) }}", Value::Object({}));
  ASSERT_FALSE(rendered);
  EXPECT_EQ(rendered.error().kind, ErrorKind::kFailed);
  EXPECT_EQ(rendered.error().message, "Roles must alternate: 2");
}

TEST(ChatTemplate, SyntaxErrorsNameLineAndColumnOfTheOriginal) {
  const auto parsed = ChatTemplate::Parse("line one\n  {% if true %}\n  {{ a b }}{% endif %}");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().kind, ErrorKind::kBadModel);
  EXPECT_NE(parsed.error().message.find("line 3, column 8"), std::string::npos)
      << parsed.error().message;
}

// By Jinja's own definitions: the reference has none of these.
TEST(ChatTemplate, FiltersAndMethodsThatTheReferenceLacks) {
  const auto context = jinja::ParseJson(R"({"l": [3, 1, 2], "p": [{"a": 1, "b": "x"},
      {"a": 2, "b": "y"}, {"a": 3, "b": "x"}], "s": "a-b-c"})");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{{ l|min }} {{ l|max }} {{ l|sum }} {{ p|sum(attribute='a') }}", "1 3 6 6"},
      {"{{ l|select('odd') }} {{ l|reject('odd') }} {{ l|select('gt', 1) }}", "[3, 1] [2] [3, 2]"},
      {"{{ ['a', 'b']|map('upper') }} {{ ['aa']|map('replace', 'a', 'b') }}", "['A', 'B'] ['bb']"},
      {"{{ p|map(attribute='a')|batch(2) }} {{ [1]|batch(2, 0) }}", "[[1, 2], [3]] [[1, 0]]"},
      {"{% for k, g in p|groupby('b') %}{{ k }}{{ g|length }} {% endfor %}", "x2 y1 "},
      {"{{ 2.5|round }} {{ 3.14159|round(2) }} {{ 2.1|round(0, 'ceil') }}", "2.0 3.14 3.0"},
      {"{{ x|d('q') }} {{ l|count }} {{ '<&>'|e }}", "q 3 &lt;&amp;&gt;"},
      {"{{ s.rsplit('-', 1) }} {{ s.find('b') }} {{ s.count('-') }}", "['a-b', 'c'] 2 2"},
      {"{{ '+'.join(['a', 'b']) }} {{ 'a\nb\r\nc'.splitlines() }}", "a+b ['a', 'b', 'c']"},
      {"{{ s.removeprefix('a') }} {{ s.removesuffix('-c') }} {{ '12'.isdigit() }}",
       "-b-c a-b True"},
      {"{{ 4 is divisibleby(2) }} {{ 1 is in([1]) }} {{ 1 is ne(2) }} {{ 1.0 is float }}",
       "True True True True"},
      {"{{ p|selectattr('a', 'gt', 1)|length }} {{ dict(a=1) }}", "2 {'a': 1}"},
  };
  for (const auto& [source, expected] : cases) {
    const auto rendered = Render(source, *context);
    ASSERT_TRUE(rendered) << source << "\n" << rendered.error().message;
    EXPECT_EQ(*rendered, expected) << source;
  }
}

}  // namespace
}  // namespace plimsoll::text
