// The policies by name, as --policy and `plimsoll trace replay` spell them.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "memory/policy/policy.h"

namespace plimsoll::memory::policy {

struct PolicyName {
  std::string_view name;
  std::string_view summary;
};

// The default first.
[[nodiscard]] std::span<const PolicyName> PolicyNames();

// `layout` outlives the policy. kUsage, with the names that there are, when there is none of that
// name.
[[nodiscard]] Result<std::unique_ptr<Policy>> MakePolicy(std::string_view name,
                                                         const PageLayout& layout);

}  // namespace plimsoll::memory::policy
