// What a sequence's next tokens may be: constrained output.
#pragma once

#include "base/ids.h"

namespace plimsoll::sampling {

// Belongs to one sequence. For one thread at a time.
class TokenFilter {
 public:
  virtual ~TokenFilter() = default;

  // Whether the text so far may go on with this token.
  [[nodiscard]] virtual bool Allows(TokenId token) const = 0;
  // The token was drawn; it is one that Allows().
  virtual void Accept(TokenId token) = 0;
};

}  // namespace plimsoll::sampling
