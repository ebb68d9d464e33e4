// Phi-3 to Phi-4: queries, keys and values from one matrix, gate and up from one, as in GGUF.
#include "formats/safetensors/families/families.h"

namespace plimsoll::formats::safetensors {
namespace phi {

constexpr Family kPhi3 = {
    .hugging_face = "phi3", .gguf = "phi3", .rms_eps = 1e-5, .windows = Windows::kAlways};

constexpr const Family* kAll[] = {&kPhi3};

}  // namespace phi

std::span<const Family* const> PhiFamilies() { return phi::kAll; }

}  // namespace plimsoll::formats::safetensors
