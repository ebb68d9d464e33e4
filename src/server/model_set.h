// Several models under one line: each is loaded when it is first asked for, and gives room to
// others while nobody uses it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/models.h"
#include "server/share_line.h"

namespace plimsoll::server {

struct ModelSource {
  std::string name;                 // what clients call it
  std::vector<std::string> others;  // what they may call it too
  uint64_t file_bytes = 0;
  int64_t created = 0;  // seconds since 1970, of the file
};

// What the set asks of the engines. Called by one thread at a time.
class ModelLoader {
 public:
  virtual ~ModelLoader() = default;
  // From the model's headers; nothing big is allocated. kDoesNotFit, with what would do, when not
  // even all of the line is enough.
  [[nodiscard]] virtual Result<LineWish> Plan(size_t model, uint64_t whole_line) = 0;
  // A service within a line of its own. kDoesNotFit when the line is too low.
  [[nodiscard]] virtual Result<std::shared_ptr<engine::Service>> Load(
      size_t model, uint64_t line, const engine::Engine::ProgressFn& on_progress) = 0;
};

struct ModelSetOptions {
  uint64_t line = 0;                         // of all models together, and what is kept
  uint64_t kept_bytes = 0;                   // of the line, for others: what connections may take
  std::optional<double> keep_alive_seconds;  // that a model stays unused; nothing: until need
  double max_wait_seconds = 300;             // that a request waits for others to be over
  uint32_t max_waiting = 256;                // requests that wait for a model, over all models
  double line_wait_seconds = 5;              // that SetLine waits for a load
};

// The lines of the loaded models and of the one that is being loaded add up to at most the line, at
// any moment: models are unloaded and lines lowered before another is loaded or a line raised. A
// load that fails raises the others' lines again; models that were unloaded for it are loaded when
// they are next asked for. Loads happen one after another on a thread of the set's, in the order in
// which they were first asked for; who asks for a model that has to go for another waits behind
// that.
class ModelSet final : public Models {
 public:
  // At least one source; names differ. `loader` knows the models by their index.
  ModelSet(std::vector<ModelSource> sources, std::unique_ptr<ModelLoader> loader,
           const ModelSetOptions& options);
  // Those that wait are refused. What is in use lives on until it is not.
  ~ModelSet() override;
  ModelSet(const ModelSet&) = delete;
  ModelSet& operator=(const ModelSet&) = delete;

  [[nodiscard]] std::vector<ModelListing> List() const override;
  void Use(const std::string& name, UseFn then) override;
  void Unload(const std::string& name) override;
  [[nodiscard]] std::vector<std::shared_ptr<engine::Service>> Loaded() const override;
  [[nodiscard]] uint64_t line() const override;
  // What all that are in use need, and any that is loaded alone.
  [[nodiscard]] uint64_t least_line() const override;
  // Waits for the present load, if there is one, but not long: kFailed then.
  [[nodiscard]] Result<> SetLine(uint64_t bytes) override;
  void Drain(std::chrono::steady_clock::time_point deadline) override;
  // Of the line, what the models do not get.
  [[nodiscard]] uint64_t kept_bytes() const { return kept_bytes_; }

 private:
  class State;
  const uint64_t kept_bytes_;
  // Shared with those who use a model, who may outlive the set.
  std::shared_ptr<State> state_;
};

}  // namespace plimsoll::server
