// The k largest of a row of scores.
#pragma once

#include <cstdint>
#include <span>

namespace plimsoll::model {

// Fills `chosen` with the indices of its size() largest scores, in ascending order of index; equal
// scores go to the lower index. `scores` has at least that many.
void ChooseTop(std::span<const float> scores, std::span<uint32_t> chosen);

}  // namespace plimsoll::model
