#include "engine/order/length_predictor.h"

#include <algorithm>
#include <bit>

namespace plimsoll::engine::order {

void LengthPredictor::Mean::Add(double value) {
  count = std::min(count + 1, kMemory);
  mean += (value - mean) / count;
}

double LengthPredictor::Mean::Within(double prior) const {
  return (count * mean + kPriorCount * prior) / (count + kPriorCount);
}

double LengthPredictor::Predict(std::string_view client, uint32_t n_prompt) const {
  if (all_.count == 0) {
    return kUnknown;
  }
  const auto length = static_cast<size_t>(std::bit_width(n_prompt));
  const double of_length = by_length_[length].Within(all_.mean);
  const auto& clients = by_client_[length];
  const auto found = clients.find(client);
  return found == clients.end() ? of_length : found->second.Within(of_length);
}

void LengthPredictor::Learn(std::string_view client, uint32_t n_prompt, uint32_t n_output) {
  const bool is_long = IsLong(Predict(client, n_prompt));
  const double value = n_output;
  by_bit_[is_long ? 1 : 0].Add(value);
  all_.Add(value);
  const auto length = static_cast<size_t>(std::bit_width(n_prompt));
  by_length_[length].Add(value);
  auto& clients = by_client_[length];
  auto known = clients.find(client);
  if (known == clients.end() && n_classes_ < kMaxClasses) {
    known = clients.emplace(client, Mean()).first;
    ++n_classes_;
  }
  if (known != clients.end()) {
    known->second.Add(value);
  }
}

double LengthPredictor::MeanOfClass(bool is_long) const {
  const Mean& mean = by_bit_[is_long ? 1 : 0];
  return mean.count == 0 ? (all_.count == 0 ? kUnknown : all_.mean) : mean.mean;
}

}  // namespace plimsoll::engine::order
