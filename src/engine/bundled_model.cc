#include "engine/bundled_model.h"

#include <cstddef>
#include <cstdint>
#include <optional>

#include <link.h>

#include "formats/gguf/reader.h"

// A section of its own, aligned to pages: the loader maps it with the executable, but its pages
// are only touched by whoever reads these addresses, and nobody does.
asm(R"(
    .pushsection .plimsoll_model, "a", @progbits
    .balign 4096
    .hidden kPlimsollBundledModel
    .global kPlimsollBundledModel
kPlimsollBundledModel:
    .incbin ")" PLIMSOLL_BUNDLED_MODEL R"("
    .hidden kPlimsollBundledModelEnd
    .global kPlimsollBundledModelEnd
kPlimsollBundledModelEnd:
    .byte 0
    .popsection
)");

extern "C" {
[[gnu::visibility("hidden")]] extern const std::byte kPlimsollBundledModel[];
[[gnu::visibility("hidden")]] extern const std::byte kPlimsollBundledModelEnd[];
}

namespace plimsoll::engine {
namespace {

struct Search {
  uint64_t address = 0;
  std::optional<uint64_t> file_offset;
};

// Called for the executable first: an address of its image becomes an offset in its file.
int FindInExecutable(dl_phdr_info* image, size_t /*size*/, void* data) {
  auto* search = static_cast<Search*>(data);
  for (size_t i = 0; i < image->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = image->dlpi_phdr[i];
    const uint64_t begin = image->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && search->address >= begin &&
        search->address - begin < segment.p_filesz) {
      search->file_offset = segment.p_offset + (search->address - begin);
    }
  }
  return 1;  // the executable comes first, and the model is nowhere else
}

}  // namespace

Result<std::shared_ptr<const io::File>> OpenBundledModel() {
  Search search{.address = reinterpret_cast<uint64_t>(&kPlimsollBundledModel[0]),
                .file_offset = std::nullopt};
  dl_iterate_phdr(FindInExecutable, &search);
  if (!search.file_offset) {
    return Fail(ErrorKind::kIo,
                "the bundled model is not in this executable's file; name a model with -m");
  }
  const auto bytes =
      static_cast<uint64_t>(&kPlimsollBundledModelEnd[0] - &kPlimsollBundledModel[0]);
  auto file =
      io::File::OpenWindow("/proc/self/exe", *search.file_offset, bytes, BundledModelName());
  if (!file) {
    return Fail(
        ErrorKind::kIo,
        "the bundled model is read through /proc/self/exe: {}. Mount /proc, or name a model "
        "with -m",
        file.error().message);
  }
  return file;
}

std::string BundledModelName() { return "plimsoll-lab-q8_0"; }

Result<formats::Catalogue> OpenCatalogue(const std::optional<std::filesystem::path>& model) {
  if (model) {
    return formats::OpenModel(*model);
  }
  auto file = OpenBundledModel();
  if (!file) {
    return Forward(file);
  }
  return formats::gguf::Read(*file);
}

}  // namespace plimsoll::engine
