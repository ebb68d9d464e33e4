#include "formats/packed/header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/invariant.h"
#include "formats/escape.h"
#include "tensor/matrix.h"
#include "tensor/rows16.h"

namespace plimsoll::formats::packed {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are stored as they are");

// Before the tables: magic, version, state, header_bytes, file_bytes, fingerprint, piece_bytes,
// number of files, number of layers.
constexpr uint64_t kFixedBytes = 56;
constexpr uint64_t kBeforeFingerprint = 32;
constexpr uint64_t kSourceBytes = 40;
constexpr uint64_t kLayerBytes = 64;
constexpr uint32_t kBeingWritten = 0;
constexpr uint32_t kWhole = 1;
constexpr uint64_t kMaxHeaderBytes = kFixedBytes + kMaxSourceFiles * kSourceBytes +
                                     kMaxLayers * kLayerBytes +
                                     uint64_t{kMaxRecords} * kNProjections * sizeof(uint64_t) +
                                     uint64_t{kMaxPieces} * sizeof(io::Digest128) + 8;

class Output {
 public:
  template <class T>
  Output& Put(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof value);
    std::memcpy(bytes_.data() + at, &value, sizeof value);
    return *this;
  }
  Output& Bytes(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  [[nodiscard]] std::string Take() { return std::move(bytes_); }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Reads bytes that are known to be there.
class Input {
 public:
  Input(const io::File& file, std::string_view bytes) : file_(file), bytes_(bytes) {}

  template <class T>
  T Get() {
    Invariant(sizeof(T) <= bytes_.size() - offset_, "the header is as long as its counts say");
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof value);
    field_ = offset_;
    offset_ += sizeof value;
    return value;
  }
  // About the number that was read last.
  template <class... Args>
  [[nodiscard]] tl::unexpected<Error> Bad(fmt::format_string<Args...> format,
                                          Args&&... args) const {
    return Fail(ErrorKind::kBadModel, "{}: {} (at byte {})", file_.name(),
                fmt::format(format, std::forward<Args>(args)...), field_);
  }

 private:
  const io::File& file_;
  std::string_view bytes_;
  uint64_t offset_ = 0;
  uint64_t field_ = 0;
};

Result<std::string> ReadText(const io::File& file, uint64_t bytes) {
  std::string text(bytes, '\0');
  if (auto read = file.ReadAt(0, std::as_writable_bytes(std::span(text))); !read) {
    return Forward(read);
  }
  return text;
}

struct FixedFields {
  uint64_t header_bytes = 0;
  uint64_t file_bytes = 0;
};

// Magic, version and lengths: all that must be right before the checksum can be looked at.
Result<FixedFields> CheckFixedFields(const io::File& file) {
  auto text = ReadText(file, std::min(kFixedBytes, file.size()));
  if (!text) {
    return Forward(text);
  }
  if (!text->starts_with(kMagic)) {
    return Fail(ErrorKind::kBadModel,
                "{}: it starts with \"{}\" instead of \"{}\": this is no packed file (at byte 0)",
                file.name(), Escape(text->substr(0, kMagic.size())), kMagic);
  }
  if (text->size() < kFixedBytes) {
    return Fail(ErrorKind::kBadModel, "{}: the file ends within its header (at byte {})",
                file.name(), text->size());
  }
  Input input(file, *text);
  input.Get<std::array<char, kMagic.size()>>();
  if (const auto version = input.Get<uint32_t>(); version != kVersion) {
    return input.Bad("version {} of packed files is not supported, only {}", version, kVersion);
  }
  if (const auto state = input.Get<uint32_t>(); state != kWhole) {
    return input.Bad(
        "{}", state == kBeingWritten
                  ? "the file is not finished; plimsoll pack MODEL goes on where it was stopped"
                  : fmt::format("no state of a packed file has the number {}", state));
  }
  FixedFields fixed;
  fixed.header_bytes = input.Get<uint64_t>();
  if (fixed.header_bytes < kFixedBytes + 8 || fixed.header_bytes > kMaxHeaderBytes ||
      fixed.header_bytes % 8 != 0 || fixed.header_bytes > file.size()) {
    return input.Bad("a header of {} bytes does not fit into the file's {}", fixed.header_bytes,
                     file.size());
  }
  fixed.file_bytes = input.Get<uint64_t>();
  if (fixed.file_bytes != file.size()) {
    return input.Bad("the file has {} bytes instead of {}; it was cut short or is not whole",
                     file.size(), fixed.file_bytes);
  }
  return fixed;
}

Result<> ReadSources(Input& input, uint32_t n_files, Header& header) {
  for (uint32_t i = 0; i < n_files; ++i) {
    SourceFile& source = header.sources.emplace_back();
    source.bytes = input.Get<uint64_t>();
    source.header_bytes = input.Get<uint64_t>();
    if (source.header_bytes > source.bytes) {
      return input.Bad("source {}: its header of {} bytes is longer than its {} bytes", i,
                       source.header_bytes, source.bytes);
    }
    source.header_digest = input.Get<io::Digest128>();
    source.stamp = input.Get<uint64_t>();
    if (source.stamp != 0) {
      return input.Bad("source {}: a finished file has no stamps", i);
    }
  }
  return {};
}

Result<> ReadLayers(Input& input, uint32_t n_layers, Header& header) {
  for (uint32_t i = 0; i < n_layers; ++i) {
    LayerShape& layer = header.layers.emplace_back();
    layer.n_experts = input.Get<uint32_t>();
    for (size_t p = 0; p < kNProjections; ++p) {
      const auto number = input.Get<uint32_t>();
      const auto dtype = tensor::DTypeFromNumber(number);
      if (!dtype) {
        return input.Bad("layer {}: {}: type {} is not supported", i, ProjectionName(p), number);
      }
      layer.projections[p].dtype = *dtype;
    }
    for (MatrixShape& shape : layer.projections) {
      shape.k = input.Get<uint64_t>();
    }
    for (MatrixShape& shape : layer.projections) {
      shape.rows = input.Get<uint64_t>();
    }
    if (layer.n_experts == 0 && layer != LayerShape{}) {
      return input.Bad("layer {}: no experts, but matrices", i);
    }
  }
  return {};
}

template <class T>
void ReadTable(Input& input, uint64_t n, std::vector<T>& table) {
  table.reserve(n);
  for (uint64_t i = 0; i < n; ++i) {
    table.push_back(input.Get<T>());
  }
}

uint64_t CountPieces(std::span<const SourceFile> sources) {
  uint64_t n = 0;
  for (const SourceFile& source : sources) {
    n += source.n_pieces();  // at most 2^40 each, and 1,024 of them
  }
  return n;
}

uint64_t CountRecords(std::span<const LayerShape> layers) {
  uint64_t n = 0;
  for (const LayerShape& layer : layers) {
    n += layer.n_experts;
  }
  return n;
}

// Everything behind the fixed fields. The checksum has been found right, so what is wrong here was
// written wrong.
Result<DecodedHeader> ReadTables(const io::File& file, std::string_view text) {
  Input input(file, text);
  input.Get<std::array<char, kBeforeFingerprint>>();
  DecodedHeader decoded;
  Header& header = decoded.header;
  header.layout_fingerprint = input.Get<uint64_t>();
  if (const auto piece_bytes = input.Get<uint64_t>(); piece_bytes != kPieceBytes) {
    return input.Bad("pieces of {} bytes instead of {}", piece_bytes, kPieceBytes);
  }
  const auto n_files = input.Get<uint32_t>();
  if (n_files == 0 || n_files > kMaxSourceFiles) {
    return input.Bad("{} source files; there may be 1 to {}", n_files, kMaxSourceFiles);
  }
  const auto n_layers = input.Get<uint32_t>();
  if (n_layers == 0 || n_layers > kMaxLayers) {
    return input.Bad("{} layers; there may be 1 to {}", n_layers, kMaxLayers);
  }
  if (kFixedBytes + n_files * kSourceBytes + n_layers * kLayerBytes + 8 > text.size()) {
    return input.Bad("{} files and {} layers do not fit into a header of {} bytes", n_files,
                     n_layers, text.size());
  }
  if (auto read = ReadSources(input, n_files, header); !read) {
    return Forward(read);
  }
  if (auto read = ReadLayers(input, n_layers, header); !read) {
    return Forward(read);
  }
  auto tables = PlaceTables(header.sources, header.layers);
  if (!tables) {
    return input.Bad("{}", tables.error().message);
  }
  decoded.tables = *tables;
  if (tables->header_bytes != text.size()) {
    return input.Bad("the header has {} bytes, its tables want {}", text.size(),
                     tables->header_bytes);
  }
  ReadTable(input, CountRecords(header.layers) * kNProjections, header.checksums);
  ReadTable(input, CountPieces(header.sources), header.pieces);
  return decoded;
}

}  // namespace

