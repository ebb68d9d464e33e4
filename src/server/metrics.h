// GET /metrics: what runs, what it costs, and where the time goes.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "engine/service.h"
#include "server/http/limits.h"
#include "server/request_times.h"

namespace plimsoll::server {

struct ModelMetrics {
  std::string name;
  std::shared_ptr<engine::Service> service;
  std::shared_ptr<const RequestTimes> times;
};

[[nodiscard]] std::string WriteMetrics(std::span<const ModelMetrics> models,
                                       const http::ConnectionStats& connections);

}  // namespace plimsoll::server
