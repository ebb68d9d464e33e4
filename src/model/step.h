// One chunk of tokens on its way through the model: what they are, and everything that layers need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/ids.h"
#include "kernels/kernels.h"
#include "kernels/team.h"
#include "kv/kv_sequence.h"
#include "memory/policy/policy.h"
#include "model/hyper_params.h"
#include "model/scratch.h"

namespace plimsoll::model {

// A token of a chunk. Its key and value go to `slot` of `sequence`, where room was made.
struct ChunkToken {
  TokenId token = 0;
  uint32_t position = 0;
  uint32_t slot = 0;
  kv::KvSequence* sequence = nullptr;
  // Draft trees: bit s % 32 of word s / 32 says whether slot s is visible. Null: every slot up to
  // its own.
  const uint32_t* mask = nullptr;
};

class ActivationObserver;
class PagedExperts;
class RoutingReport;
class StreamedWeights;

struct Step {
  const HyperParams& hp;
  const kernels::KernelSet& kernels;
  kernels::Team& team;
  Scratch& scratch;
  std::span<const ChunkToken> tokens;
  uint64_t pass = 0;                          // counts forward passes
  RoutingReport* report = nullptr;            // null: nobody watches the routers
  PagedExperts* experts = nullptr;            // null: all are resident
  StreamedWeights* streamed = nullptr;        // null: no dense matrix is
  ActivationObserver* activations = nullptr;  // null: nobody watches what enters the matrices
  // Indices of the tokens that are the last of their blocks, where layers are quantized and
  // sequences have no originals.
  std::span<const uint32_t> last_of_blocks = {};

  [[nodiscard]] size_t n() const { return tokens.size(); }

  // Several tokens of one sequence are a part of a prompt.
  [[nodiscard]] memory::policy::Phase phase() const {
    const bool prompt = n() > 1 && tokens[0].sequence == tokens[1].sequence;
    return prompt ? memory::policy::Phase::kPrefill : memory::policy::Phase::kDecode;
  }

  // Runs f(token index) for every token: on the calling thread when there is just one, since a
  // stage of the team costs more than that is worth.
  template <class F>
  void ForEachToken(const F& f) const {
    if (n() == 1) {
      f(size_t{0});
      return;
    }
    team.Run(n(), [&](size_t i, size_t /*thread*/) { f(i); });
  }
};

}  // namespace plimsoll::model
