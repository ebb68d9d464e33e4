#include "server/api/json/parse_body.h"

#include <array>
#include <charconv>
#include <cmath>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_stack.hpp>
#include <fmt/format.h>

namespace plimsoll::server::api {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 9> kSchemaMembers = {
    "tools",       "functions",   "response_format",    "text",         "format",
    "json_schema", "guided_json", "structured_outputs", "output_config"};

// Builds the value as the parser meets its parts, and stops it at a limit.
class LimitedBuilder {
 public:
  // What the parser itself checks; the limits of a call are below these.
  static constexpr size_t max_object_size = 1U << 30;  // NOLINT(readability-identifier-naming)
  static constexpr size_t max_array_size = 1U << 30;   // NOLINT(readability-identifier-naming)
  static constexpr size_t max_key_size = 1U << 30;     // NOLINT(readability-identifier-naming)
  static constexpr size_t max_string_size = 1U << 30;  // NOLINT(readability-identifier-naming)

  explicit LimitedBuilder(const JsonLimits& limits) : limits_(limits) {
    stack_.reset(json::make_shared_resource<json::monotonic_resource>());
  }

  [[nodiscard]] json::value Release() { return stack_.release(); }
  [[nodiscard]] const std::string& problem() const { return problem_; }

  // The names and signatures that boost::json::basic_parser calls.
  // NOLINTBEGIN(readability-identifier-naming)
  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code& ec) { return Enter(ec); }
  bool on_object_end(size_t n, json::error_code& ec) {
    --depth_;
    if (n > limits_.n_object_members) {
      return Stop(ec, fmt::format("an object has more than {} members", limits_.n_object_members));
    }
    stack_.push_object(n);
    return true;
  }
  bool on_array_begin(json::error_code& ec) { return Enter(ec); }
  bool on_array_end(size_t n, json::error_code& ec) {
    --depth_;
    if (n > limits_.n_array_items) {
      return Stop(ec, fmt::format("an array has more than {} items", limits_.n_array_items));
    }
    stack_.push_array(n);
    return true;
  }
  bool on_key_part(json::string_view part, size_t, json::error_code&) {
    if (depth_ == 1) top_key_ += part;
    stack_.push_chars(part);
    return true;
  }
  bool on_key(json::string_view part, size_t, json::error_code&) {
    if (depth_ == 1) {
      top_key_ += part;
      in_schema_ = IsSchemaMember(std::exchange(top_key_, {}));
    }
    stack_.push_key(part);
    return true;
  }
  bool on_string_part(json::string_view part, size_t, json::error_code&) {
    stack_.push_chars(part);
    return true;
  }
  bool on_string(json::string_view part, size_t, json::error_code& ec) {
    stack_.push_string(part);
    return Count(ec);
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(int64_t value, json::string_view, json::error_code& ec) {
    stack_.push_int64(value);
    return Count(ec);
  }
  bool on_uint64(uint64_t value, json::string_view, json::error_code& ec) {
    stack_.push_uint64(value);
    return Count(ec);
  }
  bool on_double(double rough, json::string_view digits, json::error_code& ec) {
    // The parser's own value may be off by a bit.
    double value = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value);
    if (error == std::errc::result_out_of_range) {
      value = 0;
    }
    if (error == std::errc::result_out_of_range && !(std::abs(rough) < 1)) {
      return Stop(ec, "a number is beyond the range of a double");
    }
    stack_.push_double(value);
    return Count(ec);
  }
  bool on_bool(bool value, json::error_code& ec) {
    stack_.push_bool(value);
    return Count(ec);
  }
  bool on_null(json::error_code& ec) {
    stack_.push_null();
    return Count(ec);
  }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }
  // NOLINTEND(readability-identifier-naming)

 private:
  static bool IsSchemaMember(std::string_view key) {
    for (const std::string_view name : kSchemaMembers) {
      if (key == name) return true;
    }
    return false;
  }

  bool Enter(json::error_code& ec) {
    ++depth_;
    const uint32_t limit = in_schema_ ? limits_.schema_depth : limits_.depth;
    if (depth_ > limit) {
      return Stop(ec, fmt::format("it is nested deeper than {} levels", limit));
    }
    return Count(ec);
  }

  bool Count(json::error_code& ec) {
    return ++n_values_ <= limits_.n_values ||
           Stop(ec, fmt::format("it has more than {} values", limits_.n_values));
  }

  bool Stop(json::error_code& ec, std::string problem) {
    problem_ = std::move(problem);
    ec = json::error::exception;
    return false;
  }

  const JsonLimits& limits_;
  json::value_stack stack_;
  std::string problem_;
  std::string top_key_;
  bool in_schema_ = false;
  uint32_t depth_ = 0;
  uint32_t n_values_ = 0;
};

std::string Describe(const json::error_code& ec, std::string_view rest) {
  switch (static_cast<json::error>(ec.value())) {
    case json::error::incomplete:
      return "the text ends before the value does";
    case json::error::expected_utf16_escape:
    case json::error::illegal_leading_surrogate:
    case json::error::illegal_trailing_surrogate:
      return "a \\u escape is half of a pair";
    case json::error::expected_hex_digit:
      return "a \\u escape has too few digits";
    case json::error::exponent_overflow:
      return "a number is beyond the range of a double";
    default:
      return !rest.empty() && static_cast<unsigned char>(rest[0]) >= 0x80
                 ? "a byte is not part of UTF-8 text in a string"
                 : "a character is not allowed there";
  }
}

ApiError BadJson(std::string_view problem, size_t offset) {
  return {
      .status = 400,
      .message = fmt::format("The body cannot be read as JSON: {}, at byte {}.", problem, offset),
      .code = "invalid_json"};
}

}  // namespace

ApiResult<json::value> ParseBody(std::string_view text, const JsonLimits& limits) {
  json::parse_options options;
  options.max_depth = static_cast<size_t>(limits.schema_depth) + 1;  // the builder counts
  try {
    json::basic_parser<LimitedBuilder> parser(options, limits);
    json::error_code ec;
    const size_t n_read = parser.write_some(false, text.data(), text.size(), ec);
    LimitedBuilder& builder = parser.handler();
    if (ec) {
      const std::string problem =
          builder.problem().empty() ? Describe(ec, text.substr(n_read)) : builder.problem();
      return tl::unexpected(BadJson(problem, n_read));
    }
    if (n_read < text.size()) {
      return tl::unexpected(BadJson("something follows the value", n_read));
    }
    return builder.Release();
  } catch (const std::exception&) {
    return tl::unexpected(
        ApiError{.status = 413, .message = "The body needs more memory than there is."});
  }
}

}  // namespace plimsoll::server::api
