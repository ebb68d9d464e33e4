#include "engine/memory_plan.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "base/bytes.h"
#include "base/checked.h"
#include "engine/prefix/prefix_tree.h"
#include "memory/page_stream.h"
#include "memory/pager.h"

namespace plimsoll::engine {
namespace {

// What buffers may lose to whole pages; a handful of buffers.
constexpr uint64_t kRounding = 64 * kKiB;
constexpr uint32_t kShortestUsefulContext = 256;

// A --memory value that is enough: whole MiB, rounded up.
std::string EnoughFor(uint64_t bytes) { return fmt::format("{}M", CeilDiv(bytes, kMiB)); }

uint64_t FrameBytesOf(const model::ExpertLayer& layer) {
  uint64_t bytes = 0;
  for (const model::ExpertProjection& projection : layer.projections) {
    if (projection.entry != nullptr) {
      bytes += memory::PartFrameBytes(projection.read_bytes());
    }
  }
  return bytes;
}

const model::WeightBytes& ResidentWeights(const model::ModelNeeds& needs, Residence residence) {
  switch (residence) {
    case Residence::kPaged:
      return needs.weights_paged;
    case Residence::kStreamed:
      return needs.weights_streamed;
    case Residence::kAll:
      break;
  }
  return needs.weights;
}

// Of a sequence, its slots alone.
uint64_t BlocksKept(const LineNeeds& needs) {
  const uint64_t n_whole = kv::BlockPool::BlocksFor(needs.n_ctx);
  return needs.eviction ? std::min<uint64_t>(n_whole, needs.eviction->budget()) : n_whole;
}

MemoryPlan PlanFor(const LineNeeds& needs, Residence residence) {
  const model::WeightBytes& weights = ResidentWeights(needs.model, residence);
  const uint64_t n_blocks = needs.n_parallel * BlocksKept(needs);
  return {.dense = weights.weights,
          .vocab = weights.vocab + needs.tokenizer_bytes,
          .experts = weights.experts,
          .kv = n_blocks * needs.model.kv_block + needs.n_parallel * needs.kv_beside,
          .scratch = needs.model.scratch + needs.scorer + needs.importance + kRounding,
          .requests = needs.batches ? prefix::PrefixTree::BytesFor(n_blocks) : 0,
          .disk = needs.disk};
}

// With as few frames as will do.
LineDivision Paged(const LineNeeds& needs, Residence residence) {
  LineDivision division;
  division.residence = residence;
  division.parts = PlanFor(needs, residence);
  division.parts.experts = needs.experts.empty() ? 0 : kRounding;
  division.parts.index = needs.index;
  division.parts.requests += needs.batches ? needs.n_parallel * needs.sequence_index : 0;
  division.parts.io = needs.io;
  for (const ExpertClass& experts : needs.experts) {
    const uint32_t least = std::min(experts.n_active, experts.n_pages);
    division.experts.push_back({.frame_bytes = experts.frame_bytes,
                                .n_pages = experts.n_pages,
                                .n_frames = least,
                                .n_frames_min = least});
    division.parts.experts += division.experts.back().bytes();
  }
  return division;
}

// And with nothing kept.
LineDivision Streamed(const LineNeeds& needs) {
  LineDivision division = Paged(needs, Residence::kStreamed);
  division.parts.dense += needs.stream.ring_bytes;
  division.parts.index += needs.stream.index;
  division.parts.io += needs.stream.io;
  division.stream = {.total_bytes = needs.stream.total_bytes(),
                     .ring_bytes = needs.stream.ring_bytes,
                     .index = needs.stream.index};
  return division;
}

// Keeps of the streamed matrices what fits into `left` bytes more; the bytes that it takes.
uint64_t Keep(const StreamNeeds& needs, uint64_t left, LineDivision& division) {
  const std::vector<bool> kept = memory::ChooseKept(needs.frame_bytes, left);
  for (size_t i = 0; i < kept.size(); ++i) {
    division.stream.kept_bytes += kept[i] ? needs.frame_bytes[i] : 0;
  }
  division.parts.dense += division.stream.kept_bytes;
  return division.stream.kept_bytes;
}

// Gives `left` bytes more to the experts: first every class the same share of what it lacks, then
// what a share's rounding left over.
void GiveFrames(uint64_t left, LineDivision& division) {
  uint64_t lacking = 0;
  for (const ExpertShare& share : division.experts) {
    lacking += share.frame_bytes * (share.n_pages - share.n_frames);
  }
  const double part =
      lacking == 0 ? 1 : std::min(1.0, static_cast<double>(left) / static_cast<double>(lacking));
  const auto give = [&](ExpertShare& share, uint64_t n) {
    n = std::min({n, left / share.frame_bytes, uint64_t{share.n_pages - share.n_frames}});
    share.n_frames += static_cast<uint32_t>(n);
    left -= n * share.frame_bytes;
    division.parts.experts += n * share.frame_bytes;
  };
  for (ExpertShare& share : division.experts) {
    give(share, static_cast<uint64_t>(part * (share.n_pages - share.n_frames)));
  }
  for (ExpertShare& share : division.experts) {
    give(share, share.n_pages);
  }
}

std::string Refusal(const LineNeeds& needs, const LineDivision& least, uint64_t line) {
  LineNeeds shorter = needs;
  while (shorter.n_ctx > kShortestUsefulContext && DivideLeast(shorter).parts.total() > line) {
    shorter.n_ctx /= 2;
  }
  const bool shorter_fits = DivideLeast(shorter).parts.total() <= line;
  const MemoryPlan& parts = least.parts;
  const bool is_paged = least.residence != Residence::kAll;
  std::string dense = FormatBytes(parts.dense);
  if (least.residence == Residence::kStreamed) {
    dense += " (to stream them through)";
  }
  std::string experts = FormatBytes(parts.experts);
  if (is_paged && !needs.experts.empty()) {
    experts += " (one layer's for a token)";
  }
  const uint64_t all = PlanFor(needs, Residence::kAll).total();
  return fmt::format(
      "the model needs {}{} and the line is {}: dense weights {}, vocabulary {}, experts {}, KV of "
      "{}{} tokens {}, scratch and tables {}{}\nraise the line with --memory {}{}{}",
      is_paged ? "at least " : "", FormatBytes(parts.total()), FormatBytes(line), dense,
      FormatBytes(parts.vocab), experts,
      needs.n_parallel == 1 ? "" : fmt::format("{} times ", needs.n_parallel), needs.n_ctx,
      FormatBytes(parts.kv),
      FormatBytes(parts.scratch - needs.importance + parts.index + parts.requests + parts.io +
                  parts.disk),
      needs.importance == 0
          ? ""
          : fmt::format(", sums of the importance matrix {}", FormatBytes(needs.importance)),
      EnoughFor(parts.total()),
      is_paged ? fmt::format(" (all of it would be in memory with {})", EnoughFor(all)) : "",
      shorter_fits ? fmt::format(", or shorten the context with -c {}", shorter.n_ctx) : "");
}

}  // namespace

MemoryPlan PlanResident(const model::ModelNeeds& needs, uint64_t tokenizer_bytes, uint32_t n_ctx) {
  return PlanFor({.model = needs, .tokenizer_bytes = tokenizer_bytes, .n_ctx = n_ctx},
                 Residence::kAll);
}

uint64_t StreamNeeds::total_bytes() const {
  return std::accumulate(frame_bytes.begin(), frame_bytes.end(), uint64_t{0});
}

StreamNeeds StreamNeedsOf(std::span<const model::StreamedMatrix> matrices) {
  StreamNeeds needs;
  for (const model::StreamedMatrix& matrix : matrices) {
    needs.frame_bytes.push_back(memory::PageStream::FrameBytes(matrix.range.bytes));
  }
  if (!matrices.empty()) {
    needs.ring_bytes = 2 * model::LargestStage(matrices);
    needs.index = memory::PageStream::TableBytes(static_cast<uint32_t>(matrices.size()));
    needs.io = io::kReaderTableBytes;
  }
  return needs;
}

std::vector<ExpertClass> ExpertClassesOf(std::span<const model::ExpertLayer> layers,
                                         const model::HyperParams& hp) {
  std::vector<ExpertClass> classes;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].n_experts == 0) {
      continue;
    }
    const uint64_t frame_bytes = FrameBytesOf(layers[i]);
    auto found = std::ranges::lower_bound(classes, frame_bytes, {}, &ExpertClass::frame_bytes);
    if (found == classes.end() || found->frame_bytes != frame_bytes) {
      found = classes.insert(found, {.frame_bytes = frame_bytes});
    }
    found->n_pages += layers[i].n_experts;
    found->n_active = std::max(found->n_active, hp.layers[i].n_experts_active);
    found->n_cycle += hp.layers[i].n_experts_active;
  }
  return classes;
}

