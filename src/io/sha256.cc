#include "io/sha256.h"

#include <array>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/invariant.h"

namespace plimsoll::io {

void Sha256::Free::operator()(evp_md_ctx_st* state) const { EVP_MD_CTX_free(state); }

Sha256::Sha256() : state_(EVP_MD_CTX_new()) {
  Invariant(state_ != nullptr, "half a KiB can be allocated");
  Invariant(EVP_DigestInit_ex(state_.get(), EVP_sha256(), nullptr) == 1, "the library has SHA-256");
}

void Sha256::Add(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(state_.get(), bytes.data(), bytes.size());
}

std::array<std::byte, 32> Sha256::Take() {
  std::array<std::byte, 32> digest;
  EVP_DigestFinal_ex(state_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  EVP_DigestInit_ex(state_.get(), nullptr, nullptr);
  return digest;
}

std::string Sha256::TakeHex() {
  std::string hex;
  for (const std::byte byte : Take()) {
    hex += fmt::format("{:02x}", static_cast<unsigned>(byte));
  }
  return hex;
}

}  // namespace plimsoll::io
