// Whether a server is alive and ready, for those who watch it.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

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

  // What tells for how many seconds the engine has been busy with one step; above `max_seconds` it
  // counts as stuck. Must be quick.
  void Watch(std::function<double()> seconds_since_step, double max_seconds);

  // What tells why a model cannot be read, if that is so. Must be quick.
  void WatchDisk(std::function<std::optional<std::string>()> trouble);

  // 200 with {"status":"ok"}, or 503 with an error object and how far loading is.
  [[nodiscard]] http::Response Describe() const;
  // The same for whoever asked for something else at this path, in its dialect.
  [[nodiscard]] http::Response Refuse(std::string_view path) const;
  // The same of the process itself: 503 when the engine is stuck, and only a restart can help.
  [[nodiscard]] http::Response DescribeLife() const;

 private:
  mutable std::mutex mutex_;
  State state_ = State::kLoading;
  engine::LoadProgress progress_;
  std::function<double()> seconds_since_step_;
  double max_seconds_ = 0;
  std::function<std::optional<std::string>()> disk_trouble_;
};

// /livez (open, whatever there is to do), /readyz, and /health as llama-server has it.
void AddHealthRoutes(http::Router& router, const std::shared_ptr<Health>& health);

// The routes of a server that loads: the above, and 503 for everything else.
[[nodiscard]] http::Router LoadingRoutes(const std::shared_ptr<Health>& health);

}  // namespace plimsoll::server
