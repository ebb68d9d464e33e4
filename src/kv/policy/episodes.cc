#include "kv/policy/episodes.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "base/invariant.h"
#include "base/rng.h"

namespace plimsoll::kv::policy {
namespace {

constexpr uint64_t kSeed = 42;
constexpr uint64_t kRuns = 10;
constexpr int kMostRounds = 16;

// Of a patch prompt.
constexpr size_t kMedoids = 4;

// Fibonacci hashing: the high bits of the product.
uint32_t BucketOf(TokenId token) {
  constexpr auto kBits = static_cast<int>(std::bit_width(Episodes::kBuckets)) - 1;
  return (static_cast<uint32_t>(token) * 2654435769U) >> (32 - kBits);
}

// The largest number of three binary digits and zeros that is not above n.
size_t RoundDown(size_t n) {
  const auto n_bits = static_cast<size_t>(std::bit_width(n));
  const size_t shift = n_bits > 3 ? n_bits - 3 : 0;
  return n >> shift << shift;
}

}  // namespace

Episodes::Episodes(std::span<const TokenId> text) {
  const size_t n_whole = text.size() / kSegmentTokens;
  if (n_whole == 0) {
    return;
  }
  MakeVectors(text.first(n_whole * kSegmentTokens));
  std::vector<double> best_centroids;
  std::vector<uint32_t> best;
  double best_cohesion = -1;
  for (uint64_t run = 0; run < kRuns; ++run) {
    ChooseFirstCentroids(std::min(kMost, n_segments()), run);
    episode_of_.assign(n_segments(), ~0U);
    for (int round = 0; Assign() && round < kMostRounds; ++round) {
      MoveCentroids();
    }
    if (const double cohesion = Cohesion(); cohesion > best_cohesion) {
      best_cohesion = cohesion;
      best_centroids = centroids_;
      best = episode_of_;
    }
  }
  centroids_ = std::move(best_centroids);
  episode_of_ = std::move(best);
}

void Episodes::MakeVectors(std::span<const TokenId> text) {
  const size_t n_whole = text.size() / kSegmentTokens;
  const size_t n = std::min(n_whole, kMostSegments);
  const auto tokens_of = [text](size_t first) { return text.subspan(first, kSegmentTokens); };
  for (size_t i = 0; i < n; ++i) {
    segments_.push_back({.first_token = i * n_whole / n * kSegmentTokens});
  }
  std::vector<uint32_t> n_with(kBuckets, 0);
  std::vector<size_t> last_with(kBuckets, n);
  for (size_t i = 0; i < n; ++i) {
    for (const TokenId token : tokens_of(segments_[i].first_token)) {
      const uint32_t bucket = BucketOf(token);
      n_with[bucket] += last_with[bucket] == i ? 0U : 1U;
      last_with[bucket] = i;
    }
  }
  rarity_.assign(kBuckets, static_cast<uint32_t>(std::bit_width(n)) - 1);
  for (size_t b = 0; b < kBuckets; ++b) {
    if (n_with[b] > 0) {
      rarity_[b] = static_cast<uint32_t>(std::bit_width(n / n_with[b])) - 1;
    }
  }
  for (Segment& segment : segments_) {
    segment.first_entry = entries_.size();
    segment.n_entries = AddVector(tokens_of(segment.first_token), entries_);
  }
}

// A text without a rare token has no entries: it is as far from everything.
size_t Episodes::AddVector(std::span<const TokenId> tokens, std::vector<Entry>& entries) const {
  std::vector<uint32_t> buckets(tokens.size());
  std::ranges::transform(tokens, buckets.begin(), BucketOf);
  std::ranges::sort(buckets);
  const size_t first = entries.size();
  double squares = 0;
  for (size_t i = 0; i < buckets.size();) {
    const uint32_t bucket = buckets[i];
    const size_t begin = i;
    while (i < buckets.size() && buckets[i] == bucket) {
      ++i;
    }
    if (rarity_[bucket] > 0) {
      const double weight = static_cast<double>(i - begin) * rarity_[bucket];
      entries.push_back({bucket, weight});
      squares += weight * weight;
    }
  }
  for (size_t i = first; i < entries.size(); ++i) {
    entries[i].weight /= std::sqrt(squares);
  }
  return entries.size() - first;
}

double Episodes::Similarity(std::span<const Entry> vector, size_t episode) const {
  const double* centroid = centroids_.data() + episode * kBuckets;
  double sum = 0;
  for (const Entry& entry : vector) {
    sum += entry.weight * centroid[entry.bucket];
  }
  return sum;
}

void Episodes::SetCentroid(size_t episode, size_t segment) {
  for (const Entry& entry : VectorOf(segment)) {
    centroids_[episode * kBuckets + entry.bucket] = entry.weight;
  }
}

// Each further one is drawn among the segments in proportion to their distance from the nearest of
// those before it; of unit vectors the squared distance is twice 1 - similarity.
void Episodes::ChooseFirstCentroids(size_t n, uint64_t run) {
  centroids_.assign(kBuckets, 0.0);
  std::vector<double> distances(n_segments(), 1.0);
  for (size_t chosen = 0; chosen < n; ++chosen) {
    double total = 0;
    for (const double distance : distances) {
      total += distance;
    }
    if (!(total > 0)) {
      return;  // every segment is like one that was chosen
    }
    double left = UniformAt(kSeed, chosen, run) * total;
    size_t at = 0;
    while (at + 1 < distances.size() && left >= distances[at]) {
      left -= distances[at++];
    }
    centroids_.resize((chosen + 1) * kBuckets, 0.0);
    SetCentroid(chosen, at);
    for (size_t i = 0; i < distances.size(); ++i) {
      const double distance = std::max(0.0, 1 - Similarity(VectorOf(i), chosen));
      distances[i] = i == at ? 0 : std::min(distances[i], distance);
    }
  }
}

bool Episodes::Assign() {
  bool any_went = false;
  for (size_t i = 0; i < n_segments(); ++i) {
    uint32_t nearest = 0;
    double nearness = Similarity(VectorOf(i), 0);
    for (uint32_t e = 1; e < size(); ++e) {
      if (const double similarity = Similarity(VectorOf(i), e); similarity > nearness) {
        nearest = e;
        nearness = similarity;
      }
    }
    any_went |= std::exchange(episode_of_[i], nearest) != nearest;
  }
  return any_went;
}

// One that no segment belongs to stays where it is.
void Episodes::MoveCentroids() {
  const auto centroid_of = [this](uint32_t episode) {
    return std::span(centroids_).subspan(episode * kBuckets, kBuckets);
  };
  for (uint32_t e = 0; e < size(); ++e) {
    if (std::ranges::find(episode_of_, e) != episode_of_.end()) {
      std::ranges::fill(centroid_of(e), 0.0);
    }
  }
  for (size_t i = 0; i < n_segments(); ++i) {
    const auto centroid = centroid_of(episode_of_[i]);
    for (const Entry& entry : VectorOf(i)) {
      centroid[entry.bucket] += entry.weight;
    }
  }
  for (uint32_t e = 0; e < size(); ++e) {
    double squares = 0;
    for (const double x : centroid_of(e)) {
      squares += x * x;
    }
    const double length = std::sqrt(squares);
    for (double& x : centroid_of(e)) {
      x = length > 0 ? x / length : 0;
    }
  }
}

double Episodes::Cohesion() const {
  double sum = 0;
  for (size_t i = 0; i < n_segments(); ++i) {
    sum += Similarity(VectorOf(i), episode_of_[i]);
  }
  return sum;
}

size_t Episodes::Nearest(std::span<const TokenId> question) const {
  Invariant(size() > 0, "a question belongs to an episode if there is any");
  std::vector<Entry> vector;
  AddVector(question, vector);
  const auto n_of = [this](size_t e) { return std::ranges::count(episode_of_, e); };
  size_t nearest = 0;
  for (size_t e = 1; e < size(); ++e) {
    const double here = Similarity(vector, e);
    const double best = Similarity(vector, nearest);
    const bool is_nearer = here > best || (here == best && n_of(e) > n_of(nearest));
    nearest = n_of(nearest) == 0 || (is_nearer && n_of(e) > 0) ? e : nearest;
  }
  return nearest;
}

std::vector<size_t> Episodes::Medoids(size_t episode, size_t n) const {
  std::vector<std::pair<double, size_t>> members;
  for (size_t i = 0; i < n_segments(); ++i) {
    if (episode_of_[i] == episode) {
      members.emplace_back(-Similarity(VectorOf(i), episode), i);
    }
  }
  std::ranges::sort(members);
  members.resize(std::min(n, members.size()));
  std::vector<size_t> medoids;
  for (const auto& [similarity, segment] : members) {
    medoids.push_back(segment);
  }
  std::ranges::sort(medoids);
  return medoids;
}

std::vector<TokenId> PatchPrompt(std::span<const TokenId> prompt) {
  constexpr size_t kSegment = Episodes::kSegmentTokens;
  const size_t n_question = std::min(prompt.size(), kSegment);
  const size_t n_history = RoundDown((prompt.size() - n_question) / kSegment) * kSegment;
  const Episodes episodes(prompt.first(n_history));
  std::vector<TokenId> patch;
  if (episodes.size() == 0) {
    return patch;
  }
  for (const size_t segment :
       episodes.Medoids(episodes.Nearest(prompt.last(n_question)), kMedoids)) {
    const auto text = prompt.subspan(episodes.FirstToken(segment), kSegment);
    patch.insert(patch.end(), text.begin(), text.end());
  }
  return patch;
}

}  // namespace plimsoll::kv::policy
