// Errors that users, files or disks can cause are values: a Result<T> holds a T or an Error.
//
// A broken invariant of our own is not an Error: see invariant.h. Pressure (full, deferred, retry)
// is not an Error either but an enum outcome of the operation that met it.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <tl/expected.hpp>

namespace plimsoll {

// The value of a kind is the process's exit code when the error ends the program.
enum class ErrorKind : int {
  kFailed = 1,
  kUsage = 2,
  kBadModel = 3,
  kDoesNotFit = 4,
  kIo = 5,
  kPortOrPermission = 6,
  kNetwork = 7,
  kTimeLimit = 124,
  kInterrupted = 130,
};

struct Error {
  ErrorKind kind = ErrorKind::kFailed;
  // One to three lines: what went wrong, where (file, field, byte offset), and the next step.
  std::string message;
  // Of kIo: somebody changed the file since it was opened; trying again is of no use.
  bool file_changed = false;

  // The same of a part of something larger: "tensor x: " before the message.
  [[nodiscard]] Error In(std::string_view what) const {
    Error error = *this;
    error.message = fmt::format("{}: {}", what, message);
    return error;
  }
};

template <class T = void>
using Result = tl::expected<T, Error>;

// return Fail(ErrorKind::kBadModel, "{}: {} at byte {}", path, what, offset);
template <class... Args>
[[nodiscard]] tl::unexpected<Error> Fail(ErrorKind kind, fmt::format_string<Args...> format,
                                         Args&&... args) {
  return tl::unexpected<Error>(Error{kind, fmt::format(format, std::forward<Args>(args)...)});
}

// if (!x) return Forward(x);   passes the error of one Result on as that of another.
template <class T>
[[nodiscard]] tl::unexpected<Error> Forward(Result<T>& result) {
  return tl::unexpected<Error>(std::move(result).error());
}

}  // namespace plimsoll
