// Whether a server is alive and ready, for those who watch it.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "engine/engine.h"
#include "server/http/router.h"

namespace plimsoll::server {

// Thread-safe.
class Health {
 public:
  enum class State { kLoading, kReady, kDraining };

  void SetProgress(const engine::LoadProgress& progress);
  void SetState(State state);
  [[nodiscard]] State state() const;

  // 200 with {"status":"ok"}, or 503 with an error object and how far loading is.
  [[nodiscard]] http::Response Describe() const;

 private:
  mutable std::mutex mutex_;
  State state_ = State::kLoading;
  engine::LoadProgress progress_;
};

// /livez (open, whatever there is to do), /readyz, and /health as llama-server has it.
void AddHealthRoutes(http::Router& router, const std::shared_ptr<Health>& health);

// The routes of a server that loads: the above, and 503 for everything else.
[[nodiscard]] http::Router LoadingRoutes(const std::shared_ptr<Health>& health);

}  // namespace plimsoll::server
