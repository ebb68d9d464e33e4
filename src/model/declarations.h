// The one list of a model's tensors: name, shape, need and place. The loader, the memory plan and
// every tool that touches weights walk it.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "memory/ledger.h"
#include "model/weights.h"
#include "tensor/shape.h"

namespace plimsoll::model {

enum class Need { kRequired, kOptional };

struct Declaration {
  std::string name;
  std::vector<tensor::Shape> shapes;  // any of these
  Need need = Need::kRequired;
  memory::Account account = memory::Account::kWeights;
  // Where the view goes. A vector is converted to float, whatever float type the file has.
  std::variant<Vector*, tensor::Matrix*, tensor::MatrixStack*> target;
  // Quantized matrices are rearranged for the kernels (tensor::Layout::kRows16), but not those of
  // which the model takes ranges of rows that are no whole groups.
  bool keep_native = false;
  // Never streamed: small, and read ahead of its turn.
  bool keep_resident = false;
  // Of vectors behind one another: element i of all of them comes before element i + 1 of any.
  bool transposed = false;
};

// Where a declared matrix goes; null for vectors. Of a stack that is its first one.
[[nodiscard]] tensor::Matrix* TargetOf(const Declaration& declaration);

class Declarations {
 public:
  // One-dimensional; `lengths` are alternatives.
  void AddVector(std::string name, const std::vector<uint64_t>& lengths, Vector& target,
                 Need need = Need::kRequired);
  // `n` vectors of one length behind one another, one an expert.
  void AddVectors(std::string name, uint64_t length, uint64_t n, Vector& target,
                  Need need = Need::kRequired);
  // y = W x with x of length `in` and y of length `out`.
  void AddMatrix(std::string name, uint64_t in, uint64_t out, tensor::Matrix& target,
                 Need need = Need::kRequired, memory::Account account = memory::Account::kWeights);
  // `n` such matrices in one tensor.
  void AddStack(std::string name, uint64_t in, uint64_t out, uint64_t n,
                tensor::MatrixStack& target, Need need = Need::kRequired);
  // The same with one matrix a head.
  void AddHeads(std::string name, uint64_t in, uint64_t out, uint64_t n_heads,
                tensor::MatrixStack& target);

  // The tensor declared last stays in GGUF's arrangement.
  void KeepLastNative() { all_.back().keep_native = true; }
  // The tensor declared last stays in memory, whatever else is streamed.
  void KeepLastResident() { all_.back().keep_resident = true; }
  // The vectors declared last are transposed.
  void TransposeLast() { all_.back().transposed = true; }

  [[nodiscard]] const std::vector<Declaration>& all() const { return all_; }

 private:
  std::vector<Declaration> all_;
};

}  // namespace plimsoll::model
