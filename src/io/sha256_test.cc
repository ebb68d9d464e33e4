#include "io/sha256.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace plimsoll::io {
namespace {

std::string HexOf(std::string_view text, size_t step) {
  Sha256 sha256;
  for (size_t at = 0; at < text.size(); at += step) {
    sha256.Add(std::as_bytes(std::span(text.substr(at, step))));
  }
  return sha256.TakeHex();
}

// The examples of FIPS 180-2, appendix B.
TEST(Sha256, IsThatOfTheStandard) {
  EXPECT_EQ(HexOf("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HexOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 100),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  const std::string million(1'000'000, 'a');
  EXPECT_EQ(HexOf(million, 4096),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, BeginsAnewAfterADigest) {
  Sha256 sha256;
  const std::string empty = sha256.TakeHex();
  EXPECT_EQ(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256.TakeHex(), empty);
}

}  // namespace
}  // namespace plimsoll::io
