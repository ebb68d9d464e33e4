#include "formats/safetensors/tensor_names.h"

#include <array>
#include <charconv>
#include <span>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace plimsoll::formats::safetensors {
namespace {

constexpr std::array<Rule, 2> kOutsideLayers = {{
    {"embed_tokens", "token_embd"},
    {"norm", "output_norm"},
}};

// Modules of a layer: gate, up and down projections of an expert in the words of most, then in
// Mixtral's.
constexpr std::array<Rule, 30> kInLayers = {{
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
    {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias"},
    {"mlp.experts.*.gate_proj", "ffn_gate_exps"},
    {"mlp.experts.*.up_proj", "ffn_up_exps"},
    {"mlp.experts.*.down_proj", "ffn_down_exps"},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp"},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp"},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp"},
    {"mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
    {"block_sparse_moe.gate", "ffn_gate_inp"},
    {"block_sparse_moe.e_score_correction_bias", "exp_probs_b.bias"},
    {"block_sparse_moe.experts.*.w1", "ffn_gate_exps"},
    {"block_sparse_moe.experts.*.w3", "ffn_up_exps"},
    {"block_sparse_moe.experts.*.w2", "ffn_down_exps"},
}};

constexpr std::string_view kPredictions = "layers that predict further tokens";

// What a model for text has no use for.
struct OtherPart {
  std::string_view prefix;
  std::string_view what;
};
constexpr std::array<OtherPart, 9> kOtherParts = {{{"vision_tower.", "images"},
                                                   {"vision_model.", "images"},
                                                   {"visual.", "images"},
                                                   {"embed_vision.", "images"},
                                                   {"multi_modal_projector.", "images"},
                                                   {"audio_tower.", "sound"},
                                                   {"embed_audio.", "sound"},
                                                   {"mtp.", kPredictions},
                                                   {"patch_merger.", "images"}}};

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

// "weight" or "bias" behind the last dot, which goes too; empty for other names.
std::string_view TakeSuffix(std::string_view& text) {
  for (const std::string_view suffix : {"weight", "bias"}) {
    if (text.ends_with(suffix) && text.size() > suffix.size() &&
        text[text.size() - suffix.size() - 1] == '.') {
      text.remove_suffix(suffix.size() + 1);
      return suffix;
    }
  }
  return {};
}

// Whether the module is of the pattern, and the number that stands for its *.
bool Matches(std::string_view pattern, std::string_view module, std::optional<uint32_t>& expert) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) {
    return module == pattern;
  }
  if (!TakePrefix(module, pattern.substr(0, star))) {
    return false;
  }
  expert = TakeNumber(module);
  return expert.has_value() && module == pattern.substr(star + 2);
}

// "blk.3." and what the rule says, with the suffix where that says none.
std::string TargetName(const Rule& rule, std::string_view prefix, std::string_view suffix) {
  std::string name = fmt::format("{}{}", prefix, rule.to);
  if (!rule.is_whole()) {
    return fmt::format("{}.{}", name, suffix);
  }
  if (name.ends_with('.')) {
    name.pop_back();
  }
  return name;
}

void AddTargets(std::span<const Rule> rules, std::string_view module, std::string_view prefix,
                std::vector<Target>& targets) {
  const std::string_view whole = module;
  const std::string_view suffix = TakeSuffix(module);
  for (const Rule& rule : rules) {
    std::optional<uint32_t> expert;
    if ((rule.is_whole() || !suffix.empty()) &&
        Matches(rule.from, rule.is_whole() ? whole : module, expert)) {
      targets.push_back({TargetName(rule, prefix, suffix), expert, rule.change});
    }
  }
}

std::vector<Target> TargetsOf(const Family& family, std::span<const Rule> common,
                              std::string_view module, const std::string& prefix) {
  std::vector<Target> targets;
  AddTargets(family.rules, module, prefix, targets);
  if (targets.empty()) {
    AddTargets(common, module, prefix, targets);
  }
  return targets;
}

}  // namespace

Placement Place(const Family& family, uint32_t n_layers, std::string_view name) {
  Placement placement;
  // Models with parts for images keep that for text in one of its own.
  while (TakePrefix(name, "model.") || TakePrefix(name, "language_model.")) {
  }
  for (const OtherPart& part : kOtherParts) {
    if (name.starts_with(part.prefix)) {
      placement.left_out = part.what;
      return placement;
    }
  }
  if (name == "lm_head.weight") {
    placement.targets.push_back({"output.weight", std::nullopt, nullptr});
    return placement;
  }
  if (!TakePrefix(name, "layers.")) {
    placement.targets = TargetsOf(family, kOutsideLayers, name, "");
    return placement;
  }
  const auto layer = TakeNumber(name);
  if (!layer) {
    return placement;
  }
  if (*layer >= n_layers) {
    placement.left_out = kPredictions;
    return placement;
  }
  placement.targets = TargetsOf(family, kInLayers, name, fmt::format("blk.{}.", *layer));
  return placement;
}

}  // namespace plimsoll::formats::safetensors
