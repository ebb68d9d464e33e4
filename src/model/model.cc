#include "model/model.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/invariant.h"
#include "model/delta_net.h"
#include "model/products.h"

namespace plimsoll::model {
namespace {

// A block of keys that is being filled is in memory that the next layer uses anew (LayerKv), so
// those that further layers attend to stay in 16 bits.
tensor::KvType KvTypeOf(const HyperParams& hp, const kv::Precision& precision, uint32_t layer_idx) {
  const bool is_read_again = std::ranges::any_of(
      hp.layers, [layer_idx](const LayerParams& layer) { return layer.kv_of == layer_idx; });
  const tensor::KvType type = precision.TypeOf(layer_idx);
  const bool has_own = !hp.layers[layer_idx].kv_of && !hp.layers[layer_idx].recurrent;
  return IsQuantized(type) && (is_read_again || !has_own) ? tensor::KvType::kF16 : type;
}

Result<> CheckPrecision(const kv::Precision& kv, const HyperParams& hp) {
  for (const auto& some : kv.layers) {
    if (some.last >= hp.n_layers) {
      return Fail(ErrorKind::kUsage, "there is no layer {} to choose a KV type for: the last is {}",
                  some.last, hp.n_layers - 1);
    }
  }
  bool is_quantized = false;
  for (uint32_t i = 0; i < hp.n_layers; ++i) {
    const LayerParams& layer = hp.layers[i];
    if (!IsQuantized(KvTypeOf(hp, kv, i))) {
      continue;
    }
    is_quantized = true;
    if (!layer.is_latent() && layer.head_dim_k > kernels::kMaxPanelDim) {
      return Fail(ErrorKind::kUsage, "keys of {} elements cannot be quantized: at most {} can",
                  layer.head_dim_k, kernels::kMaxPanelDim);
    }
    if (kv.rotate && (layer.is_latent() || !std::has_single_bit(layer.head_dim_k))) {
      return Fail(ErrorKind::kUsage,
                  "keys of {} elements{} cannot be rotated: only a power of two can\n"
                  "leave --kv-rotate out",
                  layer.head_dim_k, layer.is_latent() ? ", of which a part is the value," : "");
    }
  }
  if (kv.rotate && !is_quantized) {
    return Fail(ErrorKind::kUsage,
                "keys are rotated only where they are quantized\n"
                "give --kv-type q8 or q4 too, or leave --kv-rotate out");
  }
  return {};
}

void Scale(float scale, std::span<float> values) {
  if (scale != 1.0F) {
    std::ranges::for_each(values, [scale](float& value) { value *= scale; });
  }
}

// c tanh(x / c), as c - 2 c sigmoid(-2 x / c).
void CapLogits(const kernels::KernelSet& kernels, float cap, std::span<float> logits) {
  if (cap == 0) {
    return;
  }
  Scale(-2.0F / cap, logits);
  kernels.sigmoid(logits.data(), logits.size());
  std::ranges::for_each(logits, [cap](float& value) { value = cap - 2.0F * cap * value; });
}

}  // namespace

kv::BlockLayout KvLayoutOf(const HyperParams& hp, const kv::Precision& precision) {
  std::vector<kv::BlockLayout::Layer> layers;
  for (uint32_t i = 0; i < hp.n_layers; ++i) {
    const LayerParams& layer = hp.layers[i];
    if (layer.recurrent) {
      layers.push_back({.state = StatePiecesOf(hp.delta)});
      continue;
    }
    const tensor::KvType type = KvTypeOf(hp, precision, i);
    layers.push_back({.n_kv_heads = layer.kv_of ? 0 : layer.n_kv_heads,
                      .head_dim_k = layer.head_dim_k,
                      .head_dim_v = layer.head_dim_v,
                      .values_in_keys = layer.is_latent(),
                      .type = type,
                      .rotated = precision.rotate && IsQuantized(type),
                      .n_heads = layer.kv_of ? 0 : layer.n_heads});
  }
  return kv::BlockLayout(std::move(layers));
}

Model::Model(const formats::Catalogue& catalogue, const Architecture& architecture, HyperParams hp,
             kernels::Team& team, const ModelOptions& options)
    : catalogue_(catalogue),
      architecture_(architecture),
      hp_(std::move(hp)),
      team_(team),
      options_(options) {}

Result<std::unique_ptr<Model>> Model::Open(const formats::Catalogue& catalogue, kernels::Team& team,
                                           const ModelOptions& options) {
  Invariant(options.kernels != nullptr && options.max_chunk > 0, "a model has kernels and a chunk");
  const auto name = catalogue.metadata.String("general.architecture");
  if (!name) {
    return tl::unexpected(name.error());
  }
  const auto architecture = FindArchitecture(*name);
  if (!architecture) {
    return tl::unexpected(architecture.error());
  }
  auto hp = ReadHyperParams(**architecture, catalogue);
  if (!hp) {
    return plimsoll::Forward(hp);
  }
  if (auto checked = CheckPrecision(options.kv, *hp); !checked) {
    return plimsoll::Forward(checked);
  }
  auto model =
      std::unique_ptr<Model>(new Model(catalogue, **architecture, std::move(*hp), team, options));
  model->Declare();
  auto bound = BindTensors(catalogue, model->declarations_);
  if (!bound) {
    return plimsoll::Forward(bound);
  }
  model->bound_ = std::move(*bound);
  return model;
}

void Model::Declare() {
  using memory::Account;
  declarations_.AddMatrix("token_embd.weight", hp_.hidden_dim, hp_.vocab_size, weights_.embedding,
                          Need::kRequired, Account::kVocab);
  declarations_.AddVector("output_norm.weight", {hp_.hidden_dim}, weights_.output_norm);
  declarations_.AddMatrix("output.weight", hp_.hidden_dim, hp_.vocab_size, weights_.output,
                          Need::kOptional, Account::kVocab);
  const bool long_rope = hp_.rope.scaling == RopeScaling::kLongRope;
  declarations_.AddVector(!long_rope             ? "rope_freqs.weight"
                          : TurnsByLongFactors() ? "rope_factors_long.weight"
                                                 : "rope_factors_short.weight",
                          {hp_.rope.n_dims / 2}, weights_.rope_factors,
                          hp_.rope.has_factors ? Need::kRequired : Need::kOptional);
  DeclareLayerInputs();
  weights_.layers.resize(hp_.n_layers);
  for (uint32_t i = 0; i < hp_.n_layers; ++i) {
    architecture_.declare_layer(hp_, i, declarations_, weights_.layers[i]);
  }
  matrix_scales_.Declare(catalogue_, declarations_);
}

void Model::DeclareLayerInputs() {
  const uint64_t n = uint64_t{hp_.layer_input_dim} * hp_.n_layers;
  if (n == 0) {
    return;
  }
  declarations_.AddMatrix("per_layer_token_embd.weight", n, hp_.vocab_size,
                          weights_.input_embedding, Need::kRequired, memory::Account::kVocab);
  declarations_.AddMatrix("per_layer_model_proj.weight", hp_.hidden_dim, n,
                          weights_.input_projection);
  declarations_.KeepLastResident();
  declarations_.AddVector("per_layer_proj_norm.weight", {hp_.layer_input_dim}, weights_.input_norm);
}

bool Model::TurnsByLongFactors() const {
  return hp_.rope.scaling == RopeScaling::kLongRope &&
         std::min(options_.n_ctx, hp_.n_ctx_train) > hp_.rope.n_ctx_original;
}

ScratchShape Model::MakeScratchShape() const {
  ScratchShape shape;
  shape.max_tokens = options_.max_chunk;
  shape.n_threads = static_cast<uint32_t>(team_.n_threads());
  shape.matmul_workspace_bytes = options_.kernels->matmul_workspace_bytes;
  shape.attention_workspace_bytes = options_.kernels->attention_workspace_bytes;
  for (uint32_t i = 0; i < hp_.n_layers; ++i) {
    const LayerParams& layer = hp_.layers[i];
    if (IsQuantized(KvTypeOf(hp_, options_.kv, i))) {
      shape.quantized_keys = std::max<uint64_t>(shape.quantized_keys, layer.k_dim());
      shape.quantized_values =
          std::max<uint64_t>(shape.quantized_values, layer.is_latent() ? 0 : layer.v_dim());
    }
  }
  for (const BoundTensor& tensor : bound_) {
    const auto format = kernels::ActivationFormatFor(tensor.entry->dtype);
    shape.formats.q8x32 |= format == kernels::ActivationFormat::kQ8x32;
    shape.formats.q8x256 |= format == kernels::ActivationFormat::kQ8x256;
    if (TargetOf(tensor) == &weights_.embedding || TargetOf(tensor) == &weights_.input_embedding) {
      shape.embedding_row_bytes =
          std::max(shape.embedding_row_bytes, tensor.entry->bytes / hp_.vocab_size);
    }
  }
  return shape;
}

Result<std::vector<ExpertLayer>> Model::ExpertLayers() const {
  auto layers = FindExperts(bound_, weights_);
  if (layers && options_.packed != nullptr) {
    const auto file_idx = static_cast<uint32_t>(catalogue_.files.size());
    if (auto packed = ReadFromPacked(*options_.packed, file_idx, *layers); !packed) {
      return plimsoll::Forward(packed);
    }
  }
  return layers;
}

bool Model::StaysInFile(const BoundTensor& tensor, Residence residence) const {
  if (residence == Residence::kAll) {
    return false;
  }
  if (tensor.declaration->account == memory::Account::kExperts) {
    return true;
  }
  if (TargetOf(tensor) == &weights_.embedding) {
    const bool is_output = std::ranges::none_of(
        bound_, [&](const BoundTensor& t) { return TargetOf(t) == &weights_.output; });
    return CanStream(tensor) && (residence == Residence::kStreamed || !is_output);
  }
  const bool is_table = TargetOf(tensor) == &weights_.input_embedding;
  return CanStream(tensor) && (residence == Residence::kStreamed || is_table);
}

ModelNeeds Model::Needs() const {
  memory::Carver counting;
  Scratch::Lay(hp_, MakeScratchShape(), counting);
  const auto resident = [&](Residence residence) {
    std::vector<BoundTensor> tensors = bound_;
    std::erase_if(tensors, [&](const BoundTensor& t) { return StaysInFile(t, residence); });
    return CountWeightBytes(tensors);
  };
  const kv::BlockLayout layout = KvLayout();
  return {.weights = CountWeightBytes(bound_),
          .weights_paged = resident(Residence::kPaged),
          .weights_streamed = resident(Residence::kStreamed),
          .scratch = counting.used(),
          .kv_block = layout.block_bytes()};
}

std::span<const std::byte> Model::LargestWeights() const {
  std::span<const std::byte> largest;
  for (const memory::Buffer& buffer : weight_buffers_) {
    if (buffer.size() > largest.size()) {
      largest = buffer.span();
    }
  }
  return largest;
}

Result<> Model::Load(memory::Ledger& ledger, const std::function<void(uint64_t)>& on_bytes,
                     Residence residence) {
  std::vector<BoundTensor> resident;
  for (const BoundTensor& tensor : bound_) {
    if (!StaysInFile(tensor, residence)) {
      resident.push_back(tensor);
      continue;
    }
    if (TargetOf(tensor) == &weights_.embedding) {
      embedding_ = &tensor;
    }
    if (TargetOf(tensor) == &weights_.input_embedding) {
      input_embedding_ = &tensor;
    }
    if (tensor.declaration->account != memory::Account::kExperts) {
      PointAway(tensor);
    }
  }
  auto buffers = LoadTensors(catalogue_, resident, ledger, on_bytes);
  if (!buffers) {
    return plimsoll::Forward(buffers);
  }
  auto scratch = memory::Buffer::Allocate(ledger, memory::Account::kScratch, Needs().scratch,
                                          fmt::format("a chunk of {} tokens", options_.max_chunk));
  if (!scratch) {
    return plimsoll::Forward(scratch);
  }
  memory::Carver carver(scratch->span());
  scratch_ = Scratch::Lay(hp_, MakeScratchShape(), carver);
  matrix_scales_.Attach();
  weight_buffers_ = std::move(*buffers);
  scratch_buffer_ = std::move(*scratch);
  if (weights_.output.empty()) {
    weights_.output = weights_.embedding;  // tied
  }
  ropes_.emplace(hp_, weights_.rope_factors);
  return {};
}

Result<> Model::Forward(const ForwardInput& input, const LogitsFn& on_logits) {
  Invariant(ropes_.has_value() && input.tokens.size() <= options_.max_chunk,
            "a loaded model steps through at most one chunk");
  if (input.tokens.empty()) {
    return {};
  }
  const Step step = {.hp = hp_,
                     .kernels = *options_.kernels,
                     .team = team_,
                     .scratch = scratch_,
                     .tokens = input.tokens,
                     .pass = ++n_passes_,
                     .report = report_.get(),
                     .experts = paged_experts_,
                     .streamed = streamed_,
                     .activations = activations_,
                     .last_of_blocks = BeginSequences(input.tokens)};
  TurnMovedKeys(input.tokens);
  const LayerRange layers = input.layers.value_or(LayerRange{0, hp_.n_layers});
  const bool makes_logits = layers.end == hp_.n_layers && !input.wanted_logits.empty();
  if (streamed_ != nullptr) {
    streamed_->BeginPass(layers, makes_logits);
  }
  Result<> done;
  if (layers.begin == 0 || hp_.layer_input_dim != 0) {
    done = Embed(step);
  }
  if (layers.begin != 0) {
    std::ranges::copy(input.hidden_in.first(step.n() * hp_.hidden_dim), scratch_.x.begin());
  }
  if (done) {
    done = RunLayers(step, layers);
  }
  if (done && makes_logits) {
    done = MakeLogits(step, input.wanted_logits, on_logits);
  }
  if (streamed_ != nullptr) {
    streamed_->EndPass();
  }
  if (done && layers.end == hp_.n_layers) {
    EndSequences(input.tokens);
  }
  if (done && !input.hidden_out.empty()) {
    std::ranges::copy(scratch_.x.first(step.n() * hp_.hidden_dim), input.hidden_out.begin());
  }
  return done;
}

std::span<const uint32_t> Model::BeginSequences(std::span<const ChunkToken> tokens) const {
  const bool is_quantized = !scratch_.last_of_blocks.empty();
  size_t n_last = 0;
  for (size_t i = 0; i < tokens.size();) {
    kv::KvSequence* sequence = tokens[i].sequence;
    const size_t first = i;
    for (; i < tokens.size() && tokens[i].sequence == sequence; ++i) {
      if (is_quantized && sequence->originals() == nullptr &&
          tokens[i].slot % kv::kBlockTokens == kv::kBlockTokens - 1) {
        scratch_.last_of_blocks[n_last++] = static_cast<uint32_t>(i);
      }
    }
    sequence->BeginPass(tokens[first].slot, static_cast<uint32_t>(i - first));
  }
  return scratch_.last_of_blocks.first(n_last);
}

void Model::EndSequences(std::span<const ChunkToken> tokens) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i == 0 || tokens[i].sequence != tokens[i - 1].sequence) {
      tokens[i].sequence->EndPass();
    }
  }
}

