#include "model/streamed_weights.h"

#include <algorithm>
#include <map>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/invariant.h"

namespace plimsoll::model {
namespace {

// Long enough for the disk's full bandwidth, and short beside a layer of a model that is worth
// streaming.
constexpr uint64_t kOutputTileBytes = 8 * kMiB;

// What a layer uses at once, stage by stage: the order in which its pieces ask (layer_pieces.h).
using Stage = std::vector<tensor::Matrix*>;

std::vector<Stage> StagesOf(LayerWeights& layer, bool has_q_down) {
  AttentionWeights& a = layer.attention;
  LatentAttentionWeights& l = layer.latent_attention;
  FeedForwardWeights& ff = layer.feed_forward;
  std::vector<Stage> stages = {{&a.q, &a.k, &a.v, &a.qkv}, {&a.output}};
  if (has_q_down) {
    stages.push_back({&l.q_down, &l.kv_down});
    stages.push_back({&l.q});
  } else {
    stages.push_back({&l.q, &l.kv_down});
  }
  stages.push_back({&l.k_up.first, &l.v_up.first, &l.kv_up});
  stages.push_back({&l.output});
  DeltaNetWeights& d = layer.delta_net;
  stages.push_back({&d.qkv, &d.gate});
  stages.push_back({&d.output});
  stages.push_back({&layer.beside.shared.gate.first, &layer.beside.shared.up.first});
  stages.push_back({&layer.beside.shared.down.first});
  stages.push_back({&ff.shared.gate.first, &ff.shared.up.first});
  stages.push_back({&ff.shared.down.first});
  stages.push_back({&ff.gate.first, &ff.up.first, &ff.gate_up.first});
  stages.push_back({&ff.down.first});
  stages.push_back({&layer.input.gate});
  stages.push_back({&layer.input.output});
  return stages;
}

class Finder {
 public:
  Finder(std::span<const BoundTensor> bound, ModelWeights& weights) : weights_(weights) {
    for (const BoundTensor& tensor : bound) {
      if (tensor::Matrix* target = TargetOf(tensor)) {
        by_target_[target] = &tensor;
      }
    }
  }

  std::vector<StreamedMatrix> Find() {
    for (uint32_t i = 0; i < weights_.layers.size(); ++i) {
      LayerWeights& layer = weights_.layers[i];
      const bool has_q_down = by_target_.contains(&layer.latent_attention.q_down);
      for (const Stage& stage : StagesOf(layer, has_q_down)) {
        for (tensor::Matrix* target : stage) {
          Add(target, i);
        }
        ++stage_;
      }
    }
    // What no stage names would be left in its file and never read.
    const auto n_streamable = std::ranges::count_if(by_target_, [&](const auto& target) {
      return target.first != &weights_.embedding && target.first != &weights_.output &&
             target.first != &weights_.input_embedding && CanStream(*target.second);
    });
    Invariant(static_cast<size_t>(n_streamable) == found_.size(),
              "the stages of a layer name every matrix that it has");
    AddOutput();
    return std::move(found_);
  }

 private:
  // Null for one that stays in memory.
  [[nodiscard]] const formats::TensorEntry* StreamableAt(const tensor::Matrix* target) const {
    const auto it = by_target_.find(target);
    if (it == by_target_.end()) {
      return nullptr;
    }
    return CanStream(*it->second) ? it->second->entry : nullptr;
  }

  void Add(tensor::Matrix* target, uint32_t layer) {
    const formats::TensorEntry* entry = StreamableAt(target);
    if (entry == nullptr) {
      return;
    }
    found_.push_back(
        {.target = target,
         .matrix = {.dtype = entry->dtype, .k = entry->shape.dims[0], .rows = entry->shape.dims[1]},
         .range = entry->ranges.front(),
         .layer = layer,
         .stage = stage_});
  }

  void AddOutput() {
    const formats::TensorEntry* entry = StreamableAt(
        by_target_.contains(&weights_.output) ? &weights_.output : &weights_.embedding);
    if (entry == nullptr) {
      return;
    }
    tensor::Matrix tile = {.dtype = entry->dtype, .k = entry->shape.dims[0]};
    const uint64_t rows = entry->shape.dims[1];
    const uint64_t tile_rows =
        AlignUp(std::max<uint64_t>(kOutputTileBytes / tile.row_bytes(), 1), tensor::kRowsPerGroup);
    formats::FileRange range = entry->ranges.front();
    for (uint64_t first = 0; first < rows; first += tile_rows) {
      tile.rows = std::min(tile_rows, rows - first);
      range.bytes = tile.bytes();
      found_.push_back({.matrix = tile,
                        .range = range,
                        .layer = static_cast<uint32_t>(weights_.layers.size()),
                        .stage = stage_++,
                        .first_row = first});
      range.offset += range.bytes;
    }
  }

