#include "sim/grouping/workload.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "memory/trace/trace_file.h"

namespace plimsoll::sim {
namespace {

using memory::trace::Trace;

// All tokens, of the prompt too: a router does not know the difference.
RoutedStream Flatten(const Trace& trace, const Workload& workload) {
  RoutedStream stream;
  for (size_t i = 0; i < trace.visits.size();) {
    size_t end = i;
    while (end < trace.visits.size() && trace.visits[end].pass == trace.visits[i].pass) {
      ++end;
    }
    const uint32_t n = trace.visits[i].n_tokens;
    stream.experts.resize(size_t{stream.n_tokens + n} * workload.per_token);
    for (; i < end; ++i) {
      const memory::trace::Visit& visit = trace.visits[i];
      for (uint32_t token = 0; token < std::min(n, visit.n_tokens); ++token) {
        const auto ranked = trace.ranked(visit, token);
        const size_t at = size_t{stream.n_tokens + token} * workload.per_token;
        for (uint32_t k = 0; k < workload.layers[visit.layer].n_active; ++k) {
          stream.experts[at + workload.first[visit.layer] + k] = ranked[k].expert;
        }
      }
    }
    stream.n_tokens += n;
  }
  return stream;
}

void RenameExperts(RoutedStream& stream, const Workload& workload, uint64_t topic) {
  std::mt19937_64 draws(topic);
  for (size_t layer = 0; layer < workload.layers.size(); ++layer) {
    std::vector<uint32_t> name(workload.layers[layer].n_experts);
    std::iota(name.begin(), name.end(), 0U);
    std::ranges::shuffle(name, draws);
    for (size_t token = 0; token < stream.n_tokens; ++token) {
      for (uint32_t k = 0; k < workload.layers[layer].n_active; ++k) {
        uint32_t& expert = stream.experts[token * workload.per_token + workload.first[layer] + k];
        expert = name[expert];
      }
    }
  }
}

bool AreOfOneModel(const Trace& a, const Trace& b) {
  return std::ranges::equal(a.layers, b.layers, [](const auto& x, const auto& y) {
    return x.n_experts == y.n_experts && x.n_active == y.n_active;
  });
}

}  // namespace

Result<Workload> MakeWorkload(std::span<const std::filesystem::path> traces, uint32_t n,
                              uint32_t n_topics, uint64_t seed) {
  std::vector<Trace> read;
  for (const auto& path : traces) {
    auto trace = memory::trace::ReadTrace(path);
    if (!trace) {
      return Forward(trace);
    }
    read.push_back(*std::move(trace));
    if (!AreOfOneModel(read.front(), read.back())) {
      return Fail(ErrorKind::kUsage, "{} is of another model than {}", path.string(),
                  traces.front().string());
    }
  }
  if (read.empty()) {
    return Fail(ErrorKind::kUsage, "no trace was given");
  }
  Workload workload = {.layers = read.front().layers, .first = {}, .streams = {}};
  for (memory::trace::TraceLayer& layer : workload.layers) {
    layer.n_active = layer.n_experts == 0 ? 0 : layer.n_active;
    workload.first.push_back(workload.per_token);
    workload.per_token += layer.n_active;
  }
  for (uint32_t i = 0; i < n; ++i) {
    RoutedStream stream = Flatten(read[size_t{i} * read.size() / n], workload);
    if (stream.n_tokens == 0) {
      return Fail(ErrorKind::kUsage, "a trace has no tokens");
    }
    const size_t shift = n <= read.size() ? 0 : size_t{i} * stream.n_tokens / n;
    std::ranges::rotate(stream.experts, stream.experts.begin() +
                                            static_cast<ptrdiff_t>(shift * workload.per_token));
    if (n_topics > 0) {
      RenameExperts(stream, workload, i % n_topics + 1);
    }
    workload.streams.push_back(std::move(stream));
  }
  std::mt19937_64 draws(seed);
  std::ranges::shuffle(workload.streams, draws);
  return workload;
}

}  // namespace plimsoll::sim
