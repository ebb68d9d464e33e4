// The readers of routing traces on whatever the fuzzer makes up: no crash, no choice that the
// trace's own layers do not have, and what was read can be written in the binary format and read
// back.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/invariant.h"
#include "memory/policy/lru.h"
#include "memory/replay/replay.h"
#include "memory/trace/binary_trace.h"
#include "memory/trace/trace_file.h"

using plimsoll::Invariant;
using plimsoll::memory::trace::BlockEncoder;
using plimsoll::memory::trace::Choice;
using plimsoll::memory::trace::Trace;

namespace {

void CheckChoices(const Trace& trace) {
  Invariant(!trace.visits.empty(), "a trace has visits");
  for (const auto& visit : trace.visits) {
    const auto& layer = trace.layers.at(visit.layer);
    Invariant(visit.n_tokens > 0 && layer.n_active > 0 && layer.n_active <= layer.n_ranked,
              "a visit has tokens and they have experts");
    for (uint32_t token = 0; token < visit.n_tokens; ++token) {
      for (const Choice& choice : trace.ranked(visit, token)) {
        Invariant(choice.expert < layer.n_experts, "a choice is an expert of its layer");
      }
    }
  }
}

void CheckRoundTrip(const Trace& trace) {
  std::string bytes =
      plimsoll::memory::trace::EncodeTraceHeader(trace.model, trace.architecture, trace.layers);
  BlockEncoder encoder;
  for (const auto& visit : trace.visits) {
    const size_t n = size_t{visit.n_tokens} * trace.layers[visit.layer].n_ranked;
    encoder.Add(visit.layer, visit.pass, visit.phase, visit.n_tokens,
                std::span(trace.choices).subspan(visit.first, n));
  }
  const std::string block = encoder.TakeBlock();
  const auto again = plimsoll::memory::trace::ParseTrace(bytes + block, "again");
  // A weight that is finite may round to one that is not.
  if (!again) {
    Invariant(again.error().message.find("no finite weight") != std::string::npos,
              "what was read can be written");
    return;
  }
  Invariant(again->visits.size() == trace.visits.size(), "the visits are the same");
  Invariant(again->choices.size() == trace.choices.size(), "the choices are the same");
}

// Behind this the input is what a block holds, and gets a header and a checksum, which no fuzzer
// would find.
constexpr std::string_view kVisits = "VISITS:";

std::string WithHeader(std::string_view visits) {
  const std::vector<plimsoll::memory::trace::TraceLayer> layers = {
      {0, 0, 0, 0}, {16, 2, 3, 4096}, {300, 1, 1, 1}};
  return plimsoll::memory::trace::EncodeTraceHeader("m", "a", layers) +
         plimsoll::memory::trace::EncodeBlock(visits);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string whole;
  if (input.starts_with(kVisits)) {
    whole = WithHeader(input.substr(kVisits.size()));
    input = whole;
  }
  const auto trace = plimsoll::memory::trace::ParseTrace(input, "input");
  if (!trace) {
    const std::string& message = trace.error().message;
    Invariant(!message.empty(), "an error says something");
    Invariant(
        std::ranges::all_of(message, [](char c) { return static_cast<unsigned char>(c) >= 0x20; }),
        "an error cannot steer the terminal");
    return 0;
  }
  CheckChoices(*trace);
  CheckRoundTrip(*trace);
  const plimsoll::memory::replay::ReferenceStream stream(
      *trace, plimsoll::memory::replay::PrefillAs::kTokens);
  plimsoll::memory::policy::Lru lru(stream.layout(), plimsoll::memory::policy::Scope::kGlobal);
  const auto counts = plimsoll::memory::replay::Replay(stream, lru, 8);
  Invariant(counts.decode.misses >= stream.n_distinct(), "every page is missed once");
  return 0;
}
