#include "engine/engine.h"

#include <algorithm>
#include <vector>

#include "engine/attention_work.h"
#include "engine/batch/batcher.h"
#include "engine/bundled_model.h"
#include "engine/engine_state.h"
#include "engine/fit_model.h"
#include "engine/group_limit.h"
#include "engine/line_sharing.h"
#include "engine/request_scorer.h"
#include "engine/session.h"
#include "engine/vocabulary_from_metadata.h"
#include "io/machine.h"
#include "sampling/constrained_memory.h"

namespace plimsoll::engine {
namespace {

ModelSummary Summarize(const formats::Catalogue& catalogue, uint32_t n_ctx,
                       const EngineState& state, const EngineOptions& options) {
  const model::HyperParams& hp = state.model->hyper_params();
  ModelSummary summary;
  summary.name = hp.name.empty() ? catalogue.files.front()->name() : hp.name;
  summary.architecture = hp.architecture;
  summary.file_bytes = catalogue.TotalBytes();
  summary.n_ctx_train = hp.n_ctx_train;
  summary.n_ctx = n_ctx;
  summary.n_layers = hp.n_layers;
  summary.kernels = state.kernels->name;
  summary.n_threads = static_cast<uint32_t>(state.team->n_threads());
  summary.prefill_chunk = state.model->max_chunk();
  summary.kv_type = options.kv.Text();
  summary.kv_policy = options.kv_policy.Text();
  return summary;
}

// What `memory` means for a model of so many bytes. held_bytes: what is under the line already.
uint64_t ResolveLine(const std::optional<SizeSpec>& memory, uint64_t model_bytes,
                     const io::MemoryFacts& facts, uint64_t held_bytes) {
  return memory ? memory->Resolve(model_bytes) : io::DefaultMemoryLine(facts, held_bytes);
}

Result<uint64_t> DrawLine(const EngineOptions& options, uint64_t model_bytes) {
  const io::MemoryFacts facts = io::ReadMemoryFacts();
  const uint64_t line = ResolveLine(options.memory, model_bytes, facts, 0);
  if (options.memory) {
    if (auto allowed = CheckGroupAllows(line, facts); !allowed) {
      return Forward(allowed);
    }
  }
  return line;
}

// The tokenizer's, and where answers may be held to a form what that keeps, with room for the
// places of some of them.
void ReserveVocabulary(EngineState& state, const EngineOptions& options, uint64_t bytes) {
  const auto reserve = [&](uint64_t n) {
    auto reserved = state.ledger->Reserve(memory::Account::kVocab, n);
    Invariant(reserved.has_value(), "a plan that fits grants the tokenizer");
    return *std::move(reserved);
  };
  const uint64_t answer_bytes = sampling::AnswerBytes(state.tokenizer->size());
  for (uint32_t i = 0; i < ConstrainedAnswers(*state.tokenizer, options); ++i) {
    state.answer_rooms.push_back(reserve(answer_bytes));
    bytes -= answer_bytes;
  }
  state.tokenizer_memory = reserve(bytes);
}

Result<> LoadWeights(EngineState& state, const LineDivision& division,
                     const Engine::ProgressFn& on_progress) {
  LoadProgress progress;
  const StreamShare& stream = division.stream;
  progress.bytes_total =
      division.residence == Residence::kAll
          ? state.catalogue.TotalBytes()
          : division.parts.dense + division.parts.vocab - stream.kept_bytes - stream.ring_bytes;
  return state.model->Load(
      *state.ledger,
      [&](uint64_t bytes) {
        progress.bytes_done += bytes;
        if (on_progress) {
          on_progress(progress);
        }
      },
      division.residence);
}

// What the division leaves in the files.
Result<> PageWeights(EngineState& state, const LineDivision& division,
                     const EngineOptions& engine_options) {
  const PagingOptions options = {.policy = engine_options.policy,
                                 .io = engine_options.io,
                                 .prefetch = engine_options.prefetch,
                                 .profiles = engine_options.profiles,
                                 .on_note = engine_options.on_note,
                                 .traffic = state.traffic.get(),
                                 .trouble = state.read_trouble.get()};
  state.model->ReadRowsWith([&state](uint32_t file_idx, uint64_t offset, std::span<std::byte> out) {
    return state.read_trouble->ReadAt(state.catalogue.files[file_idx], offset, out);
  });
  if (!division.experts.empty()) {
    auto paging = StartPaging(state.catalogue, state.packed.get(), *state.model, division, options,
                              *state.ledger, *state.team);
    if (!paging) {
      return Forward(paging);
    }
    state.paging = std::move(*paging);
    state.model->PageExperts(*state.paging->experts);
  }
  if (division.residence == Residence::kStreamed) {
    auto streaming =
        StartStreaming(state.catalogue, *state.model, division, options, *state.ledger);
    if (!streaming) {
      return Forward(streaming);
    }
    state.streaming = std::move(*streaming);
    state.model->StreamWeights(*state.streaming->weights);
  }
  return {};
}

Result<> RecordTrace(EngineState& state, const std::filesystem::path& path) {
  const model::HyperParams& hp = state.model->hyper_params();
  if (std::ranges::none_of(hp.layers, &model::LayerParams::is_moe)) {
    return Fail(ErrorKind::kUsage, "{} has no experts: there is no routing to record",
                state.summary.name);
  }
  auto recorder = memory::trace::Recorder::Create(path, state.summary.name, hp.architecture,
                                                  model::RoutedLayers(hp));
  if (!recorder) {
    return Forward(recorder);
  }
  state.recorder = *std::move(recorder);
  state.model->Observe(*state.recorder);
  return {};
}

Result<> RecordImportance(EngineState& state, const ImportanceOptions& options) {
  auto recorder = ImportanceRecorder::Create(RecordedInputs(*state.model, options), *state.ledger);
  if (!recorder) {
    return Forward(recorder);
  }
  state.importance = *std::move(recorder);
  state.importance_output = options.output;
  state.model->Observe(*state.importance);
  return {};
}

class LoadedEngine final : public Engine {
 public:
  explicit LoadedEngine(std::unique_ptr<EngineState> state) : state_(std::move(state)) {}
  LoadedEngine(const LoadedEngine&) = delete;
  LoadedEngine& operator=(const LoadedEngine&) = delete;
  // A profile that cannot be written costs the next run its hint, and nothing else.
  ~LoadedEngine() override {
    if (state_->paging != nullptr) {
      static_cast<void>(state_->paging->RememberHotSet());
    }
  }

