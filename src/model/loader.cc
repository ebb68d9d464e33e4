#include "model/loader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/bytes.h"
#include "base/checked.h"
#include "kernels/half.h"
#include "tensor/rows16.h"

namespace plimsoll::model {
namespace {

using formats::TensorEntry;
using memory::Account;
using tensor::DType;

// One read call: large enough for full bandwidth, small enough for a lively progress bar.
constexpr uint64_t kReadBytes = 4 * kMiB;
// What the system is asked for ahead of that: a disk gives its bandwidth only to several reads at a
// time.
constexpr uint64_t kReadAheadBytes = 8 * kReadBytes;

constexpr std::array<Account, 3> kWeightAccounts = {Account::kWeights, Account::kVocab,
                                                    Account::kExperts};

bool IsVector(const Declaration& declaration) {
  return std::holds_alternative<Vector*>(declaration.target);
}

bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

// Bytes in memory, with what kernels may over-read.
uint64_t ResidentBytes(const BoundTensor& tensor) {
  const uint64_t bytes = IsVector(*tensor.declaration)
                             ? tensor.entry->shape.Elements() * sizeof(float)
                             : tensor.entry->bytes;
  return AlignUp<uint64_t>(bytes + tensor::kReadablePadding, tensor::kReadablePadding);
}

uint64_t AccountBytes(std::span<const BoundTensor> tensors, Account account) {
  uint64_t total = 0;
  for (const BoundTensor& tensor : tensors) {
    if (tensor.declaration->account == account) {
      total += ResidentBytes(tensor);
    }
  }
  return total;
}

Result<> CheckEntry(const Declaration& declaration, const TensorEntry& entry) {
  if (std::ranges::find(declaration.shapes, entry.shape) == declaration.shapes.end()) {
    return Fail(ErrorKind::kBadModel, "tensor {} has the shape {}, expected is {}", entry.name,
                entry.shape.ToString(), declaration.shapes[0].ToString());
  }
  if (IsVector(declaration) && !IsFloat(entry.dtype)) {
    return Fail(ErrorKind::kBadModel, "tensor {} is {}, expected are floats", entry.name,
                tensor::Traits(entry.dtype).name);
  }
  return {};
}

// Whether a tensor is turned to rows16 as it comes in.
bool IsInterleaved(const BoundTensor& tensor) {
  return !IsVector(*tensor.declaration) && !tensor.declaration->keep_native;
}

// Has the system read the tensors that come next, while those that have come are turned.
class ReadAhead {
 public:
  ReadAhead(const formats::Catalogue& catalogue, std::span<const BoundTensor> in_order)
      : catalogue_(catalogue), in_order_(in_order) {
    Advance(0);
  }

  // So many bytes more have come.
  void Advance(uint64_t bytes) {
    n_come_ += bytes;
    while (next_ < in_order_.size() && n_asked_ < n_come_ + kReadAheadBytes) {
      const TensorEntry& entry = *in_order_[next_].entry;
      const uint64_t n = std::min(kReadBytes, entry.bytes - offset_);
      catalogue_.WillNeed(entry, offset_, n);
      n_asked_ += n;
      offset_ += n;
      if (offset_ == entry.bytes) {
        ++next_;
        offset_ = 0;
      }
    }
  }

