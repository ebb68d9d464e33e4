#include "engine/expert_paging.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/invariant.h"
#include "engine/hot_set.h"
#include "engine/miss_curve.h"
#include "memory/policy/make_policy.h"

namespace plimsoll::engine {
namespace {

using memory::Account;

// What the disk gives in a fifth of a second.
constexpr uint64_t kPrepareAhead = 512 * kMiB;

// The homes of all experts, in the order of their pages.
memory::PageHomes HomesOf(std::span<const model::ExpertLayer> layers,
                          std::span<const ExpertShare> shares,
                          std::span<const io::ReadFileId> files) {
  memory::PageHomes homes;
  homes.n_parts = model::kNProjections;
  for (const ExpertShare& share : shares) {
    homes.frame_bytes.push_back(share.frame_bytes);
  }
  for (const model::ExpertLayer& layer : layers) {
    for (uint32_t expert = 0; expert < layer.n_experts; ++expert) {
      for (const model::ExpertProjection& projection : layer.projections) {
        const formats::FileRange range = projection.RangeOf(expert);
        homes.parts.push_back({files[range.file_idx], range.offset, range.bytes});
      }
      const uint64_t frame_bytes =
          memory::PageHomes::FrameBytes(std::span(homes.parts).last(homes.n_parts));
      const auto page_class = std::ranges::find(homes.frame_bytes, frame_bytes);
      Invariant(page_class != homes.frame_bytes.end(), "a plan has a class for every expert");
      homes.class_of.push_back(static_cast<uint8_t>(page_class - homes.frame_bytes.begin()));
    }
  }
  return homes;
}

}  // namespace

Result<std::vector<io::ReadFileId>> AddFiles(const formats::Catalogue& catalogue,
                                             const formats::packed::PackedFile* packed,
                                             io::Reader& reader) {
  std::vector<std::shared_ptr<const io::File>> all = catalogue.files;
  if (packed != nullptr) {
    all.push_back(packed->file());
  }
  std::vector<io::ReadFileId> files;
  for (const auto& file : all) {
    const auto id = reader.AddFile(file);
    if (!id) {
      return tl::unexpected(id.error());
    }
    files.push_back(*id);
  }
  return files;
}

Result<std::unique_ptr<io::Reader>> MakeReader(const PagingOptions& options) {
  auto backend = io::BackendNamed(options.io.empty() ? "best" : options.io);
  if (!backend) {
    return Forward(backend);
  }
  auto made = io::MakeBackend(*backend);
  if (!made) {
    return Forward(made);
  }
  return std::make_unique<io::Reader>(
      options.wrap_backend ? options.wrap_backend(std::move(*made)) : std::move(*made),
      io::ReaderOptions{.traffic = options.traffic, .trouble = options.trouble});
}

namespace {

// What an earlier run left is a hint: nothing depends on its being there.
void WarmPolicy(const ExpertPaging& paging, const PagingOptions& options,
                memory::policy::Policy& policy) {
  if (options.profiles.empty()) {
    return;
  }
  const io::MeasurementCache cache(options.profiles);
  const auto hot_set = LoadHotSet(cache, paging.profile_name, *paging.layout);
  if (!hot_set) {
    if (options.on_note) {
      options.on_note(
          fmt::format("{}\nit would say which experts are popular; ignored, and written anew later",
                      hot_set.error().message));
    }
  } else if (*hot_set) {
    policy.Warm((*hot_set)->popularity);
  }
}

}  // namespace

Result<> CheckNames(const PagingOptions& options) {
  const memory::policy::PageLayout no_pages({});
  if (!options.policy.empty()) {
    if (auto policy = memory::policy::MakePolicy(options.policy, no_pages); !policy) {
      return Forward(policy);
    }
  }
  if (auto guess_by = memory::policy::GuessByNamed(options.prefetch); !guess_by) {
    return Forward(guess_by);
  }
  if (!options.io.empty()) {
    if (auto backend = io::BackendNamed(options.io); !backend) {
      return Forward(backend);
    }
  }
  return {};
}

std::filesystem::path ProfileFolderOfUser() { return io::MeasurementCache::OfUser().folder(); }

PagingSnapshot ExpertPaging::Snapshot() const {
  PagingSnapshot snapshot;
  snapshot.n_pages = layout->n_pages();
  for (uint32_t i = 0; i < pager->n_classes(); ++i) {
    snapshot.n_frames += pager->n_frames(i);
  }
  snapshot.n_resident = pager->n_resident();
  snapshot.pager = pager->stats();
  snapshot.guesses = experts->guess_stats();
  snapshot.reader = pager->reader_stats();
  return snapshot;
}

Result<> ExpertPaging::Resize(uint64_t bytes) {
  auto resized = ShareFrames(shares, bytes);
  if (!resized) {
    return Fail(ErrorKind::kDoesNotFit, "{} for the experts is less than one layer's for a token",
                FormatBytes(bytes));
  }
  // Those that shrink first: the others grow into what they leave.
  for (const bool shrinks : {true, false}) {
    for (uint32_t i = 0; i < shares.size(); ++i) {
      if (((*resized)[i].n_frames < pager->n_frames(i)) == shrinks) {
        if (auto done = pager->Resize(i, (*resized)[i].n_frames); !done) {
          return done;
        }
      }
    }
  }
  shares = std::move(*resized);
  return {};
}

Result<> ExpertPaging::RememberHotSet() const {
  const memory::policy::UseCounts& uses = pager->uses();
  if (profiles.empty() || uses.n_tokens() < kHotSetTokensMin) {
    return {};
  }
  return engine::RememberHotSet(
      io::MeasurementCache(profiles), profile_name, *layout,
      {.n_tokens = static_cast<double>(uses.n_tokens()), .popularity = uses.Popularity()});
}

Result<std::unique_ptr<const formats::packed::PackedFile>> FindPacked(
    const formats::Catalogue& catalogue, const EngineOptions& options) {
  using formats::packed::PackedFile;
  if (!options.packed || !options.model) {  // the bundled model has no folder
    return nullptr;
  }
  const std::filesystem::path path = formats::packed::PathBeside(catalogue.files.front()->path());
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return nullptr;
  }
  auto packed = PackedFile::Open(path);
  if (!packed) {
    return Forward(packed);
  }
  if (auto matches = packed->MatchesSource(catalogue); !matches) {
    return Forward(matches);
  }
  return std::make_unique<const PackedFile>(std::move(*packed));
}

