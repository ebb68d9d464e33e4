#include "io/checksum.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace plimsoll::io {
namespace {

// The published values of the empty input.
TEST(Checksum, IsXxh3) {
  EXPECT_EQ(Checksum64({}), 0x2d06800538d394c2ULL);
  EXPECT_EQ(Hex(Checksum128({})), "99aa06d3014798d86001c324468d497f");
}

TEST(Checksum, PiecesGiveTheDigestOfTheWhole) {
  std::string text;
  for (int i = 0; i < 3000; ++i) {
    text += static_cast<char>(i * 7 + i / 256);
  }
  const Digest128 whole = Checksum128(AsBytes(text));
  for (const size_t step : {1U, 100U, 257U, 5000U}) {
    Digester digester;
    for (size_t at = 0; at < text.size(); at += step) {
      digester.Add(AsBytes(std::string_view(text).substr(at, step)));
    }
    EXPECT_EQ(digester.Sum128(), whole) << step;
    EXPECT_EQ(digester.Sum64(), Checksum64(AsBytes(text))) << step;
    digester.Reset();
    EXPECT_EQ(digester.Sum128(), Checksum128({}));
  }
  text[1234] = static_cast<char>(text[1234] ^ 4);
  EXPECT_NE(Checksum128(AsBytes(text)), whole);
}

}  // namespace
}  // namespace plimsoll::io
