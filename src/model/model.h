// A model in memory, and the one entry into it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "formats/catalogue.h"
#include "kernels/kernels.h"
#include "kernels/team.h"
#include "kv/block_pool.h"
#include "kv/precision.h"
#include "memory/buffer.h"
#include "memory/trace/routing_observer.h"
#include "model/architecture.h"
#include "model/attention_scorer.h"
#include "model/expert_layout.h"
#include "model/loader.h"
#include "model/matrix_inputs.h"
#include "model/matrix_scales.h"
#include "model/paged_experts.h"
#include "model/residence.h"
#include "model/rope.h"
#include "model/routing_report.h"
#include "model/scratch.h"
#include "model/step.h"
#include "model/streamed_weights.h"
#include "model/turn_keys.h"

namespace plimsoll::model {

// The input of one forward pass. All tokens may be of one sequence (a prompt, a chunk of one, a
// draft tree) or of several (a batch); the result of a token does not depend on its company.
struct ForwardInput {
  // At most max_chunk(). Tokens of one sequence follow one another in ascending slots, no more of
  // them than its PassTokens.
  std::span<const ChunkToken> tokens;
  // Empty: all layers. A range that starts later takes the residual stream from `hidden_in`, one
  // that ends earlier leaves it in `hidden_out`; both are [tokens][hidden_dim].
  std::optional<LayerRange> layers;
  std::span<const float> hidden_in;
  std::span<float> hidden_out;
  // Indices into `tokens`, ascending, whose logits are wanted. Only when the range has the last
  // layer.
  std::span<const uint32_t> wanted_logits;
};

// Called once for each wanted token, in order; the logits are valid during the call.
using LogitsFn = std::function<void(uint32_t token_idx, std::span<float> logits)>;

// What a model needs in memory, known before any of it is allocated.
struct ModelNeeds {
  WeightBytes weights;           // when all of them are resident
  WeightBytes weights_paged;     // when experts are not; then no embedding is either, if it can
  WeightBytes weights_streamed;  // when dense matrices are not
  uint64_t scratch = 0;
  uint64_t kv_block = 0;  // per kv::kBlockTokens tokens of context
};

// Where keys and values lie.
[[nodiscard]] kv::BlockLayout KvLayoutOf(const HyperParams& hp, const kv::Precision& precision);

struct ModelOptions {
  uint32_t max_chunk = 512;
  // Of a sequence, in tokens; decides between LongRoPE's factors.
  uint32_t n_ctx = 0;
  const kernels::KernelSet* kernels = nullptr;
  // Null: experts are read from the model's own files. Outlives the model.
  const formats::packed::PackedFile* packed = nullptr;
  kv::Precision kv;
};

// Not thread-safe: one step at a time. Immutable but for its scratch memory.
class Model {
 public:
  // Reads hyper-parameters and binds every tensor; allocates nothing big. kUsage for a precision
  // that this model cannot have. `catalogue` and `team`
  // outlive the model.
  [[nodiscard]] static Result<std::unique_ptr<Model>> Open(const formats::Catalogue& catalogue,
                                                           kernels::Team& team,
                                                           const ModelOptions& options);

  [[nodiscard]] const HyperParams& hyper_params() const { return hp_; }
  [[nodiscard]] ModelNeeds Needs() const;
  [[nodiscard]] kv::BlockLayout KvLayout() const { return KvLayoutOf(hp_, options_.kv); }
  // Where the experts are read from, of every layer. A packed file is numbered behind the
  // catalogue's. kBadModel as FindExperts and ReadFromPacked.
  [[nodiscard]] Result<std::vector<ExpertLayer>> ExpertLayers() const;
  // What can be streamed, in the order of its use. Their targets are this model's.
  [[nodiscard]] std::vector<StreamedMatrix> Streamed() { return FindStreamed(bound_, weights_); }
  // Of the weights; page-aligned, empty before Load.
  [[nodiscard]] std::span<const std::byte> LargestWeights() const;
  [[nodiscard]] uint32_t max_chunk() const { return options_.max_chunk; }

  // Loads the weights and lays out the scratch memory, both granted by the ledger, which outlives
  // the model. What is not resident is left in the files; of the embedding rows are read as tokens
  // need them.
  [[nodiscard]] Result<> Load(memory::Ledger& ledger, const std::function<void(uint64_t)>& on_bytes,
                              Residence residence = Residence::kAll);
  // Where a model that was loaded without its experts gets them; outlives the model.
  void PageExperts(PagedExperts& experts) { paged_experts_ = &experts; }

  // Where a model that was loaded without its dense matrices gets them; outlives the model.
  void StreamWeights(StreamedWeights& streamed) { streamed_ = &streamed; }

