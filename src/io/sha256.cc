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

std::string Sha256::TakeHex() {
  std::array<unsigned char, 32> digest;
  EVP_DigestFinal_ex(state_.get(), digest.data(), nullptr);
  EVP_DigestInit_ex(state_.get(), nullptr, nullptr);
  std::string hex;
  for (const unsigned char byte : digest) {
    hex += fmt::format("{:02x}", byte);
  }
  return hex;
}

}  // namespace plimsoll::io