Result<HeaderTables> PlaceTables(std::span<const SourceFile> sources,
                                 std::span<const LayerShape> layers) {
  const uint64_t n_pieces = sources.size() <= kMaxSourceFiles ? CountPieces(sources) : UINT64_MAX;
  if (n_pieces > kMaxPieces) {
    return Fail(ErrorKind::kBadModel,
                "the source is in more than {} files or longer than {} TiB, which is more than a "
                "packed file can have",
                kMaxSourceFiles, (kMaxPieces * kPieceBytes) >> 40U);
  }
  const uint64_t n_records = CountRecords(layers);
  if (layers.size() > kMaxLayers || n_records > kMaxRecords) {
    return Fail(ErrorKind::kBadModel,
                "{} layers with {} experts in all are more than the {} with {} that a packed file "
                "may have",
                layers.size(), n_records, kMaxLayers, kMaxRecords);
  }
  HeaderTables tables;
  tables.checksums = kFixedBytes + sources.size() * kSourceBytes + layers.size() * kLayerBytes;
  tables.pieces = tables.checksums + n_records * kNProjections * sizeof(uint64_t);
  tables.checksum = tables.PieceAt(n_pieces);
  tables.header_bytes = tables.checksum + sizeof(uint64_t);
  return tables;
}

std::string Encode(const Header& header) {
  const auto tables = PlaceTables(header.sources, header.layers);
  Invariant(tables.has_value() &&
                header.checksums.size() == CountRecords(header.layers) * kNProjections &&
                header.pieces.size() == CountPieces(header.sources),
            "a header's tables are as long as its sources and layers say");
  const auto layout = MakeLayout(header.layers, tables->header_bytes);
  Invariant(layout.has_value(), "a header's layers can be laid out");
  Output out;
  out.Bytes(kMagic).Put(kVersion).Put(header.is_whole ? kWhole : kBeingWritten);
  out.Put(tables->header_bytes).Put(layout->file_bytes).Put(header.layout_fingerprint);
  out.Put(kPieceBytes).Put(static_cast<uint32_t>(header.sources.size()));
  out.Put(static_cast<uint32_t>(header.layers.size()));
  for (const SourceFile& source : header.sources) {
    out.Put(source.bytes).Put(source.header_bytes).Put(source.header_digest).Put(source.stamp);
  }
  for (const LayerShape& layer : header.layers) {
    out.Put(layer.n_experts);
    for (const MatrixShape& shape : layer.projections) {
      out.Put(static_cast<uint32_t>(shape.dtype));
    }
    for (const MatrixShape& shape : layer.projections) {
      out.Put(shape.k);
    }
    for (const MatrixShape& shape : layer.projections) {
      out.Put(shape.rows);
    }
  }
  for (const uint64_t checksum : header.checksums) {
    out.Put(checksum);
  }
  for (const io::Digest128& piece : header.pieces) {
    out.Put(piece);
  }
  out.Put(io::Checksum64(AsBytes(out.bytes())));
  return out.Take();
}

