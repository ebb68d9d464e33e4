// Which backend this system allows.
#include <array>
#include <utility>

#include "io/reader.h"
#include "io/thread_backend.h"
#include "io/uring_backend.h"

namespace plimsoll::io {

Result<std::unique_ptr<ReadBackend>> MakeBackend(const BackendOptions& options) {
  if (options.kind != BackendKind::kThreads) {
    auto ring = MakeUringBackend(options.depth, options.direct);
    if (ring || options.kind == BackendKind::kUring) {
      return ring;
    }
  }
  return MakeThreadBackend(options.depth, options.n_threads, options.direct);
}

Result<BackendOptions> BackendNamed(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, BackendOptions>, 5> kNamed = {{
      {"best", {}},
      {"io_uring", {.kind = BackendKind::kUring}},
      {"threads", {.kind = BackendKind::kThreads}},
      {"buffered", {.direct = false}},
      {"threads-buffered", {.kind = BackendKind::kThreads, .direct = false}},
  }};
  for (const auto& [known, options] : kNamed) {
    if (known == name) {
      return options;
    }
  }
  return Fail(ErrorKind::kUsage,
              "{} is no way of reading: best, io_uring, threads, buffered or threads-buffered",
              name);
}

Result<std::unique_ptr<Reader>> MakeReader(const BackendOptions& backend_options,
                                           const ReaderOptions& options) {
  auto backend = MakeBackend(backend_options);
  if (!backend) {
    return Forward(backend);
  }
  return std::make_unique<Reader>(std::move(*backend), options);
}

}  // namespace plimsoll::io