void Model::TurnMovedKeys(std::span<const ChunkToken> tokens) {
  for (const ChunkToken& token : tokens) {
    if (const auto moved = token.sequence->TakeMoved()) {
      TurnKeys({.sequence = *token.sequence,
                .first = moved->first,
                .end = moved->end,
                .distance = moved->distance});
    }
  }
}

void Model::TurnKeys(const KeyTurn& turn) {
  Invariant(ropes_.has_value(), "a loaded model turns keys");
  model::TurnKeys(turn, hp_, *ropes_, *options_.kernels, team_, scratch_);
}

void Model::NormOutput(std::span<float> hidden) const {
  const std::vector<float> row(hidden.begin(), hidden.end());
  options_.kernels->rms_norm(row.data(), weights_.output_norm.data(), hp_.rms_eps, row.size(),
                             hidden.data());
}

Result<> Model::RunLayers(const Step& step, const LayerRange& layers) {
  LayerPieces pieces(step, *ropes_);
  for (uint32_t i = layers.begin; i < layers.end; ++i) {
    pieces.BeginLayer(i, i + 1 < layers.end ? &weights_.layers[i + 1].feed_forward : nullptr);
    architecture_.run_layer(pieces, weights_.layers[i]);
    if (pieces.error()) {
      return tl::unexpected(*pieces.error());
    }
  }
  pieces.EndLayers();
  return {};
}

