#include "formats/safetensors/matrix_view.h"

#include <utility>

namespace plimsoll::formats::safetensors {
namespace {

// Beyond anything that exists; keeps tables of rows small.
constexpr uint64_t kMaxMovedRows = uint64_t{1} << 24;

Result<> Expect(uint64_t n, uint64_t expected, std::string_view what) {
  if (n != expected) {
    return Fail(ErrorKind::kBadModel, "it has {} {}, and the configuration makes them {}", n, what,
                expected);
  }
  return {};
}

Result<> ExpectSome(uint64_t n, std::string_view what) {
  if (n == 0 || n > kMaxMovedRows) {
    return Fail(ErrorKind::kBadModel, "it has {} {}", n, what);
  }
  return {};
}

void TakeRows(std::vector<uint32_t> rows, MatrixView& view) {
  view.n_rows = rows.size();
  view.rows = std::move(rows);
}

// `n` of them from `first` on, each `step` behind the one before.
std::vector<uint32_t> Every(uint64_t first, uint64_t n, uint64_t step) {
  std::vector<uint32_t> indices;
  for (uint64_t i = 0; i < n; ++i) {
    indices.push_back(static_cast<uint32_t>(first + i * step));
  }
  return indices;
}

Result<> CheckEven(uint64_t n, std::string_view what) {
  if (auto some = ExpectSome(n, what); !some) {
    return some;
  }
  if (n % 2 != 0) {
    return Fail(ErrorKind::kBadModel, "it has {} {}, an odd number, for two projections", n, what);
  }
  return {};
}

Result<> TakeHalf(uint64_t half, MatrixView& view) {
  if (auto even = CheckEven(view.n_rows, "rows"); !even) {
    return even;
  }
  const uint64_t n = view.n_rows / 2;
  TakeRows(Every(half * n, n, 1), view);
  return {};
}

Result<> TakeInTurns(uint64_t first, MatrixView& view) {
  if (auto even = CheckEven(view.n_rows, "rows"); !even) {
    return even;
  }
  TakeRows(Every(first, view.n_rows / 2, 2), view);
  return {};
}

Result<> TakeColumnsInTurns(uint64_t first, MatrixView& view) {
  if (auto even = CheckEven(view.n_columns, "columns"); !even) {
    return even;
  }
  view.n_columns /= 2;
  view.columns = Every(first, view.n_columns, 2);
  return {};
}

Result<> PairRows(uint32_t n_heads, MatrixView& view) {
  if (auto some = ExpectSome(view.n_rows, "rows"); !some) {
    return some;
  }
  if (n_heads == 0 || view.n_rows % n_heads != 0 || view.n_rows / n_heads % 2 != 0) {
    return Fail(ErrorKind::kBadModel, "its {} rows are not those of {} heads of rotary pairs",
                view.n_rows, n_heads);
  }
  const uint64_t half = view.n_rows / n_heads / 2;
  std::vector<uint32_t> rows;
  for (uint64_t head = 0; head < n_heads; ++head) {
    for (uint64_t pair = 0; pair < half; ++pair) {
      rows.push_back(static_cast<uint32_t>(2 * head * half + pair));
      rows.push_back(static_cast<uint32_t>((2 * head + 1) * half + pair));
    }
  }
  TakeRows(std::move(rows), view);
  return {};
}

Result<> SplitHeads(const Dimensions& d, MatrixView& view) {
  const uint64_t of_head = uint64_t{d.latent_key_dim} + d.latent_value_dim;
  if (auto some = ExpectSome(view.n_rows, "rows"); !some) {
    return some;
  }
  view.n_parts = d.n_heads;
  return Expect(view.n_rows, d.n_heads * of_head, "rows");
}

// Widths of the parts of a key head's group: query, key, values, gates.
struct Group {
  uint64_t key = 0;
  uint64_t values = 0;

