// How near the quantized matrix products come to the machine's limits, on one thread: decode (one
// token) against the bandwidth of reading memory, prefill (512 tokens) against the peak of the
// 8-bit dot products. Both limits are measured in the same run.
//
//   quantized_bench [--sets avx512,avx2] [--types Q4_0,Q8_0] [--k 2048] [--tokens 512] [--native]
//                   [--decode-tokens 1] [--weights-mib 192]
//
// Figures are the best of many short runs, so that other work on the machine disturbs them least.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "bench/machine_peak.h"
#include "kernels/kernels.h"
#include "kernels/test_data.h"

namespace plimsoll::bench {
namespace {

using kernels::ActivationFormat;
using kernels::Activations;
using kernels::KernelSet;
using kernels::testing::Buffer;
using kernels::testing::Random;
using tensor::DType;

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kChunkBytes = 4 * kMiB;  // of weights, timed together

template <class F>
double Seconds(const F& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Random matrices have scales that are subnormal or whose products are, now and then, for the
// tests; processors are slow at those and models have few.
void OrdinaryScales(Random& random, const tensor::Matrix& m) {
  const size_t block_bytes = tensor::Traits(m.dtype).block_bytes;
  auto* const bytes = const_cast<std::byte*>(m.data);
  for (size_t at = 0; at < m.bytes(); at += block_bytes) {
    if (m.dtype == DType::kMXFP4) {
      bytes[at] = std::byte{120};
    }
    if (m.dtype == DType::kNVFP4) {
      std::fill_n(bytes + at, 4, std::byte{10});
    }
    if (m.dtype == DType::kIQ1_M) {
      kernels::testing::internal::PutScaleOfIQ1M(0x2200, bytes + at);
    }
    for (const size_t field : kernels::testing::internal::F16Fields(m.dtype)) {
      const auto scale = static_cast<uint16_t>(random.Between(0x2000, 0x2400));  // about 0.01
      std::memcpy(bytes + at + field, &scale, sizeof scale);
    }
  }
}

// Weights lie in huge pages, as the engine's do: with small ones address translation is the limit.
class Weights {
 public:
  // A matrix of `bytes` or a little more: 64 random rows again and again.
  Weights(DType dtype, tensor::Layout layout, uint64_t k, size_t bytes) {
    Random random(1);
    auto few = kernels::testing::RandomMatrix(random, dtype, tensor::Layout::kNative, k, 64);
    OrdinaryScales(random, few.matrix);
    if (layout == tensor::Layout::kRows16) {
      few = kernels::testing::AsRows16(few.matrix);
    }
    const size_t few_bytes = few.bytes.size();
    const size_t n = bytes / few_bytes + 1;
    matrix_ = few.matrix;
    matrix_.rows = 64 * n;
    bytes_ = AlignUp(n * few_bytes + tensor::kReadablePadding, kHugePage);
    data_.reset(static_cast<std::byte*>(::operator new(bytes_, std::align_val_t(kHugePage))));
    // Without huge pages the figures are lower, which is worth seeing too.
    static_cast<void>(::madvise(data_.get(), bytes_, MADV_HUGEPAGE));
    for (size_t i = 0; i < n; ++i) {
      std::copy_n(few.bytes.data(), few_bytes, data_.get() + i * few_bytes);
    }
    matrix_.data = data_.get();
  }

  [[nodiscard]] const tensor::Matrix& matrix() const { return matrix_; }

 private:
  static constexpr size_t kHugePage = size_t{2} << 20;
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t(kHugePage)); }
  };
  tensor::Matrix matrix_;
  size_t bytes_ = 0;
  std::unique_ptr<std::byte, Free> data_;
};

// Bytes of weights a second.
double Decode(const KernelSet& set, const tensor::Matrix& w, const Activations& x,
              std::byte* workspace) {
  const uint64_t step = std::min(kChunkBytes / w.row_bytes() / 16 * 16, w.rows);
  std::vector<float> y(step * x.n_rows);
  double best = 0;
  const size_t passes = std::max<size_t>(1, 16 * kMiB / w.bytes());  // a small matrix: in the cache
  for (uint64_t row = 0; row + step <= w.rows; row += step) {
    const double s = Seconds([&] {
      for (size_t i = 0; i < passes; ++i) {
        set.matmul(w, row, row + step, x, y.data(), step, workspace);
      }
    });
    best = std::max(best, static_cast<double>(passes * step * w.row_bytes()) / s);
  }
  return best;
}

