#include "model/attention_scorer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/invariant.h"
#include "kernels/half.h"
#include "model/attend.h"

namespace plimsoll::model {
namespace {

using kv::kBlockTokens;

constexpr size_t kPoolReach = 3;  // slots to each side

// out[i] = the largest of x within kPoolReach slots of i whose positions follow one another.
void PoolRuns(std::span<const float> x, std::span<const uint32_t> positions, std::span<float> out) {
  for (size_t i = 0; i < x.size(); ++i) {
    float largest = x[i];
    for (size_t j = i; j > 0 && i - j < kPoolReach && positions[j - 1] + 1 == positions[j]; --j) {
      largest = std::max(largest, x[j - 1]);
    }
    for (size_t j = i;
         j + 1 < x.size() && j - i < kPoolReach && positions[j] + 1 == positions[j + 1]; ++j) {
      largest = std::max(largest, x[j + 1]);
    }
    out[i] = largest;
  }
}

}  // namespace

AttentionScorer::Scratch AttentionScorer::Lay(const Parts& parts, uint64_t max_slots,
                                              memory::Carver& carver) {
  uint64_t n_heads = 0;
  uint64_t n_kv_heads = 0;
  uint64_t head_dim = 0;
  size_t workspace_bytes = 0;
  for (const LayerParams& layer : parts.hp.layers) {
    n_heads = std::max<uint64_t>(n_heads, layer.n_heads);
    n_kv_heads = std::max<uint64_t>(n_kv_heads, layer.n_kv_heads);
    head_dim = std::max<uint64_t>(head_dim, layer.head_dim_k);
    workspace_bytes = std::max(workspace_bytes, parts.kernels.attention_workspace_bytes(
                                                    layer.head_dim_k, layer.head_dim_v));
  }
  Scratch s;
  s.weights = carver.Take<float>(n_heads * max_slots);
  s.scores = carver.Take<float>(n_kv_heads * max_slots);
  s.threads = carver.Take<ThreadScratch>(parts.team.n_threads());
  for (size_t i = 0; i < parts.team.n_threads(); ++i) {
    const auto queries = carver.Take<float>(kBlockTokens * head_dim);
    std::byte* workspace = carver.TakeBytes(workspace_bytes);
    if (!s.threads.empty()) {
      s.threads[i] = {queries, workspace};
    }
  }
  return s;
}

uint64_t AttentionScorer::Bytes(const Parts& parts, uint64_t max_slots) {
  memory::Carver counting;
  (void)Lay(parts, max_slots, counting);
  return counting.used();
}

Result<std::unique_ptr<AttentionScorer>> AttentionScorer::Create(const Parts& parts,
                                                                 uint64_t max_slots,
                                                                 memory::Ledger& ledger) {
  auto memory = memory::Buffer::Allocate(ledger, memory::Account::kScratch, Bytes(parts, max_slots),
                                         fmt::format("scores of {} keys and values", max_slots));
  if (!memory) {
    return Forward(memory);
  }
  return std::unique_ptr<AttentionScorer>(
      new AttentionScorer(parts, std::move(*memory), max_slots));
}

AttentionScorer::AttentionScorer(const Parts& parts, memory::Buffer memory, uint64_t max_slots)
    : parts_(parts), max_slots_(max_slots), memory_(std::move(memory)) {
  memory::Carver carver(memory_.span());
  scratch_ = Lay(parts_, max_slots, carver);
}

void AttentionScorer::Score(const kv::KvSequence& sequence, const LayerFn& on_layer) {
  const size_t n_slots = sequence.positions().size();
  Invariant(n_slots <= max_slots_, "scores were made room for");
  for (uint32_t i = 0; i < parts_.hp.n_layers; ++i) {
    const LayerParams& p = parts_.hp.layers[i];
    parts_.team.Run(p.n_heads, [&](size_t head, size_t thread) {
      WeighHead(sequence, i, static_cast<uint32_t>(head), thread);
    });
    parts_.team.Run(p.n_kv_heads, [&](size_t kv_head, size_t /*thread*/) {
      ScoreHead(sequence, i, static_cast<uint32_t>(kv_head));
    });
    on_layer(i, scratch_.scores.first(p.n_kv_heads * n_slots));
  }
}

void AttentionScorer::WeighHead(const kv::KvSequence& sequence, uint32_t layer_idx, uint32_t head,
                                size_t thread) const {
  const LayerParams& p = parts_.hp.layers[layer_idx];
  const kv::BlockLayout& layout = sequence.layout();
  const auto positions = sequence.positions();
  const auto n_slots = static_cast<uint32_t>(positions.size());
  const uint32_t kv_head = head / (p.n_heads / p.n_kv_heads);
  const ThreadScratch& own = scratch_.threads[thread];
  const auto* queries = reinterpret_cast<const uint16_t*>(sequence.Queries(layer_idx, head));
  std::transform(queries, queries + size_t{kBlockTokens} * p.head_dim_k, own.queries.begin(),
                 kernels::F16ToFloat);
  std::array<kernels::VisibleSlots, kBlockTokens> visible;
  for (uint32_t i = 0; i < kBlockTokens; ++i) {
    const uint32_t slot = n_slots - kBlockTokens + i;
    visible[i] = {.begin = FirstVisible(positions, positions[slot], p.window), .end = slot + 1};
  }
  kernels::AttentionArgs args;
  args.n_tokens = kBlockTokens;
  args.n_group = 1;
  args.head_dim_k = p.head_dim_k;
  args.head_dim_v = p.head_dim_v;
  args.q = own.queries.data();
  args.q_stride = p.head_dim_k;
  args.scale = AttentionScale(parts_.hp, layer_idx);
  const Vector sinks = parts_.layers[layer_idx].attention.sinks;
  args.sinks = sinks.empty() ? nullptr : sinks.data() + head;
  args.type = layout.layer(layer_idx).type;
  args.values_in_keys = layout.layer(layer_idx).values_in_keys;
  args.blocks = sequence.block_table().data();
  args.k_offset = layout.k_offset(layer_idx, kv_head);
  args.k_stride = layout.k_stride(layer_idx);
  args.visible = visible.data();
  args.workspace = own.workspace;
  float* weights = scratch_.weights.data() + size_t{head} * n_slots;
  std::fill_n(weights, n_slots, 0.0F);
  parts_.kernels.attention_weights(args, weights);
}

void AttentionScorer::ScoreHead(const kv::KvSequence& sequence, uint32_t layer_idx,
                                uint32_t kv_head) const {
  const LayerParams& p = parts_.hp.layers[layer_idx];
  const size_t n_slots = sequence.positions().size();
  const uint32_t group = p.n_heads / p.n_kv_heads;
  const auto mean = scratch_.weights.subspan(size_t{kv_head} * group * n_slots, n_slots);
  for (uint32_t i = 1; i < group; ++i) {
    parts_.kernels.add(mean.data() + i * n_slots, n_slots, mean.data());
  }
  const float share = 1.0F / static_cast<float>(group);
  std::ranges::for_each(mean, [share](float& weight) { weight *= share; });
  PoolRuns(mean, sequence.positions(), scratch_.scores.subspan(kv_head * n_slots, n_slots));
}

}  // namespace plimsoll::model
