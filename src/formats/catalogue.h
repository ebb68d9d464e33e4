// What a model's files contain: metadata, and where each tensor's bytes lie. Reading a catalogue
// loads no tensor data. GGUF and safetensors both produce one, with GGUF's names and metadata keys,
// so nothing behind it knows which format a model came in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "formats/metadata.h"
#include "io/file.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace plimsoll::formats {

// A range of one of the catalogue's files.
struct FileRange {
  uint32_t file_idx = 0;
  uint64_t offset = 0;  // from the start of that file
  uint64_t bytes = 0;
};

class Catalogue;

// A tensor whose bytes are in no file as they are, but made of some that are.
class Conversion {
 public:
  Conversion() = default;
  Conversion(const Conversion&) = delete;
  Conversion& operator=(const Conversion&) = delete;
  virtual ~Conversion() = default;

  // Bytes of the tensor from `offset` on, no more than it has. Thread-safe.
  [[nodiscard]] virtual Result<> Read(const Catalogue& catalogue, uint64_t offset,
                                      std::span<std::byte> out) const = 0;
};

struct TensorEntry {
  std::string name;
  tensor::DType dtype = tensor::DType::kF32;
  tensor::Shape shape;
  uint64_t bytes = 0;
  // The tensor's bytes in order. One range, except where a format keeps every expert's matrix by
  // itself (safetensors) and the tensor here is their stack. All ranges lie inside their files.
  std::vector<FileRange> ranges;
  // Not null: there are no ranges.
  std::shared_ptr<const Conversion> conversion;
};

// Tensors of the files that are no part of the catalogue, on purpose.
struct LeftOut {
  std::string what;  // "images"
  uint64_t n_tensors = 0;
  uint64_t bytes = 0;
};

class Catalogue {
 public:
  Metadata metadata;
  std::vector<std::shared_ptr<const io::File>> files;
  std::vector<LeftOut> left_out;
  bool is_from_folder = false;  // of Hugging Face's, with GGUF's names and keys made up

  // False when a tensor of that name exists already.
  bool Add(TensorEntry entry);
  [[nodiscard]] const TensorEntry* Find(std::string_view name) const;
  [[nodiscard]] const std::vector<TensorEntry>& tensors() const { return tensors_; }
  [[nodiscard]] uint64_t TotalBytes() const;
  // Bytes of the tensor from `offset` on, which may lie in several ranges and are no more than it
  // has.
  [[nodiscard]] Result<> Read(const TensorEntry& tensor, uint64_t offset,
                              std::span<std::byte> out) const;
  // io::File::WillNeed for them; nothing for what is made of other tensors.
  void WillNeed(const TensorEntry& tensor, uint64_t offset, uint64_t bytes) const;

 private:
  struct NameHash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const noexcept {
      return std::hash<std::string_view>{}(name);
    }
  };

  std::vector<TensorEntry> tensors_;
  std::unordered_map<std::string, size_t, NameHash, std::equal_to<>> by_name_;
};

// Opens what `-m` names: a GGUF file (any part of a split opens the whole), a safetensors file, or
// a folder that holds one model in either format.
[[nodiscard]] Result<Catalogue> OpenModel(const std::filesystem::path& path);

}  // namespace plimsoll::formats
