#include "memory/trace/trace_builder.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include <fmt/format.h>

namespace plimsoll::memory::trace {

Complaint TraceBuilder::SetLayers(std::vector<TraceLayer> layers) {
  uint64_t n_pages = 0;
  for (const TraceLayer& layer : layers) {
    if (layer.n_experts > kExpertsMax) {
      return fmt::format("{} experts in a layer; at most {} are read", layer.n_experts,
                         kExpertsMax);
    }
    n_pages += layer.n_experts;
  }
  if (layers.size() > kLayersMax || n_pages > kPagesMax) {
    return fmt::format("{} layers with {} experts; at most {} and {} are read", layers.size(),
                       n_pages, kLayersMax, kPagesMax);
  }
  trace_.layers = std::move(layers);
  infer_ = false;
  return {};
}

Complaint TraceBuilder::CheckRanked(std::span<const Choice> ranked) {
  sorted_.clear();
  for (const Choice& choice : ranked) {
    if (choice.expert >= kExpertsMax) {
      return fmt::format("expert {}; at most {} are read", choice.expert, kExpertsMax);
    }
    if (!std::isfinite(choice.probability)) {
      return fmt::format("expert {} has no finite weight", choice.expert);
    }
    sorted_.push_back(choice.expert);
  }
  std::ranges::sort(sorted_);
  if (const auto twice = std::ranges::adjacent_find(sorted_); twice != sorted_.end()) {
    return fmt::format("expert {} stands twice for one token", *twice);
  }
  return {};
}

Complaint TraceBuilder::AddRow(const TokenRow& row, std::span<const Choice> ranked,
                               size_t n_active) {
  if (row.layer >= (infer_ ? kLayersMax : trace_.layers.size())) {
    return fmt::format("layer {} of {}", row.layer, infer_ ? kLayersMax : trace_.layers.size());
  }
  if (n_active == 0 || n_active > ranked.size() || ranked.size() > kRankedMax) {
    return fmt::format("{} experts for one token; 1 to {} are read", ranked.size(), kRankedMax);
  }
  if (Complaint complaint = CheckRanked(ranked); !complaint.empty()) {
    return complaint;
  }
  if (row.layer >= trace_.layers.size()) {
    trace_.layers.resize(row.layer + 1);
  }
  TraceLayer& layer = trace_.layers[row.layer];
  if (layer.n_active == 0) {
    layer.n_active = static_cast<uint32_t>(n_active);
    layer.n_ranked = static_cast<uint32_t>(ranked.size());
  }
  if (layer.n_active != n_active || layer.n_ranked != ranked.size()) {
    return fmt::format(
        "{} experts of {} ranked for a token, where others of layer {} have {} of {}", n_active,
        ranked.size(), row.layer, layer.n_active, layer.n_ranked);
  }
  for (const Choice& choice : ranked) {
    if (infer_) {
      layer.n_experts = std::max(layer.n_experts, choice.expert + 1);
    } else if (choice.expert >= layer.n_experts) {
      return fmt::format("expert {} of {} in layer {}", choice.expert, layer.n_experts, row.layer);
    }
  }
  rows_.push_back({row, choices_.size()});
  choices_.insert(choices_.end(), ranked.begin(), ranked.end());
  return {};
}

// A model's layers have the same experts; the highest id that any layer chose says how many.
void TraceBuilder::InferExperts() {
  uint32_t n_experts = 0;
  for (const TraceLayer& layer : trace_.layers) {
    n_experts = std::max(n_experts, layer.n_experts);
  }
  for (TraceLayer& layer : trace_.layers) {
    layer.n_experts = layer.n_experts == 0 ? 0 : n_experts;
  }
}

Complaint TraceBuilder::Finish() {
  if (rows_.empty()) {
    return "there is no routing in it";
  }
  if (infer_) {
    InferExperts();
    if (Complaint complaint = SetLayers(std::move(trace_.layers)); !complaint.empty()) {
      return complaint;
    }
  }
  std::ranges::stable_sort(rows_, {}, [](const Row& row) {
    return std::tuple(row.token.pass, row.token.layer, row.token.token);
  });
  trace_.choices.reserve(choices_.size());
  for (const Row& row : rows_) {
    const TokenRow& token = row.token;
    if (!trace_.visits.empty() && trace_.visits.back().pass == token.pass &&
        trace_.visits.back().phase != token.phase) {
      return fmt::format("pass {} is both a prompt's and a decoded token's", token.pass);
    }
    if (trace_.visits.empty() || trace_.visits.back().pass != token.pass ||
        trace_.visits.back().layer != token.layer) {
      trace_.visits.push_back({token.layer, token.pass, token.phase, 0, trace_.choices.size()});
    }
    ++trace_.visits.back().n_tokens;
    const auto ranked = std::span(choices_).subspan(row.first, trace_.layers[token.layer].n_ranked);
    trace_.choices.insert(trace_.choices.end(), ranked.begin(), ranked.end());
  }
  return {};
}

}  // namespace plimsoll::memory::trace
