// Which backend this system allows.
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

Result<std::unique_ptr<Reader>> MakeReader(const BackendOptions& backend_options,
                                           const ReaderOptions& options) {
  auto backend = MakeBackend(backend_options);
  if (!backend) {
    return Forward(backend);
  }
  return std::make_unique<Reader>(std::move(*backend), options);
}

}  // namespace plimsoll::io