  ModelWeights& weights_;
  std::map<const tensor::Matrix*, const BoundTensor*> by_target_;
  std::vector<StreamedMatrix> found_;
  uint32_t stage_ = 0;
};

}  // namespace

tensor::Matrix* TargetOf(const BoundTensor& tensor) { return TargetOf(*tensor.declaration); }

bool CanStream(const BoundTensor& tensor) {
  return TargetOf(tensor) != nullptr && tensor.declaration->account != memory::Account::kExperts &&
         !tensor.declaration->keep_resident && tensor.entry->ranges.size() == 1;
}

std::vector<StreamedMatrix> FindStreamed(std::span<const BoundTensor> bound,
                                         ModelWeights& weights) {
  return Finder(bound, weights).Find();
}

uint64_t LargestStage(std::span<const StreamedMatrix> matrices) {
  uint64_t largest = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < matrices.size(); ++i) {
    const bool begins = i == 0 || matrices[i].stage != matrices[i - 1].stage;
    bytes = (begins ? 0 : bytes) + memory::PageStream::FrameBytes(matrices[i].range.bytes);
    largest = std::max(largest, bytes);
  }
  return largest;
}

StreamedWeights::StreamedWeights(memory::PageStream& stream, std::vector<StreamedMatrix> matrices)
    : stream_(stream), matrices_(std::move(matrices)) {
  for (uint32_t i = 0; i < matrices_.size(); ++i) {
    if (matrices_[i].target != nullptr) {
      page_of_.emplace_back(matrices_[i].target, i);
      first_output_ = i + 1;
    }
  }
  std::ranges::sort(page_of_);
  in_use_.reserve(matrices_.size());
}

void StreamedWeights::BeginPass(const LayerRange& layers, bool makes_logits) {
  const auto first_of = [&](uint32_t layer) {
    return static_cast<uint32_t>(
        std::ranges::lower_bound(matrices_, layer, {}, &StreamedMatrix::layer) - matrices_.begin());
  };
  const uint32_t begin = first_of(layers.begin);
  const uint32_t end =
      makes_logits ? static_cast<uint32_t>(matrices_.size()) : first_of(layers.end);
  if (begin < end) {
    stream_.SetCircle(begin, end);
  }
}

void StreamedWeights::EndPass() {
  LetGo();
  stream_.Release();
}

Result<> StreamedWeights::Use(std::initializer_list<const tensor::Matrix*> matrices) {
  LetGo();
  for (const tensor::Matrix* matrix : matrices) {
    const auto it = std::ranges::lower_bound(page_of_, matrix, {},
                                             &std::pair<const tensor::Matrix*, uint32_t>::first);
    if (it != page_of_.end() && it->first == matrix) {
      in_use_.push_back(it->second);
    }
  }
  return UsePages();
}

Result<StreamedWeights::OutputTile> StreamedWeights::UseOutput(size_t tile) {
  LetGo();
  const auto page = static_cast<uint32_t>(first_output_ + tile);
  in_use_.push_back(page);
  if (auto used = UsePages(); !used) {
    return Forward(used);
  }
  OutputTile output = {matrices_[page].matrix, matrices_[page].first_row};
  output.matrix.data = stream_.Data(page);
  return output;
}

Result<> StreamedWeights::UsePages() {
  if (in_use_.empty()) {
    return {};
  }
  if (auto used = stream_.Use(in_use_); !used) {
    in_use_.clear();
    return used;
  }
  for (const uint32_t page : in_use_) {
    if (tensor::Matrix* target = matrices_[page].target) {
      target->data = stream_.Data(page);
    }
  }
  return {};
}

void StreamedWeights::LetGo() {
  for (const uint32_t page : in_use_) {
    if (tensor::Matrix* target = matrices_[page].target) {
      target->data = nullptr;
    }
  }
  in_use_.clear();
}

}  // namespace plimsoll::model
