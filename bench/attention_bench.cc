// Speed of attention beside the memory bandwidth and the multiply-add peak measured in the same
// run.
//
//   attention_bench --benchmark_filter='peak|avx512/prefill'
//
// prefill/<group>/<dim>/<n>: the last 512 tokens of a prompt of n over one KV head, in the tiles
// that the model makes of them. decode/...: one token over as many KV heads as a model has, whose
// blocks of all heads together exceed the caches; `kv` is bytes of keys and values a second. The
// same with q8/ and q4/ before the group: over quantized blocks.
#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "kernels/half.h"
#include "kernels/kernels.h"
#include "kernels/kv_panels.h"
#include "kernels/peak_loops.h"
#include "kernels/test_data.h"
#include "memory/buffer.h"

namespace plimsoll::bench {
namespace {

using benchmark::Counter;
using benchmark::State;
using kernels::KernelSet;
using kernels::kKvBlockTokens;
using kernels::VisibleSlots;
using kernels::testing::Buffer;
using kernels::testing::Random;

constexpr size_t kStreamBytes = size_t{256} << 20;  // beyond the last-level cache
constexpr uint32_t kChunk = 512;

Counter Rate(double per_iteration) {
  return {per_iteration, Counter::kIsIterationInvariantRate, Counter::OneK::kIs1000};
}

// Memory as the KV pool takes it: in huge pages where there are any.
class Memory {
 public:
  explicit Memory(size_t bytes)
      : ledger_(bytes + (1 << 20)),
        buffer_(memory::Buffer::Allocate(ledger_, memory::Account::kScratch, bytes, "bench")) {
    std::memset(data(), 1, bytes);
  }
  [[nodiscard]] std::byte* data() { return buffer_.value().data(); }

