// What one seed stands for: a model's shape, a line, a disk and a policy.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

#include "io/fake_disk.h"
#include "io/faulty_backend.h"
#include "io/reader.h"
#include "memory/pager.h"
#include "sim/draws.h"

namespace plimsoll::sim {

struct Scenario {
  uint32_t n_layers = 0;
  uint32_t n_experts = 0;  // of each layer
  uint32_t n_active = 0;   // of these, of a token
  uint32_t n_parts = 0;
  std::vector<uint64_t> part_bytes;  // by class; layers take the classes in turn
  // Parts lie one behind another, as in a GGUF, and share blocks; otherwise each begins a block.
  bool dense = false;
  double zipf = 1;  // popularity of a layer's experts
  std::string_view policy;

  std::vector<uint32_t> n_frames;      // by class: wished for
  std::vector<uint32_t> n_frames_min;  // by class
  uint64_t budget = 0;

  io::FakeDiskOptions disk;
  io::ReaderOptions reader;
  uint64_t read_ahead_bytes = 0;
  std::chrono::nanoseconds stall_bound{};
  uint32_t n_turns = 0;

  [[nodiscard]] uint32_t n_classes() const { return static_cast<uint32_t>(part_bytes.size()); }
  [[nodiscard]] uint32_t ClassOfLayer(uint32_t layer) const { return layer % n_classes(); }
  [[nodiscard]] uint32_t PagesOfClass(uint32_t page_class) const;
  // All pages of the model in a file that AddFile gave this number.
  [[nodiscard]] memory::PageHomes Homes(io::ReadFileId file) const;
  [[nodiscard]] uint64_t FileBytes() const;
};

[[nodiscard]] Scenario DrawScenario(uint64_t seed);

// A disk's next mood. kDead answers, but later than anyone waits.
struct DiskMood {
  enum class Kind : uint8_t { kGood, kUneven, kErrors, kLastingErrors, kDead };
  Kind kind = Kind::kGood;
  io::FaultPlan faults;
  std::chrono::nanoseconds latency{};
  double bytes_per_second = 0;
};
[[nodiscard]] DiskMood DrawMood(const Scenario& scenario, Draws& draws);
// As it was at first, without any fault.
[[nodiscard]] DiskMood GoodMood(const Scenario& scenario);

}  // namespace plimsoll::sim