  [[nodiscard]] const ModelSummary& summary() const override { return state_->summary; }
  [[nodiscard]] const text::Tokenizer& tokenizer() const override { return *state_->tokenizer; }
  [[nodiscard]] Result<const text::ChatTemplate*> chat_template() const override {
    if (!state_->chat_template) {
      return tl::unexpected(state_->chat_template.error());
    }
    return state_->chat_template->get();
  }
  [[nodiscard]] memory::LedgerSnapshot ledger() const override {
    return state_->ledger->Snapshot();
  }
  [[nodiscard]] std::optional<std::string> read_trouble() const override {
    return state_->read_trouble->Now();
  }
  [[nodiscard]] std::optional<PagingSnapshot> paging() const override {
    return state_->paging == nullptr ? std::nullopt : std::optional(state_->paging->Snapshot());
  }
  [[nodiscard]] std::optional<StreamingSnapshot> streaming() const override {
    return state_->streaming == nullptr ? std::nullopt
                                        : std::optional(state_->streaming->Snapshot());
  }
  [[nodiscard]] Result<> SetLine(uint64_t bytes) override { return MoveLine(*state_, bytes); }
  [[nodiscard]] uint64_t LineFor(const std::optional<SizeSpec>& memory) const override {
    const uint64_t held = std::min(state_->ledger->Snapshot().reserved_bytes, io::ResidentMemory());
    return ResolveLine(memory, state_->catalogue.TotalBytes(), io::ReadMemoryFacts(), held);
  }
  [[nodiscard]] uint64_t LeastLine() const override { return MovableOf(*state_).least_line(); }
  [[nodiscard]] const formats::Summary& contents() const override { return state_->contents; }
  [[nodiscard]] std::span<const std::byte> weights() const override {
    return state_->model->LargestWeights();
  }
  [[nodiscard]] AttentionWork AttentionAt(uint32_t position) const override {
    return plimsoll::engine::AttentionAt(state_->model->hyper_params(), state_->kv_pool->layout(),
                                         position);
  }
  [[nodiscard]] Result<std::unique_ptr<Session>> NewSession() override {
    return MakeSession(*state_);
  }
  [[nodiscard]] Result<std::unique_ptr<batch::Batcher>> NewBatcher(
      const batch::BatchOptions& options) override {
    auto batcher = batch::Batcher::Create(*state_, options);
    if (batcher) {
      KeepRoomForRequestScorer(*state_);
    }
    return batcher;
  }
  [[nodiscard]] Result<> FinishTrace() override {
    return state_->recorder == nullptr ? Result<>() : state_->recorder->Finish();
  }
  [[nodiscard]] Result<> WriteImportance(const ImportanceSource& source) override {
    return state_->importance == nullptr
               ? Engine::WriteImportance(source)
               : state_->importance->Write(state_->importance_output, source);
  }

