#include "formats/safetensors/tensor_names.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace plimsoll::formats::safetensors {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

constexpr std::array<Pair, 3> kOutsideLayers = {{
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
}};

// Modules of a layer.
constexpr std::array<Pair, 22> kModules = {{
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.gate_up_proj", "ffn_up"},  // both: GGUF has no name for that
    {"mlp.down_proj", "ffn_down"},
    {"mlp.gate", "ffn_gate_inp"},
    {"block_sparse_moe.gate", "ffn_gate_inp"},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp"},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp"},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp"},
    {"mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
}};

// Modules of one expert: Qwen and OLMoE's words, then Mixtral's.
constexpr std::array<Pair, 3> kExpertModules = {{
    {"gate_proj", "ffn_gate_exps"},
    {"up_proj", "ffn_up_exps"},
    {"down_proj", "ffn_down_exps"},
}};
constexpr std::array<Pair, 3> kMixtralModules = {{
    {"w1", "ffn_gate_exps"},
    {"w3", "ffn_up_exps"},
    {"w2", "ffn_down_exps"},
}};

std::optional<std::string_view> LookUp(std::span<const Pair> table, std::string_view key) {
  const auto it = std::ranges::find(table, key, &Pair::first);
  return it == table.end() ? std::nullopt : std::optional(it->second);
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) {
    return false;
  }
  text.remove_prefix(prefix.size());
  return true;
}

// "12." at the start; no sign, no leading zero, at most five digits.
std::optional<uint32_t> TakeNumber(std::string_view& text) {
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos || dot == 0 || dot > 5 || (dot > 1 && text[0] == '0')) {
    return std::nullopt;
  }
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + dot, number);
  if (error != std::errc() || end != text.data() + dot) {
    return std::nullopt;
  }
  text.remove_prefix(dot + 1);
  return number;
}

// "weight" or "bias" behind the last dot, which goes too.
std::optional<std::string_view> TakeSuffix(std::string_view& text) {
  for (const std::string_view suffix : {"weight", "bias"}) {
    if (text.ends_with(suffix) && text.size() > suffix.size() &&
        text[text.size() - suffix.size() - 1] == '.') {
      text.remove_suffix(suffix.size() + 1);
      return suffix;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<GgufName> ToGgufName(std::string_view name) {
  if (const auto outside = LookUp(kOutsideLayers, name)) {
    return GgufName{std::string(*outside), std::nullopt};
  }
  if (!TakePrefix(name, "model.layers.")) {
    return std::nullopt;
  }
  const auto layer = TakeNumber(name);
  if (layer && name == "mlp.gate.e_score_correction_bias") {
    return GgufName{fmt::format("blk.{}.exp_probs_b.bias", *layer), std::nullopt};
  }
  const auto suffix = TakeSuffix(name);
  if (!layer || !suffix) {
    return std::nullopt;
  }
  std::span<const Pair> modules = kModules;
  if (TakePrefix(name, "mlp.experts.")) {
    modules = kExpertModules;
  } else if (TakePrefix(name, "block_sparse_moe.experts.")) {
    modules = kMixtralModules;
  }
  const bool of_expert = modules.data() != kModules.data();
  const auto expert = of_expert ? TakeNumber(name) : std::nullopt;
  if (of_expert && !expert) {
    return std::nullopt;
  }
  const auto module = LookUp(modules, name);
  if (!module) {
    return std::nullopt;
  }
  return GgufName{fmt::format("blk.{}.{}.{}", *layer, *module, *suffix), expert};
}

}  // namespace plimsoll::formats::safetensors
