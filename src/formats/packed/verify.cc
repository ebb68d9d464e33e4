#include "formats/packed/verify.h"

#include <algorithm>
#include <optional>

#include "formats/packed/checksum_spans.h"
#include "formats/packed/part_list.h"
#include "io/sha256.h"

namespace plimsoll::formats::packed {
namespace {

// Counts what was read, tells of it, and asks whether to go on.
class Pace {
 public:
  Pace(const VerifyOptions& options, uint64_t total) : options_(options), total_(total) {}

  Result<> Add(uint64_t bytes) {
    done_ += bytes;
    if (options_.on_progress) {
      options_.on_progress(done_, total_);
    }
    if (options_.is_stopped && options_.is_stopped()) {
      return Fail(ErrorKind::kInterrupted, "verification was stopped");
    }
    return {};
  }

 private:
  const VerifyOptions& options_;
  uint64_t total_;
  uint64_t done_ = 0;
};

// What is to be read, in the order of the file, and the checksum that each must have.
struct Expectations {
  std::vector<ByteSpan> spans;
  std::vector<uint64_t> checksums;
  std::vector<DamagedPart> names;

  void Add(ByteSpan span, uint64_t checksum, DamagedPart name) {
    if (span.bytes > 0) {
      name.offset = span.offset;
      spans.push_back(span);
      checksums.push_back(checksum);
      names.push_back(name);
    }
  }
};

Expectations Expect(const PackedFile& packed) {
  const std::vector<std::byte> zeros(kRecordAlignment);
  const auto zeros_checksum = [&](uint64_t n) { return io::Checksum64(std::span(zeros).first(n)); };
  Expectations expect;
  expect.Add({packed.header_bytes(), packed.begin() - packed.header_bytes()},
             zeros_checksum(packed.begin() - packed.header_bytes()), {.projection = kNProjections});
  for (uint32_t l = 0; l < packed.layers().size(); ++l) {
    const Layer& layer = packed.layer(l);
    for (uint32_t e = 0; e < layer.n_experts; ++e) {
      const uint64_t record = layer.RecordOffset(e);
      for (uint32_t p = 0; p < kNProjections; ++p) {
        const Part& part = layer.parts[p];
        expect.Add({record + part.offset, part.covered_bytes}, packed.Checksum(l, e, p),
                   {.layer = l, .expert = e, .projection = p});
      }
      const uint64_t behind = layer.stride - layer.record_bytes;
      expect.Add({record + layer.record_bytes, behind}, zeros_checksum(behind),
                 {.layer = l, .expert = e, .projection = kNProjections});
    }
  }
  return expect;
}

std::vector<std::string> TensorsIn(const Catalogue& catalogue, const DamagedPiece& piece) {
  std::vector<std::string> names;
  for (const TensorEntry& tensor : catalogue.tensors()) {
    for (const FileRange& range : tensor.ranges) {
      if (range.file_idx == piece.file_idx && range.offset < piece.offset + piece.bytes &&
          piece.offset < range.offset + range.bytes) {
        names.push_back(tensor.name);
        break;
      }
    }
  }
  return names;
}

class ModelHasher {
 public:
  ModelHasher(const Catalogue& catalogue, const PackedFile* packed, bool sha256)
      : catalogue_(catalogue), packed_(packed) {
    contents_.digests.assign(catalogue.files.size(), io::Checksum128({}));
    if (sha256) {
      sha256_.emplace();
      contents_.sha256s.resize(catalogue.files.size());
    }
  }

  void Add(const io::FileStream::Chunk& chunk) {
    whole_.Add(chunk.bytes);
    if (sha256_) {
      sha256_->Add(chunk.bytes);
    }
    const uint64_t end = chunk.offset + chunk.bytes.size();
    const bool is_last = end == catalogue_.files[chunk.file.value]->size();
    if (packed_ != nullptr) {
      piece_.Add(chunk.bytes);
      if (is_last || end % kPieceBytes == 0) {  // buffers end where pieces do
        EndPiece(chunk.file.value, end);
      }
    }
    if (is_last) {
      contents_.digests[chunk.file.value] = whole_.Sum128();
      whole_.Reset();
      if (sha256_) {
        contents_.sha256s[chunk.file.value] = sha256_->TakeHex();
      }
    }
  }
  [[nodiscard]] ModelContents Take() { return std::move(contents_); }

 private:
  void EndPiece(uint32_t file_idx, uint64_t end) {
    const uint64_t piece = (end - 1) / kPieceBytes;
    if (piece_.Sum128() != packed_->Pieces(file_idx)[piece]) {
      DamagedPiece damaged = {file_idx, piece * kPieceBytes, end - piece * kPieceBytes, {}};
      damaged.tensors = TensorsIn(catalogue_, damaged);
      contents_.damaged.push_back(std::move(damaged));
    }
    piece_.Reset();
  }

  const Catalogue& catalogue_;
  const PackedFile* packed_;
  io::Digester whole_;
  io::Digester piece_;
  std::optional<io::Sha256> sha256_;
  ModelContents contents_;
};

}  // namespace

Result<std::vector<DamagedPart>> VerifyRecords(const PackedFile& packed,
                                               const VerifyOptions& options) {
  const Expectations expect = Expect(packed);
  auto stream = io::FileStream::Create(options.stream);
  if (!stream) {
    return Forward(stream);
  }
  const auto file = (*stream)->AddFile(packed.file());
  if (!file) {
    return tl::unexpected<Error>(file.error());
  }
  Pace pace(options, packed.file()->size() - packed.header_bytes());
  std::vector<DamagedPart> damaged;
  auto read = ChecksumSpans(
      **stream, *file, expect.spans,
      [&](size_t i, uint64_t checksum) {
        if (checksum != expect.checksums[i]) {
          damaged.push_back(expect.names[i]);
        }
      },
      [&](uint64_t bytes) { return pace.Add(bytes); });
  if (!read) {
    return Forward(read);
  }
  return damaged;
}

Result<ModelContents> VerifyModel(const Catalogue& catalogue, const PackedFile* packed,
                                  const VerifyOptions& options) {
  auto stream = io::FileStream::Create(options.stream);
  if (!stream) {
    return Forward(stream);
  }
  std::vector<io::FileStream::Range> ranges;
  uint64_t total = 0;
  for (const auto& file : catalogue.files) {
    const auto id = (*stream)->AddFile(file);
    if (!id) {
      return tl::unexpected<Error>(id.error());
    }
    ranges.push_back({*id, 0, file->size()});
    total += file->size();
  }
  (*stream)->Start(std::move(ranges));
  ModelHasher hasher(catalogue, packed, options.sha256);
  Pace pace(options, total);
  while (true) {
    const auto chunk = (*stream)->Next();
    if (!chunk) {
      return tl::unexpected<Error>(chunk.error());
    }
    if (!chunk->has_value()) {
      return hasher.Take();
    }
    hasher.Add(**chunk);
    if (auto go_on = pace.Add((*chunk)->bytes.size()); !go_on) {
      return Forward(go_on);
    }
  }
}

}  // namespace plimsoll::formats::packed
