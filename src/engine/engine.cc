#include "engine/engine.h"

#include <algorithm>
#include <vector>

#include "engine/attention_work.h"
#include "engine/bundled_model.h"
#include "engine/engine_state.h"
#include "engine/memory_plan.h"
#include "engine/session.h"
#include "engine/vocabulary_from_metadata.h"
#include "formats/gguf/reader.h"
#include "io/machine.h"

namespace plimsoll::engine {
namespace {

constexpr uint32_t kDefaultContext = 4096;
// Chunks are shortened down to this before a line is refused: that costs speed only.
constexpr uint32_t kShortestChunk = 32;

Result<formats::Catalogue> OpenCatalogue(const std::optional<std::filesystem::path>& model) {
  if (model) {
    return formats::OpenModel(*model);
  }
  auto file = OpenBundledModel();
  if (!file) {
    return Forward(file);
  }
  return formats::gguf::Read(*file);
}

uint32_t ContextOf(const EngineOptions& options, const model::HyperParams& hp) {
  return options.n_ctx != 0 ? options.n_ctx : std::min(hp.n_ctx_train, kDefaultContext);
}

ModelSummary Summarize(const formats::Catalogue& catalogue, const EngineOptions& options,
                       const EngineState& state) {
  const model::HyperParams& hp = state.model->hyper_params();
  ModelSummary summary;
  summary.name = hp.name.empty() ? catalogue.files.front()->name() : hp.name;
  summary.architecture = hp.architecture;
  summary.file_bytes = catalogue.TotalBytes();
  summary.n_ctx_train = hp.n_ctx_train;
  summary.n_ctx = ContextOf(options, hp);
  summary.n_layers = hp.n_layers;
  summary.kernels = state.kernels->name;
  summary.n_threads = static_cast<uint32_t>(state.team->n_threads());
  summary.prefill_chunk = state.model->max_chunk();
  return summary;
}

uint64_t LineBytes(const EngineOptions& options, uint64_t model_bytes) {
  return options.memory ? options.memory->Resolve(model_bytes)
                        : io::DefaultMemoryLine(io::ReadMemoryFacts());
}

// Opens the model with the longest chunk whose scratch memory leaves room for the rest.
Result<std::unique_ptr<model::Model>> OpenFitting(EngineState& state, const EngineOptions& options,
                                                  uint64_t line) {
  const uint64_t tokenizer_bytes = state.tokenizer->Bytes();
  model::ModelOptions model_options = {.max_chunk = std::max(options.prefill_chunk, 1U),
                                       .kernels = state.kernels};
  while (true) {
    auto model = model::Model::Open(state.catalogue, *state.team, model_options);
    if (!model) {
      return model;
    }
    const uint32_t n_ctx = ContextOf(options, (*model)->hyper_params());
    const model::ModelNeeds needs = (*model)->Needs();
    const MemoryPlan plan = PlanResident(needs, tokenizer_bytes, n_ctx);
    if (plan.total() > line && model_options.max_chunk > kShortestChunk) {
      model_options.max_chunk = std::max(model_options.max_chunk / 2, kShortestChunk);
      continue;
    }
    if (auto fits = CheckFits(plan, needs, tokenizer_bytes, n_ctx, line); !fits) {
      return Forward(fits);
    }
    return model;
  }
}

Result<> LoadWeights(EngineState& state, const Engine::ProgressFn& on_progress) {
  LoadProgress progress;
  progress.bytes_total = state.catalogue.TotalBytes();
  return state.model->Load(*state.ledger, [&](uint64_t bytes) {
    progress.bytes_done += bytes;
    if (on_progress) {
      on_progress(progress);
    }
  });
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

class LoadedEngine final : public Engine {
 public:
  explicit LoadedEngine(std::unique_ptr<EngineState> state) : state_(std::move(state)) {}

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
  [[nodiscard]] const formats::Summary& contents() const override { return state_->contents; }
  [[nodiscard]] std::span<const std::byte> weights() const override {
    return state_->model->LargestWeights();
  }
  [[nodiscard]] AttentionWork AttentionAt(uint32_t position) const override {
    return plimsoll::engine::AttentionAt(state_->model->hyper_params(), position);
  }
  [[nodiscard]] Result<std::unique_ptr<Session>> NewSession() override {
    return MakeSession(*state_);
  }
  [[nodiscard]] Result<> FinishTrace() override {
    return state_->recorder == nullptr ? Result<>() : state_->recorder->Finish();
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
  if (auto opened = model::Model::Open(state->catalogue, *state->team,
                                       {.max_chunk = 1, .kernels = state->kernels});
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

  const uint64_t line = LineBytes(options, state->catalogue.TotalBytes());
  auto model = OpenFitting(*state, options, line);
  if (!model) {
    return Forward(model);
  }
  state->model = std::move(*model);
  if (state->tokenizer->size() > state->model->hyper_params().vocab_size) {
    return Fail(ErrorKind::kBadModel, "the tokenizer has {} tokens, the embedding only {} rows",
                state->tokenizer->size(), state->model->hyper_params().vocab_size);
  }
  state->summary = Summarize(state->catalogue, options, *state);
  state->ledger = std::make_unique<memory::Ledger>(line);
  auto tokenizer_memory =
      state->ledger->Reserve(memory::Account::kVocab, state->tokenizer->Bytes());
  Invariant(tokenizer_memory.has_value(), "a plan that fits grants the tokenizer");
  state->tokenizer_memory = std::move(*tokenizer_memory);
  if (auto loaded = LoadWeights(*state, on_progress); !loaded) {
    return Forward(loaded);
  }
  state->kv_pool = std::make_unique<kv::BlockPool>(*state->ledger, state->model->KvLayout());
  if (options.trace) {
    if (auto recording = RecordTrace(*state, *options.trace); !recording) {
      return Forward(recording);
    }
  }
  return std::make_unique<LoadedEngine>(std::move(state));
}

}  // namespace plimsoll::engine