 private:
  memory::Ledger ledger_;
  Result<memory::Buffer> buffer_;
};

void MemoryPeak(State& state, const KernelSet& set) {
  Memory memory(kStreamBytes);
  for (auto _ : state) {
    benchmark::DoNotOptimize(kernels::PeakLoopsOf(set).read(memory.data(), kStreamBytes));
  }
  state.counters["kv"] = Rate(static_cast<double>(kStreamBytes));
}

void FmaPeak(State& state, const KernelSet& set) {
  uint64_t fmas = 0;
  for (auto _ : state) {
    fmas = kernels::PeakLoopsOf(set).fmas(100'000);
    benchmark::DoNotOptimize(fmas);
  }
  state.counters["ops"] = Rate(2.0 * static_cast<double>(fmas));
}

struct Shape {
  uint32_t n_kv_heads;
  uint32_t n_group;
  uint32_t head_dim;
  uint32_t n_slots;
  tensor::KvType type = tensor::KvType::kF16;

  [[nodiscard]] tensor::KvPanel k_panel() const {
    return {type, tensor::KvContent::kKeys, head_dim};
  }
  [[nodiscard]] tensor::KvPanel v_panel() const {
    return {type, tensor::KvContent::kValues, head_dim};
  }
  [[nodiscard]] size_t k_bytes() const { return k_panel().bytes(); }
  [[nodiscard]] size_t v_bytes() const { return v_panel().bytes(); }
  [[nodiscard]] size_t block_bytes() const { return (k_bytes() + v_bytes()) * n_kv_heads; }
  [[nodiscard]] size_t n_blocks() const { return n_slots / kKvBlockTokens; }
};

// A block holds its slots of all layers, one after another.
class Cache {
 public:
  Cache(const Shape& shape, size_t n_layers)
      : shape_(shape), bytes_(n_layers * shape.n_blocks() * shape.block_bytes()), memory_(bytes_) {
    for (size_t b = 0; b < shape.n_blocks(); ++b) {
      blocks_.push_back(memory_.data() + b * n_layers * shape.block_bytes());
    }
    Fill();
  }

  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] kernels::AttentionArgs Args(size_t layer, uint32_t kv_head) const {
    const size_t offset = layer * shape_.block_bytes();
    return {.n_group = shape_.n_group,
            .head_dim_k = shape_.head_dim,
            .head_dim_v = shape_.head_dim,
            .scale = 0.1F,
            .type = shape_.type,
            .blocks = blocks_.data(),
            .k_offset = offset + kv_head * shape_.k_bytes(),
            .v_offset = offset + shape_.n_kv_heads * shape_.k_bytes() + kv_head * shape_.v_bytes(),
            .k_stride = size_t{shape_.head_dim} * 2,
            .v_stride = size_t{shape_.head_dim} * 2};
  }

 private:
  // With keys and values of ordinary size, a few of them again and again: what rare numbers cost a
  // processor is not asked here.
  void Fill() {
    constexpr size_t kFew = 64;
    Random random(4);
    std::vector<std::vector<std::byte>> panels;
    for (size_t i = 0; i < 2 * kFew; ++i) {
      const bool is_values = i >= kFew;
      const auto floats =
          kernels::testing::OrdinaryFloats(random, size_t{kKvBlockTokens} * shape_.head_dim);
      std::vector<uint16_t> rows(floats.size());
      std::ranges::transform(floats, rows.begin(), kernels::FloatToF16);
      auto& panel = panels.emplace_back(is_values ? shape_.v_bytes() : shape_.k_bytes());
      if (IsQuantized(shape_.type)) {
        kernels::QuantizePanel(is_values ? shape_.v_panel() : shape_.k_panel(), rows.data(),
                               panel.data());
      } else {
        std::memcpy(panel.data(), rows.data(), panel.size());
      }
    }
    size_t n = 0;
    for (std::byte* at = memory_.data(); at < memory_.data() + bytes_; at += shape_.block_bytes()) {
      std::byte* values = at + shape_.n_kv_heads * shape_.k_bytes();
      for (uint32_t head = 0; head < shape_.n_kv_heads; ++head, ++n) {
        std::ranges::copy(panels[n % kFew], at + head * shape_.k_bytes());
        std::ranges::copy(panels[kFew + n % kFew], values + head * shape_.v_bytes());
      }
    }
  }

  Shape shape_;
  size_t bytes_;
  Memory memory_;
  std::vector<const std::byte*> blocks_;
};

void Prefill(State& state, const KernelSet& set, Shape shape, uint32_t tile) {
  const Cache cache(shape, 1);
  Random random(5);
  // Rows of as many heads as a model has lie between a token's queries and the next one's.
  const size_t stride = size_t{std::max(16U, shape.n_group)} * shape.head_dim;
  const auto q = kernels::testing::OrdinaryFloats(random, kChunk * stride);
  std::vector<float> out(q.size());
  std::vector<VisibleSlots> visible;
  double ops = 0;
  for (uint32_t t = 0; t < kChunk; ++t) {
    visible.push_back({.begin = 0, .end = shape.n_slots - kChunk + t + 1});
    ops += 4.0 * shape.n_group * shape.head_dim * visible.back().end;
  }
  const Buffer workspace(set.attention_workspace_bytes(shape.head_dim, shape.head_dim));
  for (auto _ : state) {
    for (uint32_t t = 0; t < kChunk; t += tile) {
      auto args = cache.Args(0, 0);
      args.n_tokens = std::min(tile, kChunk - t);
      args.q = q.data() + t * stride;
      args.out = out.data() + t * stride;
      args.q_stride = args.out_stride = stride;
      args.visible = visible.data() + t;
      args.workspace = workspace.data();
      set.attention(&args, 1);
    }
    benchmark::ClobberMemory();
  }
  state.counters["ops"] = Rate(ops);
}

void Decode(State& state, const KernelSet& set, Shape shape, size_t n_threads) {
  const size_t layer_bytes = shape.n_blocks() * shape.block_bytes();
  const size_t n_layers = (kStreamBytes + layer_bytes - 1) / layer_bytes;
  const Cache cache(shape, n_layers);
  Random random(6);
  const size_t row = size_t{shape.n_group} * shape.head_dim;
  const auto q = kernels::testing::OrdinaryFloats(random, row * shape.n_kv_heads);
  const VisibleSlots visible = {.begin = 0, .end = shape.n_slots};
  const auto run = [&](size_t thread) {
    std::vector<float> out(q.size());
    const Buffer workspace(set.attention_workspace_bytes(shape.head_dim, shape.head_dim));
    const auto of_thread = static_cast<uint32_t>(shape.n_kv_heads / n_threads);
    const uint32_t n_together = std::clamp(of_thread / 2, 1U, 8U);
    for (size_t layer = 0; layer < n_layers; ++layer) {
      for (uint32_t first = 0; first < shape.n_kv_heads; first += n_together) {
        if (first / n_together % n_threads != thread) {
          continue;
        }
        std::vector<kernels::AttentionArgs> heads;
        for (uint32_t head = first; head < first + n_together; ++head) {
          auto& args = heads.emplace_back(cache.Args(layer, head));
          args.q = q.data() + head * row;
          args.out = out.data() + head * row;
          args.visible = &visible;
          args.workspace = workspace.data();
        }
        set.attention(heads.data(), heads.size());
        benchmark::ClobberMemory();
      }
    }
  };
  for (auto _ : state) {
    std::vector<std::jthread> threads;
    for (size_t thread = 1; thread < n_threads; ++thread) {
      threads.emplace_back(run, thread);
    }
    run(0);
  }
  // By processor time, since others use this machine: what all threads do in a second of each.
  const double bytes = static_cast<double>(cache.bytes() * n_threads);
  state.counters["kv"] = Rate(bytes);
  const double elements = 2.0 * static_cast<double>(n_layers * shape.n_slots * shape.n_kv_heads) *
                          shape.head_dim * static_cast<double>(n_threads);
  state.counters["ops"] = Rate(2 * elements * shape.n_group);
}

void RegisterShape(const KernelSet& set, const std::string& prefix, Shape shape) {
  const bool is_f16 = shape.type == tensor::KvType::kF16;
  const std::string what = (is_f16 ? "" : std::string(NameOf(shape.type)) + "/") + "group" +
                           std::to_string(shape.n_group) + "/dim" + std::to_string(shape.head_dim) +
                           "/";
  for (const uint32_t n : {512U, 4096U}) {
    Shape prompt = shape;
    prompt.n_kv_heads = 1;
    prompt.n_slots = n;
    // Over quantized blocks a tile has tokens of one block.
    const uint32_t most = is_f16 ? kernels::kAttentionTileRows : kKvBlockTokens;
    const uint32_t tile = std::clamp(kernels::kAttentionTileRows / shape.n_group, 1U, most);
    benchmark::RegisterBenchmark(
        (prefix + "prefill/" + what + std::to_string(n)).c_str(),
        [&set, prompt, tile](State& state) { Prefill(state, set, prompt, tile); });
  }
  for (const size_t n_threads : {size_t{1}, size_t{2}}) {
    benchmark::RegisterBenchmark(
        (prefix + "decode/" + what + "8192/threads" + std::to_string(n_threads)).c_str(),
        [&set, shape, n_threads](State& state) { Decode(state, set, shape, n_threads); })
        ->MeasureProcessCPUTime();
  }
}

void RegisterSet(const KernelSet& set) {
  const std::string prefix = std::string(set.name) + "/";
  benchmark::RegisterBenchmark((prefix + "peak/memory").c_str(),
                               [&set](State& state) { MemoryPeak(state, set); });
  benchmark::RegisterBenchmark((prefix + "peak/fmas").c_str(),
                               [&set](State& state) { FmaPeak(state, set); });
  using tensor::KvType;
  for (const KvType type : {KvType::kF16, KvType::kQ8, KvType::kQ4}) {
    for (const uint32_t dim : {64U, 128U}) {
      for (const uint32_t group : {1U, 4U, 8U}) {
        RegisterShape(set, prefix, {16 / group, group, dim, 8192, type});
      }
    }
  }
}

}  // namespace
}  // namespace plimsoll::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const plimsoll::kernels::KernelSet* set : plimsoll::kernels::AllKernelSets()) {
    if (set->supported() && set->name != "ref") {
      plimsoll::bench::RegisterSet(*set);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
}
