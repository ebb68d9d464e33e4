#include "server/engine_loader.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/bytes.h"
#include "server/named_service.h"

namespace plimsoll::server {

Result<LineWish> EngineLoader::Plan(size_t model, uint64_t whole_line) {
  auto planner = engine::Planner::Open(s_.models[model]);
  if (!planner) {
    return Forward(planner);
  }
  if (auto speed = s_.known_speed ? s_.known_speed(**planner) : std::nullopt) {
    bounds_[model] = {.work = (*planner)->WorkAt((*planner)->n_ctx() / 2),
                      .speed = *std::move(speed)};
  }
  const engine::Landmarks& marks = (*planner)->landmarks();
  if (whole_line < marks.least) {
    if (auto refused = (*planner)->At(whole_line); !refused) {
      return Forward(refused);
    }
  }
  const uint64_t good = std::max({marks.least, marks.dense, marks.cycle});
  return LineWish{.least = marks.least, .good = good, .all = std::max(good, marks.all_chunk)};
}

Result<std::shared_ptr<engine::Service>> EngineLoader::Load(
    size_t model, uint64_t line, const engine::Engine::ProgressFn& on_progress) {
  const auto begin = std::chrono::steady_clock::now();
  engine::EngineOptions options = s_.models[model];
  options.memory = SizeSpec{.bytes = line};
  auto engine = s_.load(options, on_progress);
  if (!engine) {
    return Forward(engine);
  }
  engine::ServiceOptions service_options = s_.service;
  if (!service_options.prefix_log.empty() && s_.names.size() > 1) {
    std::string name = s_.names[model];
    std::ranges::replace(name, '/', '-');
    service_options.prefix_log += "." + name;
  }
  auto service = engine::StartService(std::move(*engine), service_options);
  if (!service) {
    return service;
  }
  if (s_.on_note) {
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    s_.on_note(fmt::format("loaded {} within {} in {:.1f} s", s_.names[model], FormatBytes(line),
                           seconds));
  }
  const auto bound = bounds_.find(model);
  return WithName(std::move(*service), s_.names[model],
                  bound == bounds_.end() ? std::nullopt : std::optional(bound->second));
}

}  // namespace plimsoll::server
