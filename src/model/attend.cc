#include "model/attend.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/checked.h"
#include "model/layer_kv.h"

namespace plimsoll::model {
namespace {

// How the work is cut: a task is a tile of tokens, one KV head and some of its query heads, or
// several KV heads when these have few rows.
class AttendStage {
 public:
  AttendStage(const Step& step, uint32_t layer_idx, const AttendRows& rows)
      : step_(step),
        layer_idx_(layer_idx),
        p_(step.hp.layers[layer_idx]),
        kv_layer_(p_.kv_of.value_or(layer_idx)),
        rows_(rows),
        kv_(step, kv_layer_),
        group_(p_.n_heads / p_.n_kv_heads) {
    FindVisible();
    CutTiles();
    CutGroup();
    JoinHeads();
  }

  void Run() const {
    const size_t tile_tasks = CeilDiv(p_.n_kv_heads, n_together_) * n_parts_;
    step_.team.Run(n_tiles_ * tile_tasks, [&](size_t task, size_t thread) {
      const size_t part = task % tile_tasks;
      RunTask(step_.scratch.attention_tiles[task / tile_tasks],
              static_cast<uint32_t>(part / n_parts_) * n_together_,
              static_cast<uint32_t>(part % n_parts_) * part_heads_, thread);
    });
  }

 private:
  void FindVisible() {
    for (size_t i = 0; i < rows_.n; ++i) {
      const ChunkToken& at = step_.tokens[rows_.first + i];
      step_.scratch.visible[i] = {FirstVisible(at.sequence->positions(), p_.FirstSeen(at.position)),
                                  at.slot + 1, at.mask};
    }
  }

  // Whether tokens can be in one tile.
  [[nodiscard]] bool GoTogether(size_t i, size_t j) const {
    const ChunkToken& a = step_.tokens[rows_.first + i];
    const ChunkToken& b = step_.tokens[rows_.first + j];
    return a.sequence == b.sequence && kv_.SeeTheSame(a, b);
  }

  // The costly tiles come first: a thread ends with the cheapest of its run, which are also what
  // others take off it, so that no one waits long at the end.
  void CutTiles() {
    const size_t tile_tokens = std::max(1U, kernels::kAttentionTileRows / group_);
    const auto tiles = step_.scratch.attention_tiles;
    for (size_t i = 0; i < rows_.n;) {
      AttentionTile& tile = tiles[n_tiles_++];
      tile = {.first = i, .n = 0, .n_slots = 0};
      while (i < rows_.n && tile.n < tile_tokens && GoTogether(tile.first, i)) {
        tile.n_slots += step_.scratch.visible[i].end - step_.scratch.visible[i].begin;
        ++tile.n;
        ++i;
      }
    }
    std::ranges::sort(tiles.first(n_tiles_), [](const AttentionTile& a, const AttentionTile& b) {
      return a.n_slots != b.n_slots ? a.n_slots > b.n_slots : a.first < b.first;
    });
  }

  // Query heads that share a KV head go together, as many as the kernel takes at once, unless
  // threads would have nothing to do.
  void CutGroup() {
    const uint64_t full = CeilDiv(group_, kernels::kAttentionTileRows);
    const uint64_t wanted = CeilDiv(step_.team.n_threads(), n_tiles_ * p_.n_kv_heads);
    const uint64_t parts = std::min<uint64_t>(std::max(full, wanted), group_);
    part_heads_ = static_cast<uint32_t>(CeilDiv(group_, parts));
    n_parts_ = CeilDiv(group_, part_heads_);
  }

  // KV heads of few rows are read side by side, as they lie in a block, as long as every thread has
  // some tasks.
  void JoinHeads() {
    size_t n_rows = 1;
    for (const AttentionTile& tile : step_.scratch.attention_tiles.first(n_tiles_)) {
      n_rows = std::max(n_rows, tile.n * part_heads_);
    }
    const uint64_t fit = kernels::kAttentionTileRows / n_rows;
    const uint64_t spare = n_tiles_ * p_.n_kv_heads * n_parts_ / (2 * step_.team.n_threads());
    const uint64_t most = n_parts_ > 1 ? 1 : std::min({fit, spare, uint64_t{p_.n_kv_heads}});
    n_together_ = static_cast<uint32_t>(std::clamp<uint64_t>(most, 1, kMostTogether));
  }

