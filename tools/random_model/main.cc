// random-model OUT.gguf: writes a model file of random weights, of any supported architecture,
// weight type and size, that every GGUF runtime loads. What such a model writes is noise.
#include <cstdio>
#include <map>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tools/random_model/random_model.h"

namespace plimsoll::random_model {
namespace {

// A preset is applied before the options beside it, so it is looked for first.
Result<> ApplyPresetOf(int argc, char** argv, ModelSpec& spec) {
  std::string preset;
  for (int i = 1; i + 1 < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--arch") {
      spec.arch = argv[i + 1];
    } else if (option == "--preset") {
      preset = argv[i + 1];
    }
  }
  return preset.empty() ? Result<>() : ApplyPreset(preset, spec);
}

int Report(const Error& error) {
  fmt::print(stderr, "random-model: {}\n", error.message);
  return static_cast<int>(error.kind);
}

template <class T>
void AddOptional(CLI::App& app, const std::string& name, std::optional<T>& value,
                 const std::string& help) {
  app.add_option_function<T>(
      name, [&value](const T& given) { value = given; }, help);
}

void AddOptions(CLI::App& app, ModelSpec& spec) {
  app.add_option("--layers", spec.n_layers, "layers");
  app.add_option("--hidden", spec.hidden_dim, "width of the residual stream");
  app.add_option("--heads", spec.n_heads, "query heads");
  app.add_option("--kv-heads", spec.n_kv_heads, "key and value heads; 0: as many as query heads");
  app.add_option("--head-dim", spec.head_dim, "values a head");
  app.add_option("--ff", spec.ffn_dim, "width of a dense feed-forward layer");
  app.add_option("--experts", spec.n_experts, "experts a layer; 0 for a dense llama or gemma4");
  app.add_option("--top-k", spec.n_experts_active, "experts a token");
  app.add_option("--expert-ff", spec.expert_ffn_dim, "width of an expert");
  app.add_option("--shared-ff", spec.shared_ffn_dim,
                 "width of the shared expert (qwen2moe, granitemoe, qwen3next, qwen35moe)");
  app.add_option("--full-attention-interval", spec.full_attention_interval,
                 "qwen3next, qwen35, qwen35moe: of so many layers the last has attention");
  app.add_option("--conv-width", spec.conv_width, "tokens that a delta net's convolution sees");
  app.add_option("--delta-head-dim", spec.delta_head_dim, "values a head of a delta net");
  app.add_option("--delta-k-heads", spec.n_delta_k_heads, "its query and key heads");
  app.add_option("--delta-v-heads", spec.n_delta_v_heads, "its value heads");
  app.add_option("--q-rank", spec.q_rank, "deepseek2: rank of queries; 0: made directly");
  app.add_option("--kv-rank", spec.kv_rank, "deepseek2: width of the latent that is cached");
  app.add_option("--dense-layers", spec.n_dense_layers,
                 "deepseek2, dots1, glm4moe: leading layers without experts");
  app.add_option("--shared-experts", spec.n_shared_experts,
                 "deepseek2, dots1, glm4moe: shared experts a layer");
  app.add_option("--moe-step", spec.moe_step, "llama4: the last layer of so many has experts");
  app.add_option("--shared-kv-layers", spec.n_shared_kv_layers,
                 "gemma4: last layers that make no keys and values");
  app.add_flag("--values-of-keys", spec.values_of_keys,
               "gemma4: no values of their own in layers without a window");
  app.add_option("--layer-input", spec.layer_input_dim,
                 "gemma4: width of each layer's part of an embedding; 0: none");
  app.add_flag("--joined-experts", spec.joined_experts,
               "gemma4: one stack of gate and up projections");
  app.add_option("--logit-cap", spec.logit_cap, "gemma3, gemma4: cap of the logits; 0: none");
  app.add_option("--prediction-layers", spec.n_prediction_layers,
                 "glm4moe, qwen35moe: layers that predict further tokens");
  app.add_flag("--joined-kv", spec.joined_kv, "deepseek2: attn_kv_b, as in older files");
  app.add_flag("--selection-bias", spec.selection_bias, "a bias on the choice of experts");
  app.add_option("--groups", spec.n_expert_groups, "groups of experts; 0: none");
  app.add_option("--groups-used", spec.n_expert_groups_used, "groups that a token may choose from");
  app.add_option("--vocab", spec.vocab_size, "tokens of the vocabulary");
  app.add_option("--context", spec.n_ctx_train, "context length in the metadata");
  app.add_flag("--tied", spec.tied_output, "no output matrix: the token embedding serves as one");
  AddOptional(app, "--biases", spec.qkv_biases, "query, key and value biases: true or false");
  app.add_option("--sliding-window", spec.sliding_window, "tokens that attention sees; 0: all");
  app.add_option("--chunk", spec.chunk, "llama4: tokens that attention stays within; 0: no key");
  app.add_option("--rope-theta", spec.rope_theta, "base of the rotary frequencies");
  app.add_option("--rope-dims", spec.rope_dims, "rotated values a head; 0: all");
  app.add_option("--rope-scaling", spec.rope_scaling, "none, linear, ntk, yarn, llama3 or longrope")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, RopeScaling>{{"none", RopeScaling::kNone},
                                             {"linear", RopeScaling::kLinear},
                                             {"ntk", RopeScaling::kNtk},
                                             {"yarn", RopeScaling::kYarn},
                                             {"llama3", RopeScaling::kLlama3},
                                             {"longrope", RopeScaling::kLongRope}}));
  app.add_option("--rope-factor", spec.rope_factor, "factor of the scaling");
  app.add_option_function<float>(
      "--rope-log-multiplier", [&spec](float given) { spec.rope_log_multiplier = given; },
      "deepseek2, mistral3: YaRN's multiplier of the logarithm");
  app.add_option("--temperature-scale", spec.temperature_scale,
                 "mistral3, llama4: growth of queries with their position; 0: none");
  app.add_option("--temperature-length", spec.temperature_length,
                 "llama4: positions from step to step of that growth; 0: no key");
  app.add_option("--rope-original-context", spec.rope_n_ctx_original, "context before the scaling");
  app.add_option_function<std::string>(
         "--gating",
         [&spec](const std::string& name) {
           spec.router_gating = name == "sigmoid" ? RouterGating::kSigmoid : RouterGating::kSoftmax;
         },
         "router: softmax or sigmoid (unset: the architecture's)")
      ->check(CLI::IsMember({"softmax", "sigmoid"}));
  AddOptional(app, "--renormalise", spec.router_renormalise,
              "router weights of the chosen experts sum to 1: true or false");
  AddOptional(app, "--router-weights-scale", spec.router_weights_scale,
              "factor of the router weights");
  app.add_option("--router-std", spec.router_std, "standard deviation of the router's logits");
  app.add_option("--router-spread", spec.router_spread,
                 "log-normal spread of the router's rows; above 0 some experts are chosen more");
  app.add_option("--logit-std", spec.logit_std, "standard deviation of the output logits");
  app.add_option("--attention-std", spec.attention_std, "standard deviation of the scores");
  app.add_option("--branch-gain", spec.branch_gain, "weight of the layers in the residual stream");
  app.add_option("--seed", spec.seed, "seed: the same options give the same bytes");
}

