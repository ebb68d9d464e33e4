// Which backend this system allows.
#include "io/reader.h"
#include "io/thread_backend.h"

namespace plimsoll::io {

Result<std::unique_ptr<ReadBackend>> MakeBackend(const BackendOptions& options) {
  if (options.kind == BackendKind::kUring) {
    return Fail(ErrorKind::kFailed, "io_uring is not compiled in");
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
