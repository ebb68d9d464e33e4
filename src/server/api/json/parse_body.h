// A request's body as JSON, within limits.
#pragma once

#include <cstdint>
#include <string_view>

#include <boost/json/fwd.hpp>

#include "server/api/api_error.h"

namespace plimsoll::server::api {

// Each is checked while the text is read, before memory for what is beyond it is taken.
struct JsonLimits {
  uint32_t depth = 64;
  // Below the members of the body that hold JSON schemas: tools, response_format, ...
  uint32_t schema_depth = 128;
  uint32_t n_array_items = 1'000'000;
  uint32_t n_object_members = 10'000;
  // All values of the body together. Bounds what they take in memory: less than 100 bytes each,
  // and the strings' own bytes.
  uint32_t n_values = 1'000'000;
};

// Strict JSON (RFC 8259): no comments, no trailing commas, valid UTF-8 without lone surrogates, and
// nothing behind the value but white space. Of equal keys the last one counts. Numbers are the
// nearest double, or the exact integer when they are written as one that 64 bits hold. A string is
// as long as the body at most, whose length HTTP limits.
//
// Status 400 with the byte offset; the message never has bytes of the text in it.
//
//   auto body = ParseBody(request.body);
//   if (!body) return tl::unexpected(std::move(body).error());
//   Reading reading;
//   Fields fields = reading.Open(*body);                              // json/fields.h
//
// Needs <boost/json/value.hpp> where it is called.
[[nodiscard]] ApiResult<boost::json::value> ParseBody(std::string_view text,
                                                      const JsonLimits& limits = {});

}  // namespace plimsoll::server::api
