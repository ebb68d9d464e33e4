#include "model/attention_scorer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/invariant.h"
#include "kernels/half.h"
#include "kernels/kv_panels.h"
#include "model/attend.h"
#include "model/layer_kv.h"

namespace plimsoll::model {
namespace {

using kv::kBlockTokens;

constexpr size_t kMaxReach = 3;   // slots to each side
constexpr size_t kMeanReach = 2;  // of ARKV

// f(i, first, end) for every slot i: the slots [first, end) are those within `reach` of it whose
// positions follow one another.
template <class F>
void ForEachRun(std::span<const uint32_t> positions, size_t reach, const F& f) {
  for (size_t i = 0; i < positions.size(); ++i) {
    size_t first = i;
    while (first > 0 && i - first < reach && positions[first - 1] + 1 == positions[first]) {
      --first;
    }
    size_t last = i;
    while (last + 1 < positions.size() && last - i < reach &&
           positions[last] + 1 == positions[last + 1]) {
      ++last;
    }
    f(i, first, last + 1);
  }
}

void MaxOfRuns(std::span<const float> x, std::span<const uint32_t> positions,
               std::span<float> out) {
  ForEachRun(positions, kMaxReach, [&](size_t i, size_t first, size_t end) {
    out[i] = *std::max_element(x.begin() + static_cast<ptrdiff_t>(first),
                               x.begin() + static_cast<ptrdiff_t>(end));
  });
}

void MeanOfRuns(std::span<const float> x, std::span<const uint32_t> positions,
                std::span<float> out) {
  ForEachRun(positions, kMeanReach, [&](size_t i, size_t first, size_t end) {
    float sum = 0;
    for (size_t j = first; j < end; ++j) {
      sum += x[j];
    }
    out[i] = sum / static_cast<float>(end - first);
  });
}

}  // namespace

AttentionScorer::Scratch AttentionScorer::Lay(const Parts& parts, const ScorerRoom& room,
                                              memory::Carver& carver) {
  uint64_t n_heads = 0;
  uint64_t n_kv_heads = 0;
  uint64_t n_all_kv_heads = 0;
  uint64_t head_dim = 0;
  size_t workspace_bytes = 0;
  for (const LayerParams& layer : parts.hp.layers) {
    n_heads = std::max<uint64_t>(n_heads, layer.n_heads);
    n_kv_heads = std::max<uint64_t>(n_kv_heads, layer.n_kv_heads);
    n_all_kv_heads += layer.n_kv_heads;
    head_dim = std::max<uint64_t>({head_dim, layer.head_dim_k, layer.head_dim_v});
    workspace_bytes = std::max(workspace_bytes, parts.kernels.attention_workspace_bytes(
                                                    layer.head_dim_k, layer.head_dim_v));
  }
  Scratch s;
  s.weights = carver.Take<float>(n_heads * room.max_slots);
  s.scores = carver.Take<float>(n_kv_heads * room.max_slots);
  s.merged = carver.Take<float>(room.merges ? n_all_kv_heads * room.max_slots : 0);
  const uint64_t spread_slots = parts.quantizes ? room.max_slots : 0;
  s.spreads = carver.Take<AttentionSpread>(parts.quantizes ? n_heads : 0);
  s.threads = carver.Take<ThreadScratch>(parts.team.n_threads());
  for (size_t i = 0; i < parts.team.n_threads(); ++i) {
    const auto queries = carver.Take<float>(kBlockTokens * head_dim);
    std::byte* workspace = carver.TakeBytes(workspace_bytes);
    const auto row = carver.Take<float>(spread_slots);
    const auto first = carver.Take<float>(spread_slots);
    const auto sums = carver.Take<double>(spread_slots * QueryMoments::kSums);
    if (!s.threads.empty()) {
      s.threads[i] = {queries, workspace, row, first, sums};
    }
  }
  return s;
}

uint64_t AttentionScorer::Bytes(const Parts& parts, const ScorerRoom& room) {
  memory::Carver counting;
  (void)Lay(parts, room, counting);
  return counting.used();
}

Result<std::unique_ptr<AttentionScorer>> AttentionScorer::Create(const Parts& parts,
                                                                 const ScorerRoom& room,
                                                                 memory::Ledger& ledger) {
  auto memory =
      memory::Buffer::Allocate(ledger, memory::Account::kScratch, Bytes(parts, room),
                               fmt::format("scores of {} keys and values", room.max_slots));
  if (!memory) {
    return Forward(memory);
  }
  return std::unique_ptr<AttentionScorer>(new AttentionScorer(parts, std::move(*memory), room));
}

AttentionScorer::AttentionScorer(const Parts& parts, memory::Buffer memory, const ScorerRoom& room)
    : parts_(parts), room_(room), memory_(std::move(memory)) {
  memory::Carver carver(memory_.span());
  scratch_ = Lay(parts_, room, carver);
}

void AttentionScorer::Score(const kv::KvSequence& sequence, const LayerFn& on_layer) {
  const size_t n_slots = sequence.positions().size();
  Invariant(n_slots <= room_.max_slots, "scores were made room for");
  for (uint32_t i = 0; i < parts_.hp.n_layers; ++i) {
    const LayerParams& p = parts_.hp.layers[i];
    if (p.kv_of) {
      on_layer(i, {});
      continue;
    }
    parts_.team.Run(p.n_heads, [&](size_t head, size_t thread) {
      WeighHead(sequence, i, static_cast<uint32_t>(head), thread);
    });
    parts_.team.Run(p.n_kv_heads, [&](size_t kv_head, size_t /*thread*/) {
      MaxOfRuns(MeanOfHeads(sequence, i, static_cast<uint32_t>(kv_head)), sequence.positions(),
                scratch_.scores.subspan(kv_head * n_slots, n_slots));
    });
    on_layer(i, scratch_.scores.first(p.n_kv_heads * n_slots));
  }
}

void AttentionScorer::ScoreAndWeigh(const kv::KvSequence& sequence,
                                    const WeighedLayerFn& on_layer) {
  const size_t n_slots = sequence.positions().size();
  Invariant(n_slots <= room_.max_slots && parts_.quantizes, "scores were made room for");
  for (uint32_t i = 0; i < parts_.hp.n_layers; ++i) {
    const LayerParams& p = parts_.hp.layers[i];
    if (p.kv_of) {
      on_layer(i, {}, 0);
      continue;
    }
    parts_.team.Run(p.n_heads, [&](size_t head, size_t thread) {
      SpreadHead(sequence, i, static_cast<uint32_t>(head), thread);
    });
    parts_.team.Run(p.n_kv_heads, [&](size_t kv_head, size_t /*thread*/) {
      MeanOfRuns(MeanOfHeads(sequence, i, static_cast<uint32_t>(kv_head)), sequence.positions(),
                 scratch_.scores.subspan(kv_head * n_slots, n_slots));
    });
    AttentionSpread spread;
    for (const AttentionSpread& of_head : scratch_.spreads.first(p.n_heads)) {
      spread += of_head;
    }
    on_layer(i, scratch_.scores.first(p.n_kv_heads * n_slots), spread.Weight());
  }
}

// The rows in the block come first and never lie before their codes, so one head's have to be out
// of the way at a time.
void AttentionScorer::Quantize(const kv::KvSequence& sequence,
                               std::span<const kv::policy::LayerBlock> originals) {
  const kv::BlockLayout& layout = sequence.layout();
  parts_.team.Run(originals.size(), [&](size_t task, size_t thread) {
    const auto [layer_idx, block] = originals[task];
    std::byte* data = sequence.MutableBlock(block * kBlockTokens);
    auto* rows = reinterpret_cast<uint16_t*>(scratch_.threads[thread].queries.data());
    const auto quantize = [&](const tensor::KvPanel& panel, const std::byte* from, uint64_t to) {
      std::memcpy(rows, from, size_t{kBlockTokens} * panel.dim * sizeof(uint16_t));
      kernels::QuantizePanel(panel, rows, data + to);
    };
    const kv::BlockLayout::Layer& layer = layout.layer(layer_idx);
    for (uint32_t head = 0; head < layer.n_kv_heads; ++head) {
      quantize(layout.k_panel(layer_idx), sequence.OriginalKeys(layer_idx, head, block),
               layout.k_offset(layer_idx, head));
    }
    for (uint32_t head = 0; !layer.values_in_keys && head < layer.n_kv_heads; ++head) {
      quantize(layout.v_panel(layer_idx), sequence.OriginalValues(layer_idx, head, block),
               layout.v_offset(layer_idx, head));
    }
  });
}

void AttentionScorer::Begin(const kv::KvSequence& sequence, const ThreadScratch& own,
                            Head& at) const {
  const uint32_t layer_idx = at.layer_idx;
  const uint32_t head = at.head;
  const LayerParams& p = parts_.hp.layers[layer_idx];
  const kv::BlockLayout& layout = sequence.layout();
  const auto positions = sequence.positions();
  const auto n_slots = static_cast<uint32_t>(positions.size());
  const uint32_t kv_head = head / (p.n_heads / p.n_kv_heads);
  const auto* queries = reinterpret_cast<const uint16_t*>(sequence.Queries(layer_idx, head));
  std::transform(queries, queries + size_t{kBlockTokens} * p.head_dim_k, own.queries.begin(),
                 kernels::F16ToFloat);
  for (uint32_t i = 0; i < kBlockTokens; ++i) {
    const uint32_t slot = n_slots - kBlockTokens + i;
    at.visible[i] = {.begin = FirstVisible(positions, p.FirstSeen(positions[slot])),
                     .end = slot + 1};
  }
  kernels::AttentionArgs& args = at.args;
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
  args.f16 = OriginalBlocksOf(sequence, layer_idx, kv_head);
  args.visible = at.visible.data();
  args.workspace = own.workspace;
}

void AttentionScorer::WeighHead(const kv::KvSequence& sequence, uint32_t layer_idx, uint32_t head,
                                size_t thread) const {
  const size_t n_slots = sequence.positions().size();
  Head at = {.layer_idx = layer_idx, .head = head};
  Begin(sequence, scratch_.threads[thread], at);
  at.args.n_tokens = kBlockTokens;
  float* weights = scratch_.weights.data() + size_t{head} * n_slots;
  std::fill_n(weights, n_slots, 0.0F);
  parts_.kernels.attention_weights(at.args, weights);
}

void AttentionScorer::SpreadHead(const kv::KvSequence& sequence, uint32_t layer_idx, uint32_t head,
                                 size_t thread) const {
  const size_t n_slots = sequence.positions().size();
  const size_t n_past = n_slots - kBlockTokens;
  const ThreadScratch& own = scratch_.threads[thread];
  Head at = {.layer_idx = layer_idx, .head = head};
  Begin(sequence, own, at);
  const auto row = own.row.first(n_slots);
  QueryMoments moments(own.sums.first(n_slots * QueryMoments::kSums), own.first.first(n_slots));
  for (uint32_t i = 0; i < kBlockTokens; ++i) {
    kernels::AttentionArgs args = at.args;
    args.q += i * args.q_stride;
    args.visible += i;
    std::ranges::fill(row, 0.0F);
    parts_.kernels.attention_weights(args, row.data());
    moments.Add(row, n_past);
  }
  moments.Score(scratch_.weights.subspan(size_t{head} * n_slots, n_slots));
  scratch_.spreads[head] = moments.Spread(n_past);
}

std::span<const float> AttentionScorer::MeanOfHeads(const kv::KvSequence& sequence,
                                                    uint32_t layer_idx, uint32_t kv_head) const {
  const LayerParams& p = parts_.hp.layers[layer_idx];
  const size_t n_slots = sequence.positions().size();
  const uint32_t group = p.n_heads / p.n_kv_heads;
  const auto mean = scratch_.weights.subspan(size_t{kv_head} * group * n_slots, n_slots);
  for (uint32_t i = 1; i < group; ++i) {
    parts_.kernels.add(mean.data() + i * n_slots, n_slots, mean.data());
  }
  const float share = 1.0F / static_cast<float>(group);
  std::ranges::for_each(mean, [share](float& weight) { weight *= share; });
  return mean;
}

}  // namespace plimsoll::model
