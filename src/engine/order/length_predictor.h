// How long answers will be, learned from those that were given.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace plimsoll::engine::order {

// A mean over what came before, of requests that are alike: from the same client and with a prompt
// of about the same length (within a factor of two), or, where there are few of these, with such a
// prompt from anyone, or any. The coarser mean counts as kPriorCount further answers in the finer
// one, so that a class is believed as it fills (a shrinkage estimate). Old answers fade: a mean is
// over some kMemory of them.
class LengthPredictor {
 public:
  // Tokens that the answer to a prompt of `n_prompt` tokens will have; before the first answer
  // kUnknown. `client` is whatever tells kinds of work apart; "" is a client too.
  [[nodiscard]] double Predict(std::string_view client, uint32_t n_prompt) const;
  // An answer ended by itself or at its limit.
  void Learn(std::string_view client, uint32_t n_prompt, uint32_t n_output);

  // What lies above the mean of all answers is long.
  [[nodiscard]] bool IsLong(double predicted) const { return predicted > all_.mean; }
  // The mean of the answers of which IsLong says so, and of the others: a one-bit forecast.
  [[nodiscard]] double MeanOfClass(bool is_long) const;

  static constexpr double kUnknown = 128;
  static constexpr double kPriorCount = 4;
  static constexpr double kMemory = 256;
  static constexpr size_t kMaxClasses = 4096;  // further ones share the coarser mean

 private:
  struct Mean {
    double count = 0;
    double mean = 0;
    void Add(double value);
    // Of this class, with a coarser one's mean as a prior.
    [[nodiscard]] double Within(double prior) const;
  };

  static constexpr size_t kNLengths = 33;  // by the bits of the prompt's length
  Mean all_;
  std::array<Mean, kNLengths> by_length_;
  std::array<Mean, 2> by_bit_;  // short, long
  // By client, looked up without a copy of its name, and length.
  std::array<std::map<std::string, Mean, std::less<>>, kNLengths> by_client_;
  size_t n_classes_ = 0;  // of by_client_, all of them
};

}  // namespace plimsoll::engine::order
