// The first tokens and the newest: attention sinks and a window, after Xiao et al., "Efficient
// Streaming Language Models with Attention Sinks", ICLR 2024 (StreamingLLM), in whole blocks. With
// more than one block of sinks it is the attention to a reference and a window that Unlimited OCR's
// models were trained with (R-SWA, 2026), on models that were not.
#include "kv/policy/policies.h"

namespace plimsoll::kv::policy {
namespace {

class Window final : public Policy {
 public:
  explicit Window(uint32_t n_sinks) : n_sinks_(n_sinks) {}

  // The oldest.
  void Choose(const KvSequence& /*sequence*/, uint32_t n_gone, Choice& choice) override {
    for (uint32_t i = 0; i < n_gone; ++i) {
      choice.gone.push_back(n_sinks_ + i);
    }
  }

 private:
  uint32_t n_sinks_;
};

// Quantized keys would be rounded to a few bits anew each time that they move, those that are
// turned (Precision::rotate) have RoPE's pairs no more.
PolicyResult<void> CheckKeysCanMove(const BlockLayout& layout) {
  for (size_t i = 0; i < layout.n_layers(); ++i) {
    if (layout.is_quantized(i)) {
      return Refuse("positions",
                    fmt::format("can't be compact: keys of layer {} are in {}{}, and only those in "
                                "f16 or bf16 can be moved",
                                i, tensor::NameOf(layout.layer(i).type),
                                layout.layer(i).rotated ? ", rotated" : ""));
    }
  }
  return {};
}

PolicyResult<Eviction> PlanWindow(const PolicyOptions& options, const BlockLayout& layout,
                                  uint32_t n_ctx) {
  if (options.positions == Positions::kCompact) {
    if (auto checked = CheckKeysCanMove(layout); !checked) {
      return tl::unexpected(std::move(checked).error());
    }
  }
  return PlanBlocks(options, layout, n_ctx);
}

std::unique_ptr<Policy> MakeWindow(const Eviction& eviction, const BlockLayout& /*layout*/,
                                   SlotScorer* /*scorer*/) {
  return std::make_unique<Window>(eviction.n_sinks());
}

}  // namespace

constexpr PolicyType kWindowType = {
    .name = "window", .is_window = true, .plan = PlanWindow, .make = MakeWindow};

}  // namespace plimsoll::kv::policy
