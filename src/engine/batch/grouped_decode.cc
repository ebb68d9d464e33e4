#include "engine/batch/grouped_decode.h"

#include <algorithm>

#include "engine/batch/sequence_lists.h"

namespace plimsoll::engine::batch {
namespace {

// Of a prompt its last tokens say what its answer begins with.
constexpr uint32_t kLastOfPrompt = 16;

// What a step reads beside experts, in bytes of an expert.
double DenseShare(const EngineState& state) {
  const memory::PageHomes& homes = state.paging->pager->homes();
  double expert_bytes = 0;
  for (const memory::PagePart& part : homes.parts) {
    expert_bytes += static_cast<double>(part.bytes);
  }
  const double dense_bytes = static_cast<double>(state.catalogue.TotalBytes()) - expert_bytes;
  return std::max(dense_bytes, 0.0) * homes.n_pages() / std::max(expert_bytes, 1.0);
}

}  // namespace

GroupedDecode::GroupedDecode(EngineState& state, const order::TurnLimits& limits)
    : state_(state), turns_(state.paging->layout->n_pages(), DenseShare(state), limits) {
  state_.paging->experts->Observe(this);
}

GroupedDecode::~GroupedDecode() { state_.paging->experts->Observe(nullptr); }

uint32_t GroupedDecode::n_frames() const {
  const memory::Pager& pager = *state_.paging->pager;
  uint32_t n = 0;
  for (uint32_t i = 0; i < pager.n_classes(); ++i) {
    n += pager.n_frames(i);
  }
  return n;
}

void GroupedDecode::KeepThoseWhoDecode(std::vector<Sequence*>& answering, bool anyone_reads,
                                       Clock::time_point now) {
  first_ = first_.value_or(now);
  const double seconds = SecondsBetween(*first_, now);
  decoders_.clear();
  for (Sequence* sequence : answering) {
    if (sequence->decoder != nullptr) {
      decoders_.push_back(sequence->decoder.get());
    }
  }
  if (anyone_reads) {
    turns_.ChooseAll(decoders_, seconds);
    return;
  }
  const std::span<const uint32_t> chosen = turns_.Choose(decoders_, n_frames(), seconds);
  uint32_t i = 0;  // of decoders_
  auto next = chosen.begin();
  std::erase_if(answering, [&](const Sequence* sequence) {
    if (sequence->decoder == nullptr) {
      return false;
    }
    const bool decodes = next != chosen.end() && *next == i;
    ++i;
    next += decodes ? 1 : 0;
    return !decodes;
  });
}

void GroupedDecode::AddToPass(Sequence& sequence, uint32_t n_tokens) {
  const memory::policy::PageLayout& layout = *state_.paging->layout;
  if (sequence.decoder == nullptr) {
    auto memory = state_.ledger->Reserve(memory::Account::kIndex, order::Decoder::Bytes(layout));
    if (memory) {
      sequence.decoder = std::make_unique<order::Decoder>(layout, std::move(*memory));
    }
  }
  of_pass_.push_back({sequence.decoder.get(), n_tokens});
}

void GroupedDecode::BeginStep() {
  before_ = state_.paging->pager->stats().of(memory::Phase::kDecode);
}

// Whatever was on its way by a guess had to be read as well.
void GroupedDecode::EndStep(uint32_t n_tokens, double seconds) {
  const memory::WantStats did =
      state_.paging->pager->stats().of(memory::Phase::kDecode).Since(before_);
  turns_.Measure({.n_tokens = n_tokens,
                  .n_used = did.wanted,
                  .n_missed = did.misses() + did.joined,
                  .seconds = seconds,
                  .waited = std::chrono::duration<double>(did.waited).count()});
}

void GroupedDecode::OnVisit(const memory::policy::LayerVisit& visit) {
  uint32_t first = 0;
  for (const Tokens& tokens : of_pass_) {
    const uint32_t end = std::min(first + tokens.n, visit.n_tokens);
    if (tokens.decoder == nullptr) {
      first = end;
      continue;
    }
    for (uint32_t i = end - std::min(end - first, kLastOfPrompt); i < end; ++i) {
      tokens.decoder->rates.Use(visit.layer, visit.experts_of(i));
    }
    first = end;
  }
}

}  // namespace plimsoll::engine::batch
