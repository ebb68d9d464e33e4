#include "engine/bundled_model.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>

#include <gtest/gtest.h>

namespace plimsoll::engine {
namespace {

std::string ReadAll(const io::File& file) {
  std::string bytes(file.size(), '\0');
  auto read = file.ReadAt(0, std::as_writable_bytes(std::span(bytes)));
  EXPECT_TRUE(read.has_value()) << read.error().message;
  return bytes;
}

std::string FileInModels() {
  const auto path =
      std::filesystem::path(PLIMSOLL_SOURCE_DIR) / "models" / (BundledModelName() + ".gguf");
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream.good()) << path;
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

TEST(BundledModel, IsTheFileInModels) {
  auto file = OpenBundledModel();
  ASSERT_TRUE(file.has_value()) << file.error().message;
  const std::string bytes = ReadAll(**file);
  EXPECT_EQ(bytes.substr(0, 4), "GGUF");
  EXPECT_TRUE(bytes == FileInModels()) << "the executable was built from another model";
}

TEST(BundledModel, IsNamedInMessages) {
  auto file = OpenBundledModel();
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ((*file)->name(), BundledModelName());
  std::byte one{};
  auto past = (*file)->ReadAt((*file)->size(), std::span(&one, 1));
  ASSERT_FALSE(past.has_value());
  EXPECT_NE(past.error().message.find(BundledModelName()), std::string::npos);
}

}  // namespace
}  // namespace plimsoll::engine