  void RunTask(const AttentionTile& tile, uint32_t first_kv_head, uint32_t first_head,
               size_t thread) const {
    std::array<kernels::AttentionArgs, kMostTogether> heads;
    std::array<LayerKv::OpenBlock, kMostTogether> open;  // what `heads` point to
    const uint32_t n = std::min(n_together_, p_.n_kv_heads - first_kv_head);
    for (uint32_t i = 0; i < n; ++i) {
      open[i] = kv_.OpenBlockOf(rows_.first + tile.first, first_kv_head + i);
      heads[i] = ArgsOf(tile, first_kv_head + i, first_head, open[i], thread);
    }
    step_.kernels.attention(heads.data(), n);
  }

  // While `open`, the head's, lives.
  [[nodiscard]] kernels::AttentionArgs ArgsOf(const AttentionTile& tile, uint32_t kv_head,
                                              uint32_t first_head, const LayerKv::OpenBlock& open,
                                              size_t thread) const {
    const kv::KvSequence& sequence = *step_.tokens[rows_.first + tile.first].sequence;
    const kv::BlockLayout& layout = sequence.layout();
    const size_t head = size_t{kv_head} * group_ + first_head;
    kernels::AttentionArgs args;
    args.n_tokens = static_cast<uint32_t>(tile.n);
    args.n_group = std::min(part_heads_, group_ - first_head);
    args.head_dim_k = p_.head_dim_k;
    args.head_dim_v = p_.head_dim_v;
    args.q = rows_.q + tile.first * rows_.q_stride + head * p_.head_dim_k;
    args.q_stride = rows_.q_stride;
    args.scale = AttentionScale(step_.hp, layer_idx_);
    args.sinks = rows_.sinks == nullptr ? nullptr : rows_.sinks + head;
    args.type = layout.layer(kv_layer_).type;
    args.values_in_keys = layout.layer(kv_layer_).values_in_keys;
    args.blocks = sequence.block_table().data();
    args.k_offset = layout.k_offset(kv_layer_, kv_head);
    args.v_offset = layout.v_offset(kv_layer_, kv_head);
    args.k_stride = layout.k_stride(kv_layer_);
    args.v_stride = layout.v_stride(kv_layer_);
    args.f16 = sequence.originals() == nullptr ? open.AsBlocks()
                                               : OriginalBlocksOf(sequence, kv_layer_, kv_head);
    args.visible = step_.scratch.visible.data() + tile.first;
    args.out = rows_.out + tile.first * rows_.out_stride + head * p_.head_dim_v;
    args.out_stride = rows_.out_stride;
    args.workspace = step_.scratch.threads[thread].workspace;
    return args;
  }

  static constexpr uint32_t kMostTogether = 8;

  const Step& step_;
  uint32_t layer_idx_;
  const LayerParams& p_;
  uint32_t kv_layer_;  // whose keys and values these queries attend to
  const AttendRows& rows_;
  LayerKv kv_;
  uint32_t group_;
  size_t n_tiles_ = 0;
  uint32_t part_heads_ = 0;
  size_t n_parts_ = 0;
  uint32_t n_together_ = 1;  // KV heads of a task
};

// Those of the block from which a sequence will be scored: by the layers whose own keys these are.
void KeepQueries(const Step& step, uint32_t layer_idx, const AttendRows& rows) {
  const LayerParams& p = step.hp.layers[layer_idx];
  for (size_t i = 0; !p.kv_of && i < rows.n; ++i) {
    const ChunkToken& at = step.tokens[rows.first + i];
    if (!at.sequence->KeepsQueryOf(at.slot)) {
      continue;
    }
    for (uint32_t head = 0; head < p.n_heads; ++head) {
      auto* queries = reinterpret_cast<uint16_t*>(at.sequence->Queries(layer_idx, head));
      step.kernels.to_f16(rows.q + i * rows.q_stride + size_t{head} * p.head_dim_k, p.head_dim_k,
                          queries + size_t{at.slot % kv::kBlockTokens} * p.head_dim_k);
    }
  }
}

}  // namespace

float AttentionScale(const HyperParams& hp, uint32_t layer_idx) {
  return hp.attention_scale > 0
             ? hp.attention_scale
             : 1.0F / std::sqrt(static_cast<float>(hp.layers[layer_idx].head_dim_k));
}

uint32_t FirstVisible(std::span<const uint32_t> positions, uint32_t first_seen) {
  if (first_seen == 0) {
    return 0;
  }
  const auto first = std::ranges::lower_bound(positions, first_seen);
  return static_cast<uint32_t>(first - positions.begin());
}

void Attend(const Step& step, uint32_t layer_idx, const AttendRows& rows) {
  KeepQueries(step, layer_idx, rows);
  AttendStage(step, layer_idx, rows).Run();
}

}  // namespace plimsoll::model
