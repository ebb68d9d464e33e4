#include "engine/model_identity.h"

#include <functional>

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace plimsoll::engine {
namespace {

struct SmallModel {
  std::string bytes = std::string(8192, 'w');
  std::string name = "a.gguf";
  float theta = 1e4F;
  std::string tokens = "ab";
  uint64_t rows = 64;

  [[nodiscard]] io::Digest128 Identity(bool long_factors = false) const {
    formats::Catalogue catalogue;
    catalogue.metadata.SetF32("rope.theta", theta);
    catalogue.metadata.SetStrings("tokens", {tokens, "c"});
    catalogue.files.push_back(io::File::FromBytes(name, AsBytes(bytes)).value());
    EXPECT_TRUE(catalogue.Add({.name = "t",
                               .dtype = tensor::DType::kF32,
                               .shape = tensor::MakeShape(32, rows),
                               .bytes = 8000,
                               .ranges = {{.file_idx = 0, .offset = 100, .bytes = 8000}}}));
    return ModelIdentity(catalogue, long_factors).value();
  }
};

TEST(ModelIdentity, IsOfWhatTheModelHoldsAndNotOfItsName) {
  const io::Digest128 identity = SmallModel().Identity();
  EXPECT_EQ(SmallModel{.name = "b.gguf"}.Identity(), identity);
  EXPECT_NE(SmallModel{.theta = 1e5F}.Identity(), identity);
  EXPECT_NE(SmallModel{.tokens = "abc"}.Identity(), identity);
  EXPECT_NE(SmallModel{.rows = 32}.Identity(), identity);
  EXPECT_NE(SmallModel{.bytes = std::string(8193, 'w')}.Identity(), identity);
  EXPECT_NE(SmallModel().Identity(true), identity);
  std::string trained(8192, 'w');
  trained[101] = 'v';
  EXPECT_NE(SmallModel{.bytes = trained}.Identity(), identity);
}

}  // namespace
}  // namespace plimsoll::engine
