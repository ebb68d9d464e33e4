// How parsing and rendering end early: inside this folder an error travels as an exception, because
// it unwinds through every level of a recursive walk; ChatTemplate turns it into a Result and lets
// none escape.
#pragma once

#include <utility>

#include <fmt/format.h>

#include "base/result.h"

namespace plimsoll::text::jinja {

struct Stop {
  Error error;
};

// Ends a rendering.
template <class... Args>
[[noreturn]] void StopRender(fmt::format_string<Args...> format, Args&&... args) {
  throw Stop{
      {ErrorKind::kFailed, "chat template: " + fmt::format(format, std::forward<Args>(args)...)}};
}

}  // namespace plimsoll::text::jinja
