#include "server/metrics.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <string_view>

#include "engine/process_memory.h"
#include "engine/snapshot_json.h"
#include "server/prometheus_text.h"

namespace plimsoll::server {
namespace {

// One model at one moment.
struct ModelState {
  std::string name;
  std::string kv_type;
  std::string kv_policy;
  engine::ServiceSnapshot service;
  memory::LedgerSnapshot ledger;
  std::optional<engine::PagingSnapshot> paging;
  std::optional<engine::StreamingSnapshot> streaming;
  std::shared_ptr<const RequestTimes> times;

  [[nodiscard]] Labels labels() const { return {{"model", name}}; }
  [[nodiscard]] Labels With(std::string_view key, std::string_view value) const {
    return {{"model", name}, {key, std::string(value)}};
  }
};

using States = std::span<const ModelState>;

double ToSeconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

// A family with one sample a model.
template <class F>
void PerModel(PrometheusText& out, States states, std::string_view name, std::string_view type,
              std::string_view help, const F& value) {
  out.Family(name, type, help);
  for (const ModelState& state : states) {
    out.Sample(state.labels(), value(state));
  }
}

void WriteRequests(PrometheusText& out, States states) {
  PerModel(out, states, "num_requests_running", "gauge", "Requests that are being computed.",
           [](const ModelState& s) { return s.service.running.size() + s.service.paused.size(); });
  PerModel(out, states, "num_requests_waiting", "gauge", "Requests in the queue.",
           [](const ModelState& s) { return s.service.n_waiting; });
  PerModel(out, states, "queue_tokens", "gauge", "Tokens of the prompts in the queue.",
           [](const ModelState& s) { return s.service.n_waiting_tokens; });
  PerModel(out, states, "requests_accepted_total", "counter", "Requests that were taken.",
           [](const ModelState& s) { return s.service.n_accepted; });
  PerModel(out, states, "requests_rejected_total", "counter", "Requests refused for overload.",
           [](const ModelState& s) { return s.service.n_rejected; });
  PerModel(out, states, "requests_failed_total", "counter", "Requests that ended with an error.",
           [](const ModelState& s) { return s.service.n_failed; });
  PerModel(out, states, "requests_preempted_total", "counter",
           "Times that a request gave its memory up and was computed anew.",
           [](const ModelState& s) { return s.service.n_preempted; });
  out.Family("requests_finished_total", "counter", "Requests that ended, by the reason.");
  for (const ModelState& state : states) {
    for (size_t i = 0; i < engine::kNFinishReasons; ++i) {
      const auto reason = engine::FinishReasonName(static_cast<engine::FinishReason>(i));
      out.Sample(state.With("reason", reason), state.service.n_finished[i]);
    }
  }
}

void WriteTokens(PrometheusText& out, States states) {
  PerModel(out, states, "steps_total", "counter", "Forward passes.",
           [](const ModelState& s) { return s.service.n_steps; });
  PerModel(out, states, "prompt_tokens_total", "counter", "Tokens of prompts.",
           [](const ModelState& s) { return s.service.prompt_tokens; });
  PerModel(out, states, "prompt_tokens_cached_total", "counter",
           "Tokens of prompts whose keys and values were there.",
           [](const ModelState& s) { return s.service.prompt_tokens_reused; });
  PerModel(out, states, "prefix_cache_lookups_total", "counter", "Requests that began to run.",
           [](const ModelState& s) { return s.service.prefix_lookups; });
  PerModel(out, states, "prefix_cache_hits_total", "counter",
           "Of these, those a part of whose prompt was there.",
           [](const ModelState& s) { return s.service.prefix_hits; });
  PerModel(out, states, "prefix_cache_evictions_total", "counter",
           "Blocks of keys and values that made room for others.",
           [](const ModelState& s) { return s.service.prefix_evictions; });
  PerModel(out, states, "prefix_cache_evicted_bytes_total", "counter", "Their bytes.",
           [](const ModelState& s) { return s.service.prefix_bytes_evicted; });
  PerModel(out, states, "prefix_cache_bytes", "gauge",
           "Kept for prompts that begin alike, beside what is in use.",
           [](const ModelState& s) { return s.ledger.of(memory::Account::kPrefix).bytes; });
  PerModel(out, states, "generation_tokens_total", "counter", "Tokens that were drawn.",
           [](const ModelState& s) { return s.service.generated_tokens; });
  PerModel(out, states, "prefill_seconds_total", "counter", "Time of steps with parts of prompts.",
           [](const ModelState& s) { return s.service.prefill_seconds; });
  PerModel(out, states, "decode_seconds_total", "counter", "Time of steps without.",
           [](const ModelState& s) { return s.service.decode_seconds; });
  PerModel(
      out, states, "kv_cache_usage_ratio", "gauge",
      "Of the blocks of keys and values, those in use or kept for later.", [](const ModelState& s) {
        return s.service.kv_blocks_total == 0 ? 0.0
                                              : static_cast<double>(s.service.kv_blocks_used) /
                                                    static_cast<double>(s.service.kv_blocks_total);
      });
}

void WriteKvTypes(PrometheusText& out, States states) {
  out.Family("requests_by_kv_policy_total", "counter",
             "Requests that began to run, by which of their keys and values stay.");
  for (const ModelState& state : states) {
    for (size_t i = 0; i < kv::policy::kNPolicyKinds; ++i) {
      const auto policy = kv::policy::NameOf(static_cast<kv::policy::PolicyKind>(i));
      out.Sample(state.With("policy", policy), state.service.n_started_under[i]);
    }
  }
  out.Family("kv_cache_info", "gauge", "In what keys and values are kept, and which of them.");
  for (const ModelState& state : states) {
    Labels labels = state.With("policy", state.kv_policy);
    labels.emplace_back("type", state.kv_type);
    out.Sample(labels, 1);
  }
}

// Of models that keep blocks of keys and values on a disk.
void WriteKvDisk(PrometheusText& out, States states) {
  const auto family = [&](std::string_view name, std::string_view type, std::string_view help,
                          uint64_t engine::KvDiskSnapshot::*member) {
    out.Family(name, type, help);
    for (const ModelState& state : states) {
      if (state.service.kv_disk) {
        out.Sample(state.labels(), (*state.service.kv_disk).*member);
      }
    }
  };
  using Disk = engine::KvDiskSnapshot;
  family("kv_disk_bytes", "gauge", "Keys and values on the disk.", &Disk::bytes);
  family("kv_disk_max_bytes", "gauge", "What they may take there.", &Disk::max_bytes);
  family("kv_disk_saved_bytes_total", "counter", "Written there.", &Disk::bytes_saved);
  family("kv_disk_restored_bytes_total", "counter", "Read from there.", &Disk::bytes_restored);
  family("kv_disk_restored_tokens_total", "counter", "Tokens that were not computed for that.",
         &Disk::tokens_restored);
  family("kv_disk_evicted_blocks_total", "counter", "Blocks that made room there for others.",
         &Disk::blocks_evicted);
  family("kv_disk_failed_blocks_total", "counter",
         "Blocks that could not be written, or were not as they had been written.",
         &Disk::blocks_failed);
}

void WriteTimes(PrometheusText& out, States states) {
  const auto family = [&](std::string_view name, std::string_view help,
                          Histogram RequestTimes::*member) {
    out.Family(name, "histogram", help);
    for (const ModelState& state : states) {
      out.Sample(state.labels(), ((*state.times).*member).counts());
    }
  };
  family("time_to_first_token_seconds", "From a request's arrival.", &RequestTimes::first_token);
  family("inter_token_latency_seconds", "Mean of each request.", &RequestTimes::inter_token);
  family("e2e_request_latency_seconds", "From a request's arrival to its end.",
         &RequestTimes::whole);
  family("request_queue_time_seconds", "Before the first step.", &RequestTimes::queue);
  family("request_prefill_time_seconds", "From the first step to the first token.",
         &RequestTimes::prefill);
  family("request_decode_time_seconds", "From the first token to the last.", &RequestTimes::decode);
}

void WriteLedger(PrometheusText& out, States states) {
  PerModel(out, states, "line_bytes", "gauge", "The line: what may be reserved.",
           [](const ModelState& s) { return s.ledger.budget_bytes; });
  PerModel(out, states, "reserved_bytes", "gauge", "What is reserved.",
           [](const ModelState& s) { return s.ledger.reserved_bytes; });
  const auto per_account = [&](std::string_view name, std::string_view help,
                               uint64_t memory::AccountUsage::*member) {
    out.Family(name, "gauge", help);
    for (const ModelState& state : states) {
      for (size_t i = 0; i < memory::kNAccounts; ++i) {
        const auto account = memory::AccountName(static_cast<memory::Account>(i));
        out.Sample(state.With("class", account), state.ledger.accounts[i].*member);
      }
    }
  };
  per_account("budget_bytes", "Reserved, by account.", &memory::AccountUsage::bytes);
  per_account("budget_peak_bytes", "The most that was reserved, by account.",
              &memory::AccountUsage::high_water_bytes);
}

void WriteProcess(PrometheusText& out, States states) {
  const engine::ProcessMemory process = engine::ReadProcessMemory();
  uint64_t reserved = 0;
  for (const ModelState& state : states) {
    reserved += state.ledger.reserved_bytes;
  }
  out.Family("process_resident_bytes", "gauge", "Memory of the process, pages of files included.");
  out.Sample({}, process.resident_bytes);
  out.Family("process_heap_bytes", "gauge", "Of the allocator, its slack included.");
  out.Sample({}, process.heap_bytes);
  out.Family("process_beside_ledger_bytes", "gauge",
             "Memory of no file above what is reserved; below zero while some is not in use yet.");
  out.Sample({}, static_cast<int64_t>(process.anonymous_bytes) - static_cast<int64_t>(reserved));
}

// Families of those models that page experts.
void WritePagers(PrometheusText& out, States states) {
  const auto family = [&](std::string_view name, std::string_view type, std::string_view help,
                          const auto& value) {
    out.Family(name, type, help);
    for (const ModelState& state : states) {
      if (state.paging) {
        out.Sample(state.labels(), value(*state.paging));
      }
    }
  };
  const auto per_phase = [&](std::string_view name, std::string_view help, const auto& value) {
    out.Family(name, "counter", help);
    for (const ModelState& state : states) {
      if (state.paging) {
        out.Sample(state.With("phase", "prefill"),
                   value(state.paging->pager.of(memory::Phase::kPrefill)));
        out.Sample(state.With("phase", "decode"),
                   value(state.paging->pager.of(memory::Phase::kDecode)));
      }
    }
  };
  using engine::PagingSnapshot;
  family("experts", "gauge", "Experts that are paged.",
         [](const PagingSnapshot& p) { return p.n_pages; });
  family("expert_frames", "gauge", "Frames that they share.",
         [](const PagingSnapshot& p) { return p.n_frames; });
  family("experts_resident", "gauge", "Experts in memory.",
         [](const PagingSnapshot& p) { return p.n_resident; });
  per_phase("experts_wanted_total", "Experts that layers wanted.",
            [](const memory::WantStats& w) { return w.wanted; });
  per_phase("weight_cache_hits_total", "Of these, in memory.",
            [](const memory::WantStats& w) { return w.hits; });
  per_phase("weight_cache_joined_total", "Of these, being read already.",
            [](const memory::WantStats& w) { return w.joined; });
  per_phase("expert_bytes_read_total", "Bytes read for them.",
            [](const memory::WantStats& w) { return w.bytes_read; });
  per_phase("expert_wait_seconds_total", "Time without anything to compute.",
            [](const memory::WantStats& w) { return ToSeconds(w.waited); });
  family("expert_evictions_total", "counter", "Experts that made room for others.",
         [](const PagingSnapshot& p) { return p.pager.evictions; });
  family("expert_read_failures_total", "counter", "Experts that could not be read.",
         [](const PagingSnapshot& p) { return p.pager.failures; });
  family("prefetched_total", "counter", "Experts that were read on a guess.",
         [](const PagingSnapshot& p) { return p.pager.prefetched; });
  family("prefetch_useful_ratio", "gauge", "Of these, those that were wanted in time.",
         [](const PagingSnapshot& p) {
           return p.pager.prefetched == 0 ? 0.0
                                          : static_cast<double>(p.pager.prefetched_used) /
                                                static_cast<double>(p.pager.prefetched);
         });
  family("disk_busy_seconds_total", "counter", "Time with a read of experts under way.",
         [](const PagingSnapshot& p) { return ToSeconds(p.reader.busy); });
  family("read_retries_total", "counter", "Reads that were tried again after an error.",
         [](const PagingSnapshot& p) { return p.reader.error_retries; });
}

void WriteStreams(PrometheusText& out, States states) {
  const auto family = [&](std::string_view name, std::string_view type, std::string_view help,
                          const auto& value) {
    out.Family(name, type, help);
    for (const ModelState& state : states) {
      if (state.streaming) {
        out.Sample(state.labels(), value(*state.streaming));
      }
    }
  };
  using engine::StreamingSnapshot;
  family("dense_streamable_bytes", "gauge", "Dense weights that can be streamed.",
         [](const StreamingSnapshot& s) { return s.total_bytes; });
  family("dense_kept_bytes", "gauge", "Of these, in memory.",
         [](const StreamingSnapshot& s) { return s.kept_bytes; });
  family("dense_bytes_read_total", "counter", "Bytes of them that were read.",
         [](const StreamingSnapshot& s) { return s.stream.bytes_read; });
  family("dense_wait_seconds_total", "counter", "Time without anything to compute.",
         [](const StreamingSnapshot& s) { return ToSeconds(s.stream.waited); });
}

void WriteConnections(PrometheusText& out, const http::ConnectionStats& stats) {
  const auto family = [&](std::string_view name, std::string_view type, std::string_view help,
                          uint64_t value) {
    out.Family(name, type, help);
    out.Sample({}, value);
  };
  family("http_connections", "gauge", "Connections that are open.", stats.active_connections);
  family("http_memory_bytes", "gauge", "What connections, requests and unsent bytes take.",
         stats.memory_bytes);
  family("http_requests_active", "gauge", "Requests without the end of their response.",
         stats.active_requests);
  family("http_connections_accepted_total", "counter", "Connections.", stats.accepted);
  family("http_requests_total", "counter", "Requests whose head was read.", stats.requests);
  family("http_malformed_total", "counter", "Requests that were none.", stats.malformed);
  family("http_refused_total", "counter", "Requests refused for their key, Host or Origin.",
         stats.refused);
  family("http_clients_vanished_total", "counter", "Clients that left before their response ended.",
         stats.vanished);
  family("http_received_bytes_total", "counter", "Bytes from clients.", stats.bytes_received);
  family("http_sent_bytes_total", "counter", "Bytes to clients.", stats.bytes_sent);
  out.Family("http_responses_total", "counter", "Responses, by the class of their status.");
  for (size_t i = 1; i < stats.responses.size(); ++i) {
    out.Sample({{"status", std::to_string(i) + "xx"}}, stats.responses[i]);
  }
  out.Family("http_limits_hit_total", "counter", "Connections or requests past a limit.");
  for (size_t i = 0; i < http::kNBreaches; ++i) {
    out.Sample({{"limit", std::string(http::BreachName(static_cast<http::Breach>(i)))}},
               stats.breaches[i]);
  }
}

}  // namespace

std::string WriteMetrics(std::span<const ModelMetrics> models,
                         const http::ConnectionStats& connections) {
  std::vector<ModelState> states;
  for (const ModelMetrics& model : models) {
    states.push_back({.name = model.name,
                      .kv_type = model.service->summary().kv_type,
                      .kv_policy = model.service->summary().kv_policy,
                      .service = model.service->Snapshot(),
                      .ledger = model.service->ledger(),
                      .paging = model.service->paging(),
                      .streaming = model.service->streaming(),
                      .times = model.times});
  }
  PrometheusText out;
  WriteRequests(out, states);
  WriteTokens(out, states);
  WriteKvTypes(out, states);
  if (std::ranges::any_of(states,
                          [](const ModelState& s) { return s.service.kv_disk.has_value(); })) {
    WriteKvDisk(out, states);
  }
  WriteTimes(out, states);
  WriteLedger(out, states);
  WriteProcess(out, states);
  WritePagers(out, states);
  WriteStreams(out, states);
  WriteConnections(out, connections);
  return out.text();
}

}  // namespace plimsoll::server
