#include "engine/order/length_predictor.h"

#include <algorithm>
#include <bit>

namespace plimsoll::engine::order {
namespace {

std::string ClassOf(std::string_view client, size_t length) {
  std::string key(client);
  key += static_cast<char>('0' + length);
  return key;
}

}  // namespace

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
  const auto found = by_client_.find(ClassOf(client, length));
  return found == by_client_.end() ? of_length : found->second.Within(of_length);
}

void LengthPredictor::Learn(std::string_view client, uint32_t n_prompt, uint32_t n_output) {
  const bool is_long = IsLong(Predict(client, n_prompt));
  const double value = n_output;
  by_bit_[is_long ? 1 : 0].Add(value);
  all_.Add(value);
  const auto length = static_cast<size_t>(std::bit_width(n_prompt));
  by_length_[length].Add(value);
  const std::string key = ClassOf(client, length);
  if (by_client_.size() < kMaxClasses || by_client_.contains(key)) {
    by_client_[key].Add(value);
  }
}

double LengthPredictor::MeanOfClass(bool is_long) const {
  const Mean& mean = by_bit_[is_long ? 1 : 0];
  return mean.count == 0 ? (all_.count == 0 ? kUnknown : all_.mean) : mean.mean;
}

}  // namespace plimsoll::engine::order
