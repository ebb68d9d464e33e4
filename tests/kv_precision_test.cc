// Precisions of keys and values that a model does not have are refused by name.
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "engine/engine.h"
#include "tools/random_model/random_model.h"

namespace plimsoll::tests {
namespace {

using random_model::ModelSpec;
using tensor::KvType;

std::string Refusal(const ModelSpec& spec, const kv::Precision& precision) {
  const auto file = std::filesystem::temp_directory_path() /
                    ("kv_precision_" + std::to_string(getpid()) + ".gguf");
  EXPECT_TRUE(random_model::WriteRandomModel(spec, file));
  const auto engine = engine::Engine::Load({.model = file, .n_ctx = 64, .kv = precision}, {});
  std::filesystem::remove(file);
  EXPECT_TRUE(engine || engine.error().kind == ErrorKind::kUsage);
  return engine ? "" : engine.error().message;
}

ModelSpec Tiny(std::string_view arch, uint32_t head_dim) {
  ModelSpec spec;
  EXPECT_TRUE(random_model::ApplyPreset("tiny", spec));
  spec.arch = arch;
  spec.head_dim = head_dim;
  return spec;
}

const kv::Precision kQ8 = {.type = KvType::kQ8, .layers = {}};
const kv::Precision kRotated = {.type = KvType::kQ4, .layers = {}, .rotate = true};

TEST(KvPrecision, KeysAsWideAsSumsOf32BitsAllowAreQuantized) {
  EXPECT_EQ(Refusal(Tiny("llama", 1024), kQ8), "");
  EXPECT_EQ(Refusal(Tiny("llama", 2048), kQ8),
            "keys of 2048 elements cannot be quantized: at most 1024 can");
  EXPECT_EQ(Refusal(Tiny("llama", 2048), {}), "");
}

TEST(KvPrecision, WhatCannotBeRotatedIsRefused) {
  EXPECT_EQ(Refusal(Tiny("llama", 64), kRotated), "");
  EXPECT_EQ(Refusal(Tiny("llama", 96), kRotated),
            "keys of 96 elements cannot be rotated: only a power of two can\n"
            "leave --kv-rotate out");
  EXPECT_NE(Refusal(Tiny("deepseek2", 64), kRotated).find("of which a part is the value"),
            std::string::npos);
  EXPECT_EQ(Refusal(Tiny("llama", 64), {.type = KvType::kF16, .layers = {}, .rotate = true}),
            "keys are rotated only where they are quantized\n"
            "give --kv-type q8 or q4 too, or leave --kv-rotate out");
}

TEST(KvPrecision, ALayerThatIsNotThereIsRefused) {
  const ModelSpec spec = Tiny("llama", 64);
  const uint32_t n = spec.n_layers;
  EXPECT_EQ(Refusal(spec, {.type = KvType::kQ8, .layers = {{n - 1, n - 1, KvType::kF16}}}), "");
  EXPECT_EQ(Refusal(spec, {.type = KvType::kQ8, .layers = {{0, n, KvType::kF16}}}),
            "there is no layer " + std::to_string(n) + " to choose a KV type for: the last is " +
                std::to_string(n - 1));
}

}  // namespace
}  // namespace plimsoll::tests
