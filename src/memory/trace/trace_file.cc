#include "memory/trace/trace_file.h"

#include <string>

#include "io/file.h"
#include "memory/trace/binary_trace.h"
#include "memory/trace/text_traces.h"

namespace plimsoll::memory::trace {
namespace {

constexpr uint64_t kFileBytesMax = uint64_t{1} << 30;

}  // namespace

Result<Trace> ReadTrace(const std::filesystem::path& path) {
  auto file = io::File::Open(path);
  if (!file) {
    return Forward(file);
  }
  if ((*file)->size() > kFileBytesMax) {
    return Fail(ErrorKind::kFailed, "{}: {} bytes; traces of at most {} are read", path.string(),
                (*file)->size(), kFileBytesMax);
  }
  std::string bytes((*file)->size(), '\0');
  if (auto read = (*file)->ReadAt(0, std::as_writable_bytes(std::span(bytes))); !read) {
    return Forward(read);
  }
  return ParseTrace(bytes, path.string());
}

Result<Trace> ParseTrace(std::string_view bytes, std::string_view name) {
  if (bytes.starts_with(kTraceMagic)) {
    return ParseBinaryTrace(bytes, name);
  }
  return LooksLikeRouteTraceV1(bytes) ? ParseRouteTraceV1(bytes, name)
                                      : ParseColibriRouteTrace(bytes, name);
}

}  // namespace plimsoll::memory::trace
