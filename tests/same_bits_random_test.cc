// The same bits on random models of every architecture, weight type and variant: `ref` on one
// thread in one chunk against every other kernel set, with other threads and chunks.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>

#include <unistd.h>

#include "base/sanitized.h"
#include "tests/loaded_model.h"
#include "tools/random_model/random_model.h"

namespace plimsoll::tests {
namespace {

using random_model::ModelSpec;
using tensor::DType;

struct Case {
  std::string name;
  ModelSpec spec;
  size_t n_tokens = 37;
  kv::Precision kv;
};

Case PlainCase(std::string_view arch, DType type) {
  ModelSpec spec;
  EXPECT_TRUE(random_model::ApplyPreset("tiny", spec));
  spec.arch = arch;
  spec.type = type;
  std::string name = fmt::format("{}_{}", arch, tensor::Traits(type).name);
  std::ranges::replace(name, '-', '_');  // what test names may not have
  return {std::move(name), spec};
}

// At the gate every type on one architecture and some types on every one; at night all pairs.
std::vector<Case> PlainCases() {
  const bool night = std::getenv("PLIMSOLL_NIGHT") != nullptr;
  std::vector<Case> cases;
  for (const std::string_view arch : random_model::Architectures()) {
    for (const tensor::DTypeTraits& type : tensor::AllDTypes()) {
      const bool common = type.dtype == DType::kF16 || type.dtype == DType::kQ4_K ||
                          (arch == "gpt-oss" && type.dtype == DType::kMXFP4);
      if (night || arch == "qwen3moe" || common) {
        cases.push_back(PlainCase(arch, type.dtype));
      }
    }
  }
  return cases;
}

std::vector<Case> VariantCases() {
  std::vector<Case> cases;
  const auto add = [&](std::string_view name, std::string_view arch, const auto& change) {
    Case c = PlainCase(arch, DType::kQ8_0);
    c.name = name;
    change(c.spec);
    cases.push_back(c);
  };
  add("dense_llama", "llama", [](ModelSpec& s) { s.n_experts = 0; });
  add("window", "llama", [](ModelSpec& s) { s.sliding_window = 5; });
  add("tied", "qwen2", [](ModelSpec& s) { s.tied_output = true; });
  add("partial_rotary", "qwen3", [](ModelSpec& s) { s.rope_dims = s.head_dim / 2; });
  add("yarn", "qwen3moe", [](ModelSpec& s) { s.rope_scaling = random_model::RopeScaling::kYarn; });
  add("llama3_factors", "llama",
      [](ModelSpec& s) { s.rope_scaling = random_model::RopeScaling::kLlama3; });
  add("sigmoid_router", "olmoe", [](ModelSpec& s) {
    s.router_gating = random_model::RouterGating::kSigmoid;
    s.router_renormalise = true;
    s.router_weights_scale = 2.5F;
  });
  add("groups_and_selection_bias", "deepseek2", [](ModelSpec& s) {
    s.router_gating = random_model::RouterGating::kSigmoid;
    s.router_renormalise = true;
    s.selection_bias = true;
    s.n_expert_groups = 4;
    s.n_expert_groups_used = 2;
    s.rope_scaling = random_model::RopeScaling::kYarn;
    s.rope_log_multiplier = 0.1F;
  });
  // Widths as in gpt-oss-20b, whose 2880 is no multiple of 64.
  add("odd_widths", "gpt-oss", [](ModelSpec& s) {
    s.type = DType::kMXFP4;
    s.hidden_dim = 160;
    s.head_dim = 32;
    s.expert_ffn_dim = 96;
    s.rope_scaling = random_model::RopeScaling::kYarn;
  });
  add("queries_made_directly", "deepseek2", [](ModelSpec& s) { s.q_rank = 0; });
  add("joined_keys_and_values", "deepseek2", [](ModelSpec& s) { s.joined_kv = true; });
  add("scales_tied", "granitemoe", [](ModelSpec& s) {
    s.tied_output = true;
    s.shared_ffn_dim = 0;
  });
  add("sigmoid_router_with_dense_layer", "dots1", [](ModelSpec& s) {
    s.n_shared_experts = 1;
    s.router_renormalise = true;
    s.router_weights_scale = 2.5F;
    s.selection_bias = true;
  });
  add("prediction_layer", "glm4moe", [](ModelSpec& s) { s.n_prediction_layers = 1; });
  add("bases_by_window", "gemma3", [](ModelSpec& s) {
    s.n_layers = 7;
    s.rope_theta = 1e6F;
    s.rope_scaling = random_model::RopeScaling::kLinear;
  });
  add("queries_that_grow", "mistral3", [](ModelSpec& s) {
    s.rope_scaling = random_model::RopeScaling::kYarn;
    s.rope_log_multiplier = 1.0F;
    s.rope_n_ctx_original = 16;
    s.temperature_scale = 0.1F;
  });
  add("joined_matrices_and_long_rope", "phi3",
      [](ModelSpec& s) { s.rope_scaling = random_model::RopeScaling::kLongRope; });
  // Parts of joined matrices that are no whole groups of sixteen rows.
  add("joined_matrices_of_odd_widths", "phi3", [](ModelSpec& s) {
    s.type = DType::kF16;
    s.head_dim = 40;
    s.n_kv_heads = 1;
    s.ffn_dim = 104;
  });
  const auto chunks = [](ModelSpec& s) {
    s.n_layers = 5;
    s.n_experts_active = 1;
    s.chunk = 10;
    s.temperature_scale = 0.3F;
    s.temperature_length = 4;
  };
  add("chunks_and_no_positions", "llama4", chunks);
  add("chunks_in_quantized_keys", "llama4", chunks);
  cases.back().kv.type = tensor::KvType::kQ8;
  cases.back().n_tokens = 75;
  add("two_weighed_inputs", "llama4", [](ModelSpec& s) { s.moe_step = 1; });
  const auto small_gemma4 = [](ModelSpec& s) {
    s.n_experts = 0;
    s.n_layers = 7;
    s.n_shared_kv_layers = 3;
    s.layer_input_dim = 64;
    s.logit_cap = 30;
    s.tied_output = true;
  };
  add("layers_that_share_keys", "gemma4", small_gemma4);
  add("layers_that_share_keys_beside_quantized_ones", "gemma4", small_gemma4);
  cases.back().kv.type = tensor::KvType::kQ8;
  cases.back().n_tokens = 75;
  add("joined_experts_and_values_of_keys", "gemma4", [](ModelSpec& s) {
    s.n_layers = 4;
    s.joined_experts = true;
    s.values_of_keys = true;
    s.logit_cap = 20;
  });
  // As many key heads as value heads, a wider convolution, attention every third layer, and a
  // layer that is not used.
  add("other_delta_nets", "qwen35moe", [](ModelSpec& s) {
    s.n_layers = 4;
    s.full_attention_interval = 3;
    s.conv_width = 6;
    s.delta_head_dim = 16;
    s.n_delta_k_heads = 16;
    s.n_delta_v_heads = 16;
    s.n_prediction_layers = 1;
  });
  add("quantized_keys_beside_states", "qwen3next", [](ModelSpec& s) { s.n_layers = 4; });
  cases.back().kv.type = tensor::KvType::kQ8;
  cases.back().n_tokens = 70;
  // More heads than one task of attention takes, and more tokens than go to the latent at a time.
  add("many_latent_heads", "deepseek2", [](ModelSpec& s) {
    s.n_heads = 20;
    s.n_layers = 1;
  });
  cases.back().n_tokens = 100;
  // KV heads of few rows, of which a task takes several, each with an open block of its own.
  for (const tensor::KvType type :
       {tensor::KvType::kF16, tensor::KvType::kQ8, tensor::KvType::kQ4}) {
    add(fmt::format("many_kv_heads_{}", tensor::NameOf(type)), "llama", [](ModelSpec& s) {
      s.n_heads = 16;
      s.n_kv_heads = 16;
    });
    cases.back().kv.type = type;
  }
  return cases;
}

class SameBitsRandom : public testing::TestWithParam<Case> {};

TEST_P(SameBitsRandom, OverKernelsThreadsChunksAndFrames) {
  const auto file = std::filesystem::path(testing::TempDir()) /
                    fmt::format("plimsoll_{}_{}.gguf", GetParam().name, ::getpid());
  const auto written = random_model::WriteRandomModel(GetParam().spec, file);
  ASSERT_TRUE(written) << written.error().message;

  const size_t n_tokens = GetParam().n_tokens;
  std::vector<TokenId> tokens;
  for (uint32_t i = 0; i < n_tokens; ++i) {
    tokens.push_back(static_cast<TokenId>(i * 7919 % GetParam().spec.vocab_size));
  }
  const std::vector<float> expected =
      LoadedModel(file, {.kernels = "ref", .n_threads = 1, .kv = GetParam().kv})
          .AllLogits(tokens, n_tokens);
  ASSERT_EQ(expected.size(), n_tokens * GetParam().spec.vocab_size);
  ASSERT_TRUE(std::ranges::all_of(expected, [](float x) { return std::isfinite(x); }));

  // Each model has all of these runs; under a sanitizer every third, and every run has its models.
  size_t turn = std::hash<std::string>()(GetParam().name);
  const struct {
    const char* kernels;
    size_t n_threads;
    size_t chunk;
    double expert_share = 1;
    double kept_share = 1;
  } runs[] = {{"avx2", 2, n_tokens},
              {"avx2", 1, 7},
              {"avx2", 1, 1},
              {"avx512", 3, 1},
              {"avx512", 1, n_tokens},
              {"avx512", 2, 7},
              // Paged: with what one token needs, and with somewhat more.
              {"avx2", 2, 1, 0.0},
              {"avx512", 2, n_tokens, 0.0},
              {"avx512", 2, 3, 0.4},
              // Dense weights streamed besides: all, and half of them.
              {"avx2", 2, 1, 0.0, 0.0},
              {"avx512", 2, n_tokens, 0.0, 0.0},
              {"avx512", 2, 5, 0.4, 0.5}};
  for (const auto& run : runs) {
    if (!kernels::SelectKernelSet(run.kernels) || (kSanitized && ++turn % 3 != 0)) {
      continue;  // not on this CPU, or not its turn
    }
    LoadedModel loaded(file, {.kernels = run.kernels,
                              .n_threads = run.n_threads,
                              .expert_share = run.expert_share,
                              .kept_share = run.kept_share,
                              .kv = GetParam().kv});
    const std::vector<float> got = loaded.AllLogits(tokens, run.chunk);
    EXPECT_TRUE(got.size() == expected.size() &&
                std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)) == 0)
        << run.kernels << ", " << run.n_threads << " threads, chunks of " << run.chunk
        << ", experts " << run.expert_share << ", kept " << run.kept_share;
    if (run.kept_share < 1) {
      // Weights are asked for in the order in which they are read ahead; the output matrix again
      // for every kLogitRows tokens.
      EXPECT_GT(loaded.streaming()->stream->stats().used, 0U);
      EXPECT_EQ(loaded.streaming()->stream->stats().seeks,
                (std::min(run.chunk, n_tokens) - 1) / model::kLogitRows);
    }
  }
  std::filesystem::remove(file);
}

std::string NameOf(const testing::TestParamInfo<Case>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Plain, SameBitsRandom, testing::ValuesIn(PlainCases()), NameOf);
INSTANTIATE_TEST_SUITE_P(Variants, SameBitsRandom, testing::ValuesIn(VariantCases()), NameOf);

}  // namespace
}  // namespace plimsoll::tests
