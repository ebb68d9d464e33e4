#include "tools/random_model/random_model.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "formats/gguf/writer.h"
#include "tools/random_model/block_fill.h"
#include "tools/random_model/model_metadata.h"
#include "tools/random_model/random_stream.h"
#include "tools/random_model/tensor_plan.h"

namespace plimsoll::random_model {
namespace {

using formats::gguf::TensorDeclaration;
using formats::gguf::Writer;

constexpr uint64_t kPieceBytes = 1 << 20;

Result<> AppendRandom(const PlannedTensor& tensor, uint64_t elements, double rms,
                      RandomStream& random, Writer& writer) {
  const auto& traits = tensor::Traits(tensor.dtype);
  std::vector<std::byte> piece;
  for (uint64_t left = elements / traits.block_elements; left > 0;) {
    const uint64_t n_blocks = std::min(left, kPieceBytes / traits.block_bytes);
    piece.resize(n_blocks * traits.block_bytes);
    FillWeights(tensor.dtype, random, rms, tensor.mean, piece);
    if (auto ok = writer.Append(piece); !ok) {
      return ok;
    }
    left -= n_blocks;
  }
  return {};
}

Result<> AppendTensor(const PlannedTensor& tensor, uint64_t seed, Writer& writer) {
  if (!tensor.values.empty()) {
    return writer.Append(std::as_bytes(std::span(tensor.values)));
  }
  RandomStream random(seed, tensor.name);
  const uint64_t elements = tensor.shape.Elements();
  if (tensor.row_spread == 0) {
    return AppendRandom(tensor, elements, tensor.rms, random, writer);
  }
  const uint64_t row = tensor.shape.dims[0];
  for (uint64_t r = 0; r < elements / row; ++r) {
    const double factor = std::exp(tensor.row_spread * random.Normal());
    if (auto ok = AppendRandom(tensor, row, tensor.rms * factor, random, writer); !ok) {
      return ok;
    }
  }
  return {};
}

}  // namespace

Result<> WriteRandomModel(const ModelSpec& spec, const std::filesystem::path& path) {
  if (auto ok = Check(spec); !ok) {
    return ok;
  }
  const std::vector<PlannedTensor> tensors = PlanTensors(spec);
  std::vector<TensorDeclaration> declarations;
  declarations.reserve(tensors.size());
  for (const PlannedTensor& tensor : tensors) {
    declarations.push_back({tensor.name, tensor.dtype, tensor.shape});
  }
  auto writer = Writer::Create(path, MakeMetadata(spec), declarations);
  if (!writer) {
    return Forward(writer);
  }
  for (const PlannedTensor& tensor : tensors) {
    if (auto ok = AppendTensor(tensor, spec.seed, *writer); !ok) {
      return ok;
    }
  }
  return writer->Finish();
}

}  // namespace plimsoll::random_model
