// Answers a file of requests by the routes that serve clients.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "server/batch/batch_input.h"
#include "server/batch/batch_output.h"
#include "server/serving.h"

namespace plimsoll::server::batch {

struct BatchProgress {
  size_t n_read = 0;      // requests that were looked at for their order
  size_t n_done = 0;      // with those of earlier runs
  size_t n_earlier = 0;   // of these, of earlier runs
  size_t n_refused = 0;   // answered with an error in this run
  size_t n_requests = 0;  // of the file
};

struct RunBatchOptions {
  uint32_t max_waiting = 512;  // requests that were handed over and are not answered
  std::function<void(const BatchProgress&)> on_progress;  // several times a second; may be empty
  std::function<bool()> is_stopped;                       // likewise
};

// Each request of `input` that `output` does not answer yet is answered there once, also by an
// error of its own (its status is not 200: a wrong member, or no room for it in the line). They are
// handed over in the order of OrderByPrefix; how many run at a time is a matter of memory. A
// request that names no seed has one made of its custom_id, so that it is answered alike whatever
// ran beside it or before it was stopped. kInterrupted when it was stopped, kFailed when the model
// cannot be loaded: what was answered stays, and another run goes on from there.
[[nodiscard]] Result<BatchProgress> RunBatch(const ServingPtr& serving, BatchInput& input,
                                             BatchOutput& output, const RunBatchOptions& options);

// What RunTaskOptions::seed_of is to be for batches.
[[nodiscard]] uint64_t SeedOfRequest(const http::Request& request);

}  // namespace plimsoll::server::batch
