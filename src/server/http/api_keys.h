// The keys that clients show.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/http/exchange.h"

namespace plimsoll::server::http {

class ApiKeys {
 public:
  // kUsage for one that is empty or has blanks or control characters.
  [[nodiscard]] Result<> Add(std::string_view key);

  [[nodiscard]] bool empty() const { return digests_.empty(); }
  // Whether the request shows one of the keys, as "Authorization: Bearer KEY" or "x-api-key: KEY".
  // The time does not depend on what the keys are.
  [[nodiscard]] bool Admit(const Request& request) const;
  // A name for the key that it shows, from which nobody finds the key; "" when it shows none of
  // these.
  [[nodiscard]] std::string NameOf(const Request& request) const;

 private:
  using Digest = std::array<uint8_t, 32>;
  [[nodiscard]] static Digest DigestOf(std::string_view key);
  [[nodiscard]] bool Knows(const Digest& shown) const;

  std::vector<Digest> digests_;  // SHA-256, so that all have one length
};

// One key a line; empty lines and those that begin with "#" are none. kIo when it cannot be read,
// kPortOrPermission when everybody on the machine can read it, kUsage for a bad key or none.
[[nodiscard]] Result<std::vector<std::string>> ReadApiKeyFile(const std::filesystem::path& path);

}  // namespace plimsoll::server::http
