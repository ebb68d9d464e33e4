#include "formats/packed/checksum_spans.h"

#include <algorithm>

#include "io/checksum.h"

namespace plimsoll::formats::packed {
namespace {

// Neighbours are one range.
std::vector<io::FileStream::Range> RangesOf(io::ReadFileId file, std::span<const ByteSpan> spans) {
  std::vector<io::FileStream::Range> ranges;
  for (const ByteSpan& span : spans) {
    if (!ranges.empty() && ranges.back().offset + ranges.back().bytes == span.offset) {
      ranges.back().bytes += span.bytes;
    } else {
      ranges.push_back({file, span.offset, span.bytes});
    }
  }
  return ranges;
}

}  // namespace

Result<> ChecksumSpans(io::FileStream& stream, io::ReadFileId file, std::span<const ByteSpan> spans,
                       const std::function<void(size_t, uint64_t)>& on_checksum,
                       const std::function<Result<>(uint64_t bytes)>& on_bytes) {
  stream.Start(RangesOf(file, spans));
  io::Digester digester;
  size_t i = 0;
  uint64_t done = 0;  // of span i
  while (true) {
    const auto chunk = stream.Next();
    if (!chunk) {
      return tl::unexpected<Error>(chunk.error());
    }
    if (!chunk->has_value()) {
      return {};
    }
    for (auto bytes = (*chunk)->bytes; !bytes.empty();) {
      const auto piece = bytes.first(std::min<uint64_t>(bytes.size(), spans[i].bytes - done));
      bytes = bytes.subspan(piece.size());
      digester.Add(piece);
      done += piece.size();
      if (done == spans[i].bytes) {
        on_checksum(i++, digester.Sum64());
        digester.Reset();
        done = 0;
      }
    }
    if (auto go_on = on_bytes((*chunk)->bytes.size()); !go_on) {
      return go_on;
    }
  }
}

}  // namespace plimsoll::formats::packed
