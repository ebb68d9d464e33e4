// From a request's JSON to what templates see, and back to text.
#pragma once

#include <string>

#include <boost/json/fwd.hpp>

#include "text/jinja/value.h"

namespace plimsoll::server::api {

// The same value: the order of keys and the difference of 1 and 1.0 are kept.
[[nodiscard]] text::jinja::Value ToTemplateValue(const boost::json::value& value);

// As JSON text, on one line and without spaces.
[[nodiscard]] std::string ToJson(const boost::json::value& value);

}  // namespace plimsoll::server::api