int Main(int argc, char** argv) {
  CLI::App app{"Writes a GGUF model of random weights."};
  // A later option wins, so that scripts can append to common ones.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  ModelSpec spec;
  if (auto ok = ApplyPresetOf(argc, argv, spec); !ok) {
    return Report(ok.error());
  }
  std::string out;
  std::string type;
  std::string preset;
  app.add_option("out", out, "file to write")->required();
  app.add_option("--arch", spec.arch, fmt::format("{}", fmt::join(Architectures(), ", ")));
  app.add_option("--preset", preset, fmt::format("{}", fmt::join(PresetNames(), ", ")));
  app.add_option("--type", type, "weight type of every matrix but the router, such as q4_k");
  AddOptions(app, spec);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ErrorKind::kUsage);
  }
  if (!type.empty()) {
    const auto dtype = tensor::DTypeFromName(type);
    if (!dtype) {
      return Report({ErrorKind::kUsage, fmt::format("no weight type '{}'", type)});
    }
    spec.type = *dtype;
  }
  if (spec.n_kv_heads == 0) {
    spec.n_kv_heads = spec.n_heads;
  }
  if (auto ok = WriteRandomModel(spec, out); !ok) {
    return Report(ok.error());
  }
  return 0;
}

}  // namespace
}  // namespace plimsoll::random_model

int main(int argc, char** argv) { return plimsoll::random_model::Main(argc, argv); }
