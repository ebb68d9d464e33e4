// Small packed files, right or wrong, for tests and fuzz seeds.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "formats/packed/header.h"
#include "tensor/matrix.h"

namespace plimsoll::formats::packed {

// A layer without experts between two with such of different types.
inline std::vector<LayerShape> TestLayers() {
  using tensor::DType;
  const MatrixShape gate = {DType::kQ8_0, 32, 20};
  const MatrixShape down = {DType::kQ4_0, 64, 32};
  return {{3, {gate, gate, down}}, {}, {2, {gate, gate, {DType::kF16, 24, 33}}}};
}

// Two source files, the second of two pieces.
inline std::vector<SourceFile> TestSources() {
  return {{.bytes = 1000, .header_bytes = 200, .header_digest = {1, 2}},
          {.bytes = kPieceBytes + 1, .header_bytes = 64, .header_digest = {3, 4}}};
}

// The whole file. Matrices are made-up bytes; what lies behind them is zeros.
inline std::string TestFile(const std::vector<LayerShape>& layers = TestLayers(),
                            const std::vector<SourceFile>& sources = TestSources()) {
  Header header{
      .layout_fingerprint = LayoutFingerprint(layers), .sources = sources, .layers = layers};
  for (const SourceFile& source : sources) {
    header.pieces.resize(header.pieces.size() + source.n_pieces(), {5, 6});
  }
  const HeaderTables tables = PlaceTables(sources, layers).value();
  const FileLayout layout = MakeLayout(layers, tables.header_bytes).value();
  std::string file(layout.file_bytes, '\0');
  uint32_t state = 1;
  for (const Layer& layer : layout.layers) {
    for (uint32_t expert = 0; expert < layer.n_experts; ++expert) {
      for (const Part& part : layer.parts) {
        char* matrix = file.data() + layer.RecordOffset(expert) + part.offset;
        for (uint64_t i = 0; i < part.bytes; ++i) {
          state = state * 1664525 + 1013904223;
          matrix[i] = static_cast<char>(state >> 24U);
        }
        header.checksums.push_back(
            io::Checksum64(std::as_bytes(std::span(matrix, part.covered_bytes))));
      }
    }
  }
  const std::string encoded = Encode(header);
  std::memcpy(file.data(), encoded.data(), encoded.size());
  return file;
}

// Makes the header's checksum right again after its bytes were changed; `header_bytes` is what it
// was before.
inline void Seal(std::string& file, uint64_t header_bytes) {
  const uint64_t at = header_bytes - sizeof(uint64_t);
  const uint64_t checksum = io::Checksum64(std::as_bytes(std::span(file.data(), at)));
  std::memcpy(file.data() + at, &checksum, sizeof checksum);
}

}  // namespace plimsoll::formats::packed
