// The models of a server, as its routes see them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/service.h"
#include "server/api/api_error.h"

namespace plimsoll::server {

// How far the loading of a model is.
struct LoadState {
  bool loaded = false;
  bool failed = false;
  engine::LoadProgress progress;
  ErrorKind error = ErrorKind::kFailed;  // with `failed`, as the next
  std::string message;
};

struct ModelListing {
  std::string name;
  uint64_t file_bytes = 0;
  int64_t created = 0;  // seconds since 1970, of the file
  LoadState state;
};

// Thread-safe.
class Models {
 public:
  virtual ~Models() = default;

  [[nodiscard]] virtual std::vector<ModelListing> List() const = 0;

  // Calls `then` with the model of that name ("": the first), when it is loaded: at once, or later
  // on another thread. 404 model_not_found, 503 while it cannot be loaded. A model is not unloaded
  // while someone holds it.
  using UseFn = std::function<void(api::ApiResult<std::shared_ptr<engine::Service>>)>;
  virtual void Use(const std::string& name, UseFn then) = 0;

  // Gives the memory of a model back as soon as nobody uses it. No effect on one that is not
  // loaded.
  virtual void Unload(const std::string& name) = 0;

  // Those that are loaded now.
  [[nodiscard]] virtual std::vector<std::shared_ptr<engine::Service>> Loaded() const = 0;

  // The line over all models, in bytes, and the least that it can be moved to now.
  [[nodiscard]] virtual uint64_t line() const = 0;
  [[nodiscard]] virtual uint64_t least_line() const = 0;
  [[nodiscard]] virtual Result<> SetLine(uint64_t bytes) = 0;

  // Ends all requests until `deadline`, as engine::Service::Drain.
  virtual void Drain(std::chrono::steady_clock::time_point deadline) = 0;
};

}  // namespace plimsoll::server
