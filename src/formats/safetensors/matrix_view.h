// How GGUF's tensor comes out of the one that a folder has: its rows in another order, a part of
// them, columns for rows, other values.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "formats/safetensors/dimensions.h"

namespace plimsoll::formats::safetensors {

enum class ValueChange : uint8_t {
  kNone,
  kPlusOne,   // norms whose model adds 1 to them when it runs
  kMinusExp,  // decays that are trained as the logarithm of what they are
};

// Of one matrix, or of each matrix of a stack. A vector is a matrix of one column.
struct MatrixView {
  uint64_t n_parts = 1;  // the stored matrix is so many, one below another
  uint64_t n_rows = 0;   // of each
  uint64_t n_columns = 0;
  bool transposed = false;        // rows are the stored matrix's columns, columns its first rows
  std::vector<uint32_t> rows;     // of the stored ones, for each row; empty: all, as they are
  std::vector<uint32_t> columns;  // likewise; never of a transposed matrix
  ValueChange values = ValueChange::kNone;

  // The same bytes in the same order.
  [[nodiscard]] bool is_plain() const {
    return n_parts == 1 && !transposed && rows.empty() && columns.empty() &&
           values == ValueChange::kNone;
  }
};

// Begins with a view of all of the stored matrix and makes that of GGUF's. kBadModel for a matrix
// that is not of the shape that this is about.
using Change = Result<> (*)(const Dimensions& dimensions, MatrixView& view);

[[nodiscard]] Result<> PlusOne(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> MinusExp(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> Transposed(const Dimensions& dimensions, MatrixView& view);

// Of rows that gate and up projections share: one after the other, or in turns. The transposed ones
// share columns; of vectors, one an expert, columns are taken in turns.
[[nodiscard]] Result<> FirstHalf(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> SecondHalf(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> EvenRows(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> OddRows(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> TransposedFirstHalf(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> TransposedSecondHalf(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> TransposedEven(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> TransposedOdd(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> EvenColumns(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> OddColumns(const Dimensions& dimensions, MatrixView& view);

// Rotary pairs, which are half a head apart, become neighbours: in each head of the queries, of the
// keys.
[[nodiscard]] Result<> QueryPairs(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> KeyPairs(const Dimensions& dimensions, MatrixView& view);

// Of the matrix that makes keys and values of all heads: a matrix a head. That of its keys is
// multiplied with queries, so that rows and columns change places.
[[nodiscard]] Result<> KeysOfHeads(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> ValuesOfHeads(const Dimensions& dimensions, MatrixView& view);

// Of delta nets that keep query, key, values and gates of a key head together: all queries, keys
// and values; all gates.
[[nodiscard]] Result<> MixedOfGroups(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> GatesOfGroups(const Dimensions& dimensions, MatrixView& view);

// The value heads of a key head, which are neighbours, become as far apart as there are key heads.
// In rows of a value's width, behind those of queries and keys; in rows of such width; in single
// rows; in columns.
[[nodiscard]] Result<> TiledBehindKeys(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> TiledHeads(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> TiledRows(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> TiledColumns(const Dimensions& dimensions, MatrixView& view);
[[nodiscard]] Result<> TiledMinusExp(const Dimensions& dimensions, MatrixView& view);

}  // namespace plimsoll::formats::safetensors
