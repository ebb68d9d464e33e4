// The episodes of a text, and what stands for one of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace plimsoll::kv::policy {

// A text in segments of equal length, grouped by which tokens they have: after Kim et al.,
// "EpiCache: Episodic KV Cache Management for Long Conversational Question Answering", 2025
// (arXiv:2509.17396), who embed four utterances at a time with a second model and group these by
// k-means. Here a segment is the vector of its tokens' counts, each times how rare the token is
// (floor(log2(segments / segments that have it))), in kBuckets by a hash, of length 1; groups are
// those of spherical k-means (Dhillon and Modha, 2001) begun by k-means++ (Arthur and
// Vassilvitskii, 2007), the best of some runs. Sums and roots of doubles in a fixed order alone:
// the same on every machine.
class Episodes {
 public:
  static constexpr size_t kSegmentTokens = 64;
  static constexpr size_t kMost = 4;
  // Of a longer text as many segments, evenly spread, speak for all of it.
  static constexpr size_t kMostSegments = 512;
  static constexpr size_t kBuckets = 4096;

  // Of the whole segments of `text`; what is left at its end belongs to none.
  explicit Episodes(std::span<const TokenId> text);

  // At most kMost; 0 of a text that is shorter than a segment.
  [[nodiscard]] size_t size() const { return centroids_.size() / kBuckets; }
  [[nodiscard]] size_t n_segments() const { return segments_.size(); }
  // Where a segment begins in the text.
  [[nodiscard]] size_t FirstToken(size_t segment) const { return segments_[segment].first_token; }
  [[nodiscard]] size_t EpisodeOf(size_t segment) const { return episode_of_[segment]; }
  // Its centroid is the nearest, of equally near ones that of the most segments, then the first.
  // There is at least one.
  [[nodiscard]] size_t Nearest(std::span<const TokenId> question) const;
  // The n segments (or all, if fewer) nearest to an episode's centroid, ascending.
  [[nodiscard]] std::vector<size_t> Medoids(size_t episode, size_t n) const;

 private:
  struct Entry {
    uint32_t bucket = 0;
    double weight = 0;
  };
  struct Segment {
    size_t first_token = 0;
    size_t first_entry = 0;
    size_t n_entries = 0;
  };

  void MakeVectors(std::span<const TokenId> text);
  // Appended to entries_; how many they are.
  size_t AddVector(std::span<const TokenId> tokens, std::vector<Entry>& entries) const;
  [[nodiscard]] std::span<const Entry> VectorOf(size_t segment) const {
    return std::span(entries_).subspan(segments_[segment].first_entry,
                                       segments_[segment].n_entries);
  }
  [[nodiscard]] double Similarity(std::span<const Entry> vector, size_t episode) const;
  void ChooseFirstCentroids(size_t n, uint64_t run);
  void SetCentroid(size_t episode, size_t segment);
  // True when any segment went from one to another.
  bool Assign();
  void MoveCentroids();
  // Of every segment to its episode's centroid.
  [[nodiscard]] double Cohesion() const;

  std::vector<uint32_t> rarity_;  // of a bucket
  std::vector<Entry> entries_;
  std::vector<Segment> segments_;
  std::vector<double> centroids_;  // [size()][kBuckets]
  std::vector<uint32_t> episode_of_;
};

// The tokens that decide what of a prompt's keys and values stays (kEpisode): a multiple of
// kBlockTokens of them, so that they are computed a block at a time; none where the prompt is too
// short to have episodes. A function of the prompt's tokens alone, which few of a conversation's
// turns change: episodes are those of as much of the history as stays the same while it grows by up
// to a quarter.
[[nodiscard]] std::vector<TokenId> PatchPrompt(std::span<const TokenId> prompt);

}  // namespace plimsoll::kv::policy
