#include "formats/gguf/joined_experts.h"

#include <string>
#include <string_view>

namespace plimsoll::formats::gguf {
namespace {

constexpr std::string_view kJoined = ".ffn_gate_up_exps.weight";
constexpr uint64_t kMostExperts = 1U << 16;  // each becomes a range of its own

TensorEntry HalfOf(const TensorEntry& joined, std::string_view name, uint64_t half) {
  const uint64_t n_experts = joined.shape.dims[2];
  const FileRange& whole = joined.ranges.front();
  TensorEntry entry;
  entry.name = joined.name.substr(0, joined.name.size() - kJoined.size());
  entry.name += name;
  entry.dtype = joined.dtype;
  entry.shape = tensor::MakeShape(joined.shape.dims[0], joined.shape.dims[1] / 2, n_experts);
  entry.bytes = joined.bytes / 2;
  const uint64_t bytes = entry.bytes / n_experts;
  for (uint64_t expert = 0; expert < n_experts; ++expert) {
    entry.ranges.push_back({whole.file_idx, whole.offset + (2 * expert + half) * bytes, bytes});
  }
  return entry;
}

}  // namespace

std::vector<TensorEntry> SplitJoinedExperts(TensorEntry tensor) {
  const tensor::Shape& shape = tensor.shape;
  if (!tensor.name.ends_with(kJoined) || shape.n_dims != 3 || shape.dims[1] % 2 != 0 ||
      shape.dims[2] > kMostExperts || tensor.bytes == 0) {
    std::vector<TensorEntry> same;
    same.push_back(std::move(tensor));
    return same;
  }
  return {HalfOf(tensor, ".ffn_gate_exps.weight", 0), HalfOf(tensor, ".ffn_up_exps.weight", 1)};
}

}  // namespace plimsoll::formats::gguf
