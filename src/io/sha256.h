// SHA-256: what publishers of models print beside their files, so that anyone can see that a file
// is theirs. For damage on disks alone io/checksum.h is many times faster.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

struct evp_md_ctx_st;  // of the library

namespace plimsoll::io {

// Of bytes that come piece by piece. Move-only.
class Sha256 {
 public:
  Sha256();
  void Add(std::span<const std::byte> bytes);
  // Afterwards it begins anew, as behind the next one.
  [[nodiscard]] std::array<std::byte, 32> Take();
  // 64 hexadecimal digits, as `sha256sum` prints them.
  [[nodiscard]] std::string TakeHex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* state) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> state_;
};

}  // namespace plimsoll::io
