// What a model would take and cost with any line, from the headers of its files alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/cost_model.h"
#include "engine/engine.h"
#include "engine/fit_model.h"
#include "engine/miss_curve.h"
#include "formats/catalogue.h"
#include "formats/packed/packed_file.h"
#include "formats/summary.h"
#include "kernels/kernels.h"
#include "kernels/team.h"

namespace plimsoll::engine {

// Lines that are worth knowing, in bytes.
struct Landmarks {
  uint64_t least = 0;  // below it nothing runs
  uint64_t dense = 0;  // all dense weights stay in memory; below it some are read for every token
  // One token's experts of all layers have frames; below it every token reads most of its own
  // anew. As `least` without experts to page.
  uint64_t cycle = 0;
  uint64_t all = 0;        // everything stays in memory, with short chunks of a prompt
  uint64_t all_chunk = 0;  // the same with chunks as long as was asked
};

// Not thread-safe.
class Planner {
 public:
  // Of `options` the model, the context and how often it is held, its precision, threads, kernels,
  // chunk and packed file count. The errors of Engine::Load, but for the line's.
  [[nodiscard]] static Result<std::unique_ptr<Planner>> Open(const EngineOptions& options);
  Planner(const Planner&) = delete;
  Planner& operator=(const Planner&) = delete;

  // The line that the engine would draw.
  [[nodiscard]] uint64_t LineFor(const std::optional<SizeSpec>& memory) const;
  // What the engine would do with a line. kDoesNotFit as OpenToFit.
  [[nodiscard]] Result<FittedModel> At(uint64_t line);

  [[nodiscard]] const Landmarks& landmarks() const { return landmarks_; }
  [[nodiscard]] const model::HyperParams& hyper_params() const { return hp_; }
  [[nodiscard]] const formats::Summary& contents() const { return contents_; }
  [[nodiscard]] const formats::Catalogue& catalogue() const { return catalogue_; }
  [[nodiscard]] const kernels::KernelSet& kernels() const { return *fit_.kernels; }
  [[nodiscard]] uint32_t n_threads() const { return static_cast<uint32_t>(team_->n_threads()); }
  [[nodiscard]] uint32_t n_ctx() const { return n_ctx_; }
  [[nodiscard]] uint32_t n_parallel() const { return fit_.n_parallel; }
  [[nodiscard]] const kv::Precision& kv() const { return fit_.kv; }
  [[nodiscard]] const kv::policy::PolicyOptions& kv_policy() const { return fit_.kv_policy; }
  // Whether tokens choose among experts, in any layer.
  [[nodiscard]] bool has_experts() const;
  // The model's, or its file's.
  [[nodiscard]] std::string name() const;
  // Whether most weights are met by 8-bit dot products, not by floats.
  [[nodiscard]] bool is_quantized() const;
  // Of this model's last measured run, or else of models of its shape.
  [[nodiscard]] MissCurve Misses() const;
  // The share of the bound that its last measured run reached here, or else a typical one.
  [[nodiscard]] double Reached() const;
  // Of the token at a position that sees all before it.
  [[nodiscard]] TokenWork WorkAt(uint32_t position) const;

 private:
  Planner() = default;
  [[nodiscard]] Result<> FindLandmarks();
  [[nodiscard]] Result<> FindCycle();

  formats::Catalogue catalogue_;
  formats::Summary contents_;
  std::unique_ptr<const formats::packed::PackedFile> packed_;  // null: there is none
  std::unique_ptr<kernels::Team> team_;
  FitOptions fit_;
  uint64_t tokenizer_bytes_ = 0;
  uint32_t n_ctx_ = 0;
  model::HyperParams hp_;
  std::vector<model::ExpertLayer> layers_;
  Landmarks landmarks_;
};

}  // namespace plimsoll::engine
