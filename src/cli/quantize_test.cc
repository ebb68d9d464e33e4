#include "cli/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::cli {
namespace {

using tensor::DType;

engine::QuantizedModel Quantized() {
  return {.tensors = {{.name = "a\x1b.weight",
                       .shape = tensor::MakeShape(32, 2),
                       .from = DType::kF16,
                       .to = DType::kQ8_0,
                       .bytes = 68,
                       .error = 0.00491},
                      {.name = "norm", .shape = tensor::MakeShape(32), .bytes = 128}},
          .bytes_before = 256,
          .bytes = 196,
          .left_out = {{.what = "images", .n_tensors = 3, .bytes = 2048}}};
}

TEST(QuantizeReport, SaysWhatEachTensorLost) {
  EXPECT_EQ(QuantizeText(Quantized(), "o.gguf", 1.25),
            "a\xef\xbf\xbd.weight      F16  Q8_0       68 B  error 0.491 %\n"
            "norm           F32 stays      128 B\n"
            "left out: 3 tensors of images, 2.00 KiB\n"
            "o.gguf: 2 tensors, 256 B made 196 B, in 1.2 s\n");
  EXPECT_EQ(QuantizeJson(Quantized(), "o.gguf", 1.5),
            R"({"output":"o.gguf","bytes_before":256,"bytes":196,"tensors":[)"
            R"({"name":"a\u001b.weight","from":"F16","to":"Q8_0","bytes":68,"error":0.00491},)"
            R"({"name":"norm","from":"F32","to":"F32","bytes":128,"error":0}],)"
            R"("left_out":[{"what":"images","tensors":3,"bytes":2048}],"seconds":1.5})"
            "\n");
}

TEST(QuantizeOptions, ATensorsType) {
  const auto parsed = ParseTypeOverride("blk.*.a=b.weight=q8_0");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->pattern, "blk.*.a=b.weight");
  EXPECT_EQ(parsed->dtype, DType::kQ8_0);
  EXPECT_EQ(ParseTypeOverride("=Q8_0").error().kind, ErrorKind::kUsage);
  EXPECT_EQ(ParseTypeOverride("output.weight").error().kind, ErrorKind::kUsage);
  EXPECT_EQ(ParseTypeOverride("output.weight=Q9").error().kind, ErrorKind::kUsage);
}

}  // namespace
}  // namespace plimsoll::cli
