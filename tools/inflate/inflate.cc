#include "tools/inflate/inflate.h"

#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/bytes.h"
#include "formats/gguf/writer.h"
#include "kernels/quantize.h"
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

// GGUF's general.file_type, which says what most tensors are (llama.cpp's llama_ftype).
uint32_t FileType(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ8_0:
      return 7;
    case DType::kQ4_K:
      return 14;
    case DType::kBF16:
      return 32;
    default:
      return 0;
  }
}

Metadata WideMetadata(const Metadata& small, const Target& target) {
  Metadata wide = small;
  SetDimensions(target.dimensions, wide);
  const std::string name(small.StringOr("general.name", "").value_or(""));
  wide.SetString("general.name", fmt::format("{}{}inflated", name, name.empty() ? "" : ", "));
  wide.SetU32("general.file_type", FileType(target.dtype));
  return wide;
}

// Better said now than after writing most of it. A file system that does not say is let be.
Result<> CheckRoom(const std::filesystem::path& path, uint64_t bytes) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  std::error_code error;
  const auto space = std::filesystem::space(folder, error);
  if (!error && space.available < bytes) {
    return Fail(ErrorKind::kIo, "{} needs {}, and {} has {} free", path.string(),
                FormatBytes(bytes), folder.string(), FormatBytes(space.available));
  }
  return {};
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
  if (!kernels::CanQuantize(target.dtype)) {
    return Fail(ErrorKind::kUsage, "{} cannot be made", tensor::Traits(target.dtype).name);
  }
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
  if (auto room = CheckRoom(path, TotalBytes(*tensors)); !room) {
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