void Model::Observe(memory::trace::RoutingObserver& observer) {
  report_ = std::make_unique<RoutingReport>(observer, hp_, options_.max_chunk);
}

Result<> Model::Embed(const Step& step) {
  auto done = LookUp(step, {weights_.embedding, embedding_, hp_.embedding_scale}, scratch_.x);
  return done && hp_.layer_input_dim != 0 ? MakeLayerInputs(step) : done;
}

Result<> Model::MakeLayerInputs(const Step& step) {
  const uint64_t n = hp_.layer_input_dim;
  const uint64_t n_inputs = n * hp_.n_layers;
  if (auto done = LookUp(
          step, {weights_.input_embedding, input_embedding_, std::sqrt(static_cast<float>(n))},
          scratch_.input_rows);
      !done) {
    return done;
  }
  PackedRows& packed = scratch_.packed_in;
  packed.floats = scratch_.x.data();
  packed.k = hp_.hidden_dim;
  step.ForEachToken([&](size_t i) { packed.Pack(step.kernels, i); });
  const tensor::Matrix& w = weights_.input_projection;
  const Product product = {w, packed.For(w.dtype, 0, step.n()), scratch_.layer_inputs.data(),
                           n_inputs};
  model::Observe(step, w, packed, step.n());
  RunProducts(step, {&product, 1});

  const float of_projection = 1.0F / std::sqrt(static_cast<float>(hp_.hidden_dim));
  const float of_both = std::sqrt(0.5F);
  step.ForEachToken([&](size_t i) {
    const auto inputs = scratch_.layer_inputs.subspan(i * n_inputs, n_inputs);
    Scale(of_projection, inputs);
    for (uint64_t at = 0; at < n_inputs; at += n) {
      step.kernels.rms_norm(&inputs[at], weights_.input_norm.data(), hp_.rms_eps, n, &inputs[at]);
    }
    step.kernels.add(scratch_.input_rows.data() + i * n_inputs, n_inputs, inputs.data());
    Scale(of_both, inputs);
  });
  return {};
}