  [[nodiscard]] uint64_t width() const { return 2 * key + 2 * values; }
};

Result<Group> GroupOf(const Dimensions& d) {
  if (d.n_key_heads == 0 || d.n_value_heads % d.n_key_heads != 0) {
    return Fail(ErrorKind::kBadModel, "{} value heads do not share {} key heads evenly",
                d.n_value_heads, d.n_key_heads);
  }
  return Group{d.key_head_dim, uint64_t{d.n_value_heads / d.n_key_heads} * d.value_head_dim};
}

void AddParts(const Dimensions& d, const Group& group, uint64_t begin, uint64_t width,
              std::vector<uint32_t>& rows) {
  for (uint64_t head = 0; head < d.n_key_heads; ++head) {
    for (uint64_t i = 0; i < width; ++i) {
      rows.push_back(static_cast<uint32_t>(head * group.width() + begin + i));
    }
  }
}

Result<Group> CheckGroups(const Dimensions& d, const MatrixView& view) {
  auto group = GroupOf(d);
  if (!group) {
    return group;
  }
  const uint64_t expected = d.n_key_heads * group->width();
  if (auto some = ExpectSome(view.n_rows, "rows"); !some) {
    return Forward(some);
  }
  if (auto checked = Expect(view.n_rows, expected, "rows"); !checked) {
    return Forward(checked);
  }
  return group;
}

// Where each of `n` things goes of which a value head has `width`, behind `before` that stay.
Result<std::vector<uint32_t>> Tile(const Dimensions& d, uint64_t before, uint64_t width, uint64_t n,
                                   std::string_view what) {
  if (auto group = GroupOf(d); !group) {
    return Forward(group);
  }
  if (auto some = ExpectSome(n, what); !some) {
    return Forward(some);
  }
  if (auto checked = Expect(n, before + d.n_value_heads * width, what); !checked) {
    return Forward(checked);
  }
  const uint64_t n_of_key = d.n_value_heads / d.n_key_heads;
  std::vector<uint32_t> indices = Every(0, before, 1);
  for (uint64_t of_key = 0; of_key < n_of_key; ++of_key) {
    for (uint64_t key = 0; key < d.n_key_heads; ++key) {
      const uint64_t head = key * n_of_key + of_key;
      for (uint64_t i = 0; i < width; ++i) {
        indices.push_back(static_cast<uint32_t>(before + head * width + i));
      }
    }
  }
  return indices;
}

Result<> TileRows(const Dimensions& d, uint64_t before, uint64_t width, MatrixView& view) {
  auto rows = Tile(d, before, width, view.n_rows, "rows");
  if (!rows) {
    return Forward(rows);
  }
  TakeRows(*std::move(rows), view);
  return {};
}

}  // namespace

Result<> PlusOne(const Dimensions& /*dimensions*/, MatrixView& view) {
  view.values = ValueChange::kPlusOne;
  return {};
}

Result<> MinusExp(const Dimensions& /*dimensions*/, MatrixView& view) {
  view.values = ValueChange::kMinusExp;
  return {};
}

Result<> Transposed(const Dimensions& /*dimensions*/, MatrixView& view) {
  view.transposed = true;
  std::swap(view.n_rows, view.n_columns);
  return {};
}

Result<> FirstHalf(const Dimensions& /*dimensions*/, MatrixView& view) { return TakeHalf(0, view); }

Result<> SecondHalf(const Dimensions& /*dimensions*/, MatrixView& view) {
  return TakeHalf(1, view);
}

Result<> EvenRows(const Dimensions& /*dimensions*/, MatrixView& view) {
  return TakeInTurns(0, view);
}

Result<> OddRows(const Dimensions& /*dimensions*/, MatrixView& view) {
  return TakeInTurns(1, view);
}

Result<> TransposedFirstHalf(const Dimensions& dimensions, MatrixView& view) {
  auto transposed = Transposed(dimensions, view);
  return transposed ? TakeHalf(0, view) : transposed;
}

Result<> TransposedSecondHalf(const Dimensions& dimensions, MatrixView& view) {
  auto transposed = Transposed(dimensions, view);
  return transposed ? TakeHalf(1, view) : transposed;
}

Result<> TransposedEven(const Dimensions& dimensions, MatrixView& view) {
  auto transposed = Transposed(dimensions, view);
  return transposed ? TakeInTurns(0, view) : transposed;
}

Result<> TransposedOdd(const Dimensions& dimensions, MatrixView& view) {
  auto transposed = Transposed(dimensions, view);
  return transposed ? TakeInTurns(1, view) : transposed;
}

Result<> EvenColumns(const Dimensions& /*dimensions*/, MatrixView& view) {
  return TakeColumnsInTurns(0, view);
}

Result<> OddColumns(const Dimensions& /*dimensions*/, MatrixView& view) {
  return TakeColumnsInTurns(1, view);
}

Result<> QueryPairs(const Dimensions& dimensions, MatrixView& view) {
  return PairRows(dimensions.n_heads, view);
}

Result<> KeyPairs(const Dimensions& dimensions, MatrixView& view) {
  return PairRows(dimensions.n_kv_heads, view);
}

Result<> KeysOfHeads(const Dimensions& dimensions, MatrixView& view) {
  if (auto split = SplitHeads(dimensions, view); !split) {
    return split;
  }
  view.transposed = true;
  view.n_rows = view.n_columns;
  view.n_columns = dimensions.latent_key_dim;
  return {};
}

Result<> ValuesOfHeads(const Dimensions& dimensions, MatrixView& view) {
  if (auto split = SplitHeads(dimensions, view); !split) {
    return split;
  }
  TakeRows(Every(dimensions.latent_key_dim, dimensions.latent_value_dim, 1), view);
  return {};
}

Result<> MixedOfGroups(const Dimensions& dimensions, MatrixView& view) {
  const auto group = CheckGroups(dimensions, view);
  if (!group) {
    return tl::unexpected<Error>(group.error());
  }
  std::vector<uint32_t> rows;
  AddParts(dimensions, *group, 0, group->key, rows);
  AddParts(dimensions, *group, group->key, group->key, rows);
  AddParts(dimensions, *group, 2 * group->key, group->values, rows);
  TakeRows(std::move(rows), view);
  return {};
}

Result<> GatesOfGroups(const Dimensions& dimensions, MatrixView& view) {
  const auto group = CheckGroups(dimensions, view);
  if (!group) {
    return tl::unexpected<Error>(group.error());
  }
  std::vector<uint32_t> rows;
  AddParts(dimensions, *group, 2 * group->key + group->values, group->values, rows);
  TakeRows(std::move(rows), view);
  return {};
}

Result<> TiledBehindKeys(const Dimensions& dimensions, MatrixView& view) {
  const uint64_t before = uint64_t{2} * dimensions.n_key_heads * dimensions.key_head_dim;
  return TileRows(dimensions, before, dimensions.value_head_dim, view);
}

Result<> TiledHeads(const Dimensions& dimensions, MatrixView& view) {
  return TileRows(dimensions, 0, dimensions.value_head_dim, view);
}

Result<> TiledRows(const Dimensions& dimensions, MatrixView& view) {
  return TileRows(dimensions, 0, 1, view);
}

Result<> TiledColumns(const Dimensions& dimensions, MatrixView& view) {
  auto columns = Tile(dimensions, 0, dimensions.value_head_dim, view.n_columns, "columns");
  if (!columns) {
    return Forward(columns);
  }
  view.columns = *std::move(columns);
  return {};
}

Result<> TiledMinusExp(const Dimensions& dimensions, MatrixView& view) {
  view.values = ValueChange::kMinusExp;
  return TiledRows(dimensions, view);
}

}  // namespace plimsoll::formats::safetensors
