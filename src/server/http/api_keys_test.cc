#include "server/http/api_keys.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <unistd.h>

namespace plimsoll::server::http {
namespace {

using testing::HasSubstr;
using testing::Not;

bool IsAdmitted(const ApiKeys& keys, std::string name, std::string value) {
  Request request;
  request.headers.emplace_back(std::move(name), std::move(value));
  return keys.Admit(request);
}

TEST(ApiKeys, AdmitsByEitherHeaderAndNothingElse) {
  ApiKeys keys;
  EXPECT_TRUE(keys.empty());
  ASSERT_TRUE(keys.Add("sk-one"));
  ASSERT_TRUE(keys.Add("sk-two"));
  for (const char* good : {"Bearer sk-one", "bearer sk-two", "BEARER sk-one"}) {
    EXPECT_TRUE(IsAdmitted(keys, "authorization", good)) << good;
  }
  EXPECT_TRUE(IsAdmitted(keys, "x-api-key", "sk-two"));
  for (const char* bad : {"", "sk-one", "Bearer", "Bearer ", "Bearer  sk-one", "Bearer sk-on",
                          "Bearer sk-onee", "Basic sk-one", "Bearersk-one", "Bearer SK-ONE"}) {
    EXPECT_FALSE(IsAdmitted(keys, "authorization", bad)) << bad;
  }
  EXPECT_FALSE(IsAdmitted(keys, "x-api-key", "sk-"));
  EXPECT_FALSE(IsAdmitted(keys, "cookie", "sk-one"));
  EXPECT_FALSE(keys.Admit({}));
  for (const char* bad : {"", "a b", "a\n", "\xc3\xa9"}) {
    EXPECT_FALSE(keys.Add(bad)) << bad;
  }
}

TEST(ReadApiKeyFile, TakesLinesOfAFileThatIsNobodyElses) {
  const auto path = std::filesystem::temp_directory_path() / ("keys-" + std::to_string(::getpid()));
  std::ofstream(path) << "# ours\nsk-one\r\n\nsk-two";
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
  const auto keys = ReadApiKeyFile(path);
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_THAT(*keys, testing::ElementsAre("sk-one", "sk-two"));
  std::filesystem::permissions(path, std::filesystem::perms::all);
  const auto open = ReadApiKeyFile(path);
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().kind, ErrorKind::kPortOrPermission);
  EXPECT_THAT(open.error().message, HasSubstr("chmod 600"));
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  std::ofstream(path) << "sk-one\nbad key\n";
  const auto bad = ReadApiKeyFile(path);
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, HasSubstr(":2: "));
  EXPECT_THAT(bad.error().message, Not(HasSubstr("bad key")));
  std::ofstream(path) << "#\n";
  EXPECT_EQ(ReadApiKeyFile(path).error().kind, ErrorKind::kUsage);
  std::filesystem::remove(path);
  EXPECT_EQ(ReadApiKeyFile(path).error().kind, ErrorKind::kIo);
  EXPECT_EQ(ReadApiKeyFile("/dev/zero").error().kind, ErrorKind::kPortOrPermission);
}

}  // namespace
}  // namespace plimsoll::server::http
