// Speed of every kernel of every set that this CPU supports, on one thread, beside the memory
// bandwidth and the multiply-add peak measured in the same run.
//
//   kernels_bench --benchmark_filter='avx512/matmul/Q4_K'
//
// Matrix products: `weights` is bytes of weights per second, `ops` two per weight and token. The
// matrix-vector case walks through a buffer larger than the caches.
#include <functional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "kernels/kernels.h"
#include "kernels/peak_loops.h"
#include "kernels/test_data.h"

namespace plimsoll::bench {
namespace {

using benchmark::Counter;
using benchmark::State;
using kernels::KernelSet;
using kernels::testing::Buffer;
using kernels::testing::Random;
using tensor::DType;
using tensor::Layout;

constexpr size_t kStreamBytes = size_t{256} << 20;  // beyond the last-level cache

Counter Rate(double per_iteration) {
  return {per_iteration, Counter::kIsIterationInvariantRate, Counter::OneK::kIs1000};
}

void MemoryPeak(State& state, const KernelSet& set) {
  const Buffer data(kStreamBytes);
  for (auto _ : state) {
    benchmark::DoNotOptimize(kernels::PeakLoopsOf(set).read(data.data(), data.size()));
  }
  state.counters["bytes"] = Rate(static_cast<double>(data.size()));
}

// Two operations a multiply-add.
void ArithmeticPeak(State& state, uint64_t (*loop)(size_t)) {
  uint64_t multiply_adds = 0;
  for (auto _ : state) {
    multiply_adds = loop(100'000);
    benchmark::DoNotOptimize(multiply_adds);
  }
  state.counters["ops"] = Rate(2.0 * static_cast<double>(multiply_adds));
}

// Matrices of random blocks; a few distinct rows repeated, for generating them all would take
// longer than measuring.
kernels::testing::OwnedMatrix LargeMatrix(DType dtype, Layout layout, uint64_t k, uint64_t rows) {
  Random random(1);
  const auto few = kernels::testing::RandomMatrix(random, dtype, layout, k, 64);
  tensor::Matrix m = few.matrix;
  m.rows = rows;
  Buffer bytes(m.bytes());
  for (uint64_t at = 0; at < m.bytes(); at += few.matrix.bytes()) {
    const uint64_t left = m.bytes() - at;
    std::memcpy(bytes.data() + at, few.matrix.data, std::min(left, few.matrix.bytes()));
  }
  m.data = bytes.data();
  return {std::move(bytes), m};
}

void MatMul(State& state, const KernelSet& set, DType dtype, Layout layout, size_t n_tokens) {
  constexpr uint64_t kLength = 2048;
  const auto row_bytes = *tensor::BytesFor(dtype, kLength);
  // One token: more than the caches hold. Many: a projection of a middling model.
  const uint64_t rows = n_tokens == 1 ? kStreamBytes / row_bytes / 64 * 64 : 2048;
  const auto w = LargeMatrix(dtype, layout, kLength, rows);
  Random random(2);
  const auto x = kernels::testing::RandomActivations(random, set, dtype, kLength, n_tokens);
  const Buffer y(rows * n_tokens * sizeof(float));
  const Buffer workspace(set.matmul_workspace_bytes(kLength));
  for (auto _ : state) {
    set.matmul(w.matrix, 0, rows, x.activations, y.as<float>(), rows, workspace.data());
    benchmark::ClobberMemory();
  }
  state.counters["weights"] = Rate(static_cast<double>(w.matrix.bytes()));
  state.counters["ops"] = Rate(2.0 * static_cast<double>(rows * kLength * n_tokens));
}

void Pack(State& state, const KernelSet& set, kernels::ActivationFormat format) {
  constexpr uint64_t kLength = 4096;
  Random random(3);
  const auto x = kernels::testing::OrdinaryFloats(random, kLength);
  const Buffer out(kernels::ActivationRowBytes(format, kLength));
  for (auto _ : state) {
    set.pack_activation(format, x.data(), kLength, out.data());
    benchmark::ClobberMemory();
  }
  state.counters["floats"] = Rate(kLength);
}

void DequantizeRow(State& state, const KernelSet& set, DType dtype) {
  constexpr uint64_t kLength = 4096;
  const auto w = LargeMatrix(dtype, Layout::kNative, kLength, 64);
  std::vector<float> out(kLength);
  for (auto _ : state) {
    set.dequantize_row(w.matrix, 7, out.data());
    benchmark::ClobberMemory();
  }
  state.counters["floats"] = Rate(kLength);
}

using VectorFunction = std::function<void(const float* x, float* y, uint64_t n)>;

void OnVector(State& state, const VectorFunction& function) {
  constexpr uint64_t kLength = 4096;
  Random random(5);
  const auto x = kernels::testing::OrdinaryFloats(random, kLength);
  std::vector<float> y(kLength, 0.5F);
  for (auto _ : state) {
    function(x.data(), y.data(), kLength);
    benchmark::ClobberMemory();
  }
  state.counters["floats"] = Rate(kLength);
}

void RegisterVectorFunctions(const KernelSet& set, const std::string& prefix) {
  const std::vector<std::pair<std::string, VectorFunction>> functions = {
      {"rms_norm", [&](auto* x, auto* y, auto n) { set.rms_norm(x, x, 1e-6F, n, y); }},
      {"swiglu_clamped",
       [&](auto* x, auto* y, auto n) { set.swiglu_clamped(x, x, 1.702F, 7.0F, n, y); }},
      {"silu_mul", [&](auto* x, auto* y, auto n) { set.silu_mul(x, x, n, y); }},
      {"add", [&](auto* x, auto* y, auto n) { set.add(x, n, y); }},
      {"axpy", [&](auto* x, auto* y, auto n) { set.axpy(1e-9F, x, n, y); }},
      {"softmax", [&](auto*, auto* y, auto n) { set.softmax(y, n); }},
      {"sigmoid", [&](auto*, auto* y, auto n) { set.sigmoid(y, n); }},
      {"to_f16",
       [&](auto* x, auto* y, auto n) { set.to_f16(x, n, reinterpret_cast<uint16_t*>(y)); }},
      {"rope",
       [&](auto* x, auto* y, auto n) { set.rope(y, x, x, static_cast<uint32_t>(n / 2), true); }}};
  for (const auto& [name, function] : functions) {
    benchmark::RegisterBenchmark((prefix + name).c_str(), OnVector, function);
  }
}

void RegisterSet(const KernelSet& set) {
  const std::string prefix = std::string(set.name) + "/";
  const kernels::PeakLoops& peak = kernels::PeakLoopsOf(set);
  benchmark::RegisterBenchmark((prefix + "peak/memory").c_str(),
                               [&set](State& state) { MemoryPeak(state, set); });
  benchmark::RegisterBenchmark((prefix + "peak/int8_dots").c_str(),
                               [&peak](State& state) { ArithmeticPeak(state, peak.int8_dots); });
  benchmark::RegisterBenchmark((prefix + "peak/fmas").c_str(),
                               [&peak](State& state) { ArithmeticPeak(state, peak.fmas); });
  for (const tensor::DTypeTraits& type : tensor::AllDTypes()) {
    for (const Layout layout : {Layout::kNative, Layout::kRows16}) {
      for (const size_t n_tokens : {size_t{1}, size_t{4}, size_t{128}}) {
        const std::string name = prefix + "matmul/" + std::string(type.name) +
                                 (layout == Layout::kNative ? "/native/" : "/rows16/") +
                                 std::to_string(n_tokens);
        benchmark::RegisterBenchmark(name.c_str(), [&set, &type, layout, n_tokens](State& state) {
          MatMul(state, set, type.dtype, layout, n_tokens);
        });
      }
    }
    benchmark::RegisterBenchmark(
        (prefix + "dequantize_row/" + std::string(type.name)).c_str(),
        [&set, &type](State& state) { DequantizeRow(state, set, type.dtype); });
  }
  for (const auto format :
       {kernels::ActivationFormat::kQ8x32, kernels::ActivationFormat::kQ8x256}) {
    const bool small = format == kernels::ActivationFormat::kQ8x32;
    benchmark::RegisterBenchmark((prefix + (small ? "pack/Q8x32" : "pack/Q8x256")).c_str(),
                                 [&set, format](State& state) { Pack(state, set, format); });
  }
  RegisterVectorFunctions(set, prefix);
}

}  // namespace
}  // namespace plimsoll::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const plimsoll::kernels::KernelSet* set : plimsoll::kernels::AllKernelSets()) {
    if (set->supported()) {
      plimsoll::bench::RegisterSet(*set);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
}
