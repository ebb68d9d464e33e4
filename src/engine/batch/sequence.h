// A request on its way through a batching engine.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/continuation.h"
#include "engine/generation.h"
#include "engine/order/decode_turns.h"
#include "engine/prefix/prefix_tree.h"
#include "engine/service.h"
#include "kv/kv_sequence.h"
#include "kv/store/block_store.h"

namespace plimsoll::engine::batch {

using Clock = std::chrono::steady_clock;

struct Sequence {
  RequestId id = 0;  // ascending in order of arrival
  GenerationRequest request;
  std::shared_ptr<GenerationSink> sink;
  std::vector<TokenId> tokens;                   // the prompt and what was drawn since
  std::optional<Continuation> answer;            // refers to `request`
  std::optional<kv::policy::Eviction> eviction;  // none: it keeps everything
  std::vector<TokenId> patch;                    // by which it is decided what goes, where one does
  std::unique_ptr<kv::KvSequence> kv;            // null while it waits
  // Where the state behind these goes; null: there is none.
  std::shared_ptr<kv::StateBlocks> restored_state;
  // Its blocks on their way back from a disk; null: none are. It writes to `kv`, and goes first.
  std::unique_ptr<kv::BlockStore::Restore> restore;
  uint32_t n_restoring = 0;      // of these, blocks of keys and values
  bool restores_prompt = false;  // at its first start: what comes back was found
  // Of its request's filter, from its first start on: that goes on when the rest is computed anew.
  memory::Reservation filter_memory;
  prefix::Hold prefix;                      // what it uses of the prefix tree, or will use
  bool waits_for_prefix = false;            // others will have computed more of it
  uint32_t n_computed = 0;                  // tokens whose keys and values are there
  uint32_t n_reused = 0;                    // of the prompt, found at its first start
  std::unique_ptr<order::Decoder> decoder;  // null where nobody decodes in groups
  uint64_t turn = 0;                        // ascending in order of first start; 0: not started yet
  // Tokens that its answer is taken to have, where the order of requests guesses that.
  std::optional<double> expected_output;
  Clock::time_point arrived;
  std::optional<Clock::time_point> started;
  std::optional<Clock::time_point> first_token;
  std::optional<Clock::time_point> paused_since;

  [[nodiscard]] uint32_t n_prompt() const { return static_cast<uint32_t>(request.prompt.size()); }
  // Tokens that a step can still compute: one while it is answering.
  [[nodiscard]] uint32_t n_pending() const {
    return static_cast<uint32_t>(tokens.size()) - n_computed;
  }
  // All but the token that was drawn last is computed; else it is reading, or waits for the disk.
  [[nodiscard]] bool is_answering() const { return n_pending() == 1 && first_token.has_value(); }
  [[nodiscard]] bool is_reading() const { return !is_answering() && restore == nullptr; }
};

using SequencePtr = std::unique_ptr<Sequence>;

}  // namespace plimsoll::engine::batch