Result<DecodedHeader> Decode(const io::File& file) {
  const auto fixed = CheckFixedFields(file);
  if (!fixed) {
    return tl::unexpected<Error>(fixed.error());
  }
  const auto text = ReadText(file, fixed->header_bytes);
  if (!text) {
    return tl::unexpected<Error>(text.error());
  }
  const uint64_t checksum_at = text->size() - sizeof(uint64_t);
  uint64_t checksum = 0;
  std::memcpy(&checksum, text->data() + checksum_at, sizeof checksum);
  if (checksum != io::Checksum64(AsBytes(std::string_view(*text).substr(0, checksum_at)))) {
    return Fail(ErrorKind::kBadModel,
                "{}: the header is damaged: its checksum is not that of its {} bytes; delete the "
                "file and pack the model again (at byte {})",
                file.name(), checksum_at, checksum_at);
  }
  auto decoded = ReadTables(file, *text);
  if (!decoded) {
    return decoded;
  }
  auto layout = MakeLayout(decoded->header.layers, text->size());
  if (!layout || layout->file_bytes != file.size()) {
    return Fail(ErrorKind::kBadModel, "{}: {} (at byte {})", file.name(),
                layout ? fmt::format("its records end at byte {}, the file at {}",
                                     layout->file_bytes, file.size())
                       : layout.error().message,
                kFixedBytes);
  }
  decoded->layout = *std::move(layout);
  return decoded;
}