  // What a scorer with this room takes, and, after Load, one; the model outlives it. kDoesNotFit as
  // the ledger.
  [[nodiscard]] uint64_t ScorerBytes(const ScorerRoom& room) const {
    return AttentionScorer::Bytes(ScorerParts(), room);
  }
  [[nodiscard]] Result<std::unique_ptr<AttentionScorer>> MakeScorer(memory::Ledger& ledger,
                                                                    const ScorerRoom& room) const {
    return AttentionScorer::Create(ScorerParts(), room, ledger);
  }

  // Whether keys turn by LongRoPE's factors for contexts beyond the original one: then they are not
  // those of the same model with a shorter context.
  [[nodiscard]] bool TurnsByLongFactors() const;

  // From now on `observer`, which outlives the model, hears of every routed layer.
  void Observe(memory::trace::RoutingObserver& observer);
  // What enters the matrices, and an observer of it, which outlives the model. The inputs' readers
  // are this model's.
  [[nodiscard]] std::vector<MatrixInput> MatrixInputs() const {
    return FindMatrixInputs(bound_, weights_);
  }
  void Observe(ActivationObserver& observer) { activations_ = &observer; }
  // Reads from a file of the catalogue, by its index, what lies at an offset.
  using ReadFileFn =
      std::function<Result<>(uint32_t file_idx, uint64_t offset, std::span<std::byte> out)>;
  // Has rows of tables that stay in their files read so, and not by the file itself.
  void ReadRowsWith(ReadFileFn read) { read_rows_ = std::move(read); }

  // After Load. Keys and values of the tokens are written to their slots. kIo when an expert or
  // another weight could not be read: then these are of no use, and no further logits are handed
  // out.
  [[nodiscard]] Result<> Forward(const ForwardInput& input, const LogitsFn& on_logits);
  // After Load, of a sequence whose keys are in 16 bits.
  void TurnKeys(const KeyTurn& turn);
  // The final norm, in place, of a row of ForwardInput::hidden_out behind the last layer.
  void NormOutput(std::span<float> hidden) const;

 private:
  Model(const formats::Catalogue& catalogue, const Architecture& architecture, HyperParams hp,
        kernels::Team& team, const ModelOptions& options);

  [[nodiscard]] AttentionScorer::Parts ScorerParts() const {
    return {hp_, weights_.layers, *options_.kernels, team_, KvLayout().n_quantized_layers() > 0};
  }
  void Declare();
  void DeclareLayerInputs();
  // Tells the sequences which of their tokens these are; the last ones of blocks.
  [[nodiscard]] std::span<const uint32_t> BeginSequences(std::span<const ChunkToken> tokens) const;
  // They have what a pass made.
  static void EndSequences(std::span<const ChunkToken> tokens);
  // Of those sequences whose keys stand at other positions now.
  void TurnMovedKeys(std::span<const ChunkToken> tokens);
  [[nodiscard]] ScratchShape MakeScratchShape() const;
  [[nodiscard]] bool StaysInFile(const BoundTensor& tensor, Residence residence) const;
  [[nodiscard]] Result<> RunLayers(const Step& step, const LayerRange& layers);
  [[nodiscard]] Result<> Embed(const Step& step);
  // What each layer is given of each token, from the streams that Embed makes.
  [[nodiscard]] Result<> MakeLayerInputs(const Step& step);
  // A row for each token of the vocabulary.
  struct RowTable {
    const tensor::Matrix& rows;
    const BoundTensor* in_file;  // null: it is in memory
    float scale;
  };
  // The rows of the chunk's tokens, one behind another.
  [[nodiscard]] Result<> LookUp(const Step& step, const RowTable& table,
                                std::span<float> out) const;
  [[nodiscard]] Result<> MakeLogits(const Step& step, std::span<const uint32_t> wanted,
                                    const LogitsFn& on_logits);
  [[nodiscard]] Result<> RunOutput(const Step& step, const PackedRows& packed, size_t n);

  const formats::Catalogue& catalogue_;
  const Architecture& architecture_;
  HyperParams hp_;
  kernels::Team& team_;
  ModelOptions options_;
  Declarations declarations_;
  MatrixScales matrix_scales_;
  std::vector<BoundTensor> bound_;
  ModelWeights weights_;
  std::vector<memory::Buffer> weight_buffers_;
  memory::Buffer scratch_buffer_;
  std::optional<RopeTables> ropes_;
  Scratch scratch_;
  std::unique_ptr<RoutingReport> report_;      // null: nobody observes
  ActivationObserver* activations_ = nullptr;  // the same
  PagedExperts* paged_experts_ = nullptr;      // null: all are resident
  StreamedWeights* streamed_ = nullptr;        // null: no dense matrix is
  const BoundTensor* embedding_ = nullptr;     // null: it is in memory
  const BoundTensor* input_embedding_ = nullptr;
  ReadFileFn read_rows_;  // empty: the file reads
  uint64_t n_passes_ = 0;
};

}  // namespace plimsoll::model
