#include "engine/order/order_policy.h"

#include <algorithm>

#include "engine/order/length_predictor.h"

namespace plimsoll::engine::order {
namespace {

class FirstCome final : public OrderPolicy {
 public:
  [[nodiscard]] double Rank(const WaitingRequest& /*request*/) const override { return 0; }
};

class ByPriority final : public OrderPolicy {
 public:
  [[nodiscard]] double Rank(const WaitingRequest& request) const override {
    return request.priority;
  }
};

class LongestPrefix final : public OrderPolicy {
 public:
  [[nodiscard]] double Rank(const WaitingRequest& request) const override {
    return -static_cast<double>(request.n_shared);
  }
  [[nodiscard]] bool looks_at_sharing() const override { return true; }
};

// Of those that look at lengths: what is known, or else what was learned.
class ByLength : public OrderPolicy {
 public:
  [[nodiscard]] std::optional<double> ExpectedOutput(const WaitingRequest& request) const override {
    const double most = request.max_output;
    return request.output_is_known ? most : std::min(most, Guess(request));
  }
  void Learn(const WaitingRequest& request, uint32_t n_output) override {
    predictor_.Learn(request.client, request.n_prompt, n_output);
  }

 protected:
  [[nodiscard]] virtual double Guess(const WaitingRequest& request) const {
    return predictor_.Predict(request.client, request.n_prompt);
  }
  [[nodiscard]] const LengthPredictor& predictor() const { return predictor_; }

 private:
  LengthPredictor predictor_;
};

class ShortestJob final : public ByLength {
 public:
  [[nodiscard]] double Rank(const WaitingRequest& request) const override {
    return *ExpectedOutput(request);
  }
};

class SmallestVolume : public ByLength {
 public:
  [[nodiscard]] double Rank(const WaitingRequest& request) const override {
    return Volume(request.n_prompt - request.n_shared, *ExpectedOutput(request));
  }
  [[nodiscard]] bool looks_at_sharing() const override { return true; }
};

// A known length is a bit too: it says what the class's usual one is.
class SmallestVolumeOfOneBit final : public SmallestVolume {
 public:
  [[nodiscard]] std::optional<double> ExpectedOutput(const WaitingRequest& request) const override {
    const double length = request.output_is_known ? request.max_output : Guess(request);
    return predictor().MeanOfClass(predictor().IsLong(length));
  }
};

// Another one's order, for requests that decode in groups.
class ExpertUnion final : public OrderPolicy {
 public:
  explicit ExpertUnion(std::unique_ptr<OrderPolicy> order) : order_(std::move(order)) {}
  ExpertUnion() : ExpertUnion(std::make_unique<FirstCome>()) {}
  [[nodiscard]] double Rank(const WaitingRequest& request) const override {
    return order_->Rank(request);
  }
  [[nodiscard]] bool looks_at_sharing() const override { return order_->looks_at_sharing(); }
  [[nodiscard]] std::optional<double> ExpectedOutput(const WaitingRequest& request) const override {
    return order_->ExpectedOutput(request);
  }
  void Learn(const WaitingRequest& request, uint32_t n_output) override {
    order_->Learn(request, n_output);
  }
  [[nodiscard]] bool decodes_in_groups() const override { return true; }

 private:
  std::unique_ptr<OrderPolicy> order_;
};

template <class Policy>
std::unique_ptr<OrderPolicy> Make() {
  return std::make_unique<Policy>();
}

struct Named {
  std::string_view name;
  std::unique_ptr<OrderPolicy> (*make)();
};
constexpr Named kPolicies[] = {{"fcfs", Make<FirstCome>},
                               {"priority", Make<ByPriority>},
                               {"sjf", Make<ShortestJob>},
                               {"svf", Make<SmallestVolume>},
                               {"svf-1bit", Make<SmallestVolumeOfOneBit>},
                               {"prefix", Make<LongestPrefix>},
                               {"expert-union", Make<ExpertUnion>}};
constexpr std::string_view kInGroups = "+expert-union";

}  // namespace

double Volume(double n_prompt, double n_output) {
  return n_prompt * n_output + (n_output * n_output + n_output) / 2;
}

const std::vector<std::string_view>& OrderPolicyNames() {
  static const std::vector<std::string_view> kNames = [] {
    std::vector<std::string_view> all;
    for (const Named& policy : kPolicies) {
      all.push_back(policy.name);
    }
    return all;
  }();
  return kNames;
}

Result<std::unique_ptr<OrderPolicy>> MakeOrderPolicy(std::string_view name) {
  if (name.ends_with(kInGroups)) {
    auto order = MakeOrderPolicy(name.substr(0, name.size() - kInGroups.size()));
    return order ? Result<std::unique_ptr<OrderPolicy>>(
                       std::make_unique<ExpertUnion>(*std::move(order)))
                 : Forward(order);
  }
  const auto found = std::ranges::find(kPolicies, name, &Named::name);
  if (found == std::ranges::end(kPolicies)) {
    return Fail(ErrorKind::kUsage, "there is no order \"{}\"; there are {}", name,
                fmt::join(OrderPolicyNames(), ", "));
  }
  return found->make();
}

}  // namespace plimsoll::engine::order
