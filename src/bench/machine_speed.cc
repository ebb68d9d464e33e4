#include "bench/machine_speed.h"

#include <utility>

#include "io/disk_speed.h"

namespace plimsoll::bench {

engine::MachineSpeed SpeedFrom(const MachinePeak& peak, const engine::Planner& planner) {
  engine::MachineSpeed speed;
  speed.memory = peak.read_bytes;
  speed.multiply_adds = planner.is_quantized() ? peak.int8_dots : peak.fmas;
  speed.attention_multiply_adds = peak.fmas;
  return speed;
}

std::optional<engine::MachineSpeed> KnownSpeed(const engine::Planner& planner) {
  const auto peak = KnownPeak(planner.kernels(), planner.n_threads());
  if (!peak || planner.catalogue().files.empty()) {
    return std::nullopt;
  }
  auto disk = io::KnownDiskSpeed(*planner.catalogue().files.front());
  if (!disk) {
    return std::nullopt;
  }
  engine::MachineSpeed speed = SpeedFrom(*peak, planner);
  speed.disk = *std::move(disk);
  return speed;
}

}  // namespace plimsoll::bench
