// Real models for a ModelSet.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/decode_bound.h"
#include "engine/engine.h"
#include "engine/planner.h"
#include "engine/service.h"
#include "server/model_set.h"

namespace plimsoll::server {

// How an engine comes to be: engine::Engine::Load, or what a test puts in its place.
using LoadEngineFn = std::function<Result<std::unique_ptr<engine::Engine>>(
    const engine::EngineOptions&, const engine::Engine::ProgressFn&)>;

class EngineLoader final : public ModelLoader {
 public:
  struct Setup {
    // What the models are called, and how they are to be loaded; their line is the set's matter.
    std::vector<std::string> names;
    std::vector<engine::EngineOptions> models;
    engine::ServiceOptions service;
    LoadEngineFn load;
    // What is known of the machine that a model is to run on; may be empty. Measures nothing.
    std::function<std::optional<engine::MachineSpeed>(const engine::Planner&)> known_speed;
    // Called by the set's thread with what has been done, for people; may be empty.
    std::function<void(std::string_view)> on_note;
  };
  explicit EngineLoader(Setup setup) : s_(std::move(setup)) {}

  [[nodiscard]] Result<LineWish> Plan(size_t model, uint64_t whole_line) override;
  [[nodiscard]] Result<std::shared_ptr<engine::Service>> Load(
      size_t model, uint64_t line, const engine::Engine::ProgressFn& on_progress) override;

 private:
  Setup s_;
  std::map<size_t, engine::DecodeBound> bounds_;  // of models that were planned
};

}  // namespace plimsoll::server
