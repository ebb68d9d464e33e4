#include "eval/text_figures.h"

#include <algorithm>

#include "base/math.h"
#include "sampling/logprobs.h"

namespace plimsoll::eval {

double TextFigures::perplexity() const { return StableExp(nll); }

class TextComparison::Sums {
 public:
  Sums(std::vector<float>& expected, uint32_t vocab_size)
      : expected_(expected), is_first_(expected.empty()), vocab_size_(vocab_size) {}

  void Add(std::span<const float> logits, TokenId next) {
    const double log_sum = sampling::LogSumExp(logits);
    nll_ += log_sum - static_cast<double>(logits[static_cast<size_t>(next)]);
    // Rows that pad the output matrix stand for no token.
    const size_t n = std::min<size_t>(logits.size(), vocab_size_);
    for (size_t i = 0; i < n; ++i) {
      // Rounded alike in every run, so that equal expectations have a divergence of exactly zero.
      const auto logprob = static_cast<float>(static_cast<double>(logits[i]) - log_sum);
      if (is_first_) {
        expected_.push_back(logprob);
      } else {
        const double expected = expected_[row_ + i];
        const double share = StableExp(expected);
        kl_ += share > 0 ? share * (expected - static_cast<double>(logprob)) : 0.0;
      }
    }
    row_ += n;
    ++n_;
  }

  [[nodiscard]] TextFigures Mean() const {
    const auto n = static_cast<double>(std::max<uint64_t>(n_, 1));
    return {.n_tokens = n_, .nll = nll_ / n, .kl = kl_ / n};
  }

 private:
  std::vector<float>& expected_;
  bool is_first_;
  uint32_t vocab_size_;
  size_t row_ = 0;
  uint64_t n_ = 0;
  double nll_ = 0;
  double kl_ = 0;
};

TextComparison::TextComparison(std::vector<std::vector<TokenId>> texts, uint32_t vocab_size)
    : texts_(std::move(texts)), vocab_size_(vocab_size) {
  std::erase_if(texts_, [](const auto& text) { return text.size() < 4; });
  const uint64_t row_bytes = uint64_t{vocab_size_} * sizeof(float);
  const uint64_t n_rows = kKeptBytes / std::max<uint64_t>(row_bytes, 1);
  n_scored_max_ = std::max<uint64_t>(1, n_rows / std::max<size_t>(texts_.size(), 1));
}

Result<TextFigures> TextComparison::Run(engine::Session& session) {
  Sums sums(expected_, vocab_size_);
  for (const auto& text : texts_) {
    if (auto ran = RunText(session, text, sums); !ran) {
      return Forward(ran);
    }
  }
  return sums.Mean();
}

Result<> TextComparison::RunText(engine::Session& session, std::span<const TokenId> text,
                                 Sums& sums) {
  const size_t n_scored = std::min<size_t>(text.size() / 2, n_scored_max_);
  const size_t n_before = text.size() - n_scored - 1;
  session.Truncate(0);
  if (auto read = session.Append(text.first(n_before), nullptr); !read) {
    return read;
  }
  // Each token's logits predict the one behind it; what the last predicts is not in the text.
  return session.Append(
      text.subspan(n_before, n_scored),
      [&](uint32_t i, std::span<const float> logits) { sums.Add(logits, text[n_before + i + 1]); });
}

}  // namespace plimsoll::eval
