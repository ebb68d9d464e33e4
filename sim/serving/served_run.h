// Arrivals served by the batcher that serves real clients, in virtual time.
//
// The batcher is the real one, over a model so small that its arithmetic costs next to nothing;
// what a step would take on a machine with a real model is told by the engine's cost model, and the
// clock is moved by that.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/cost_model.h"
#include "engine/engine.h"
#include "sim/serving/arrivals.h"

namespace plimsoll::sim {

// What the virtual machine computes.
struct ServedModel {
  engine::TokenWork work;  // of a token, without keys and values
  engine::MachineSpeed speed;
  uint64_t kv_bytes_per_token = 0;
  uint32_t n_kv_tokens = 0;  // room for keys and values; the longest request too
};

// A dense model of a billion weights in Q4_0, with room for `n_kv_tokens`: on two cores
// (bench/RESULTS.md), where arithmetic is short from eight sequences on, and on a machine with ten
// times their bandwidth and sixty times their arithmetic, as a small GPU has, where room is.
[[nodiscard]] ServedModel OnTwoCores(uint32_t n_kv_tokens);
[[nodiscard]] ServedModel OnASmallGpu(uint32_t n_kv_tokens);

struct ServeOptions {
  std::string order = "fcfs";
  bool lengths_known = false;  // requests say how long their answers will be
};

struct ServeReport {
  uint32_t n_served = 0;
  uint32_t n_too_long = 0;  // for the room there is; left out
  // From arrival to the last token, and to the first, in seconds.
  double mean = 0;
  double p95 = 0;
  double p99 = 0;
  double first_mean = 0;
  double first_p95 = 0;
  double seconds_per_token = 0;  // mean over requests of latency / tokens of the answer
  double tokens_per_second = 0;  // of answers, over the whole time
  double seconds = 0;            // until the last answer's end
  uint64_t n_preempted = 0;
  uint64_t prompt_tokens = 0;
  uint64_t prompt_tokens_reused = 0;
};

class Server {
 public:
  // Makes the small model in a temporary file. kIo when it cannot be written.
  [[nodiscard]] static Result<std::unique_ptr<Server>> Create(ServedModel model);

  [[nodiscard]] Result<ServeReport> Serve(const Arrivals& arrivals,
                                          const ServeOptions& options) const;
  // Requests a second of such a kind, when all are there from the start.
  [[nodiscard]] Result<double> Capacity(Arrivals arrivals) const;

 private:
  Server(ServedModel model, std::unique_ptr<engine::Engine> engine)
      : model_(std::move(model)), engine_(std::move(engine)) {}

  ServedModel model_;
  std::unique_ptr<engine::Engine> engine_;
};

}  // namespace plimsoll::sim
