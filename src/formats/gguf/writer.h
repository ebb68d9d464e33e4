// Writes GGUF version 3: metadata and tensor declarations first, then the tensors' bytes in the
// order of the declarations, without ever holding more than the caller's piece in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/metadata.h"
#include "io/atomic_file.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace plimsoll::formats::gguf {

struct TensorDeclaration {
  std::string name;
  tensor::DType dtype = tensor::DType::kF32;
  tensor::Shape shape;
};

// Everything before the data section, padded to where that begins, and where each tensor's bytes
// go. The alignment is metadata's general.alignment, 32 without. kFailed for what no reader
// accepts: a name that is empty, too long or there twice, a shape that is no whole number of
// blocks.
struct Header {
  std::string bytes;
  uint32_t alignment = 0;
  std::vector<uint64_t> tensor_bytes;
};
[[nodiscard]] Result<Header> EncodeHeader(const Metadata& metadata,
                                          std::span<const TensorDeclaration> tensors);

// Not thread-safe. The file appears under its name when Finish succeeds, and not before.
class Writer {
 public:
  [[nodiscard]] static Result<Writer> Create(const std::filesystem::path& path,
                                             const Metadata& metadata,
                                             std::span<const TensorDeclaration> tensors);

  // The next bytes of the tensor that is being written; a piece never crosses into the next tensor.
  [[nodiscard]] Result<> Append(std::span<const std::byte> piece);
  // kFailed unless every tensor got all its bytes.
  [[nodiscard]] Result<> Finish();

 private:
  Writer(io::AtomicFile file, Header header, std::vector<std::string> names);

  [[nodiscard]] Result<> PadToAlignment();

  io::AtomicFile file_;
  uint32_t alignment_;
  std::vector<uint64_t> tensor_bytes_;
  std::vector<std::string> names_;
  size_t tensor_idx_ = 0;       // the tensor that is being written
  uint64_t written_bytes_ = 0;  // of that tensor
};

}  // namespace plimsoll::formats::gguf
