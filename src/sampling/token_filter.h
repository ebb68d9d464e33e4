// What a sequence's next tokens may be: constrained output.
#pragma once

#include <cstdint>
#include <span>

#include "base/ids.h"
#include "base/result.h"

namespace plimsoll::sampling {

// Belongs to one sequence, and follows its answer: computing the sequence anew does not change it.
// For one thread at a time.
class TokenFilter {
 public:
  virtual ~TokenFilter() = default;

  // Whether the text so far may go on with this token. Cheap beside a mask.
  [[nodiscard]] virtual bool Allows(TokenId token) = 0;
  // A bit for each token of the vocabulary, set for those that Allows(); at least one is. Valid
  // until the next call. An error when there is none, or finding them is too much work.
  [[nodiscard]] virtual Result<std::span<const uint64_t>> Mask() = 0;
  // The token was drawn; it is one that Allows().
  virtual void Accept(TokenId token) = 0;
  // Nothing can follow what was accepted last: the answer is over.
  [[nodiscard]] virtual bool IsOver() const = 0;
  // What it takes at most from its first use on, for which its sequence needs room.
  [[nodiscard]] virtual uint64_t max_bytes() const { return 0; }
};

}  // namespace plimsoll::sampling
