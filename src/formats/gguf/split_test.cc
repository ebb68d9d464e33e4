#include "formats/gguf/split.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "formats/catalogue.h"
#include "formats/gguf/raw_file.h"
#include "io/atomic_file.h"

namespace plimsoll::formats::gguf {
namespace {

using tensor::DType;
using testing::HasSubstr;

TEST(SplitNameTest, FollowsThePatternOrNot) {
  const auto name = ParseSplitName("Qwen3-30B-A3B-Q4_K_M-00002-of-00005.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->stem, "Qwen3-30B-A3B-Q4_K_M");
  EXPECT_EQ(name->part, 2U);
  EXPECT_EQ(name->count, 5U);
  EXPECT_EQ(name->FileName(4), "Qwen3-30B-A3B-Q4_K_M-00004-of-00005.gguf");
  for (const char* other :
       {"model.gguf", "m-00001-of-00002.bin", "m-0001-of-00002.gguf", "m-00001-of-0002.gguf",
        "-00001-of-00002.gguf", "m-00000-of-00002.gguf", "m-00003-of-00002.gguf",
        "m-+0001-of-00002.gguf", "m-00001-OF-00002.gguf", "m00001-of-00002.gguf", "", ".gguf"}) {
    EXPECT_FALSE(ParseSplitName(other)) << other;
  }
}

struct PartSpec {
  uint16_t no = 0;
  uint16_t count = 2;
  int32_t tensors = 2;
  std::string name = "one";
  std::string tensor = "a";
};

RawFile Part(const PartSpec& spec) {
  RawFile raw(1, 4);
  raw.KeyString("general.name", spec.name);
  raw.Key("split.no", ValueType::kU16).Put(spec.no);
  raw.Key("split.count", ValueType::kU16).Put(spec.count);
  raw.Key("split.tensors.count", ValueType::kI32).Put(spec.tensors);
  return raw.Tensor(spec.tensor, {8}, DType::kF32, 0).Data(32);
}

class SplitTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("plimsoll_split_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const RawFile& raw) {
    auto file = io::AtomicFile::Create(folder_ / name);
    ASSERT_TRUE(file && file->Append(std::as_bytes(std::span(raw.bytes()))) && file->Commit());
  }
  void WriteTwo(const PartSpec& first, const PartSpec& second) {
    Write("m-00001-of-00002.gguf", Part(first));
    Write("m-00002-of-00002.gguf", Part(second));
  }
  void ExpectRefused(const std::string& name, const std::string& part) {
    const auto catalogue = OpenModel(folder_ / name);
    ASSERT_FALSE(catalogue);
    EXPECT_EQ(catalogue.error().kind, ErrorKind::kBadModel);
    EXPECT_THAT(catalogue.error().message, HasSubstr(part));
  }

  std::filesystem::path folder_;
};

TEST_F(SplitTest, AnyPartOrTheFolderOpensTheWhole) {
  WriteTwo({}, {.no = 1, .tensor = "b"});
  for (const char* name : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", ""}) {
    const auto catalogue = OpenModel(folder_ / name);
    ASSERT_TRUE(catalogue) << catalogue.error().message;
    ASSERT_EQ(catalogue->tensors().size(), 2U);
    EXPECT_EQ(catalogue->Find("a")->ranges[0].file_idx, 0U);
    EXPECT_EQ(catalogue->Find("b")->ranges[0].file_idx, 1U);
    ASSERT_EQ(catalogue->files.size(), 2U);
    EXPECT_EQ(catalogue->files[1]->name(), "m-00002-of-00002.gguf");
    EXPECT_EQ(*catalogue->metadata.U32("split.no"), 0U);
  }
}

TEST_F(SplitTest, AMissingPartIsNamed) {
  Write("m-00002-of-00002.gguf", Part({.no = 1}));
  ExpectRefused("m-00002-of-00002.gguf", "part 1 (m-00001-of-00002.gguf) is not beside it");
}

TEST_F(SplitTest, ARenamedPartIsRefused) {
  Write("model.gguf", Part({}));
  ExpectRefused("model.gguf", "says that the model has 2 files, but 1 were opened");
}

TEST_F(SplitTest, SwappedPartsAreRefused) {
  WriteTwo({.no = 1}, {.no = 0, .tensor = "b"});
  ExpectRefused("m-00001-of-00002.gguf",
                "says that it is part 2 of the model, its name says part 1");
}

TEST_F(SplitTest, PartsOfAnotherSplitAreRefused) {
  WriteTwo({}, {.no = 1, .count = 3, .tensor = "b"});
  ExpectRefused("m-00001-of-00002.gguf", "says that the model has 3 files, but 2 were opened");
}

TEST_F(SplitTest, PartsOfAnotherModelAreRefused) {
  WriteTwo({}, {.no = 1, .name = "two", .tensor = "b"});
  ExpectRefused("m-00001-of-00002.gguf", "parts of different models: key 'general.name'");
  WriteTwo({}, {.no = 1, .tensor = "a"});
  ExpectRefused("m-00001-of-00002.gguf", "tensor 'a' (data at byte");
}

TEST_F(SplitTest, TheCountOfTensorsMustHold) {
  WriteTwo({.tensors = 3}, {.no = 1, .tensors = 3, .tensor = "b"});
  ExpectRefused("m-00001-of-00002.gguf", "says that the model has 3 tensors, its parts have 2");
  WriteTwo({.tensors = -1}, {.no = 1, .tensor = "b"});
  ExpectRefused("m-00001-of-00002.gguf", "'split.tensors.count' holds -1");
}

TEST_F(SplitTest, APartWithoutSplitKeysIsRefused) {
  Write("m-00001-of-00002.gguf", RawFile(0, 0));
  Write("m-00002-of-00002.gguf", RawFile(0, 0));
  ExpectRefused("m-00001-of-00002.gguf", "says that the model has 1 files, but 2 were opened");
}

TEST_F(SplitTest, TooManyPartsAreRefused) {
  Write("m-00001-of-02000.gguf", Part({}));
  ExpectRefused("m-00001-of-02000.gguf", "2000 files is more than the 1024 allowed");
}

TEST_F(SplitTest, AFolderHoldsOneModel) {
  ExpectRefused("", "holds no model");
  Write("one.gguf", RawFile(0, 0));
  EXPECT_TRUE(OpenModel(folder_));
  Write("two.gguf", RawFile(0, 0));
  ExpectRefused("", "holds 2 models; name one of them:\n  one.gguf\n  two.gguf");
}

TEST_F(SplitTest, OtherFilesAreNoModels) {
  RawFile text;
  text.Bytes("not a model");
  Write("notes.txt", text);
  ExpectRefused("notes.txt", "does not start with \"GGUF\"");
  const auto missing = OpenModel(folder_ / "none.gguf");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kIo);
}

}  // namespace
}  // namespace plimsoll::formats::gguf