// From a file through the system's cache, which keeps the rows of common tokens while there is
// memory to spare.
Result<> Model::LookUp(const Step& step, const RowTable& table, std::span<float> out) const {
  const auto dequantize = [&](const tensor::Matrix& rows, uint64_t row, size_t i) {
    const auto of_token = out.subspan(i * rows.k, rows.k);
    step.kernels.dequantize_row(rows, row, of_token.data());
    Scale(table.scale, of_token);
  };
  if (table.in_file == nullptr) {
    step.ForEachToken(
        [&](size_t i) { dequantize(table.rows, static_cast<uint64_t>(step.tokens[i].token), i); });
    return {};
  }
  const formats::FileRange& range = table.in_file->entry->ranges.front();
  const auto& file = catalogue_.files[range.file_idx];
  tensor::Matrix row = table.rows;
  row.rows = 1;
  row.data = scratch_.embedding_row.data();
  const auto bytes = scratch_.embedding_row.first(row.row_bytes());
  const auto offset_of = [&](size_t i) {
    return range.offset + static_cast<uint64_t>(step.tokens[i].token) * row.row_bytes();
  };
  // The disk looks for them side by side.
  for (size_t i = 1; i < step.n(); ++i) {
    file->WillNeed(offset_of(i), bytes.size());
  }
  for (size_t i = 0; i < step.n(); ++i) {
    const auto read = read_rows_ ? read_rows_(range.file_idx, offset_of(i), bytes)
                                 : file->ReadAt(offset_of(i), bytes);
    if (!read) {
      return tl::unexpected(read.error().In(fmt::format("tensor {}", table.in_file->entry->name)));
    }
    dequantize(row, 0, i);
  }
  return {};
}

