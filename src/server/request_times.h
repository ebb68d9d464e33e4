// How long the requests of a model took, part by part.
#pragma once

#include "engine/generation.h"
#include "server/histogram.h"

namespace plimsoll::server {

struct RequestTimes {
  Histogram queue;
  Histogram prefill;
  Histogram decode;
  Histogram first_token;  // from the request's arrival
  Histogram inter_token;  // the mean of a request
  Histogram whole;

  // Of a request that was not cancelled and did not fail.
  void Observe(const engine::GenerationEnd& end) {
    const engine::GenerateStats& stats = end.stats;
    queue.Observe(end.queue_seconds);
    prefill.Observe(stats.prefill_seconds);
    decode.Observe(stats.decode_seconds);
    first_token.Observe(stats.first_token_seconds);
    if (stats.n_generated > 1) {
      inter_token.Observe(stats.decode_seconds / (stats.n_generated - 1));
    }
    whole.Observe(stats.first_token_seconds + stats.decode_seconds);
  }
};

}  // namespace plimsoll::server
