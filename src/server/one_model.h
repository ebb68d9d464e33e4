// The models of a server that has one, which is there.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/models.h"

namespace plimsoll::server {

class OneModel final : public Models {
 public:
  explicit OneModel(std::shared_ptr<engine::Service> service) : service_(std::move(service)) {}

  [[nodiscard]] std::vector<ModelListing> List() const override {
    return {
        {.name = service_->summary().name,
         .file_bytes = service_->summary().file_bytes,
         .created = 1'700'000'000,
         .state = {.loaded = true, .failed = false, .progress = {}, .error = {}, .message = {}}}};
  }
  void Use(const std::string& name, UseFn then) override {
    if (name.empty() || name == service_->summary().name) {
      then(service_);
    } else {
      then(tl::make_unexpected(api::ApiError{.status = 404,
                                             .message = "there is no such model",
                                             .code = "model_not_found",
                                             .param = "model"}));
    }
  }
  void Unload(const std::string& /*name*/) override {}
  [[nodiscard]] std::vector<std::shared_ptr<engine::Service>> Loaded() const override {
    return {service_};
  }
  [[nodiscard]] uint64_t line() const override { return service_->ledger().budget_bytes; }
  [[nodiscard]] uint64_t least_line() const override { return service_->LeastLine(); }
  [[nodiscard]] Result<> SetLine(uint64_t bytes) override { return service_->SetLine(bytes); }
  void Drain(std::chrono::steady_clock::time_point deadline) override { service_->Drain(deadline); }

 private:
  std::shared_ptr<engine::Service> service_;
};

}  // namespace plimsoll::server