namespace {

// Types that came after the first packed files. They count where a file has them, so that a type
// more does not refuse the files that are there.
bool IsLater(tensor::DType dtype) {
  switch (dtype) {
    case tensor::DType::kIQ2_XXS:
    case tensor::DType::kIQ2_XS:
    case tensor::DType::kIQ2_S:
    case tensor::DType::kIQ3_XXS:
    case tensor::DType::kIQ3_S:
    case tensor::DType::kIQ1_S:
    case tensor::DType::kIQ1_M:
    case tensor::DType::kTQ1_0:
    case tensor::DType::kTQ2_0:
    case tensor::DType::kNVFP4:
      return true;
    default:
      return false;
  }
}

bool Has(std::span<const LayerShape> layers, tensor::DType dtype) {
  return std::ranges::any_of(layers, [dtype](const LayerShape& layer) {
    return std::ranges::find(layer.projections, dtype, &MatrixShape::dtype) !=
           std::end(layer.projections);
  });
}

}  // namespace

uint64_t LayoutFingerprint(std::span<const LayerShape> layers) {
  std::string all;
  for (const tensor::DTypeTraits& traits : tensor::AllDTypes()) {
    if (IsLater(traits.dtype) && !Has(layers, traits.dtype)) {
      continue;
    }
    const bool is_float = traits.block_elements == 1;
    // A whole group and a short one, a whole panel and a short one, and half a unit.
    const uint64_t k = is_float ? tensor::kFloatPanel + 24 : uint64_t{2} * traits.block_elements;
    constexpr uint64_t kRows = 16 + 11;
    std::string bytes(*tensor::BytesFor(traits.dtype, k * kRows), '\0');
    uint32_t state = 1;
    for (char& byte : bytes) {
      state = state * 1664525 + 1013904223;
      byte = static_cast<char>(state >> 24U);
    }
    tensor::Rows16Interleaver interleaver(traits.dtype, k, kRows,
                                          reinterpret_cast<std::byte*>(bytes.data()));
    interleaver.Advance(bytes.size());
    all += traits.name;
    all += bytes;
  }
  return io::Checksum64(AsBytes(all));
}

}  // namespace plimsoll::formats::packed
