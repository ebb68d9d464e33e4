#include "bench/work.h"

#include <algorithm>

namespace plimsoll::bench {
namespace {

using formats::TensorKind;

// Adds a pass over n tokens from `position` on; `with_logits` of the last.
void AddPass(const engine::Engine& engine, uint32_t position, uint32_t n, bool with_logits,
             Work& work) {
  const formats::Summary& contents = engine.contents();
  const formats::ReadPerToken& one = contents.bytes_per_token;
  const formats::Totals& output =
      contents.of(contents.output_is_tied ? TensorKind::kEmbedding : TensorKind::kOutput);
  const uint64_t experts = std::min(n * one.experts, contents.of(TensorKind::kExperts).bytes);
  work.read_bytes += one.dense + experts + n * one.embedding_row;
  work.read_bytes += engine.AttentionAt(position + n - 1).kv_bytes;
  work.weight_multiply_adds += n * (contents.parameters_active - output.parameters);
  if (with_logits) {
    work.read_bytes += one.output;
    work.weight_multiply_adds += output.parameters;
  }
  for (uint32_t i = 0; i < n; ++i) {
    work.attention_multiply_adds += engine.AttentionAt(position + i).multiply_adds;
  }
}

}  // namespace

Work WorkOf(const engine::Engine& engine, const BenchTest& test) {
  Work work;
  const uint32_t chunk = std::max(engine.summary().prefill_chunk, 1U);
  uint32_t position = test.n_depth;
  for (uint32_t left = test.n_prompt; left > 0;) {
    const uint32_t n = std::min(left, chunk);
    left -= n;
    AddPass(engine, position, n, left == 0, work);
    position += n;
  }
  for (uint32_t i = 0; i < test.n_gen; ++i) {
    AddPass(engine, position++, 1, true, work);
  }
  return work;
}

}  // namespace plimsoll::bench
