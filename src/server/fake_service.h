// A service without an engine, for tests: it has a line, and that is all. Tests derive those from
// it that answer.
#pragma once

#include <cstdlib>
#include <functional>
#include <utility>

#include "base/invariant.h"
#include "engine/service.h"

namespace plimsoll::server {

class FakeService : public engine::Service {
 public:
  struct Hooks {
    std::function<Result<>(uint64_t bytes)> on_set_line;  // empty: every line is taken
    std::function<void()> on_end;
    std::function<void()> on_drain;
  };

  explicit FakeService(uint64_t least_line = 0, Hooks hooks = {})
      : least_line_(least_line), hooks_(std::move(hooks)) {}
  FakeService(const FakeService&) = delete;
  FakeService& operator=(const FakeService&) = delete;
  ~FakeService() override {
    if (hooks_.on_end) {
      hooks_.on_end();
    }
  }

  [[nodiscard]] const engine::ModelSummary& summary() const override { return summary_; }
  [[nodiscard]] const text::Tokenizer& tokenizer() const override {
    Invariant(false, "a fake service has no tokenizer");
    std::abort();
  }
  [[nodiscard]] Result<const text::ChatTemplate*> chat_template() const override { return nullptr; }
  [[nodiscard]] Result<tl::expected<engine::RequestId, engine::Overload>> Submit(
      engine::GenerationRequest /*request*/,
      std::shared_ptr<engine::GenerationSink> /*sink*/) override {
    return Fail(ErrorKind::kFailed, "a fake service computes nothing");
  }
  void Cancel(engine::RequestId /*id*/) override {}
  [[nodiscard]] tl::expected<engine::RequestId, engine::Overload> Embed(
      Texts /*texts*/, EmbedFn /*on_done*/) override {
    return tl::make_unexpected(engine::Overload{});
  }
  [[nodiscard]] engine::ServiceSnapshot Snapshot() const override { return {}; }
  [[nodiscard]] memory::LedgerSnapshot ledger() const override { return {}; }
  [[nodiscard]] std::optional<engine::PagingSnapshot> paging() const override { return {}; }
  [[nodiscard]] std::optional<engine::StreamingSnapshot> streaming() const override { return {}; }
  [[nodiscard]] Result<> SetLine(uint64_t bytes) override {
    return hooks_.on_set_line ? hooks_.on_set_line(bytes) : Result<>();
  }
  [[nodiscard]] uint64_t LineFor(const std::optional<SizeSpec>& memory) const override {
    return memory ? memory->bytes : 0;
  }
  [[nodiscard]] uint64_t LeastLine() const override { return least_line_; }
  void Drain(std::chrono::steady_clock::time_point /*deadline*/) override {
    if (hooks_.on_drain) {
      hooks_.on_drain();
    }
  }

 private:
  uint64_t least_line_;
  Hooks hooks_;
  engine::ModelSummary summary_;
};

}  // namespace plimsoll::server
