#include "engine/prefix/replay.h"

#include <algorithm>
#include <cmath>

#include "base/invariant.h"
#include "base/rng.h"
#include "memory/ledger.h"

namespace plimsoll::engine::prefix {
namespace {

class Draws {
 public:
  explicit Draws(uint64_t seed) : seed_(seed) {}
  // In [0, 1).
  double Uniform() { return UniformAt(seed_, n_++); }
  double Exponential(double mean) { return -mean * std::log(1 - Uniform()); }
  uint32_t Around(uint32_t mean) {
    return std::max(1U, static_cast<uint32_t>((0.5 + Uniform()) * mean));
  }
  std::vector<TokenId> Tokens(uint32_t n) {
    std::vector<TokenId> tokens(n);
    std::ranges::generate(tokens, [this] { return static_cast<TokenId>(Uniform() * 100'000); });
    return tokens;
  }

 private:
  uint64_t seed_;
  uint64_t n_ = 0;
};

size_t DrawByWeight(Draws& draws, std::span<const double> weights, double sum) {
  double at = draws.Uniform() * sum;
  for (size_t i = 0; i < weights.size(); ++i) {
    at -= weights[i];
    if (at < 0) {
      return i;
    }
  }
  return weights.size() - 1;
}

void Append(std::vector<TokenId>& tokens, const std::vector<TokenId>& more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
}

}  // namespace

std::vector<TraceRequest> DrawTraffic(const SharedPrefixTraffic& traffic) {
  Draws draws(traffic.seed);
  std::vector<std::vector<TokenId>> systems;
  std::vector<double> weights;
  double sum = 0;
  for (uint32_t k = 1; k <= traffic.n_systems; ++k) {
    systems.push_back(draws.Tokens(draws.Around(traffic.system_tokens)));
    weights.push_back(std::pow(k, -traffic.skew));
    sum += weights.back();
  }
  std::vector<TraceRequest> requests;
  double begin = 0;
  for (uint32_t i = 0; i < traffic.n_conversations; ++i) {
    begin += draws.Exponential(1 / traffic.conversations_per_second);
    double at = begin;
    std::vector<TokenId> tokens = systems[DrawByWeight(draws, weights, sum)];
    do {
      Append(tokens, draws.Tokens(draws.Around(traffic.question_tokens)));
      const auto answer = draws.Tokens(draws.Around(traffic.answer_tokens));
      requests.push_back({static_cast<uint64_t>(at * 1e6), tokens, answer});
      Append(tokens, answer);
      at += draws.Exponential(traffic.seconds_between_turns);
    } while (draws.Uniform() < 1 - 1 / traffic.turns);
  }
  std::ranges::stable_sort(requests, {}, &TraceRequest::time_us);
  return requests;
}

ReplayCost ReplayTrace(std::span<const TraceRequest> requests, uint32_t n_blocks,
                       const PrefixTreeOptions& options) {
  memory::Ledger ledger(UINT64_MAX / 2);
  kv::BlockPool pool(ledger,
                     kv::BlockLayout({{.n_kv_heads = 1, .head_dim_k = 1, .head_dim_v = 1}}));
  const bool promised = pool.Promise(n_blocks).has_value();
  Invariant(promised, "the machine has memory for a small pool");
  PrefixTree tree(pool, ledger, options);
  ReplayCost cost;
  for (const TraceRequest& request : requests) {
    std::vector<TokenId> tokens = request.prompt;
    const auto n_prompt = static_cast<uint32_t>(tokens.size());
    Append(tokens, request.answer);
    const auto n_all = static_cast<uint32_t>(tokens.size());
    Hold hold = tree.Find("", request.prompt);
    const uint32_t n_found = std::min(tree.ReadyTokens(hold), n_prompt - 1);
    const auto kv = tree.Share(hold, n_found, n_all);
    while (pool.n_free() < kv->BlocksToAppend(n_all - n_found)) {
      const bool evicted = tree.Evict(request.time_us);
      Invariant(evicted, "a request alone fits into the pool");
    }
    const auto outcome = kv->Append(n_all - n_found, n_found);
    Invariant(outcome == kv::AppendOutcome::kAppended, "room was made");
    tree.Start(hold, request.prompt, *kv, n_found, request.time_us);
    tree.Advance(hold, tokens, *kv, request.time_us);
    cost.prompt_tokens += n_prompt;
    cost.computed_tokens += n_prompt - n_found;
    cost.computed_seconds += options.ways_back.RecomputeSeconds(n_found, n_prompt - n_found);
  }
  cost.n_evicted = tree.stats().n_evicted;
  return cost;
}

}  // namespace plimsoll::engine::prefix
