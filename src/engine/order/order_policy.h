// Which of the requests that wait is computed next.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace plimsoll::engine::order {

// What a policy knows of a request that waits.
struct WaitingRequest {
  std::string_view client = {};  // who asks; tells kinds of work apart (length_predictor.h)
  uint32_t n_prompt = 0;         // tokens
  uint32_t n_shared = 0;         // of these, there already: they take no room of its own
  uint32_t max_output = 0;       // that the answer may have
  bool output_is_known = false;  // it will have max_output: its end is ignored
  int32_t priority = 0;          // its class: the lowest first
};

// A policy orders; it never keeps a request from running for ever: who has waited longer than the
// batcher's bound goes first whatever its rank. For one thread at a time.
class OrderPolicy {
 public:
  virtual ~OrderPolicy() = default;

  // The request with the lowest rank goes first, of equal ones the first that came.
  [[nodiscard]] virtual double Rank(const WaitingRequest& request) const = 0;
  // Whether ranks depend on WaitingRequest::n_shared, which has to be looked up.
  [[nodiscard]] virtual bool looks_at_sharing() const { return false; }
  // Tokens of the request's answer as far as the policy can tell; nothing when it does not guess.
  [[nodiscard]] virtual std::optional<double> ExpectedOutput(
      const WaitingRequest& /*request*/) const {
    return std::nullopt;
  }
  // Whether those that answer decode in groups, where that is cheaper (decode_turns.h).
  [[nodiscard]] virtual bool decodes_in_groups() const { return false; }
  // An answer of n_output tokens ended by itself or at its limit.
  virtual void Learn(const WaitingRequest& /*request*/, uint32_t /*n_output*/) {}
};

// The room that a request takes over time, in tokens times steps: its prompt for as long as it
// answers, and the answer as it grows. Smallest volume first, with this volume, is due to the
// authors of "SVF" (arXiv 2606.22327); its ratio to the best order is bounded for a burst.
[[nodiscard]] double Volume(double n_prompt, double n_output);

// "fcfs"      in order of arrival
// "priority"  by class, then in order of arrival
// "sjf"       the shortest expected answer first
// "svf"       the smallest volume first, of the part of the prompt that is not shared
// "svf-1bit"  the same with one bit of each length: short or long
// "prefix"    the longest beginning that is there already first
// "expert-union"  in order of arrival; those that share experts decode together where experts are
//                 paged. Behind another name and a plus ("svf+expert-union") with that one's order.
// kUsage for any other name; the message has the names.
[[nodiscard]] Result<std::unique_ptr<OrderPolicy>> MakeOrderPolicy(std::string_view name);
[[nodiscard]] const std::vector<std::string_view>& OrderPolicyNames();

}  // namespace plimsoll::engine::order
