// What clients may send to make a compiler spend time, memory or stack.
#include <ctime>
#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include "base/resource_test_tools.h"
#include "base/sanitized.h"
#include "grammar/automaton.h"
#include "grammar/gbnf.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"

namespace plimsoll::grammar {
namespace {

std::string Repeated(int n, const std::function<std::string(int)>& part) {
  std::string text;
  for (int i = 0; i < n; ++i) text += part(i);
  return text;
}

std::string Listed(int n, const std::function<std::string(int)>& part) {
  return Repeated(n, [&](int i) { return (i > 0 ? "," : "") + part(i); });
}

std::string Nested(int n, const std::string& open, const std::string& close) {
  return Repeated(n, [&](int) { return open; }) + "{}" + Repeated(n, [&](int) { return close; });
}

std::string Number(int i) { return std::to_string(i); }

double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// How long compiling may take here: sanitizers and a busy machine are slow; but what is quadratic
// in a hostile text takes far more.
constexpr double kPatience = 3;
// A quarter of what a thread has. Sanitizers widen every frame.
constexpr size_t kStackBytes = kSanitized ? size_t{16} << 20 : size_t{2} << 20;
constexpr int64_t kMostKiB = 16 << 10;

enum class Outcome : uint8_t { kTaken, kUsage, kTooMuch };

template <class Compile>
Outcome CompiledTo(const Compile& compile) {
  const auto grammar = compile();
  if (!grammar) {
    return grammar.error().kind == ErrorKind::kUsage ? Outcome::kUsage : Outcome::kTooMuch;
  }
  return Automaton::Compile(*grammar) ? Outcome::kTaken : Outcome::kUsage;
}

// Within the bounds of time, stack and memory, too.
template <class Compile>
Outcome OutcomeOf(const Compile& compile) {
  malloc_trim(0);  // so that what was freed before is not what is used now
  const bool peak_is_known = ResetPeak() && !kSanitized;
  const int64_t before = PeakKiB();
  const double start = CpuSeconds();
  auto outcome = Outcome::kTooMuch;
  OnStackOf(kStackBytes, [&] { outcome = CompiledTo(compile); });
  EXPECT_LT(CpuSeconds() - start, kPatience);
  if (peak_is_known) {
    EXPECT_LE(PeakKiB() - before, kMostKiB);
  }
  return outcome;
}

Outcome Schema(const std::string& text, double max_cpu_seconds = 0.3) {
  return OutcomeOf([&] { return CompileJsonSchema(text, {.max_cpu_seconds = max_cpu_seconds}); });
}
Outcome Pattern(const std::string& text) {
  return OutcomeOf([&] { return CompileRegex(text, {.max_cpu_seconds = 0.3}); });
}
Outcome Gbnf(const std::string& text) {
  return OutcomeOf([&] { return CompileGbnf(text, {.max_cpu_seconds = 0.3}); });
}

TEST(Hostile, NestingIsBounded) {
  const std::string open(60'000, '(');
  const std::string close(60'000, ')');
  EXPECT_EQ(Pattern(open + "a" + close), Outcome::kTooMuch);
  EXPECT_EQ(Gbnf("root ::= " + open + "\"a\"" + close), Outcome::kTooMuch);
  EXPECT_EQ(Pattern(open.substr(0, 256) + "a" + close.substr(0, 256)), Outcome::kTaken);
  EXPECT_EQ(Pattern(open.substr(0, 257) + "a" + close.substr(0, 257)), Outcome::kTooMuch);
  EXPECT_EQ(Schema(Nested(30'000, R"({"items":)", "}")), Outcome::kTooMuch);
  EXPECT_EQ(Schema(Nested(250, R"({"items":)", "}")), Outcome::kTaken);
  EXPECT_EQ(Schema(Nested(120, R"({"anyOf":[)", "]}")), Outcome::kTaken);
  EXPECT_EQ(Schema(Nested(120, R"({"allOf":[)", "]}")), Outcome::kTaken);
  EXPECT_EQ(Schema(std::string(200'000, '[')), Outcome::kUsage);
}

TEST(Hostile, ChainsAndCircles) {
  const auto rule = [](int i) { return "r" + Number(i) + " ::= \"a\" r" + Number(i + 1) + "\n"; };
  EXPECT_EQ(Gbnf("root ::= r0\n" + Repeated(5'000, rule) + "r5000 ::= \"b\""), Outcome::kTaken);
  const auto link = [](int i) {
    return "\"r" + Number(i) + R"(":{"items":{"$ref":"#/$defs/r)" + Number(i + 1) + "\"}},";
  };
  const auto bare = [](int i) {
    return "\"r" + Number(i) + R"(":{"$ref":"#/$defs/r)" + Number(i + 1) + "\"},";
  };
  const std::string head = R"({"$ref":"#/$defs/r0","$defs":{)";
  const std::string tail = R"("r5000":{},"r100":{}}})";
  EXPECT_EQ(Schema(head + Repeated(100, link) + tail), Outcome::kTaken);
  EXPECT_EQ(Schema(head + Repeated(5'000, bare) + R"("r5000":{}}})"), Outcome::kTooMuch);
  EXPECT_EQ(Schema(R"({"$ref":"#"})"), Outcome::kUsage);
  EXPECT_EQ(Schema(R"({"type":"array","items":{"$ref":"#"},"minItems":1})"), Outcome::kUsage);
  EXPECT_EQ(Gbnf("root ::= root"), Outcome::kUsage);
  EXPECT_EQ(Gbnf("root ::= a \"x\"\na ::= \"\"? b\nb ::= a \"z\" | \"y\""), Outcome::kUsage);
  EXPECT_EQ(Gbnf("root ::= (((\"a\"?)*)*)*"), Outcome::kTaken);
}

TEST(Hostile, CountsAreNumbers) {
  EXPECT_EQ(Schema(R"({"type":"string","maxLength":1000000})"), Outcome::kTaken);
  EXPECT_EQ(Schema(R"({"type":"array","minItems":1000000})"), Outcome::kTaken);
  EXPECT_EQ(Pattern("((a{1000}){1000}){1000}"), Outcome::kTaken);
  EXPECT_EQ(Pattern("(a+)+b"), Outcome::kTaken);
  EXPECT_EQ(Schema(R"({"type":"string","maxLength":1000000,"pattern":"ab"})"), Outcome::kTooMuch);
  EXPECT_EQ(Schema(R"({"type":"string","maxLength":9,"pattern":"(a{9000}){9000}"})"),
            Outcome::kTooMuch);
}

TEST(Hostile, LongLists) {
  const auto quoted = [](int i) { return "\"v-" + Number(i) + "\""; };
  EXPECT_EQ(Schema("{\"enum\":[" + Listed(50'000, quoted) + "]}", 10), Outcome::kTaken);
  EXPECT_EQ(Schema("{\"const\":[" + Listed(90'000, Number) + "]}"), Outcome::kTooMuch);
  EXPECT_EQ(Schema("{\"const\":\"" + std::string(500'000, 'x') + "\"}"), Outcome::kTooMuch);
  EXPECT_EQ(Schema("{\"description\":\"" + std::string(500'000, 'x') + "\"}"), Outcome::kTaken);
  EXPECT_EQ(Schema("{\"description\":\"" + std::string(600'000, 'x') + "\"}"), Outcome::kTooMuch);
  EXPECT_EQ(Schema("[" + Listed(200'000, Number) + "]"), Outcome::kTooMuch);
  EXPECT_EQ(Schema("{\"required\":[" + Listed(30'000, quoted) + "]}"), Outcome::kTooMuch);
  EXPECT_EQ(Schema("{\"anyOf\":[" + Listed(60'000, [](int) { return "{}"; }) + "]}"),
            Outcome::kTooMuch);
  EXPECT_EQ(Schema("{\"prefixItems\":[" + Listed(20'000, [](int) { return "{}"; }) + "]}"),
            Outcome::kTooMuch);
  const auto property = [](int i) { return "\"p" + Number(i) + R"(":{"type":"string"})"; };
  EXPECT_EQ(Schema("{\"properties\":{" + Listed(3'000, property) + "}}"), Outcome::kTaken);
  EXPECT_EQ(Schema("{\"properties\":{" + Listed(14'000, property) + "}}"), Outcome::kTooMuch);
  EXPECT_EQ(Schema("{\"minProperties\":1500,\"properties\":{" + Listed(3'000, property) + "}}"),
            Outcome::kUsage);
  EXPECT_EQ(Pattern(std::string(1'000'000, 'a')), Outcome::kTooMuch);
  EXPECT_EQ(Pattern(std::string(1'000'000, '|')), Outcome::kTooMuch);
  EXPECT_EQ(Pattern(Repeated(3'000, [](int) { return "\\p{L}"; })), Outcome::kTooMuch);
  EXPECT_EQ(Gbnf("root ::= \"" + std::string(1'000'000, 'a') + "\""), Outcome::kTooMuch);
}

TEST(Hostile, ProductsOfChoices) {
  const auto choice = [](int i) {
    return R"({"anyOf":[{"minLength":)" + Number(i) + R"(},{"minLength":)" + Number(i + 40) + "}]}";
  };
  EXPECT_EQ(Schema("{\"allOf\":[" + Listed(30, choice) + "]}"), Outcome::kTooMuch);
  EXPECT_EQ(Schema("{\"allOf\":[" + Listed(5'000, choice) + "]}"), Outcome::kTooMuch);
  const auto pattern = [](int i) {
    return R"({"pattern":"(a|b)*a(a|b){)" + Number(i + 5) + "}\"}";
  };
  EXPECT_EQ(Schema("{\"allOf\":[" + Listed(12, pattern) + "]}"), Outcome::kTooMuch);
  const auto tagged = [](int i) {
    return R"({"type":"object","properties":{"k":{"const":)" + Number(i) +
           R"(}},"required":["k"]})";
  };
  EXPECT_EQ(Schema("{\"oneOf\":[" + Listed(40, tagged) + "]}"), Outcome::kTaken);
  EXPECT_EQ(Schema("{\"oneOf\":[" + Listed(4'000, tagged) + "]}"), Outcome::kTooMuch);
}

TEST(Hostile, TextThatIsNoSchema) {
  for (const char* text : {"", "{", "nul", "{\"a\":1", "\"x\"", "1", "[]", "{\"type\":\"\xFF\"}",
                           "{\"enum\":[\"\\ud800\"]}", "{\"a\":1}{}", "{\"x-a\":1,\"x-a\":2}"}) {
    EXPECT_EQ(Schema(text), Outcome::kUsage) << text;
  }
  const auto twice = CompileJsonSchema(R"({"properties":{"a":{},"a":{}}})");
  ASSERT_FALSE(twice.has_value());
  EXPECT_THAT(twice.error().message, testing::HasSubstr("the key at /properties/a is there twice"));
  const auto control = CompileJsonSchema("{\"a\\u0000\\n\":1}");
  ASSERT_FALSE(control.has_value());
  EXPECT_THAT(control.error().message, testing::HasSubstr("at /a??: the keyword is not known"));
}

}  // namespace
}  // namespace plimsoll::grammar
