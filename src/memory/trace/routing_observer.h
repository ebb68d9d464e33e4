// Who wants to hear what the routers choose: a recorder of traces, a policy.
#pragma once

#include "memory/policy/policy.h"

namespace plimsoll::memory::trace {

class RoutingObserver {
 public:
  RoutingObserver() = default;
  RoutingObserver(const RoutingObserver&) = delete;
  RoutingObserver& operator=(const RoutingObserver&) = delete;
  virtual ~RoutingObserver() = default;

  // Once for every layer of every pass, after its router and before its experts. The spans are
  // valid during the call.
  virtual void OnVisit(const policy::LayerVisit& visit) = 0;
};

}  // namespace plimsoll::memory::trace
