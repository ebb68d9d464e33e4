// Which of a model's weights stay in memory.
#pragma once

#include <cstdint>

namespace plimsoll::model {

enum class Residence : uint8_t {
  kAll,      // every weight
  kPaged,    // all but the routed experts, which share frames
  kStreamed  // besides, dense matrices stream through a ring; a part of them may be kept
};

}  // namespace plimsoll::model
