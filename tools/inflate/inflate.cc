#include "tools/inflate/inflate.h"

#include <utility>

#include <fmt/format.h>

#include "formats/gguf/file_type.h"
#include "formats/gguf/writer.h"
#include "io/free_space.h"
#include "tools/inflate/axis.h"
#include "tools/inflate/plan.h"
#include "tools/inflate/wide_matrix.h"

namespace plimsoll::inflate {
namespace {

using formats::Catalogue;
using formats::Metadata;
using formats::gguf::Writer;
using tensor::DType;

// Far beyond every published model's.
constexpr uint64_t kVocabMax = 1 << 24;

Metadata WideMetadata(const Metadata& small, const Target& target) {
  Metadata wide = small;
  SetDimensions(target.dimensions, wide);
  const std::string name(small.StringOr("general.name", "").value_or(""));
  wide.SetString("general.name", fmt::format("{}{}inflated", name, name.empty() ? "" : ", "));
  wide.SetU32("general.file_type", formats::gguf::FileTypeOf(target.dtype).value_or(0));
  return wide;
}

Result<> WriteTensors(const Catalogue& source, const std::vector<WideTensor>& tensors,
                      const std::function<void(const Progress&)>& on_progress, Writer& writer) {
  Progress progress = {0, TotalBytes(tensors)};
  const auto append = [&](std::span<const std::byte> piece) {
    auto written = writer.Append(piece);
    progress.bytes_done += piece.size();
    on_progress(progress);
    return written;
  };
  for (const WideTensor& wide : tensors) {
    WideMatrix matrix(source, wide);
    for (uint64_t i = 0; i < wide.n_matrices; ++i) {
      if (auto written = matrix.Write(i, append); !written) {
        return written;
      }
    }
  }
  return {};
}

Result<Axes> AxesOf(const Catalogue& source, const Dimensions& from, const Dimensions& to) {
  const formats::TensorEntry* embedding = source.Find("token_embd.weight");
  if (embedding == nullptr) {
    return Fail(ErrorKind::kBadModel, "the model has no tensor 'token_embd.weight'");
  }
  auto n_experts = source.metadata.U32(fmt::format("{}.expert_count", kArchitecture));
  if (!n_experts) {
    return Forward(n_experts);
  }
  if (*n_experts > kDimensionMax || embedding->shape.dims[1] > kVocabMax) {
    return Fail(ErrorKind::kBadModel, "the model has {} experts a layer and {} tokens", *n_experts,
                embedding->shape.dims[1]);
  }
  return MakeAxes(from, to, static_cast<uint32_t>(embedding->shape.dims[1]), *n_experts);
}

}  // namespace

Result<> WriteInflated(const Catalogue& source, const Target& target,
                       const std::filesystem::path& path,
                       const std::function<void(const Progress&)>& on_progress) {
  const auto from = ReadDimensions(source.metadata);
  if (!from) {
    return tl::unexpected(from.error());
  }
  if (auto fits = CheckWidening(*from, target.dimensions); !fits) {
    return fits;
  }
  const auto axes = AxesOf(source, *from, target.dimensions);
  if (!axes) {
    return tl::unexpected(axes.error());
  }
  const auto tensors =
      PlanTensors(source, *axes, from->n_layers, target.dimensions.n_layers, target.dtype);
  if (!tensors) {
    return tl::unexpected(tensors.error());
  }
  if (auto room = io::CheckFreeSpace(path, TotalBytes(*tensors)); !room) {
    return room;
  }
  std::vector<formats::gguf::TensorDeclaration> declarations;
  for (const WideTensor& wide : *tensors) {
    declarations.push_back({wide.name, wide.dtype, wide.shape});
  }
  auto writer = Writer::Create(path, WideMetadata(source.metadata, target), declarations);
  if (!writer) {
    return Forward(writer);
  }
  if (auto written = WriteTensors(source, *tensors, on_progress, *writer); !written) {
    return written;
  }
  return writer->Finish();
}

}  // namespace plimsoll::inflate