Result<std::unique_ptr<ExpertPaging>> StartPaging(const formats::Catalogue& catalogue,
                                                  const formats::packed::PackedFile* packed,
                                                  const model::Model& model,
                                                  const LineDivision& division,
                                                  const PagingOptions& options,
                                                  memory::Ledger& ledger, kernels::Team& team) {
  auto layers = model.ExpertLayers();
  if (!layers) {
    return Forward(layers);
  }
  auto reader = MakeReader(options);
  if (!reader) {
    return Forward(reader);
  }
  auto paging = std::make_unique<ExpertPaging>();
  paging->layout = std::make_unique<const memory::policy::PageLayout>(model::ExpertPages(*layers));
  auto policy = memory::policy::MakePolicy(
      options.policy.empty() ? memory::policy::PolicyNames().front().name : options.policy,
      *paging->layout);
  if (!policy) {
    return Forward(policy);
  }
  paging->profiles = options.profiles;
  paging->profile_name = ProfileName(model.hyper_params(), catalogue.TotalBytes());
  WarmPolicy(*paging, options, **policy);
  const auto guess_by = memory::policy::GuessByNamed(options.prefetch);
  if (!guess_by) {
    return tl::unexpected(guess_by.error());
  }
  const auto files = AddFiles(catalogue, packed, **reader);
  if (!files) {
    return tl::unexpected(files.error());
  }

  memory::PageHomes homes = HomesOf(*layers, division.experts, *files);
  const uint64_t other_tables =
      memory::Pager::TableBytes(homes.n_pages(), homes.n_parts) + division.stream.index;
  Invariant(division.parts.index >= other_tables, "a plan counts the pager's tables");
  auto policy_memory = ledger.Reserve(Account::kIndex, division.parts.index - other_tables);
  auto reader_memory = ledger.Reserve(Account::kIo, io::kReaderTableBytes);
  Invariant(policy_memory && reader_memory, "a plan that fits grants the pager's tables");
  paging->policy_memory = std::move(*policy_memory);
  paging->reader_memory = std::move(*reader_memory);

  paging->shares = division.experts;
  std::vector<uint32_t> n_frames;
  std::vector<uint32_t> n_frames_min;
  for (const ExpertShare& share : division.experts) {
    n_frames.push_back(share.n_frames);
    n_frames_min.push_back(share.n_frames_min);
  }
  memory::PagerOptions pager_options = {.prepare_ahead_bytes = kPrepareAhead};
  if (packed != nullptr) {
    pager_options.verify = [packed, layout = paging->layout.get()](
                               memory::PageId page, uint32_t part,
                               std::span<const std::byte> bytes) {
      const uint32_t layer = layout->layer_of(page);
      const uint32_t expert = page.value - layout->begin(layer);
      return packed->IsSoundPart(layer, expert, part, bytes.data())
                 ? std::nullopt
                 : std::optional(packed->Damaged(layer, expert, part));
    };
    pager_options.side_by_side = [&team](size_t n, const std::function<void(size_t)>& task) {
      team.Run(n, [&](size_t i, size_t /*thread*/) { task(i); });
    };
  }
  auto pager =
      memory::Pager::Create(ledger, std::move(*reader), std::move(homes), *paging->layout,
                            std::move(*policy), n_frames, n_frames_min, std::move(pager_options));
  if (!pager) {
    return Forward(pager);
  }
  paging->pager = std::move(*pager);
  paging->experts = std::make_unique<model::PagedExperts>(*paging->pager, *paging->layout,
                                                          std::move(*layers), *guess_by);
  return paging;
}

}  // namespace plimsoll::engine
