// Experts that are paged: the reader of their files, the pager, and the model's view of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/memory_plan.h"
#include "formats/catalogue.h"
#include "kernels/team.h"
#include "memory/ledger.h"
#include "memory/pager.h"
#include "model/model.h"
#include "model/paged_experts.h"

namespace plimsoll::engine {

struct PagingOptions {
  std::string policy;                             // "": the default
  std::string io;                                 // as io::BackendNamed; "": the best
  std::string prefetch;                           // as memory::policy::GuessByNamed
  std::filesystem::path profiles;                 // as EngineOptions
  std::function<void(std::string_view)> on_note;  // the same; may be empty
  io::Traffic* traffic = nullptr;                 // as io::ReaderOptions
  io::ReadTrouble* trouble = nullptr;             // the same
  // For tests: what stands between the reader and its backend.
  std::function<std::unique_ptr<io::ReadBackend>(std::unique_ptr<io::ReadBackend>)> wrap_backend;
};

// In order: what stands later uses what stands before it.
struct ExpertPaging {
  std::unique_ptr<const memory::policy::PageLayout> layout;
  std::unique_ptr<memory::Pager> pager;
  std::unique_ptr<model::PagedExperts> experts;
  memory::Reservation policy_memory;
  memory::Reservation reader_memory;
  std::vector<ExpertShare> shares;  // by class
  std::filesystem::path profiles;   // PagingOptions::profiles
  std::string profile_name;

  [[nodiscard]] PagingSnapshot Snapshot() const;
  // Gives the experts frames for this many bytes. kDoesNotFit when that is too little for a token.
  [[nodiscard]] Result<> Resize(uint64_t bytes);
  // Leaves the popularity of the experts in the folder of profiles, if there is one and enough was
  // computed to tell. kIo.
  Result<> RememberHotSet() const;
};

// The packed file beside the model; null where there is none, or where the options do without.
// kBadModel when it was made from other files, or is none.
[[nodiscard]] Result<std::unique_ptr<const formats::packed::PackedFile>> FindPacked(
    const formats::Catalogue& catalogue, const EngineOptions& options);

// kUsage when the policy or the way of reading is none, also where nothing will be paged.
[[nodiscard]] Result<> CheckNames(const PagingOptions& options);

// A reader over the backend that the options name.
[[nodiscard]] Result<std::unique_ptr<io::Reader>> MakeReader(const PagingOptions& options);
// The catalogue's files, in its order, and behind them the packed file, if it is not null.
[[nodiscard]] Result<std::vector<io::ReadFileId>> AddFiles(
    const formats::Catalogue& catalogue, const formats::packed::PackedFile* packed,
    io::Reader& reader);

// With as many frames as the division gives the experts, which the ledger has room for. kUsage when
// a name is none, kIo when the files cannot be read. `packed`, which the model was opened with, may
// be null; its records are verified on the team, which outlives the paging.
[[nodiscard]] Result<std::unique_ptr<ExpertPaging>> StartPaging(
    const formats::Catalogue& catalogue, const formats::packed::PackedFile* packed,
    const model::Model& model, const LineDivision& division, const PagingOptions& options,
    memory::Ledger& ledger, kernels::Team& team);

}  // namespace plimsoll::engine
