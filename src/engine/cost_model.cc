#include "engine/cost_model.h"

#include <algorithm>
#include <cmath>

namespace plimsoll::engine {
namespace {

// Segments that a prompt's stream has under way (io::ReaderOptions).
constexpr uint32_t kStreamDepth = 32;

double DiskSeconds(const ExpertWork& layer, const io::DiskSpeed& disk, double n_misses,
                   const ReadPattern& reads) {
  const double rate = disk.BytesPerSecond(reads.bytes, reads.depth);
  return rate == 0 ? 0 : n_misses * static_cast<double>(layer.read_bytes) / rate;
}

double StreamSeconds(const TokenWork& work, const io::DiskSpeed& disk) {
  return disk.sustained == 0 ? 0 : static_cast<double>(work.streamed_bytes) / disk.sustained;
}

// P(n of them are missing) for n = 0 ... n_active.
std::vector<double> Binomial(uint32_t n_active, double miss_ratio) {
  std::vector<double> chances(n_active + 1, 0.0);
  chances[0] = 1;
  for (uint32_t i = 1; i <= n_active; ++i) {
    for (uint32_t n = i; n > 0; --n) {
      chances[n] = chances[n] * (1 - miss_ratio) + chances[n - 1] * miss_ratio;
    }
    chances[0] *= 1 - miss_ratio;
  }
  return chances;
}

// Experts of a layer that n tokens touch.
double Touched(const ExpertWork& layer, uint32_t n_tokens) {
  const double n = layer.n_experts;
  return n * (1 - std::pow(1 - layer.n_active / n, n_tokens));
}

}  // namespace

ReadPattern ReadsOf(const ExpertWork& layer, uint32_t n_tokens, uint32_t n_missing) {
  return {.bytes = layer.read_bytes / std::max(layer.n_parts, 1U),
          .depth = n_tokens == 1 ? std::max(n_missing * layer.n_parts, 1U) : kStreamDepth};
}

uint64_t TokenWork::active_bytes() const {
  uint64_t bytes = 0;
  for (const ExpertWork& layer : experts) {
    bytes += layer.n_active * layer.expert_bytes;
  }
  return bytes;
}

uint32_t TokenWork::n_active() const {
  uint32_t n = 0;
  for (const ExpertWork& layer : experts) {
    n += layer.n_active;
  }
  return n;
}

DecodeCost CostOfDecode(const TokenWork& work, const MachineSpeed& speed, double miss_ratio) {
  DecodeCost cost;
  cost.dense_seconds = static_cast<double>(work.dense_bytes + work.kv_bytes) / speed.memory;
  cost.read_bytes = static_cast<double>(work.streamed_bytes);
  cost.disk_seconds = StreamSeconds(work, speed.disk);
  cost.waiting_seconds = std::max(0.0, cost.disk_seconds - cost.dense_seconds);
  for (const ExpertWork& layer : work.experts) {
    const double compute = static_cast<double>(layer.n_active * layer.expert_bytes) / speed.memory;
    cost.expert_seconds += compute;
    const auto chances = Binomial(layer.n_active, miss_ratio);
    for (uint32_t n = 1; n <= layer.n_active; ++n) {
      const double reading = DiskSeconds(layer, speed.disk, n, ReadsOf(layer, 1, n));
      cost.misses += chances[n] * n;
      cost.read_bytes += chances[n] * n * static_cast<double>(layer.read_bytes);
      cost.disk_seconds += chances[n] * reading;
      cost.waiting_seconds += chances[n] * std::max(0.0, reading - compute);
    }
  }
  return cost;
}

PrefillCost CostOfPrefill(const TokenWork& work, const MachineSpeed& speed,
                          const PrefillShape& shape) {
  PrefillCost cost;
  const uint32_t chunk = std::max(shape.chunk, 1U);
  const double peak = speed.multiply_adds * kPrefillShareOfPeak;
  for (uint32_t done = 0; done < shape.n_tokens; done += chunk) {
    const uint32_t n = std::min(chunk, shape.n_tokens - done);
    const double resident = shape.is_cold && done == 0 ? 0 : shape.resident_share;
    ++cost.n_chunks;
    const double dense =
        std::max(n * static_cast<double>(work.dense_multiply_adds) / peak,
                 static_cast<double>(work.dense_bytes + work.kv_bytes) / speed.memory);
    cost.read_bytes += static_cast<double>(work.streamed_bytes);
    cost.waiting_seconds += std::max(0.0, StreamSeconds(work, speed.disk) - dense);
    cost.compute_seconds += dense + n * static_cast<double>(work.attention_multiply_adds) /
                                        speed.attention_multiply_adds;
    for (const ExpertWork& layer : work.experts) {
      const double touched = Touched(layer, n);
      const double compute = std::max(
          static_cast<double>(n) * layer.n_active * static_cast<double>(layer.multiply_adds) / peak,
          touched * static_cast<double>(layer.expert_bytes) / speed.memory);
      const double missing = touched * (1 - resident);
      const double reading = DiskSeconds(
          layer, speed.disk, missing, ReadsOf(layer, n, static_cast<uint32_t>(std::ceil(missing))));
      cost.read_bytes += missing * static_cast<double>(layer.read_bytes);
      cost.compute_seconds += compute;
      cost.waiting_seconds += std::max(0.0, reading - compute);
    }
  }
  cost.chunk_read_bytes = static_cast<double>(work.streamed_bytes);
  for (const ExpertWork& layer : work.experts) {
    cost.chunk_read_bytes +=
        Touched(layer, chunk) * (1 - shape.resident_share) * static_cast<double>(layer.read_bytes);
  }
  return cost;
}

double BoundOfPass(const TokenWork& work, const MachineSpeed& speed, uint32_t n_tokens,
                   std::span<const LayerPass> layers) {
  const double n = n_tokens;
  double seconds =
      std::max({n * static_cast<double>(work.dense_multiply_adds) / speed.multiply_adds,
                static_cast<double>(work.dense_bytes + work.kv_bytes) / speed.memory,
                StreamSeconds(work, speed.disk)}) +
      (n_tokens == 1
           ? 0
           : n * static_cast<double>(work.attention_multiply_adds) / speed.attention_multiply_adds);
  for (size_t i = 0; i < std::min(layers.size(), work.experts.size()); ++i) {
    const ExpertWork& layer = work.experts[i];
    const double compute = std::max(
        n * layer.n_active * static_cast<double>(layer.multiply_adds) / speed.multiply_adds,
        layers[i].touched * static_cast<double>(layer.expert_bytes) / speed.memory);
    seconds += std::max(compute, DiskSeconds(layer, speed.disk, layers[i].missing,
                                             ReadsOf(layer, n_tokens, layers[i].missing)));
  }
  return seconds;
}

}  // namespace plimsoll::engine
