#include "sim/serving/served_run.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <vector>

#include <unistd.h>

#include "engine/batch/batcher.h"
#include "sampling/token_filter.h"
#include "tools/random_model/random_model.h"

namespace plimsoll::sim {
namespace {

namespace batch = engine::batch;
using Clock = batch::Clock;

constexpr uint32_t kVocabulary = 512;
constexpr uint32_t kFirstPlainToken = 260;  // behind bytes and control tokens

// Ends an answer at its length, which no one can see coming.
class LengthFilter final : public sampling::TokenFilter {
 public:
  explicit LengthFilter(uint32_t n_left) : n_left_(n_left), all_(kVocabulary / 64, ~uint64_t{0}) {}
  [[nodiscard]] bool Allows(TokenId /*token*/) override { return true; }
  [[nodiscard]] Result<std::span<const uint64_t>> Mask() override {
    return std::span<const uint64_t>(all_);
  }
  void Accept(TokenId /*token*/) override { --n_left_; }
  [[nodiscard]] bool IsOver() const override { return n_left_ == 0; }

 private:
  uint32_t n_left_;
  std::vector<uint64_t> all_;
};

// When a request had its first and its last token.
struct Times final : engine::GenerationSink {
  void OnText(std::string_view /*text*/, std::span<const engine::GeneratedToken> tokens) override {
    n_tokens += static_cast<uint32_t>(tokens.size());
  }
  void OnEnd(const engine::GenerationEnd& how) override {
    ended = true;
    failed = how.error.has_value();
  }

  uint32_t n_tokens = 0;
  bool ended = false;
  bool failed = false;
  double first = 0;
  double last = 0;
};

std::vector<TokenId> TokensOf(const Arrival& arrival) {
  std::vector<TokenId> tokens;
  for (const Segment& segment : arrival.prompt) {
    uint64_t state = segment.seed;
    for (uint32_t i = 0; i < segment.n_tokens; ++i) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      tokens.push_back(static_cast<TokenId>(kFirstPlainToken +
                                            (state >> 33) % (kVocabulary - kFirstPlainToken)));
    }
  }
  return tokens;
}

engine::GenerationRequest RequestOf(const Arrival& arrival, const ServeOptions& options) {
  engine::GenerationRequest request;
  request.prompt = TokensOf(arrival);
  request.options.ignore_end = true;
  request.options.sampling.temperature = 0;
  request.prefix_owner = arrival.client;
  if (options.lengths_known) {
    request.expected_output = arrival.n_output;
  }
  request.filter = std::make_shared<LengthFilter>(arrival.n_output);
  return request;
}

double Quantile(std::vector<double>& values, double share) {
  if (values.empty()) {
    return 0;
  }
  const auto at =
      std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())));
  std::ranges::nth_element(values, values.begin() + static_cast<ptrdiff_t>(at));
  return values[at];
}

double Mean(const std::vector<double>& values) {
  return values.empty()
             ? 0
             : std::reduce(values.begin(), values.end()) / static_cast<double>(values.size());
}

double SecondsOfStep(const ServedModel& model, uint64_t n_tokens, uint64_t n_context) {
  engine::TokenWork work = model.work;
  work.kv_bytes = n_context * model.kv_bytes_per_token;
  return BoundOfPass(work, model.speed, static_cast<uint32_t>(n_tokens), {});
}

// One run: the batcher, its clock, and what came of the requests.
class Run {
 public:
  Run(const ServedModel& model, batch::Batcher& batcher, const Arrivals& arrivals,
      const ServeOptions& options)
      : model_(model), batcher_(batcher), arrivals_(arrivals), options_(options) {}

  Result<ServeReport> Go() {
    while (next_ < arrivals_.size() || n_open_ > 0) {
      Arrive();
      const uint64_t before = batcher_.totals().computed_tokens;
      const auto outcome = batcher_.Step(Now());
      if (outcome == batch::Batcher::Outcome::kWorked) {
        seconds_ += SecondsOfStep(model_, batcher_.totals().computed_tokens - before, Context());
      } else if (next_ < arrivals_.size()) {
        seconds_ = std::max(seconds_, arrivals_[next_].seconds);
      } else if (n_open_ > 0 && outcome == batch::Batcher::Outcome::kPaused) {
        return Fail(ErrorKind::kFailed, "{} requests wait for ever", n_open_);
      }
      Note();
    }
    return Report();
  }