 private:
  const formats::Catalogue& catalogue_;
  std::span<const BoundTensor> in_order_;
  size_t next_ = 0;      // the tensor to ask for,
  uint64_t offset_ = 0;  // and from where on
  uint64_t n_asked_ = 0;
  uint64_t n_come_ = 0;
};

// Reads a tensor to `out`, whether it is in one range of a file, in several, or made of others.
Result<> ReadTensor(const formats::Catalogue& catalogue, const BoundTensor& tensor, std::byte* out,
                    const std::function<void(uint64_t)>& on_bytes) {
  const TensorEntry& entry = *tensor.entry;
  std::optional<tensor::Rows16Interleaver> interleaver;
  if (IsInterleaved(tensor)) {
    interleaver.emplace(entry.dtype, entry.shape.dims[0], entry.shape.dims[1], out);
  }
  for (uint64_t done = 0; done < entry.bytes;) {
    const uint64_t n = std::min(kReadBytes, entry.bytes - done);
    if (auto read = catalogue.Read(entry, done, std::span(out + done, n)); !read) {
      return tl::unexpected(read.error().In(fmt::format("tensor {}", entry.name)));
    }
    done += n;
    if (interleaver) {
      interleaver->Advance(done);  // while it is in the cache
    }
    on_bytes(n);
  }
  return {};
}

// Floats of any type, already at the start of `at`, to F32 in place (from the back, since F32 is
// the widest).
void WidenInPlace(DType dtype, std::byte* at, uint64_t n) {
  if (dtype == DType::kF32) {
    return;
  }
  for (uint64_t i = n; i-- > 0;) {
    uint16_t bits = 0;
    std::memcpy(&bits, at + i * sizeof(bits), sizeof(bits));
    const float value =
        dtype == DType::kF16 ? kernels::F16ToFloat(bits) : kernels::BF16ToFloat(bits);
    std::memcpy(at + i * sizeof(value), &value, sizeof(value));
  }
}

// Rows of floats at `at` to columns.
void TransposeInPlace(const tensor::Shape& shape, std::byte* at) {
  const uint64_t length = shape.dims[0];
  const uint64_t n = shape.dims[1];
  auto* to = reinterpret_cast<float*>(at);
  const std::vector<float> rows(to, to + length * n);
  for (uint64_t i = 0; i < length; ++i) {
    for (uint64_t row = 0; row < n; ++row) {
      *to++ = rows[row * length + i];
    }
  }
}

void PointTarget(const BoundTensor& tensor, tensor::Layout layout, const std::byte* at) {
  const TensorEntry& entry = *tensor.entry;
  const tensor::Matrix matrix = {.dtype = entry.dtype,
                                 .layout = layout,
                                 .k = entry.shape.dims[0],
                                 .rows = entry.shape.dims[1],
                                 .data = at};
  if (auto* const* vector = std::get_if<Vector*>(&tensor.declaration->target)) {
    **vector = Vector(reinterpret_cast<const float*>(at), entry.shape.Elements());
  } else if (auto* const* target = std::get_if<tensor::Matrix*>(&tensor.declaration->target)) {
    **target = matrix;
  } else {
    *std::get<tensor::MatrixStack*>(tensor.declaration->target) = {matrix, entry.shape.dims[2]};
  }
}

std::string_view AccountDescription(Account account) {
  switch (account) {
    case Account::kVocab:
      return "the embedding and output matrices";
    case Account::kExperts:
      return "the experts";
    default:
      return "the dense weights";
  }
}

}  // namespace

Result<std::vector<BoundTensor>> BindTensors(const formats::Catalogue& catalogue,
                                             const Declarations& declarations) {
  std::vector<BoundTensor> bound;
  for (const Declaration& declaration : declarations.all()) {
    const TensorEntry* entry = catalogue.Find(declaration.name);
    if (entry == nullptr) {
      if (declaration.need == Need::kOptional) {
        continue;
      }
      return Fail(ErrorKind::kBadModel, "the tensor {} {} is missing", declaration.name,
                  declaration.shapes[0].ToString());
    }
    if (auto checked = CheckEntry(declaration, *entry); !checked) {
      return Forward(checked);
    }
    bound.push_back({&declaration, entry});
  }
  return bound;
}

void PointAway(const BoundTensor& tensor) { PointTarget(tensor, tensor::Layout::kNative, nullptr); }

WeightBytes CountWeightBytes(std::span<const BoundTensor> tensors) {
  return {.weights = AccountBytes(tensors, Account::kWeights),
          .vocab = AccountBytes(tensors, Account::kVocab),
          .experts = AccountBytes(tensors, Account::kExperts)};
}

Result<std::vector<memory::Buffer>> LoadTensors(const formats::Catalogue& catalogue,
                                                std::span<const BoundTensor> tensors,
                                                memory::Ledger& ledger,
                                                const std::function<void(uint64_t)>& on_bytes) {
  std::vector<BoundTensor> in_order(tensors.begin(), tensors.end());
  std::ranges::stable_sort(in_order, {}, [](const BoundTensor& tensor) {
    return std::ranges::find(kWeightAccounts, tensor.declaration->account);
  });
  ReadAhead ahead(catalogue, in_order);
  const auto on_read = [&](uint64_t bytes) {
    ahead.Advance(bytes);
    on_bytes(bytes);
  };
  std::vector<memory::Buffer> buffers;
  for (const Account account : kWeightAccounts) {
    const uint64_t bytes = AccountBytes(tensors, account);
    if (bytes == 0) {
      continue;
    }
    auto buffer = memory::Buffer::Allocate(ledger, account, bytes, AccountDescription(account));
    if (!buffer) {
      return Forward(buffer);
    }
    std::byte* at = buffer->data();
    for (const BoundTensor& tensor : in_order) {
      if (tensor.declaration->account != account) {
        continue;
      }
      if (auto read = ReadTensor(catalogue, tensor, at, on_read); !read) {
        return Forward(read);
      }
      if (IsVector(*tensor.declaration)) {
        WidenInPlace(tensor.entry->dtype, at, tensor.entry->shape.Elements());
        if (tensor.declaration->transposed) {
          TransposeInPlace(tensor.entry->shape, at);
        }
      }
      using tensor::Layout;
      PointTarget(tensor, IsInterleaved(tensor) ? Layout::kRows16 : Layout::kNative, at);
      at += ResidentBytes(tensor);
    }
    buffers.push_back(std::move(*buffer));
  }
  return buffers;
}

}  // namespace plimsoll::model
