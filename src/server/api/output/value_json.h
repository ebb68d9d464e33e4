// Values of templates as JSON text.
#pragma once

#include "base/json_text.h"
#include "text/jinja/value.h"

namespace plimsoll::server::api::output {

// In the order of its members; what JSON does not have is null.
void WriteTemplateValue(const text::jinja::Value& value, JsonText& json);

}  // namespace plimsoll::server::api::output