uint64_t LeastBytes(std::span<const ExpertShare> shares) {
  uint64_t bytes = 0;
  for (const ExpertShare& share : shares) {
    bytes += share.frame_bytes * share.n_frames_min;
  }
  return bytes;
}

std::optional<std::vector<ExpertShare>> ShareFrames(std::vector<ExpertShare> shares,
                                                    uint64_t bytes) {
  for (ExpertShare& share : shares) {
    share.n_frames = share.n_frames_min;
  }
  const uint64_t least = LeastBytes(shares);
  if (least > bytes) {
    return std::nullopt;
  }
  LineDivision division;
  division.experts = std::move(shares);
  GiveFrames(bytes - least, division);
  return std::move(division.experts);
}

LineDivision DivideLeast(const LineNeeds& needs) {
  LineDivision least;
  least.parts = PlanFor(needs, Residence::kAll);
  const auto consider = [&](LineDivision division) {
    if (division.parts.total() < least.parts.total()) {
      least = std::move(division);
    }
  };
  if (!needs.experts.empty()) {
    consider(Paged(needs, Residence::kPaged));
  }
  if (!needs.stream.frame_bytes.empty()) {
    consider(Streamed(needs));
  }
  return least;
}

Result<LineDivision> DivideLine(const LineNeeds& needs, uint64_t line) {
  const MemoryPlan all = PlanFor(needs, Residence::kAll);
  if (all.total() <= line) {
    return LineDivision{.parts = all, .experts = {}, .stream = {}};
  }
  LineDivision division = DivideLeast(needs);
  if (division.parts.total() > line) {
    return Fail(ErrorKind::kDoesNotFit, "{}", Refusal(needs, division, line));
  }
  if (division.residence == Residence::kStreamed && !needs.experts.empty()) {
    LineDivision paged = Paged(needs, Residence::kPaged);
    if (paged.parts.total() <= line) {
      division = std::move(paged);
    }
  }
  uint64_t left = line - division.parts.total();
  if (division.residence == Residence::kStreamed) {
    left -= Keep(needs.stream, left, division);
  }
  GiveFrames(left, division);
  return division;
}

}  // namespace plimsoll::engine