 private:
  [[nodiscard]] Clock::time_point Now() const {
    return Clock::time_point(
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds_)));
  }

  void Arrive() {
    for (; next_ < arrivals_.size() && arrivals_[next_].seconds <= seconds_; ++next_) {
      const Arrival& arrival = arrivals_[next_];
      times_.push_back(nullptr);
      if (arrival.n_prompt() + arrival.n_output >= model_.n_kv_tokens) {
        ++report_.n_too_long;
        continue;
      }
      times_.back() = std::make_shared<Times>();
      open_.push_back(next_);
      ++n_open_;
      batcher_.Add(next_ + 1, RequestOf(arrival, options_), times_.back(),
                   Clock::time_point(std::chrono::duration_cast<Clock::duration>(
                       std::chrono::duration<double>(arrival.seconds))));
    }
  }

  [[nodiscard]] uint64_t Context() const {
    uint64_t n = 0;
    for (const batch::SequencePtr& sequence : batcher_.running()) {
      n += sequence->n_computed;
    }
    return n;
  }

  void Note() {
    std::erase_if(open_, [this](size_t i) {
      Times& times = *times_[i];
      if (times.n_tokens > 0 && times.first == 0) {
        times.first = seconds_;
      }
      if (times.ended) {
        times.last = seconds_;
        --n_open_;
      }
      return times.ended;
    });
  }

  Result<ServeReport> Report() {
    std::vector<double> latencies;
    std::vector<double> firsts;
    std::vector<double> per_token;
    uint64_t n_tokens = 0;
    for (size_t i = 0; i < times_.size(); ++i) {
      const auto& times = times_[i];
      if (times == nullptr) {
        continue;
      }
      if (times->failed || times->n_tokens != arrivals_[i].n_output) {
        return Fail(ErrorKind::kFailed, "request {} had {} tokens of {}", i, times->n_tokens,
                    arrivals_[i].n_output);
      }
      latencies.push_back(times->last - arrivals_[i].seconds);
      firsts.push_back(times->first - arrivals_[i].seconds);
      per_token.push_back(latencies.back() / times->n_tokens);
      n_tokens += times->n_tokens;
    }
    report_.n_served = static_cast<uint32_t>(latencies.size());
    report_.mean = Mean(latencies);
    report_.p95 = Quantile(latencies, 0.95);
    report_.p99 = Quantile(latencies, 0.99);
    report_.first_mean = Mean(firsts);
    report_.first_p95 = Quantile(firsts, 0.95);
    report_.seconds_per_token = Mean(per_token);
    report_.seconds = seconds_;
    report_.tokens_per_second = seconds_ == 0 ? 0 : static_cast<double>(n_tokens) / seconds_;
    report_.n_preempted = batcher_.totals().n_preempted;
    report_.prompt_tokens = batcher_.totals().prompt_tokens;
    report_.prompt_tokens_reused = batcher_.totals().prompt_tokens_reused;
    return report_;
  }

  const ServedModel& model_;
  batch::Batcher& batcher_;
  const Arrivals& arrivals_;
  const ServeOptions& options_;
  double seconds_ = 0;
  size_t next_ = 0;
  size_t n_open_ = 0;
  std::vector<std::shared_ptr<Times>> times_;  // by arrival; null: left out
  std::vector<size_t> open_;
  ServeReport report_;
};

random_model::ModelSpec SmallModel(uint32_t n_ctx) {
  random_model::ModelSpec spec;
  spec.arch = "llama";
  spec.type = tensor::DType::kF32;
  spec.n_layers = 1;
  spec.hidden_dim = 32;
  spec.n_heads = 2;
  spec.n_kv_heads = 1;
  spec.head_dim = 16;
  spec.ffn_dim = 32;
  spec.n_experts = 0;
  spec.vocab_size = kVocabulary;
  spec.n_ctx_train = n_ctx;
  return spec;
}

}  // namespace

ServedModel OnTwoCores(uint32_t n_kv_tokens) {
  ServedModel model;
  model.work.dense_bytes = 700'000'000;
  model.work.dense_multiply_adds = 1'240'000'000;
  model.speed.memory = 30e9;
  model.speed.multiply_adds = 3.6e11;
  model.speed.attention_multiply_adds = 5e10;
  model.kv_bytes_per_token = 32 << 10;
  model.n_kv_tokens = n_kv_tokens;
  return model;
}

ServedModel OnASmallGpu(uint32_t n_kv_tokens) {
  ServedModel model = OnTwoCores(n_kv_tokens);
  model.speed.memory *= 10;
  model.speed.multiply_adds *= 60;
  model.speed.attention_multiply_adds *= 60;
  return model;
}

Result<std::unique_ptr<Server>> Server::Create(ServedModel model) {
  const auto file = std::filesystem::temp_directory_path() /
                    fmt::format("plimsoll-simulated-{}.gguf", ::getpid());
  if (auto written = random_model::WriteRandomModel(SmallModel(model.n_kv_tokens), file);
      !written) {
    return Forward(written);
  }
  auto engine = engine::Engine::Load({.model = file,
                                      .n_ctx = model.n_kv_tokens,
                                      .n_threads = 1,
                                      .prefill_chunk = 512,
                                      .batches = true},
                                     {});
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
  if (!engine) {
    return Forward(engine);
  }
  return std::unique_ptr<Server>(new Server(std::move(model), std::move(*engine)));
}

Result<ServeReport> Server::Serve(const Arrivals& arrivals, const ServeOptions& options) const {
  auto batcher = engine_->NewBatcher({.n_parallel = 1,
                                      .max_running = 64,
                                      .max_seconds = 1e9,
                                      .order = options.order,
                                      .max_order_seconds = 1e9});
  if (!batcher) {
    return Forward(batcher);
  }
  // The room is that of one context and its tables, whatever the machine has.
  const memory::LedgerSnapshot least = engine_->ledger();
  if (auto lowered = engine_->SetLine(least.reserved_bytes + least.kept_bytes); !lowered) {
    return Forward(lowered);
  }
  return Run(model_, **batcher, arrivals, options).Go();
}

Result<double> Server::Capacity(Arrivals arrivals) const {
  for (Arrival& arrival : arrivals) {
    arrival.seconds = 0;
  }
  auto report = Serve(arrivals, {});
  if (!report) {
    return Forward(report);
  }
  return report->n_served / report->seconds;
}

}  // namespace plimsoll::sim
