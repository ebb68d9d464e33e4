#include "model/hyper_params.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/key_reader.h"

namespace plimsoll::model {
namespace {

using formats::Metadata;

RopeScaling ReadScaling(KeyReader& reader) {
  const std::string name = reader.StringOr("rope.scaling.type", "none");
  if (name == "none") {
    return RopeScaling::kNone;
  }
  if (name == "linear") {
    return RopeScaling::kLinear;
  }
  if (name == "ntk" || name == "dynamic") {
    return RopeScaling::kNtk;
  }
  if (name == "yarn") {
    return RopeScaling::kYarn;
  }
  if (name == "llama3") {
    return RopeScaling::kLlama3;
  }
  if (name == "longrope") {
    return RopeScaling::kLongRope;
  }
  reader.Note(
      {ErrorKind::kBadModel,
       fmt::format(
           "{} \"{}\" is not supported; supported are none, linear, ntk, yarn, llama3, longrope",
           reader.Key("rope.scaling.type"), name)});
  return RopeScaling::kNone;
}

RopeParams ReadRope(KeyReader& reader, uint32_t head_dim, uint32_t n_ctx_train) {
  RopeParams rope;
  rope.n_dims = reader.U32Or("rope.dimension_count", head_dim, 2, head_dim);
  if (rope.n_dims % 2 != 0) {
    reader.Note(
        {ErrorKind::kBadModel,
         fmt::format("{} is {}, an odd number", reader.Key("rope.dimension_count"), rope.n_dims)});
  }
  rope.theta = reader.F64Or("rope.freq_base", 10000.0, 1.0, 1e12);
  rope.neox = false;
  rope.scaling = ReadScaling(reader);
  rope.factor = reader.F64Or("rope.scaling.factor", 1.0, 1e-3, 1e6);
  rope.n_ctx_original = reader.U32Or("rope.scaling.original_context_length", n_ctx_train, 1,
                                     std::numeric_limits<uint32_t>::max());
  rope.attention_factor = reader.F64Or("rope.scaling.attn_factor", 1.0, 0.0, 1e3);
  rope.beta_fast = reader.F64Or("rope.scaling.yarn_beta_fast", 32.0, 0.0, 1e6);
  rope.beta_slow = reader.F64Or("rope.scaling.yarn_beta_slow", 1.0, 0.0, 1e6);
  rope.low_freq_factor = reader.F64Or("rope.scaling.low_freq_factor", 1.0, 1e-3, 1e6);
  rope.high_freq_factor = reader.F64Or("rope.scaling.high_freq_factor", 4.0, 1e-3, 1e6);
  return rope;
}

std::vector<LayerParams> ReadLayers(KeyReader& reader, const HyperParams& hp) {
  const auto n_heads = reader.PerLayer("attention.head_count", hp.n_layers, 1, kMaxHeads);
  const auto n_kv_heads =
      reader.Has("attention.head_count_kv")
          ? reader.PerLayer("attention.head_count_kv", hp.n_layers, 1, kMaxHeads)
          : n_heads;
  const uint32_t head_dim =
      reader.U32Or("attention.key_length", hp.hidden_dim / n_heads[0], 1, kMaxHeadDim);
  const uint32_t head_dim_v = reader.U32Or("attention.value_length", head_dim, 1, kMaxHeadDim);
  const uint32_t window =
      reader.U32Or("attention.sliding_window", 0, 0, std::numeric_limits<uint32_t>::max());
  const uint32_t n_experts = reader.U32Or("expert_count", 0, 0, kMaxExperts);
  // Of dense layers; files of models that have none may leave it out.
  const std::string_view ff_key = n_experts > 1 && !reader.Has("feed_forward_length")
                                      ? "expert_feed_forward_length"
                                      : "feed_forward_length";
  const auto ff_dims = reader.PerLayer(ff_key, hp.n_layers, 1, kMaxDim);

  std::vector<LayerParams> layers;
  for (uint32_t i = 0; i < hp.n_layers; ++i) {
    LayerParams layer;
    layer.n_heads = n_heads[i];
    layer.n_kv_heads = n_kv_heads[i];
    layer.head_dim_k = head_dim;
    layer.head_dim_v = head_dim_v;
    layer.window = window;
    layer.expert_ff_dim = ff_dims[i];
    if (n_experts > 1) {
      layer.n_experts = n_experts;
      layer.n_experts_active = reader.U32("expert_used_count", 1, n_experts);
      layer.expert_ff_dim = reader.U32Or("expert_feed_forward_length", ff_dims[i], 1, kMaxDim);
      layer.shared_ff_dim = reader.U32Or("expert_shared_feed_forward_length", 0, 0, kMaxDim);
    }
    if (layer.n_heads % layer.n_kv_heads != 0) {
      reader.Note(
          {ErrorKind::kBadModel, fmt::format("{} heads are no multiple of {} KV heads in layer {}",
                                             layer.n_heads, layer.n_kv_heads, i)});
    }
    layers.push_back(layer);
  }
  return layers;
}

// Files write 0 or 1 groups for "none".
void ReadGroups(KeyReader& reader, const LayerParams& layer, RouterParams& router) {
  router.n_groups = std::max(1U, reader.U32Or("expert_group_count", 1, 0, layer.n_experts));
  if (router.n_groups == 1) {
    return;
  }
  router.n_groups_used = reader.U32("expert_group_used_count", 1, router.n_groups);
  const uint32_t group = layer.n_experts / router.n_groups;
  if (layer.n_experts % router.n_groups != 0 || group < 2 ||
      uint64_t{group} * router.n_groups_used < layer.n_experts_active) {
    reader.Note({ErrorKind::kBadModel,
                 fmt::format("{} is {}: {} experts make no such groups of two or more, {} of which "
                             "have the {} experts of a token",
                             reader.Key("expert_group_count"), router.n_groups, layer.n_experts,
                             router.n_groups_used, layer.n_experts_active)});
  }
}

// `layer` is any that has experts.
RouterParams ReadRouter(KeyReader& reader, const LayerParams& layer) {
  RouterParams router;
  // llama.cpp's numbers: 1 softmax, 2 sigmoid; 0 and absent: the architecture's own.
  const uint32_t score = reader.U32Or("expert_gating_func", 1, 0, 2);
  router.score = score == 2 ? RouterScore::kSigmoid : RouterScore::kSoftmax;
  router.scale = static_cast<float>(reader.F64Or("expert_weights_scale", 1.0, -1e6, 1e6));
  if (router.scale == 0.0F) {
    router.scale = 1.0F;  // files write 0 for "none"
  }
  router.normalize = reader.BoolOr("expert_weights_norm", false);
  ReadGroups(reader, layer, router);
  return router;
}

}  // namespace

Result<HyperParams> ReadHyperParams(const formats::Catalogue& catalogue) {
  const Metadata& metadata = catalogue.metadata;
  const auto architecture = metadata.String("general.architecture");
  if (!architecture) {
    return tl::unexpected(architecture.error());
  }
  const formats::TensorEntry* embedding = catalogue.Find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.n_dims != 2) {
    return Fail(ErrorKind::kBadModel,
                "the file has no matrix token_embd.weight: it is a vocabulary or no text model");
  }
  KeyReader reader(metadata, std::string(*architecture));
  HyperParams hp;
  hp.architecture = *architecture;
  hp.name = metadata.StringOr("general.name", "").value_or("");
  hp.n_layers = reader.U32("block_count", 1, kMaxLayers);
  hp.hidden_dim = reader.U32("embedding_length", 1, kMaxDim);
  if (embedding->shape.dims[1] > std::numeric_limits<int32_t>::max()) {
    return Fail(ErrorKind::kBadModel, "token_embd.weight has {} rows, more than tokens can name",
                embedding->shape.dims[1]);
  }
  hp.vocab_size = static_cast<uint32_t>(embedding->shape.dims[1]);
  hp.n_ctx_train = reader.U32Or("context_length", 2048, 1, std::numeric_limits<int32_t>::max());
  hp.rms_eps = static_cast<float>(reader.F64Or("attention.layer_norm_rms_epsilon", 1e-5, 0.0, 1.0));
  hp.attention_scale = static_cast<float>(reader.F64Or("attention.scale", 0.0, 0.0, 1e6));
  hp.clamp_qkv = static_cast<float>(reader.F64Or("attention.clamp_kqv", 0.0, 0.0, 1e9));
  hp.layers = ReadLayers(reader, hp);
  hp.rope = ReadRope(reader, hp.layers[0].head_dim_k, hp.n_ctx_train);
  hp.router = ReadRouter(reader, hp.layers[0]);
  if (auto read = reader.status(); !read) {
    return Forward(read);
  }
  return hp;
}

}  // namespace plimsoll::model
