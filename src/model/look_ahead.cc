// Look-ahead: which experts the next layer may want, while this one's are still being read.
//
// By the router: the next layer's is applied to the residual stream as it is now, before this
// layer's experts have added their part: what they add is small beside it. Eliseev, Mazur, "Fast
// inference of mixture-of-experts language models with offloading", arXiv:2312.17238, section 3.2.
#include <algorithm>

#include "model/layer_pieces.h"
#include "model/paged_experts.h"
#include "model/products.h"
#include "model/top_k.h"

namespace plimsoll::model {

void LayerPieces::GuessNext() {
  using memory::policy::GuessBy;
  const GuessBy by = step_.experts->guess_by();
  if (by == GuessBy::kNothing || next_ == nullptr || !step_.hp.layers[layer_idx_ + 1].is_moe()) {
    return;
  }
  if (by == GuessBy::kPairs) {
    step_.experts->PrefetchPairs(layer_idx_ + 1, step_.hp.layers[layer_idx_ + 1].n_experts_active);
  } else if (kernels::ActivationFormatFor(next_->router.dtype) == kernels::ActivationFormat::kF32) {
    GuessByRouter();
  }
}

void LayerPieces::GuessByRouter() {
  const LayerParams& next = step_.hp.layers[layer_idx_ + 1];
  const uint64_t d = step_.hp.hidden_dim;
  Scratch& s = step_.scratch;
  const Vector norm = next_->router_norm.empty() ? next_->norm : next_->router_norm;
  for (size_t i = 0; i < step_.n(); ++i) {
    step_.kernels.rms_norm(s.x.data() + i * d, norm.data(), step_.hp.rms_eps, d,
                           s.ahead_normed.data() + i * d);
  }
  kernels::Activations x;
  x.format = kernels::ActivationFormat::kF32;
  x.data = reinterpret_cast<const std::byte*>(s.ahead_normed.data());
  x.row_stride = d * sizeof(float);
  x.k = d;
  x.n_rows = step_.n();
  const Product product = {next_->router, x, s.ahead_scores.data(), next.n_experts};
  RunProducts(step_, {&product, 1});

  const auto best = s.ahead_best.first(next.n_experts);
  std::ranges::copy(s.ahead_scores.first(next.n_experts), best.begin());
  for (size_t i = 1; i < step_.n(); ++i) {
    for (size_t e = 0; e < best.size(); ++e) {
      best[e] = std::max(best[e], s.ahead_scores[i * next.n_experts + e]);
    }
  }
  const auto ranked = s.ahead_ranked.first(next.n_experts_active);
  ChooseTop(best, ranked);
  std::ranges::sort(ranked, [&](uint32_t a, uint32_t b) {
    return best[a] != best[b] ? best[a] > best[b] : a < b;
  });
  step_.experts->Prefetch(layer_idx_ + 1, ranked);
}

}  // namespace plimsoll::model