 private:
  std::unique_ptr<EngineState> state_;
};

Result<std::unique_ptr<const text::ChatTemplate>> ParseTemplate(const formats::Metadata& metadata) {
  const auto source = metadata.StringOr("tokenizer.chat_template", "");
  if (!source) {
    return tl::unexpected(source.error());
  }
  if (source->empty()) {
    return nullptr;
  }
  return text::ChatTemplate::Parse(*source);
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Load(const EngineOptions& options,
                                             const ProgressFn& on_progress) {
  auto state = std::make_unique<EngineState>();
  if (auto known =
          CheckNames({.policy = options.policy, .io = options.io, .prefetch = options.prefetch});
      !known) {
    return Forward(known);
  }
  auto catalogue = OpenCatalogue(options.model);
  if (!catalogue) {
    return Forward(catalogue);
  }
  state->catalogue = std::move(*catalogue);
  state->contents = formats::Summarise(state->catalogue);
  const auto kernels = kernels::SelectKernelSet(options.kernels);
  if (!kernels) {
    return tl::unexpected(kernels.error());
  }
  state->kernels = *kernels;
  const io::CoreFacts cores = io::ReadCoreFacts();
  state->team = std::make_unique<kernels::Team>(
      options.n_threads != 0 ? options.n_threads : cores.n_usable, cores.processors);
  // The architecture is looked at first: of a file that can't run at all, say that.
  if (auto opened =
          model::Model::Open(state->catalogue, *state->team,
                             {.max_chunk = 1, .kernels = state->kernels, .kv = options.kv});
      !opened) {
    return Forward(opened);
  }
  auto vocabulary = VocabularyFromMetadata(state->catalogue.metadata);
  if (!vocabulary) {
    return Forward(vocabulary);
  }
  auto tokenizer = text::Tokenizer::Create(std::move(*vocabulary));
  if (!tokenizer) {
    return Forward(tokenizer);
  }
  state->tokenizer = std::move(*tokenizer);
  state->chat_template = ParseTemplate(state->catalogue.metadata);

  auto packed = FindPacked(state->catalogue, options);
  if (!packed) {
    return Forward(packed);
  }
  state->packed = std::move(*packed);
  const auto drawn = DrawLine(options, state->catalogue.TotalBytes());
  if (!drawn) {
    return tl::unexpected(drawn.error());
  }
  const uint64_t line = *drawn;
  const uint64_t tokenizer_bytes = TokenizerMemory(*state->tokenizer, options);
  auto fitted = OpenToFit(state->catalogue, *state->team,
                          {.n_ctx = options.n_ctx,
                           .n_parallel = options.n_parallel,
                           .prefill_chunk = options.prefill_chunk,
                           .batches = options.batches,
                           .kernels = state->kernels,
                           .packed = state->packed.get(),
                           .kv = options.kv,
                           .kv_policy = options.kv_policy,
                           .kv_disk_bytes = options.kv_disk.bytes,
                           .importance = options.importance},
                          tokenizer_bytes, line);
  if (!fitted) {
    return Forward(fitted);
  }
  state->model = std::move(fitted->model);
  if (options.importance) {
    if (auto checked = CheckImportanceOutput(state->catalogue,
                                             RecordedInputs(*state->model, *options.importance),
                                             options.importance->output);
        !checked) {
      return Forward(checked);
    }
  }
  if (state->tokenizer->size() > state->model->hyper_params().vocab_size) {
    return Fail(ErrorKind::kBadModel, "the tokenizer has {} tokens, the embedding only {} rows",
                state->tokenizer->size(), state->model->hyper_params().vocab_size);
  }
  state->summary = Summarize(state->catalogue, fitted->needs.n_ctx, *state, options);
  state->kv_disk = options.kv_disk;
  state->on_note = options.on_note;
  state->ledger = std::make_unique<memory::Ledger>(line);
  state->traffic = std::make_unique<io::Traffic>();
  state->read_trouble = std::make_unique<io::ReadTrouble>();
  ReserveVocabulary(*state, options, tokenizer_bytes);
  // First, so that frames are made ready while weights are read.
  if (auto paged = PageWeights(*state, fitted->division, options); !paged) {
    return Forward(paged);
  }
  if (auto loaded = LoadWeights(*state, fitted->division, on_progress); !loaded) {
    return Forward(loaded);
  }
  state->kv_pool = std::make_unique<kv::BlockPool>(*state->ledger, state->model->KvLayout());
  state->eviction = fitted->needs.eviction;
  if (const auto& room = fitted->needs.scorer_room; room.max_slots > 0) {
    auto scorer = state->model->MakeScorer(*state->ledger, room);
    if (!scorer) {
      return Forward(scorer);
    }
    state->scorer = *std::move(scorer);
  }
  const MemoryPlan& parts = fitted->division.parts;
  const uint64_t tables = state->ledger->Snapshot().of(memory::Account::kIndex).bytes;
  const bool kept =
      state->ledger->SetLimits(memory::Account::kKv, {.floor_bytes = parts.kv}) &&
      state->ledger->SetLimits(memory::Account::kIndex, {.floor_bytes = tables + parts.requests});
  Invariant(kept, "a plan that fits has room for its sequences");
  if (options.importance) {
    if (auto recording = RecordImportance(*state, *options.importance); !recording) {
      return Forward(recording);
    }
  }
  if (options.trace) {
    if (auto recording = RecordTrace(*state, *options.trace); !recording) {
      return Forward(recording);
    }
  }
  return std::make_unique<LoadedEngine>(std::move(state));
}

}  // namespace plimsoll::engine
