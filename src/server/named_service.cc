#include "server/named_service.h"

#include <utility>

namespace plimsoll::server {
namespace {

class NamedService final : public engine::Service {
 public:
  NamedService(std::shared_ptr<engine::Service> service, const std::string& name,
               std::optional<engine::DecodeBound> bound)
      : service_(std::move(service)), summary_(service_->summary()), bound_(std::move(bound)) {
    summary_.name = name;
  }

  [[nodiscard]] const engine::ModelSummary& summary() const override { return summary_; }
  [[nodiscard]] const text::Tokenizer& tokenizer() const override { return service_->tokenizer(); }
  [[nodiscard]] Result<const text::ChatTemplate*> chat_template() const override {
    return service_->chat_template();
  }
  [[nodiscard]] std::optional<kv::policy::PolicyProblem> KvProblemOf(
      const engine::GenerationRequest& request) const override {
    return service_->KvProblemOf(request);
  }
  [[nodiscard]] Result<tl::expected<engine::RequestId, engine::Overload>> Submit(
      engine::GenerationRequest request, std::shared_ptr<engine::GenerationSink> sink) override {
    return service_->Submit(std::move(request), std::move(sink));
  }
  void Cancel(engine::RequestId id) override { service_->Cancel(id); }
  [[nodiscard]] tl::expected<engine::RequestId, engine::Overload> Embed(Texts texts,
                                                                        EmbedFn on_done) override {
    return service_->Embed(std::move(texts), std::move(on_done));
  }
  [[nodiscard]] engine::ServiceSnapshot Snapshot() const override { return service_->Snapshot(); }
  [[nodiscard]] memory::LedgerSnapshot ledger() const override { return service_->ledger(); }
  [[nodiscard]] std::optional<engine::PagingSnapshot> paging() const override {
    return service_->paging();
  }
  [[nodiscard]] std::optional<engine::StreamingSnapshot> streaming() const override {
    return service_->streaming();
  }
  [[nodiscard]] std::optional<std::string> read_trouble() const override {
    return service_->read_trouble();
  }
  [[nodiscard]] std::optional<engine::DecodeCost> bound() const override {
    return bound_ ? std::optional(bound_->Now(paging(), streaming())) : std::nullopt;
  }
  [[nodiscard]] Result<> SetLine(uint64_t bytes) override { return service_->SetLine(bytes); }
  [[nodiscard]] uint64_t LineFor(const std::optional<SizeSpec>& memory) const override {
    return service_->LineFor(memory);
  }
  [[nodiscard]] uint64_t LeastLine() const override { return service_->LeastLine(); }
  void Drain(std::chrono::steady_clock::time_point deadline) override { service_->Drain(deadline); }

 private:
  std::shared_ptr<engine::Service> service_;
  engine::ModelSummary summary_;
  std::optional<engine::DecodeBound> bound_;
};

}  // namespace

std::shared_ptr<engine::Service> WithName(std::shared_ptr<engine::Service> service,
                                          const std::string& name,
                                          std::optional<engine::DecodeBound> bound) {
  return std::make_shared<NamedService>(std::move(service), name, std::move(bound));
}

}  // namespace plimsoll::server
