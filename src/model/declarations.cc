#include "model/declarations.h"

namespace plimsoll::model {

using memory::Account;
using tensor::MakeShape;

void Declarations::AddVector(std::string name, const std::vector<uint64_t>& lengths, Vector& target,
                             Need need) {
  std::vector<tensor::Shape> shapes;
  for (const uint64_t length : lengths) {
    shapes.push_back(MakeShape(length));
  }
  all_.push_back({std::move(name), std::move(shapes), need, Account::kWeights, &target});
}

void Declarations::AddVectors(std::string name, uint64_t length, uint64_t n, Vector& target,
                              Need need) {
  all_.push_back({std::move(name), {MakeShape(length, n)}, need, Account::kWeights, &target});
}

void Declarations::AddMatrix(std::string name, uint64_t in, uint64_t out, tensor::Matrix& target,
                             Need need, Account account) {
  all_.push_back({std::move(name), {MakeShape(in, out)}, need, account, &target});
}

void Declarations::AddStack(std::string name, uint64_t in, uint64_t out, uint64_t n,
                            tensor::MatrixStack& target, Need need) {
  const Account account = n > 1 ? Account::kExperts : Account::kWeights;
  all_.push_back({std::move(name), {MakeShape(in, out, n)}, need, account, &target});
}

void Declarations::AddHeads(std::string name, uint64_t in, uint64_t out, uint64_t n_heads,
                            tensor::MatrixStack& target) {
  all_.push_back({std::move(name),
                  {MakeShape(in, out, n_heads)},
                  Need::kRequired,
                  Account::kWeights,
                  &target});
}

tensor::Matrix* TargetOf(const Declaration& declaration) {
  const auto& target = declaration.target;
  if (auto* const* matrix = std::get_if<tensor::Matrix*>(&target)) {
    return *matrix;
  }
  auto* const* stack = std::get_if<tensor::MatrixStack*>(&target);
  return stack == nullptr ? nullptr : &(*stack)->first;
}

}  // namespace plimsoll::model
