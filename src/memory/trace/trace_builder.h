// Puts a trace together from what a file says of each token, and refuses what no model does.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "memory/trace/trace.h"

namespace plimsoll::memory::trace {

// No model comes near them; they keep what a file can make us allocate small.
inline constexpr uint32_t kLayersMax = 1024;
inline constexpr uint32_t kExpertsMax = 2048;
inline constexpr uint64_t kPagesMax = uint64_t{1} << 17;
inline constexpr uint32_t kRankedMax = 1024;

// What is wrong, to be put behind a file's name and a place in it; empty: nothing.
using Complaint = std::string;

// One token in one layer.
struct TokenRow {
  uint32_t pass = 0;
  uint32_t layer = 0;
  uint32_t token = 0;  // of its pass
  policy::Phase phase = policy::Phase::kDecode;
};

class TraceBuilder {
 public:
  // The layers, where the file says what they are; else they are inferred from the rows.
  [[nodiscard]] Complaint SetLayers(std::vector<TraceLayer> layers);
  // `ranked`: the token's n_active chosen experts and then near-misses. Rows may come in any order.
  [[nodiscard]] Complaint AddRow(const TokenRow& row, std::span<const Choice> ranked,
                                 size_t n_active);
  [[nodiscard]] Trace& trace() { return trace_; }
  // Orders the rows and makes the trace's visits of them.
  [[nodiscard]] Complaint Finish();

 private:
  struct Row {
    TokenRow token;
    uint64_t first;  // in choices_
  };

  [[nodiscard]] Complaint CheckRanked(std::span<const Choice> ranked);
  void InferExperts();

  Trace trace_;
  bool infer_ = true;
  std::vector<Row> rows_;
  std::vector<Choice> choices_;   // in the order of AddRow
  std::vector<uint32_t> sorted_;  // a row's experts, to find one that stands twice
};

}  // namespace plimsoll::memory::trace
