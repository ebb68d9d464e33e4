#include "formats/safetensors/matrix_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::formats::safetensors {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr Dimensions kDimensions = {.n_heads = 2,
                                    .n_kv_heads = 1,
                                    .latent_key_dim = 1,
                                    .latent_value_dim = 2,
                                    .n_key_heads = 2,
                                    .n_value_heads = 4,
                                    .key_head_dim = 1,
                                    .value_head_dim = 2};

MatrixView After(Change change, uint64_t n_rows, uint64_t n_columns = 3) {
  MatrixView view = {.n_rows = n_rows, .n_columns = n_columns};
  const auto changed = change(kDimensions, view);
  EXPECT_TRUE(changed) << changed.error().message;
  return view;
}

void ExpectRefused(Change change, uint64_t n_rows, uint64_t n_columns, const std::string& what) {
  MatrixView view = {.n_rows = n_rows, .n_columns = n_columns};
  const auto changed = change(kDimensions, view);
  ASSERT_FALSE(changed);
  EXPECT_THAT(changed.error().message, HasSubstr(what));
}

TEST(MatrixView, RotaryPairsBecomeNeighboursInEachHead) {
  EXPECT_THAT(After(QueryPairs, 8).rows, ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_THAT(After(KeyPairs, 4).rows, ElementsAre(0, 2, 1, 3));
  ExpectRefused(QueryPairs, 6, 3, "its 6 rows are not those of 2 heads of rotary pairs");
}

TEST(MatrixView, HalvesAndTurns) {
  EXPECT_THAT(After(FirstHalf, 4).rows, ElementsAre(0, 1));
  EXPECT_THAT(After(SecondHalf, 4).rows, ElementsAre(2, 3));
  EXPECT_THAT(After(EvenRows, 4).rows, ElementsAre(0, 2));
  EXPECT_THAT(After(OddRows, 4).rows, ElementsAre(1, 3));
  EXPECT_THAT(After(OddColumns, 3, 4).columns, ElementsAre(1, 3));
  const MatrixView up = After(TransposedSecondHalf, 3, 4);
  EXPECT_TRUE(up.transposed);
  EXPECT_EQ(up.n_rows, 2U);
  EXPECT_EQ(up.n_columns, 3U);
  EXPECT_THAT(up.rows, ElementsAre(2, 3));
  EXPECT_THAT(After(TransposedEven, 3, 4).rows, ElementsAre(0, 2));
  ExpectRefused(FirstHalf, 5, 3, "it has 5 rows, an odd number");
  ExpectRefused(EvenColumns, 5, 3, "it has 3 columns, an odd number");
}

// Of each of two key heads: a query, a key, two values of two, two gates of two.
TEST(MatrixView, GroupsOfKeyHeadsComeApart) {
  EXPECT_THAT(After(MixedOfGroups, 20).rows, ElementsAre(0, 10, 1, 11, 2, 3, 4, 5, 12, 13, 14, 15));
  EXPECT_THAT(After(GatesOfGroups, 20).rows, ElementsAre(6, 7, 8, 9, 16, 17, 18, 19));
  ExpectRefused(MixedOfGroups, 16, 3, "it has 16 rows, and the configuration makes them 20");
}

TEST(MatrixView, KeysAndValuesOfHeadsComeApart) {
  const MatrixView keys = After(KeysOfHeads, 6, 5);
  EXPECT_EQ(keys.n_parts, 2U);
  EXPECT_TRUE(keys.transposed);
  EXPECT_EQ(keys.n_rows, 5U);
  EXPECT_EQ(keys.n_columns, 1U);
  const MatrixView values = After(ValuesOfHeads, 6, 5);
  EXPECT_EQ(values.n_parts, 2U);
  EXPECT_THAT(values.rows, ElementsAre(1, 2));
  EXPECT_EQ(values.n_columns, 5U);
  ExpectRefused(KeysOfHeads, 8, 5, "it has 8 rows, and the configuration makes them 6");
}

TEST(MatrixView, ValueHeadsAreTiled) {
  EXPECT_THAT(After(TiledRows, 4).rows, ElementsAre(0, 2, 1, 3));
  EXPECT_THAT(After(TiledHeads, 8).rows, ElementsAre(0, 1, 4, 5, 2, 3, 6, 7));
  EXPECT_THAT(After(TiledBehindKeys, 12).rows, ElementsAre(0, 1, 2, 3, 4, 5, 8, 9, 6, 7, 10, 11));
  EXPECT_THAT(After(TiledColumns, 3, 8).columns, ElementsAre(0, 1, 4, 5, 2, 3, 6, 7));
  ExpectRefused(TiledHeads, 4, 3, "it has 4 rows, and the configuration makes them 8");
  ExpectRefused(TiledColumns, 3, 4, "it has 4 columns, and the configuration makes them 8");
}

}  // namespace
}  // namespace plimsoll::formats::safetensors
