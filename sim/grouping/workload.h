// Sequences that decode side by side, made of recorded routing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "memory/trace/trace.h"

namespace plimsoll::sim {

// What the routers chose for each token of one sequence; it begins anew behind its end.
struct RoutedStream {
  std::vector<uint32_t> experts;  // [n_tokens][experts of a token, layer by layer]
  uint32_t n_tokens = 0;
};

struct Workload {
  std::vector<memory::trace::TraceLayer> layers;
  std::vector<uint32_t> first;  // of a layer's experts among those of a token
  uint32_t per_token = 0;       // experts
  std::vector<RoutedStream> streams;

  [[nodiscard]] std::span<const uint32_t> Experts(size_t stream, uint64_t token,
                                                  uint32_t layer) const {
    const RoutedStream& of = streams[stream];
    return std::span(of.experts)
        .subspan(token % of.n_tokens * per_token + first[layer], layers[layer].n_active);
  }
};

// `n` sequences from the traces, which are of one model; dealt out evenly, in an order drawn from
// the seed. Where one trace has to do for several sequences, each begins elsewhere in it; with
// `n_topics` > 0 each is of one of so many topics, which use each its own experts: the trace's,
// renamed within their layers. kIo and kFailed as ReadTrace, kUsage for traces of different models.
[[nodiscard]] Result<Workload> MakeWorkload(std::span<const std::filesystem::path> traces,
                                            uint32_t n, uint32_t n_topics, uint64_t seed);

}  // namespace plimsoll::sim