Result<> Model::MakeLogits(const Step& step, std::span<const uint32_t> wanted,
                           const LogitsFn& on_logits) {
  const uint64_t d = hp_.hidden_dim;
  PackedRows& packed = scratch_.packed_in;
  packed.floats = scratch_.normed.data();
  packed.k = d;
  for (size_t first = 0; first < wanted.size(); first += kLogitRows) {
    const size_t n = std::min<size_t>(kLogitRows, wanted.size() - first);
    for (size_t i = 0; i < n; ++i) {
      step.kernels.rms_norm(scratch_.x.data() + wanted[first + i] * d, weights_.output_norm.data(),
                            hp_.rms_eps, d, scratch_.normed.data() + i * d);
      packed.Pack(step.kernels, i);
    }
    model::Observe(step, weights_.output, packed, n);
    if (auto made = RunOutput(step, packed, n); !made) {
      return made;
    }
    for (size_t i = 0; i < n; ++i) {
      const auto logits = scratch_.logits.subspan(i * hp_.vocab_size, hp_.vocab_size);
      Scale(hp_.logit_scale, logits);
      CapLogits(*options_.kernels, hp_.logit_cap, logits);
      on_logits(wanted[first + i], logits);
    }
  }
  return {};
}

Result<> Model::RunOutput(const Step& step, const PackedRows& packed, size_t n) {
  const kernels::Activations x = packed.For(weights_.output.dtype, 0, n);
  if (weights_.output.data != nullptr) {
    const Product product = {weights_.output, x, scratch_.logits.data(), hp_.vocab_size};
    RunProducts(step, {&product, 1});
    return {};
  }
  for (size_t i = 0; i < streamed_->n_output_tiles(); ++i) {
    const auto tile = streamed_->UseOutput(i);
    if (!tile) {
      return tl::unexpected(tile.error());
    }
    Product product = {tile->matrix, x, scratch_.logits.data() + tile->first_row, hp_.vocab_size};
    product.w.scale = weights_.output.scale;
    RunProducts(step, {&product, 1});
  }
  return {};
}

}  // namespace plimsoll::model
