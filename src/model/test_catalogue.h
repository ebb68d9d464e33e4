// The metadata of a small model, for tests.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "formats/catalogue.h"

namespace plimsoll::model {

// Two dense layers, 64 wide, four heads of 16 over two KV heads.
inline formats::Catalogue SmallModel(const std::string& architecture) {
  formats::Catalogue catalogue;
  formats::Metadata& m = catalogue.metadata;
  m.SetString("general.architecture", architecture);
  m.SetU32(architecture + ".block_count", 2);
  m.SetU32(architecture + ".embedding_length", 64);
  m.SetU32(architecture + ".context_length", 128);
  m.SetU32(architecture + ".feed_forward_length", 96);
  m.SetU32(architecture + ".attention.head_count", 4);
  m.SetU32(architecture + ".attention.head_count_kv", 2);
  EXPECT_TRUE(catalogue.Add({.name = "token_embd.weight", .shape = tensor::MakeShape(64, 300)}));
  return catalogue;
}

}  // namespace plimsoll::model
