#include "formats/catalogue.h"

#include <gtest/gtest.h>

namespace plimsoll::formats {
namespace {

TensorEntry Entry(std::string name, uint64_t bytes) {
  TensorEntry entry;
  entry.name = std::move(name);
  entry.bytes = bytes;
  return entry;
}

TEST(CatalogueTest, KeepsOrderAndRefusesASecondTensorOfOneName) {
  Catalogue catalogue;
  EXPECT_TRUE(catalogue.Add(Entry("b", 4)));
  EXPECT_TRUE(catalogue.Add(Entry("a", 8)));
  EXPECT_FALSE(catalogue.Add(Entry("b", 16)));
  ASSERT_EQ(catalogue.tensors().size(), 2U);
  EXPECT_EQ(catalogue.tensors()[0].name, "b");
  ASSERT_NE(catalogue.Find("b"), nullptr);
  EXPECT_EQ(catalogue.Find("b")->bytes, 4U);
  EXPECT_EQ(catalogue.Find("c"), nullptr);
  EXPECT_EQ(catalogue.TotalBytes(), 12U);
}

}  // namespace
}  // namespace plimsoll::formats
