// Templates that want too much: each must end soon, with the limit named, on a small stack.
#include <array>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/resource_test_tools.h"
#include "base/sanitized.h"
#include "base/thread_time.h"
#include "text/chat_template.h"

namespace plimsoll::text {
namespace {

using jinja::Value;

// Sanitizers widen every frame.
constexpr size_t kStackBytes = kSanitized ? size_t{8} << 20 : size_t{1} << 20;

// Typically some 50 ms, 200 at most: what a limit of steps does not stop takes far more.
constexpr double kPatience = 3;

std::string Repeat(std::string_view text, size_t count) {
  std::string repeated;
  for (size_t i = 0; i < count; ++i) repeated += text;
  return repeated;
}

Value Context() {
  std::vector<Value> messages;
  for (int i = 0; i < 50; ++i) {
    messages.push_back(Value::Object({{"role", "user"}, {"content", std::string(200, 'x')}}));
  }
  return Value::Object({{"messages", Value::List(std::move(messages))}, {"s", "abcdefgh"}});
}

void ExpectStopped(const std::string& source) {
  OnStackOf(kStackBytes, [&] {
    const double started = ThreadSeconds();
    auto parsed = ChatTemplate::Parse(source);
    Error error;
    if (!parsed) {
      error = parsed.error();
    } else {
      const auto rendered = (*parsed)->Render(Context());
      ASSERT_FALSE(rendered) << source.substr(0, 200);
      error = rendered.error();
    }
    const double seconds = ThreadSeconds() - started;
    EXPECT_LE(seconds, kPatience) << source.substr(0, 200);
    EXPECT_NE(error.message.find("limit"), std::string::npos) << source.substr(0, 200) << "\n"
                                                              << error.message;
  });
}

TEST(ChatTemplateHostile, DeepNestingIsRefused) {
  constexpr size_t kDeep = 60'000;
  for (const std::string_view open :
       {"{{ (", "{{ [", "{{ {'a':", "{% if a %}", "{% for a in b %}", "{% set a %}", "{{ not ",
        "{{ - ", "{{ a[", "{{ a(", "{{ a|f(", "{% filter upper %}", "{% call m() %}",
        "{% macro m() %}", "{{ 1 if 1 else ", "{{ a(b=", "{{ a(*", "{{ a[1:"}) {
    const bool expression = open.starts_with("{{");
    const std::string source =
        expression ? "{{ " + Repeat(open.substr(3), kDeep) + "1 }}" : Repeat(open, kDeep);
    ExpectStopped(source);
  }
}

TEST(ChatTemplateHostile, LongChainsAreRefusedOrHarmless) {
  constexpr size_t kLong = 60'000;
  for (const std::string_view link :
       {".a", "[0]", "()", "|safe", " is defined", ".a()", "|default(1)", "[1:]"}) {
    ExpectStopped("{{ s" + Repeat(link, kLong) + " }}");
  }
  ExpectStopped("{% if a %}" + Repeat("{% elif a %}", kLong) + "{% endif %}");
  // Operators of one level do not nest.
  for (const std::string_view link : {" + 1", " ~ 'a'", " or 0", " and 1", " == 1", " * 1"}) {
    auto parsed = ChatTemplate::Parse("{{ 1" + Repeat(link, 20'000) + " }}");
    ASSERT_TRUE(parsed) << parsed.error().message;
    static_cast<void>((*parsed)->Render(Context()));
  }
}

TEST(ChatTemplateHostile, LoopsAreStopped) {
  for (const char* source : {
           "{% for i in range(1000000000) %}{% endfor %}",
           "{% for i in range(1000000000000000000000) %}{% endfor %}",
           "{% for i in range(0, -1000000000, -1) %}{% endfor %}",
           "{% for i in range(0, 1, 0.000000001) %}{% endfor %}",
           "{% for i in range(10.0 ** 300) %}{% endfor %}",
           "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
           "{% for i in range(9999) %}{% for j in range(9999) %}{% set x = i * j %}{% endfor %}"
           "{% endfor %}",
           "{% for i in range(9999) %}{% for j in range(9999) if j is odd %}{% endfor %}{% endfor "
           "%}",
           "{% for i in range(9999) %}{% for j in range(9999) %}{% continue %}{% endfor %}"
           "{% endfor %}",
           "{% macro m() %}{% for k in 'a' %}{% continue %}{% endfor %}{% endmacro %}"
           "{% for i in range(9999) %}{% for j in range(9999) %}{{ m() }}{% endfor %}{% endfor %}",
           "{% set t = s.replace('', '0123456789') %}{% for i in range(9999) %}"
           "{% for j in range(9999) %}{% for c in t %}{% endfor %}{% endfor %}{% endfor %}",
           "{% for i in range(9999) %}{% for j in range(9999) %}{% set x = s.strip('gh') %}"
           "{% endfor %}{% endfor %}",
           "{% for i in range(100000) %}{% for j in messages %}{{ j.content|length }}{% endfor %}"
           "{% endfor %}",
           "{% for i in range(100000) %}{% if (messages|tojson)|length > 1 %}{% endif %}{% endfor "
           "%}",
           "{% for i in range(100000) %}{% set x = messages|map(attribute='content')|join %}"
           "{% endfor %}",
           "{% for i in range(100000) %}{% set x = range(10000)|sort %}{% endfor %}",
           "{% for i in range(100000) %}{% set x = range(10000)|unique %}{% endfor %}",
           "{% for i in range(100000) %}{% set x = 9999 in range(10000) %}{% endfor %}",
           "{% set a = range(10000) %}{% set b = range(10000) %}"
           "{% for i in range(100000) %}{% set x = a == b %}{% endfor %}",
           "{% for i in range(100000) %}{% set x = messages == messages %}{% endfor %}",
           "{% set l = [range(10000)] * 1000 %}{% for i in range(100000) %}{% set x = l == l %}"
           "{% endfor %}",
           "{% for i in range(100000) %}{% set x = range(10000)[::-1] %}{% endfor %}",
           "{% for i in range(9999) %}{% for j in range(9999) %}{% set x = 'a'.upper() %}{% endfor "
           "%}"
           "{% endfor %}",
       }) {
    ExpectStopped(source);
  }
}

// What grows what `ns` holds to a multiple each time.
const std::vector<std::string>& GrowingBodies() {
  static const std::vector<std::string> kBodies = {
      std::string("{% set ns.x = ns.x + ns.x %}"),
      std::string("{% set ns.x = ns.x ~ ns.x %}"),
      std::string("{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"),
      std::string("{% set ns.x = ns.x.replace('a', 'aa').replace('b', 'bb') %}"),
      std::string("{% set ns.x = ns.x.replace('', ns.x) %}"),
      std::string("{% set ns.x = ns.x|replace('', ns.x) %}"),
      std::string("{% set ns.x = [ns.x, ns.x]|join %}"),
      std::string("{% set ns.x = [ns.x, ns.x]|tojson %}"),
      std::string("{% set ns.x = ns.x|join(ns.x) %}"),
      std::string("{% set ns.x = ns.x.join([ns.x, ns.x, ns.x]) %}"),
      std::string("{% set ns.x = (ns.x ~ ns.x)|e %}"),
      std::string("{% set ns.x = (ns.x ~ '\n' ~ ns.x)|indent(1000) %}"),
      std::string("{% set ns.l = ns.l + ns.l %}"),
      std::string("{% set ns.l = [ns.l, ns.l] %}{{ ns.l }}"),
      std::string("{% set ns.d = {'a': ns.d, 'b': ns.d} %}{{ ns.d|tojson }}"),
      std::string("{% set ns.x = ns.l|tojson %}{% set ns.l = [ns.x, ns.x] %}"),
      std::string("{% set ns.l = (ns.l + ns.l)|batch(1) %}"),
      std::string("{% set ns.x = (ns.x ~ ns.x)|upper|lower|title %}"),
      std::string("{% filter replace('a', 'aaaaaaaaaaaaaaaa') %}{{ ns.x }}{% endfilter %}"
                  "{% set ns.x = ns.x ~ ns.x %}"),
      std::string("{% macro m() %}{{ ns.x }}{{ ns.x }}{% endmacro %}{% set ns.x = m() %}"),
      std::string("{% set ns.x = ns.x * 9 %}"),
      std::string("{% set ns.l = 9 * ns.l %}"),
  };
  return kBodies;
}

// Fifty times and more, in place of `#`; with sanitizers and by day in the first two.
constexpr std::array<std::string_view, 11> kManyTimes = {
    "{% for i in range(50) %}#{% endfor %}",
    "{% for i in range(7) %}{% for j in range(8) %}#{% endfor %}{% endfor %}",
    "{% for i in range(200) if i is odd %}#{% endfor %}",
    "{% for message in messages %}#{% endfor %}",
    "{% for c in 'x' * 50 %}#{% endfor %}",
    "{% macro go(n) %}#{% if n %}{{ go(n - 1) }}{% endif %}{% endmacro %}{{ go(50) }}",
    "{% macro go() %}#{% endmacro %}{% for i in range(50) %}{{ go() }}{% endfor %}",
    "{% macro go() %}{{ caller() }}{% endmacro %}{% for i in range(50) %}{% call go() %}#"
    "{% endcall %}{% endfor %}",
    "{% set out %}{% for i in range(50) %}#{% endfor %}{% endset %}{{ out }}",
    "{% filter trim %}{% for i in range(50) %}#{% endfor %}{% endfilter %}",
    "{% if messages %}{% for i in range(50) %}#{% endfor %}{% endif %}",
};

TEST(ChatTemplateHostile, GrowthIsStopped) {
  const std::string ns = "{% set ns = namespace(x='ab', l=[1], d={'a': 1}) %}";
  const bool is_night = std::getenv("PLIMSOLL_NIGHT") != nullptr;
  const size_t n_ways = kSanitized && !is_night ? 2 : kManyTimes.size();
  for (const std::string_view way : std::span(kManyTimes).first(n_ways)) {
    for (const std::string& body : GrowingBodies()) {
      std::string source(way);
      ExpectStopped(ns + source.replace(way.find('#'), 1, body));
    }
  }
}

TEST(ChatTemplateHostile, HugeResultsAreStopped) {
  for (const char* source : {
           "{{ s|indent(1000000000) }}",
           "{{ s|indent(1000000000, true) }}",
           "{{ messages|tojson(indent=1000000) }}",
           "{{ range(1000000000)|length }}",
           "{{ s * 1000000000 }}",
           "{{ 4611686018427387904 * 's' }}",
           "{{ 'x' * 10 ** 300 }}",
           "{% set x = [0] * 1000000000000 %}",
           "{% set x = [0] * 4611686018427387904 %}",
           "{% set x = [[0] * 1000] * 10 ** 300 %}",
           "{{ range(100000000)|join(',') }}",
           "{{ [1]|batch(1000000000, 0) }}",
           "{% for i in range(100000) %}{{ messages }}{% endfor %}",
           "{% for i in range(100000) %}{{ 'x' ~ messages|tojson }}{% endfor %}",
           "{% set x %}{% for i in range(100000) %}{{ messages }}{% endfor %}{% endset %}",
           "{% macro m(n) %}{{ messages }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
           "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}"
           "{% set ns.l = ns.l + [messages|tojson ~ i] %}{% endfor %}",
           "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}"
           "{% set ns.l = ns.l + range(1000) %}{% endfor %}",
       }) {
    ExpectStopped(source);
  }
}

TEST(ChatTemplateHostile, RecursionIsStopped) {
  for (const char* source : {
           "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
           "{% macro m() %}{% if true %}{% for i in [1] %}{{ [m()] }}{% endfor %}{% endif %}"
           "{% endmacro %}{{ m() }}",
           "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
           "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
           "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
           "{{ m(40) }}",
           "{% macro m() %}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}",
           "{% macro m() %}{{ caller() }}{% endmacro %}{% macro r() %}{% call m() %}{{ r() }}"
           "{% endcall %}{% endmacro %}{{ r() }}",
           "{% macro m(a=m()) %}{% endmacro %}{{ m() }}",
           "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
           "{% set ns = namespace() %}{% set ns.a = [ns, ns] %}{{ ns|tojson }}",
           "{% set ns = namespace(x=1) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% "
           "endfor %}",
           "{% set ns = namespace(x=1) %}{% for i in range(100000) %}{% set ns.x = {'a': ns.x} %}"
           "{% endfor %}",
           "{% set h = namespace() %}{% set h.r = namespace() %}{% set h.c = h.r %}"
           "{% for i in range(5000) %}{% set h.n = namespace() %}{% set t = h.c %}"
           "{% set t.x = h.n %}{% set h.c = h.n %}{% endfor %}{{ h.r }}",
       }) {
    ExpectStopped(source);
  }
}

// Nothing of a host can be reached: these find nothing, or fail.
TEST(ChatTemplateHostile, AttributeWalksReachNothing) {
  for (const char* source : {
           "{{ ''.__class__.__mro__[1].__subclasses__() }}",
           "{{ s.constructor.constructor('x')() }}",
           "{{ self._TemplateReference__context.cycler.__init__.__globals__.os }}",
           "{{ range.__globals__['os'].system('id') }}",
           "{% include '/etc/passwd' %}",
           "{% import 'os' as os %}",
           "{% from 'a' import b %}",
           "{% extends 'x' %}",
           "{{ messages.append(1) }}",
           "{{ messages[0].update({}) }}",
           "{{ config.items() }}",
           "{{ request.application }}",
           "{{ lipsum.__globals__ }}",
           "{{ cycler() }}",
           "{{ get_flashed_messages() }}",
       }) {
    const auto parsed = ChatTemplate::Parse(source);
    if (!parsed) continue;
    EXPECT_EQ((*parsed)->Render(Context()).value_or(""), "") << source;
  }
}

// Values that hold themselves must not outlive the rendering: the leak checker of asan sees them.
TEST(ChatTemplateHostile, CyclesAreFreed) {
  const auto parsed = ChatTemplate::Parse(
      "{% set ns = namespace() %}{% set ns.a = [ns] %}{% macro m() %}{% set ns.f = caller %}"
      "{{ caller() }}{% endmacro %}{% for i in [1, 2] %}{% set z = ns %}{% call m() %}{{ z is "
      "defined }}"
      "{% endcall %}{% endfor %}");
  ASSERT_TRUE(parsed);
  const auto rendered = (*parsed)->Render(Context());
  ASSERT_TRUE(rendered) << rendered.error().message;
  EXPECT_EQ(*rendered, "TrueTrue");
}

}  // namespace
}  // namespace plimsoll::text
