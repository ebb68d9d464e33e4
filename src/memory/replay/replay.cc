#include "memory/replay/replay.h"

#include "memory/replay/slots.h"

namespace plimsoll::memory::replay {

ReplayCounts Replay(const ReferenceStream& stream, policy::Policy& policy, uint32_t n_slots) {
  Slots slots(policy, stream.layout().n_pages(), n_slots);
  ReplayCounts counts;
  for (size_t i = 0; i < stream.size(); ++i) {
    const policy::LayerVisit visit = stream.visit(i);
    PhaseCounts& phase = visit.phase == policy::Phase::kDecode ? counts.decode : counts.prefill;
    phase.references += stream.pages(i).size();
    phase.misses += slots.Serve(visit, stream.pages(i));
  }
  return counts;
}

}  // namespace plimsoll::memory::replay
