// Writes a trace while a model runs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/append_file.h"
#include "memory/trace/binary_trace.h"
#include "memory/trace/routing_observer.h"

namespace plimsoll::memory::trace {

// Not thread-safe. A failed write (a full disk) ends the recording and not the run: what is whole
// stays in the file, later visits are dropped, and Finish says what happened.
class Recorder final : public RoutingObserver {
 public:
  // `layers` says of each routed layer how many experts are chosen and ranked; visits have as many.
  [[nodiscard]] static Result<std::unique_ptr<Recorder>> Create(const std::filesystem::path& path,
                                                                std::string_view model,
                                                                std::string_view architecture,
                                                                std::vector<TraceLayer> layers);

  void OnVisit(const policy::LayerVisit& visit) override;
  // Writes what is still in memory. The first error of all writes.
  [[nodiscard]] Result<> Finish();
  [[nodiscard]] bool failed() const { return error_.has_value(); }
  [[nodiscard]] uint64_t bytes_written() const { return file_.size(); }

 private:
  Recorder(io::AppendFile file, std::vector<TraceLayer> layers)
      : file_(std::move(file)), layers_(std::move(layers)) {}

  void WriteBlock();

  io::AppendFile file_;
  std::vector<TraceLayer> layers_;
  BlockEncoder encoder_;
  std::vector<Choice> ranked_;
  uint32_t pass_ = 0;
  std::optional<uint64_t> step_;  // of the last visit
  std::optional<Error> error_;
};

}  // namespace plimsoll::memory::trace
