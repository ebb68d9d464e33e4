// What a model keeps of a sequence between steps.
#pragma once

#include <cstdint>
#include <memory>

namespace plimsoll::kv {

enum class AppendOutcome {
  kAppended,
  kNoRoom,  // nothing changed; room must be made first
};

// A state that can be gone back to. Holding one keeps what it needs alive.
class StateSnapshot {
 public:
  virtual ~StateSnapshot() = default;
};

// Attention layers keep keys and values of every token, recurrent layers a state of fixed size;
// both are driven through this interface. Not thread-safe.
class SequenceState {
 public:
  virtual ~SequenceState() = default;

  [[nodiscard]] virtual uint32_t n_tokens() const = 0;

  // Makes room for `n` more tokens, whose logical positions are `first_position` and on. The step
  // that follows fills it.
  [[nodiscard]] virtual AppendOutcome Append(uint32_t n, uint32_t first_position) = 0;

  // Forgets all but the first `n` tokens.
  virtual void Truncate(uint32_t n) = 0;

  // A second sequence with the same tokens; the memory is shared until one of them changes it.
  [[nodiscard]] virtual std::unique_ptr<SequenceState> Fork() const = 0;

  [[nodiscard]] virtual std::unique_ptr<StateSnapshot> Snapshot() const = 0;
  // `snapshot` came from this state or from one it was forked from.
  virtual void Restore(const StateSnapshot& snapshot) = 0;

  // Bytes that a sequence of `n_tokens` tokens takes.
  [[nodiscard]] virtual uint64_t Bytes(uint32_t n_tokens) const = 0;
};

}  // namespace plimsoll::kv
