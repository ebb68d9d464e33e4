#include "memory/replay/reference_stream.h"

#include <algorithm>

namespace plimsoll::memory::replay {
namespace {

using policy::PageId;
using policy::Phase;
using trace::Choice;
using trace::Trace;

policy::PageLayout LayoutOf(const Trace& trace) {
  std::vector<uint32_t> n_pages;
  for (const trace::TraceLayer& layer : trace.layers) {
    n_pages.push_back(layer.n_experts);
  }
  return policy::PageLayout(n_pages);
}

}  // namespace

ReferenceStream::ReferenceStream(const Trace& trace, PrefillAs prefill) : layout_(LayoutOf(trace)) {
  const std::span<const trace::Visit> visits = trace.visits;
  for (size_t begin = 0; begin < visits.size();) {
    size_t end = begin + 1;
    while (end < visits.size() && visits[end].pass == visits[begin].pass) {
      ++end;
    }
    const auto pass = visits.subspan(begin, end - begin);
    begin = end;
    if (pass[0].phase == Phase::kDecode || prefill == PrefillAs::kChunk) {
      ++n_steps_;
      for (const trace::Visit& visit : pass) {
        Append(trace, visit, 0, visit.n_tokens, n_steps_, visit.phase);
      }
    } else if (prefill == PrefillAs::kTokens) {
      AppendByToken(trace, pass);
    }
  }
  Count();
}

// A layer with fewer tokens than the first (the last one, whose other results nobody wants) has the
// last of them.
void ReferenceStream::AppendByToken(const Trace& trace, std::span<const trace::Visit> pass) {
  const uint32_t n_tokens = std::ranges::max(pass, {}, &trace::Visit::n_tokens).n_tokens;
  for (uint32_t token = 0; token < n_tokens; ++token) {
    ++n_steps_;
    for (const trace::Visit& visit : pass) {
      const uint32_t skipped = n_tokens - visit.n_tokens;
      if (token >= skipped) {
        Append(trace, visit, token - skipped, 1, n_steps_, Phase::kDecode);
      }
    }
  }
}

void ReferenceStream::Append(const Trace& trace, const trace::Visit& visit, uint32_t first_token,
                             uint32_t n_tokens, uint64_t step, Phase phase) {
  visits_.push_back({visit.layer, step, phase, n_tokens, experts_.size(), near_experts_.size(),
                     pages_.size(), 0});
  const uint32_t n_active = trace.layers[visit.layer].n_active;
  std::vector<bool> seen(layout_.n_pages(visit.layer), false);
  for (uint32_t token = first_token; token < first_token + n_tokens; ++token) {
    const std::span<const Choice> ranked = trace.ranked(visit, token);
    for (const Choice& choice : ranked.first(n_active)) {
      experts_.push_back(choice.expert);
      probabilities_.push_back(choice.probability);
      if (!seen[choice.expert]) {
        seen[choice.expert] = true;
        pages_.push_back(layout_.page(visit.layer, choice.expert));
        ++visits_.back().n_pages;
      }
    }
    for (const Choice& choice : ranked.subspan(n_active)) {
      near_experts_.push_back(choice.expert);
      near_probabilities_.push_back(choice.probability);
    }
  }
}

void ReferenceStream::Count() {
  std::vector<bool> seen(layout_.n_pages(), false);
  for (const PageId page : pages_) {
    n_distinct_ += seen[page.value] ? 0U : 1U;
    seen[page.value] = true;
  }
  uint64_t step = UINT64_MAX;
  uint32_t cycle = 0;
  for (const Visit& visit : visits_) {
    if (visit.phase == Phase::kDecode) {
      cycle = visit.step == step ? cycle + visit.n_pages : visit.n_pages;
      step = visit.step;
      widest_decode_ = std::max(widest_decode_, visit.n_pages);
      decode_cycle_ = std::max(decode_cycle_, cycle);
    }
  }
}

policy::LayerVisit ReferenceStream::visit(size_t i) const {
  const Visit& v = visits_[i];
  const bool last = i + 1 == visits_.size();
  const size_t experts = (last ? experts_.size() : visits_[i + 1].first_expert) - v.first_expert;
  const size_t near = (last ? near_experts_.size() : visits_[i + 1].first_near) - v.first_near;
  return {v.layer,
          v.step,
          v.phase,
          v.n_tokens,
          std::span(experts_).subspan(v.first_expert, experts),
          std::span(probabilities_).subspan(v.first_expert, experts),
          std::span(near_experts_).subspan(v.first_near, near),
          std::span(near_probabilities_).subspan(v.first_near, near)};
}

}  // namespace plimsoll::memory::replay
