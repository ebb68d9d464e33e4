// The policies under which something goes, each in the file of its name.
#pragma once

#include "kv/policy/policy_type.h"

namespace plimsoll::kv::policy {

extern const PolicyType kWindowType;
extern const PolicyType kBlockType;
extern const PolicyType kSnapType;
extern const PolicyType kArkvType;
extern const PolicyType kEpisodeType;

}  // namespace plimsoll::kv::policy
