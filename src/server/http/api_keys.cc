#include "server/http/api_keys.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>

namespace plimsoll::server::http {
namespace {

constexpr size_t kMaxKeyFileBytes = 1 << 20;

bool IsVisible(char c) { return c > ' ' && c < 0x7f; }

// Of "Bearer KEY" in any spelling of the first word.
std::optional<std::string_view> BearerToken(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size() ||
      !std::equal(kScheme.begin(), kScheme.end(), authorization.begin(),
                  [](char a, char b) { return a == b || (a >= 'a' && a == (b | 0x20)); })) {
    return std::nullopt;
  }
  return authorization.substr(kScheme.size());
}

}  // namespace

Result<> ApiKeys::Add(std::string_view key) {
  if (key.empty() || !std::ranges::all_of(key, IsVisible)) {
    return Fail(ErrorKind::kUsage,
                "an API key is a word of printable ASCII characters, and not empty");
  }
  digests_.push_back(DigestOf(key));
  return {};
}

ApiKeys::Digest ApiKeys::DigestOf(std::string_view key) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

bool ApiKeys::Knows(const Digest& shown) const {
  unsigned n_equal = 0;
  for (const Digest& known : digests_) {
    n_equal += CRYPTO_memcmp(known.data(), shown.data(), shown.size()) == 0 ? 1U : 0U;
  }
  return n_equal > 0;
}

bool ApiKeys::Admit(const Request& request) const { return !NameOf(request).empty(); }

std::string ApiKeys::NameOf(const Request& request) const {
  const auto authorization = request.Header("authorization");
  const auto bearer = authorization ? BearerToken(*authorization) : std::nullopt;
  for (const auto& shown : {bearer, request.Header("x-api-key")}) {
    if (!shown) {
      continue;
    }
    if (const Digest digest = DigestOf(*shown); Knows(digest)) {
      return fmt::format("{:02x}", fmt::join(digest, ""));
    }
  }
  return "";
}

Result<std::vector<std::string>> ReadApiKeyFile(const std::filesystem::path& path) {
  struct stat facts = {};
  if (::stat(path.c_str(), &facts) != 0) {
    return Fail(ErrorKind::kIo, "{}: {}", path.string(), std::strerror(errno));
  }
  if ((facts.st_mode & S_IROTH) != 0) {
    return Fail(ErrorKind::kPortOrPermission,
                "{}: everybody on this machine can read the API keys in it\nchmod 600 {}",
                path.string(), path.string());
  }
  std::ifstream in(path);
  if (!S_ISREG(facts.st_mode) || facts.st_size > static_cast<off_t>(kMaxKeyFileBytes) || !in) {
    return Fail(ErrorKind::kIo, "{}: it cannot be read, or is no file of API keys", path.string());
  }
  std::vector<std::string> keys;
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (line.ends_with('\r')) {
      line.pop_back();
    }
    if (line.empty() || line.starts_with('#')) {
      continue;
    }
    if (auto good = ApiKeys().Add(line); !good) {
      return Fail(ErrorKind::kUsage, "{}:{}: {}", path.string(), number, good.error().message);
    }
    keys.push_back(line);
  }
  if (keys.empty()) {
    return Fail(ErrorKind::kUsage, "{}: there is no API key in it", path.string());
  }
  return keys;
}

}  // namespace plimsoll::server::http