// Operations a second.
double Prefill(const KernelSet& set, const tensor::Matrix& w, const Activations& x,
               std::byte* workspace) {
  const uint64_t rows = 64;
  std::vector<float> y(rows * x.n_rows);
  double best = 1e9;
  for (int i = 0; i < 40; ++i) {
    best = std::min(best, Seconds([&] { set.matmul(w, 0, rows, x, y.data(), rows, workspace); }));
  }
  return 2.0 * static_cast<double>(rows * w.k * x.n_rows) / best;
}

std::vector<std::string> SetsOfThisCpu() {
  std::vector<std::string> names;
  for (const KernelSet* set : kernels::AllKernelSets()) {
    if (set->supported()) {
      names.emplace_back(set->name);
    }
  }
  return names;
}

std::vector<std::string> AllTypes() {
  std::vector<std::string> names;
  for (const tensor::DTypeTraits& type : tensor::AllDTypes()) {
    names.emplace_back(type.name);
  }
  return names;
}

std::vector<std::string> FastSets() {
  std::vector<std::string> names = SetsOfThisCpu();
  std::erase(names, "ref");
  return names;
}

struct Options {
  std::vector<std::string> sets = FastSets();
  std::vector<std::string> types = {"Q8_0",    "Q4_0",  "Q4_K",  "Q6_K",    "Q4_1",   "Q5_0",
                                    "Q5_1",    "Q5_K",  "Q2_K",  "Q3_K",    "IQ4_NL", "IQ4_XS",
                                    "MXFP4",   "NVFP4", "IQ3_S", "IQ3_XXS", "IQ2_S",  "IQ2_XS",
                                    "IQ2_XXS", "IQ1_S", "IQ1_M", "TQ1_0",   "TQ2_0"};
  uint64_t k = 2048;
  size_t tokens = 512;
  size_t decode_tokens = 1;
  size_t weights_mib = 192;
  bool native = false;
};

void Run(const Options& options) {
  for (const std::string& type : options.types) {
    const DType dtype = tensor::DTypeFromName(type).value();
    const auto layout = options.native ? tensor::Layout::kNative : tensor::Layout::kRows16;
    const Weights weights(dtype, layout, options.k, options.weights_mib * kMiB);
    const tensor::Matrix& w = weights.matrix();
    for (const std::string& name : options.sets) {
      const KernelSet& set = *kernels::SelectKernelSet(name).value();
      const MachinePeak machine = MeasurePeak(set, 1, PeakBufferBytes(UINT64_MAX)).value();
      const double bandwidth = machine.read_bytes;
      const double peak = 2 * machine.int8_dots;  // an addition is an operation too
      const Buffer workspace(set.matmul_workspace_bytes(options.k));
      Random random(2);
      const ActivationFormat format = kernels::ActivationFormatFor(dtype);
      const size_t stride = kernels::ActivationRowBytes(format, options.k);
      const Buffer packed(stride * options.tokens);
      for (size_t i = 0; i < options.tokens; ++i) {
        const auto row = kernels::testing::OrdinaryFloats(random, options.k);
        set.pack_activation(format, row.data(), options.k, packed.data() + i * stride);
      }
      const Activations x = {.format = format,
                             .k = options.k,
                             .n_rows = options.tokens,
                             .row_stride = stride,
                             .data = packed.data()};
      Activations few = x;
      few.n_rows = options.decode_tokens;
      const double decode = Decode(set, w, few, workspace.data());
      const double prefill = Prefill(set, w, x, workspace.data());
      fmt::print(
          "{:7} {:7} decode {:6.2f} GB/s of {:5.2f} ({:3.0f} %)   prefill {:7.1f} GOPS of {:6.1f} "
          "({:3.0f} %)\n",
          type, name, decode / 1e9, bandwidth / 1e9, 100 * decode / bandwidth, prefill / 1e9,
          peak / 1e9, 100 * prefill / peak);
    }
  }
}

}  // namespace
}  // namespace plimsoll::bench

int main(int argc, char** argv) {
  CLI::App app("Quantized matrix products against the machine's limits, on one thread");
  plimsoll::bench::Options options;
  app.add_option("--sets", options.sets)
      ->delimiter(',')
      ->check(CLI::IsMember(plimsoll::bench::SetsOfThisCpu()));
  app.add_option("--types", options.types)
      ->delimiter(',')
      ->check(CLI::IsMember(plimsoll::bench::AllTypes(), CLI::ignore_case));
  app.add_option("--k", options.k);
  app.add_option("--tokens", options.tokens);
  app.add_option("--decode-tokens", options.decode_tokens);
  app.add_option("--weights-mib", options.weights_mib, "0: as few as fit the cache");
  app.add_flag("--native", options.native, "weights as GGUF has them, not turned to rows16");
  CLI11_PARSE(app, argc, argv);
  plimsoll::bench::Run(options);
  return 0;
}
