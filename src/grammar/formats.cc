#include "grammar/formats.h"

#include <algorithm>
#include <array>

namespace plimsoll::grammar {
namespace {

struct Format {
  std::string_view name;
  std::string_view pattern;
};

// RFC 3339, sections 5.6 and 5.7: the 29th of February in leap years, no leap seconds. As macros of
// the preprocessor would join literals, so do these templates, at compile time.
template <size_t n>
struct Pattern {
  std::array<char, n> text{};
  constexpr std::string_view view() const { return {text.data(), n}; }
};
template <size_t n>
constexpr Pattern<n - 1> Of(const char (&literal)[n]) {
  Pattern<n - 1> pattern;
  std::copy_n(literal, n - 1, pattern.text.begin());
  return pattern;
}
template <size_t a, size_t b>
constexpr Pattern<a + b> operator+(const Pattern<a>& first, const Pattern<b>& second) {
  Pattern<a + b> both;
  std::copy_n(first.text.begin(), a, both.text.begin());
  std::copy_n(second.text.begin(), b, both.text.begin() + a);
  return both;
}

constexpr auto kDate = Of(
    R"((?:\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|)"
    R"(02-(?:0[1-9]|1\d|2[0-8]))|)"
    R"((?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29))");
constexpr auto kTime =
    Of(R"((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))");
constexpr auto kDateTime = kDate + Of("T") + kTime;

// RFC 3339, appendix A.
constexpr auto kDurationTime = Of(R"(T(?:\d{1,9}H(?:\d{1,9}M(?:\d{1,9}S)?)?|)"
                                  R"(\d{1,9}M(?:\d{1,9}S)?|\d{1,9}S))");
constexpr auto kDuration =
    Of(R"(P(?:\d{1,9}W|(?:\d{1,9}Y(?:\d{1,9}M(?:\d{1,9}D)?)?|\d{1,9}M(?:\d{1,9}D)?|\d{1,9}D)(?:)") +
    kDurationTime + Of(")?|") + kDurationTime + Of(")");

// RFC 1123; four labels at most, so that the whole stays below 253 bytes.
constexpr auto kLabel = Of("[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?");
constexpr auto kShortLabel = Of("[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?");
constexpr auto kHostname = kShortLabel + Of("(?:\\.") + kShortLabel + Of("){0,3}");
// RFC 5321, without quotes and addresses in brackets.
constexpr auto kEmail = Of(R"([a-zA-Z0-9_+-]{1,20}(?:\.[a-zA-Z0-9_+-]{1,20}){0,2}@)") + kLabel +
                        Of("(?:\\.") + kShortLabel + Of("){1,3}");

constexpr auto kByte = Of(R"((?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d))");
constexpr auto kIpv4 = Of("(?:") + kByte + Of("\\.){3}") + kByte;
// RFC 4291, section 2.2, without an IPv4 address at the end.
constexpr auto kIpv6 =
    Of("(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|(?:[0-9a-fA-F]{1,4}:){1,7}:|"
       "(?:[0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}|"
       "(?:[0-9a-fA-F]{1,4}:){1,5}(?::[0-9a-fA-F]{1,4}){1,2}|"
       "(?:[0-9a-fA-F]{1,4}:){1,4}(?::[0-9a-fA-F]{1,4}){1,3}|"
       "(?:[0-9a-fA-F]{1,4}:){1,3}(?::[0-9a-fA-F]{1,4}){1,4}|"
       "(?:[0-9a-fA-F]{1,4}:){1,2}(?::[0-9a-fA-F]{1,4}){1,5}|"
       "[0-9a-fA-F]{1,4}:(?::[0-9a-fA-F]{1,4}){1,6}|:(?::[0-9a-fA-F]{1,4}){1,7}|::");

// RFC 3986: a scheme, `//`, a host, perhaps a port, a path, a query and a fragment.
constexpr auto kUriPart = Of(R"((?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2}))");
constexpr auto kUri = Of("[a-zA-Z][a-zA-Z0-9+.-]{0,15}://") + kHostname +
                      Of(R"((?::\d{1,5})?(?:/)") + kUriPart + Of(R"(*)*(?:\?(?:)") + kUriPart +
                      Of(R"(|[/?])*)?(?:#(?:)") + kUriPart + Of(R"(|[/?])*)?)");

constexpr auto kUuid = Of("[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}");
// RFC 6901.
constexpr auto kJsonPointer = Of(R"((?:/(?:[^/~]|~[01])*)*)");

constexpr auto kFormats = std::to_array<Format>({
    {"date", kDate.view()},
    {"time", kTime.view()},
    {"date-time", kDateTime.view()},
    {"duration", kDuration.view()},
    {"hostname", kHostname.view()},
    {"email", kEmail.view()},
    {"ipv4", kIpv4.view()},
    {"ipv6", kIpv6.view()},
    {"uri", kUri.view()},
    {"uuid", kUuid.view()},
    {"json-pointer", kJsonPointer.view()},
    {"password", ""},  // OpenAPI's: a note to people and programs
});

// OpenAPI's.
struct NumberFormat {
  std::string_view name;
  std::string_view most;   // digits; none: a note
  std::string_view least;  // digits behind a minus
};
constexpr auto kNumberFormats = std::to_array<NumberFormat>({
    {"int32", "2147483647", "2147483648"},
    {"int64", "9223372036854775807", "9223372036854775808"},
    {"float", "", ""},
    {"double", "", ""},
});

template <class Formats>
const auto* Named(const Formats& formats, std::string_view name) {
  const auto* const found = std::find_if(formats.begin(), formats.end(),
                                         [&](const auto& format) { return format.name == name; });
  return found == formats.end() ? nullptr : found;
}

}  // namespace

FormatKind KindOfFormat(std::string_view name) {
  if (Named(kFormats, name) != nullptr) return FormatKind::kOfTexts;
  return Named(kNumberFormats, name) != nullptr ? FormatKind::kOfNumbers : FormatKind::kUnknown;
}

std::string_view FormatPattern(std::string_view name) {
  const Format* const format = Named(kFormats, name);
  return format == nullptr ? std::string_view() : format->pattern;
}

std::optional<NumberRange> FormatIntegers(std::string_view name) {
  const NumberFormat* const format = Named(kNumberFormats, name);
  if (format == nullptr || format->most.empty()) return std::nullopt;
  const Decimal least = {.is_negative = true, .integer = std::string(format->least)};
  const Decimal most = {.integer = std::string(format->most)};
  return NumberRange{.lower = NumberBound{least}, .upper = NumberBound{most}};
}

}  // namespace plimsoll::grammar
