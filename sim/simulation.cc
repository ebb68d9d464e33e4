#include "sim/simulation.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/checked.h"
#include "memory/policy/make_policy.h"

namespace plimsoll::sim {
namespace {

using memory::Account;
using memory::PageId;
using memory::Phase;
using memory::WantOrder;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr uint64_t kWorld = 2;  // stream of draws

}  // namespace

std::span<const NamedCount> NamedCounts() {
  static constexpr NamedCount kNames[] = {
      {"rounds", &Tally::rounds},
      {"hits", &Tally::hits},
      {"misses", &Tally::misses},
      {"joined", &Tally::joined},
      {"rounds failed", &Tally::rounds_failed},
      {"rounds abandoned", &Tally::rounds_abandoned},
      {"pages failed", &Tally::pages_failed},
      {"evictions", &Tally::evictions},
      {"guesses used", &Tally::guesses_used},
      {"guesses dropped", &Tally::guesses_dropped},
      {"short reads", &Tally::short_reads},
      {"interruptions", &Tally::interruptions},
      {"retries", &Tally::retries},
      {"line lowered", &Tally::line_lowered},
      {"line raised", &Tally::line_raised},
      {"stalls", &Tally::stalls},
      {"checksums refused", &Tally::checksums_refused},
      {"files cut short", &Tally::files_cut_short},
      {"lines too small", &Tally::lines_too_small},
      {"ends with reads under way", &Tally::ends_under_way},
  };
  return kNames;
}

Simulation::Simulation(uint64_t seed, bool trace)
    : findings_(trace),
      scenario_(DrawScenario(seed)),
      draws_(seed, kWorld),
      routing_(scenario_, seed) {}

void Simulation::Run() {
  if (Start()) {
    for (uint32_t turn = 0; turn < scenario_.n_turns && findings_.ok(); ++turn) {
      Turn();
    }
    if (findings_.ok()) {
      Recover();
    }
  }
  Finish();
}

bool Simulation::Start() {
  const std::vector<uint32_t> n_pages(scenario_.n_layers, scenario_.n_experts);
  layout_.emplace(n_pages);
  ledger_.emplace(scenario_.budget);
  spoilt_.resize(layout_->n_pages());
  refused_.resize(layout_->n_pages());
  file_ = *io::File::Placeholder("weights", scenario_.FileBytes());
  auto disk = std::make_unique<io::FakeDisk>(scenario_.disk, clock_);
  disk_ = disk.get();
  auto faulty = std::make_unique<io::FaultyBackend>(std::move(disk), io::FaultPlan());
  faulty_ = faulty.get();
  auto watched =
      std::make_unique<WatchedBackend>(std::move(faulty), in_use_, findings_, !scenario_.dense);
  watched_ = watched.get();
  auto reader = std::make_unique<io::Reader>(std::move(watched), scenario_.reader);
  const auto file = reader->AddFile(file_);
  auto policy = std::make_unique<CheckedPolicy>(
      *memory::policy::MakePolicy(scenario_.policy, *layout_), layout_->n_pages(), findings_);
  policy_ = policy.get();
  mood_ = GoodMood(scenario_);
  findings_.Note("{} layers of {} experts, {} of them active, in {} parts; a line of {}",
                 scenario_.n_layers, scenario_.n_experts, scenario_.n_active, scenario_.n_parts,
                 scenario_.budget);
  auto pager = memory::Pager::Create(
      *ledger_, std::move(reader), scenario_.Homes(*file), *layout_, std::move(policy),
      scenario_.n_frames, scenario_.n_frames_min,
      {.stall_bound = scenario_.stall_bound,
       .read_ahead_bytes = scenario_.read_ahead_bytes,
       .verify = [this](PageId page, uint32_t part,
                        std::span<const std::byte> /*bytes*/) -> std::optional<Error> {
         if (part == 0) {
           refused_[page.value] = spoilt_[page.value];
           tally_.checksums_refused += spoilt_[page.value] ? 1U : 0U;
         }
         if (part != 0 || !spoilt_[page.value]) {
           return std::nullopt;
         }
         return Error{ErrorKind::kIo, "the checksum differs"};
       }});
  if (!pager) {
    findings_.Note("does not fit");
    findings_.Expect(pager.error().kind == ErrorKind::kDoesNotFit, "{}", pager.error().message);
    ++tally_.lines_too_small;
    return false;
  }
  pager_ = std::move(*pager);
  CheckStep();
  return true;
}

void Simulation::Turn() {
  routing_.ChangeTopic(draws_.Uniform());
  Pass(draws_.Count(2, 12), Phase::kPrefill);
  const uint32_t n_tokens = draws_.Count(2, 8);
  for (uint32_t token = 0; token < n_tokens && findings_.ok(); ++token) {
    if (draws_.Chance(0.25)) {
      SetMood(DrawMood(scenario_, draws_));
    }
    if (draws_.Chance(0.25)) {
      MoveLine();
    }
    if (draws_.Chance(0.1)) {
      SpoilPage();
    }
    if (draws_.Chance(0.002)) {
      CutFile();
    }
    Pass(1, Phase::kDecode);
  }
}

void Simulation::Pass(uint32_t n_tokens, Phase phase) {
  routing_.NextStep();
  for (uint32_t layer = 0; layer < scenario_.n_layers && findings_.ok(); ++layer) {
    ServeLayer(layer, n_tokens, phase);
    CheckStep();
  }
}

void Simulation::ServeLayer(uint32_t layer, uint32_t n_tokens, Phase phase) {
  const memory::policy::LayerVisit visit = routing_.Visit(layer, n_tokens, phase);
  pager_->Visit(visit);
  std::vector<PageId> pages;
  for (const uint32_t expert : visit.experts) {
    pages.push_back(layout_->page(layer, expert));
  }
  std::ranges::sort(pages);
  pages.erase(std::ranges::unique(pages).begin(), pages.end());
  const bool in_order = draws_.Chance(phase == Phase::kPrefill ? 0.8 : 0.2);
  Serve(pages, phase, in_order ? WantOrder::kGiven : WantOrder::kArrival, true);
}

void Simulation::Serve(std::span<const PageId> pages, Phase phase, WantOrder order,
                       bool may_abandon) {
  findings_.Note("{} ns: want {} pages from {} on", clock_.now().count(), pages.size(),
                 pages.front().value);
  ++tally_.rounds;
  // What is there when it is wanted stays until it was given out. (In the given order it may be
  // dropped and read again: frames can be too few.)
  for (const PageId page : pages) {
    policy_->SetInUse(page, order == WantOrder::kArrival && pager_->IsResident(page));
  }
  was_given_.assign(pages.size(), false);
  last_given_ = 0;
  memory::PageRound round = pager_->Want(pages, phase, order);
  while (findings_.ok()) {
    TakeBack();
    const nanoseconds begin = clock_.now();
    const nanoseconds bound = NextBound(pages.size());
    const auto ready = round.Next();
    findings_.Expect(clock_.now() - begin <= bound, "a wait took {} ns, at most {} were due",
                     (clock_.now() - begin).count(), bound.count());
    if (!ready) {
      OnRoundFailed(pages, ready.error());
      break;
    }
    if (ready->empty()) {
      findings_.Expect(std::ranges::count(was_given_, false) == 0,
                       "a round ends before all of its pages were given out");
      break;
    }
    Take(pages, *ready, order);
    Compute();
    if (may_abandon && draws_.Chance(0.01)) {
      findings_.Note("  abandoned");
      ++tally_.rounds_abandoned;
      break;
    }
  }
  TakeBack();
  for (const PageId page : pages) {
    policy_->SetInUse(page, false);
  }
}

void Simulation::Take(std::span<const PageId> pages, std::span<const uint32_t> ready,
                      WantOrder order) {
  for (const uint32_t i : ready) {
    const PageId page = pages[i];
    findings_.Note("  {} ns: page {} is there", clock_.now().count(), page.value);
    findings_.Expect(!was_given_[i], "page {} is given out twice", page.value);
    findings_.Expect(order == WantOrder::kArrival || i >= last_given_,
                     "page {} is given out of order", page.value);
    findings_.Expect(pager_->IsResident(page) && policy_->IsAdmitted(page),
                     "page {} is given out and is not there", page.value);
    findings_.Expect(!refused_[page.value], "page {} is given out and was refused", page.value);
    was_given_[i] = true;
    last_given_ = i;
    given_.push_back(page);
    policy_->SetInUse(page, true);
    for (uint32_t part = 0; part < scenario_.n_parts; ++part) {
      const std::span<const std::byte> bytes = {pager_->Data(page, part),
                                                pager_->homes().PartsOf(page)[part].bytes};
      findings_.Expect(!in_use_.Touches(bytes), "page {} is in the frame of another", page.value);
      in_use_.Add(bytes);
    }
    findings_.Expect(HoldsItsBytes(page), "page {} has bytes that are not its own", page.value);
  }
  watched_->CheckInUse();
}

void Simulation::TakeBack() {
  for (const PageId page : given_) {
    policy_->SetInUse(page, false);
  }
  given_.clear();
  in_use_.Clear();
}

// The owner works on what it was given, and now and then does what may come between.
void Simulation::Compute() {
  clock_.Advance(microseconds(draws_.Between(0, 2'000)));
  if (draws_.Chance(0.3)) {
    Guess(draws_.Count(0, scenario_.n_layers - 1));
  }
  if (draws_.Chance(0.1)) {
    pager_->DropPrefetches();
  }
  if (draws_.Chance(0.3)) {
    pager_->Poll();
    clock_.Advance(microseconds(draws_.Between(0, 2'000)));
    pager_->Poll();
  }
  watched_->CheckInUse();
  const PageId page = given_[draws_.Index(given_.size())];
  findings_.Expect(HoldsItsBytes(page), "page {} changes while it is in use", page.value);
}

void Simulation::Guess(uint32_t layer) {
  std::vector<PageId> pages;
  for (const uint32_t expert : routing_.Guess(layer, draws_.Count(1, scenario_.n_active))) {
    pages.push_back(layout_->page(layer, expert));
  }
  findings_.Note("  guess {} pages from {} on", pages.size(), pages.front().value);
  pager_->Prefetch(pages);
}

bool Simulation::HoldsItsBytes(PageId page) {
  for (uint32_t part = 0; part < scenario_.n_parts; ++part) {
    const memory::PagePart& home = pager_->homes().PartsOf(page)[part];
    expected_.resize(home.bytes);
    io::FakeBytes(0, home.offset, expected_);
    if (std::memcmp(expected_.data(), pager_->Data(page, part), home.bytes) != 0) {
      return false;
    }
  }
  return true;
}

void Simulation::OnRoundFailed(std::span<const PageId> pages, const Error& error) {
  findings_.Note("  {} ns: failed", clock_.now().count());
  ++tally_.rounds_failed;
  const bool stalled = error.message.find("not answered") != std::string::npos;
  tally_.stalls += stalled ? 1U : 0U;
  const bool spoilt =
      std::ranges::any_of(pages, [this](PageId page) { return refused_[page.value]; });
  findings_.Expect(error.kind == ErrorKind::kIo && !error.message.empty(),
                   "a failed read is an I/O error with a message: {}", error.message);
  findings_.Expect(MayFail() || spoilt, "nothing is wrong with the disk: {}", error.message);
}

// What the slowest disk of late takes for all that is under way or wanted, one after another.
nanoseconds Simulation::NextBound(size_t n_pages) const {
  const uint64_t block_bytes = *std::ranges::max_element(scenario_.part_bytes) + 2 * 4096;
  const uint64_t n_segments = CeilDiv(block_bytes, scenario_.reader.segment_bytes);
  // A segment may be read a block at a time, and each of them with its retries.
  const uint64_t n_tries =
      scenario_.reader.segment_bytes / io::kIoAlignment * (1 + io::kErrorRetries);
  const auto transfer = nanoseconds(static_cast<int64_t>(
      static_cast<double>(scenario_.reader.segment_bytes) * 1e9 / (0.05 * 1e8)));
  const nanoseconds one = mood_.latency + scenario_.disk.slow_extra + transfer;
  const uint64_t n_reads = pager_->reader().n_outstanding() + n_pages * scenario_.n_parts;
  return n_reads * n_segments * (n_tries * one + milliseconds(80)) +
         (clock_.now() < dead_until_ ? dead_until_ - clock_.now() : nanoseconds(0)) +
         scenario_.stall_bound;
}

bool Simulation::MayFail() {
  using Kind = DiskMood::Kind;
  return cut_short_ || was_failing_ || clock_.now() < dead_until_ || mood_.kind == Kind::kErrors ||
         mood_.kind == Kind::kLastingErrors || mood_.kind == Kind::kDead;
}

void Simulation::SetMood(const DiskMood& mood) {
  findings_.Note("{} ns: the disk is in mood {}", clock_.now().count(),
                 static_cast<uint64_t>(mood.kind));
  was_failing_ = MayFail() && pager_->reader().n_outstanding() > 0;
  if (mood_.kind == DiskMood::Kind::kDead) {
    dead_until_ = clock_.now() + 2 * mood_.latency;  // what was begun until now comes by then
  }
  mood_ = mood;
  faulty_->Change(mood.faults);
  disk_->SetSpeed(mood.latency, mood.bytes_per_second);
}

void Simulation::SpoilPage() {
  const size_t page = draws_.Index(spoilt_.size());
  spoilt_[page] = !spoilt_[page];
  findings_.Note("page {} is spoilt: {}", page, bool{spoilt_[page]});
}

void Simulation::CutFile() {
  findings_.Note("{} ns: the file is cut short", clock_.now().count());
  disk_->Truncate(0, scenario_.FileBytes() / 2);
  tally_.files_cut_short += cut_short_ ? 0U : 1U;
  cut_short_ = true;
}

// The rest of the engine wants more or less of the line.
void Simulation::MoveLine() {
  uint64_t least = memory::Pager::TableBytes(layout_->n_pages(), scenario_.n_parts);
  for (uint32_t i = 0; i < scenario_.n_classes(); ++i) {
    least += scenario_.n_frames_min[i] * pager_->homes().frame_bytes[i];
  }
  findings_.Expect(!ledger_->Reserve(Account::kKv, ledger_->available_bytes() + 1),
                   "a byte more than there is was granted");
  const uint64_t target = draws_.Between(0, scenario_.budget - least);
  findings_.Note("{} ns: others take {} of the line", clock_.now().count(), target);
  if (target > others_bytes_) {
    Lower(target - others_bytes_);
  } else {
    Raise(others_bytes_ - target);
  }
  CheckStep();
}

// The pager gives up frames first, then the others take what they need.
void Simulation::Lower(uint64_t bytes) {
  ++tally_.line_lowered;
  for (uint32_t i = 0; i < scenario_.n_classes(); ++i) {
    const uint64_t available = ledger_->available_bytes();
    const uint64_t missing = bytes > available ? bytes - available : 0;
    const uint64_t n_missing = CeilDiv(missing, pager_->homes().frame_bytes[i]);
    const uint32_t n_before = pager_->n_frames(i);
    const auto n = static_cast<uint32_t>(std::max<uint64_t>(
        scenario_.n_frames_min[i], n_before - std::min<uint64_t>(n_before, n_missing)));
    const auto resized = pager_->Resize(i, n);
    if (!resized) {
      findings_.Note("  the pager keeps its frames");
      findings_.Expect(resized.error().kind == ErrorKind::kIo && MayFail(),
                       "frames cannot be given up: {}", resized.error().message);
      findings_.Expect(pager_->n_frames(i) == n_before, "a resize that fails changes nothing");
      return;
    }
    findings_.Expect(pager_->n_frames(i) == n, "{} frames are left, not {}", pager_->n_frames(i),
                     n);
  }
  auto taken = ledger_->Reserve(Account::kKv, bytes);
  findings_.Expect(taken.has_value(), "the pager gave up what was missing, and {} do not fit",
                   bytes);
  if (taken) {
    others_bytes_ += bytes;
    others_.push_back(std::move(*taken));
  }
}

void Simulation::Raise(uint64_t bytes) {
  ++tally_.line_raised;
  while (bytes > 0) {
    const uint64_t some = std::min(bytes, others_.back().bytes());
    others_.back().Shrink(others_.back().bytes() - some);
    if (others_.back().bytes() == 0) {
      others_.pop_back();
    }
    bytes -= some;
    others_bytes_ -= some;
  }
  for (uint32_t i = 0; i < scenario_.n_classes(); ++i) {
    const uint64_t room = ledger_->available_bytes() / pager_->homes().frame_bytes[i];
    const uint64_t n_before = pager_->n_frames(i);
    // Sometimes all that it had at first, sometimes one by one.
    const uint64_t wish = draws_.Chance(0.5)
                              ? scenario_.n_frames[i]
                              : std::min<uint64_t>(n_before + 1, scenario_.n_frames[i]);
    const auto n = static_cast<uint32_t>(std::max(wish, n_before));
    const auto resized = pager_->Resize(i, n);
    if (!resized) {
      findings_.Expect(resized.error().kind == ErrorKind::kIo && MayFail(),
                       "frames cannot be added: {}", resized.error().message);
      return;
    }
    findings_.Expect(
        pager_->n_frames(i) == std::min<uint64_t>(n, n_before + room),
        "{} frames of class {}, wished for {}, and the line has room for {} more than {}",
        pager_->n_frames(i), i, n, room, n_before);
  }
}

void Simulation::CheckLedger() {
  const memory::LedgerSnapshot line = ledger_->Snapshot();
  uint64_t total = 0;
  for (const memory::AccountUsage& account : line.accounts) {
    total += account.bytes;
  }
  uint64_t frames = 0;
  uint64_t tables = 0;
  if (pager_) {
    tables = memory::Pager::TableBytes(layout_->n_pages(), scenario_.n_parts);
    for (uint32_t i = 0; i < pager_->n_classes(); ++i) {
      frames += pager_->n_frames(i) * pager_->homes().frame_bytes[i];
    }
  }
  const auto expect = [&](Account account, uint64_t bytes) {
    const uint64_t has = line.accounts[static_cast<size_t>(account)].bytes;
    findings_.Expect(has == bytes, "account {} has {} bytes, its owners {}", AccountName(account),
                     has, bytes);
  };
  expect(Account::kExperts, frames);
  expect(Account::kIndex, tables);
  expect(Account::kKv, others_bytes_);
  findings_.Expect(line.high_water_bytes <= scenario_.budget, "the line was passed: {} of {}",
                   line.high_water_bytes, scenario_.budget);
  findings_.Expect(line.reserved_bytes == total && total == frames + tables + others_bytes_,
                   "{} bytes are reserved, {} by accounts", line.reserved_bytes, total);
}

void Simulation::CheckStep() {
  CheckLedger();
  pager_->CheckInvariants();
  const io::Reader& reader = pager_->reader();
  if (reader.n_outstanding() == 0) {
    was_failing_ = false;
    findings_.Expect(pager_->n_resident() == policy_->n_admitted(),
                     "{} pages are there and the policy knows of {}", pager_->n_resident(),
                     policy_->n_admitted());
  }
  uint32_t n_frames = 0;
  for (uint32_t i = 0; i < pager_->n_classes(); ++i) {
    n_frames += pager_->n_frames(i);
  }
  findings_.Expect(n_frames == policy_->capacity(), "the policy is told of {} frames of {}",
                   policy_->capacity(), n_frames);
  for (uint32_t page = 0; page < refused_.size(); ++page) {
    findings_.Expect(!refused_[page] || !pager_->IsResident({page}) || reader.n_outstanding() > 0,
                     "page {} was refused and is there", page);
  }
}

// The disk is well again: whatever failed can be had, by one more want.
void Simulation::Recover() {
  SetMood(GoodMood(scenario_));
  spoilt_.assign(spoilt_.size(), false);
  // At one read at a time a full queue takes as many polls as it has reads.
  constexpr uint32_t kQueuedReadsMax = 10'000;
  for (uint32_t i = 0; i < kQueuedReadsMax && pager_->reader().n_outstanding() > 0; ++i) {
    clock_.Advance(seconds(10));
    pager_->Poll();
  }
  findings_.Expect(pager_->reader().n_outstanding() == 0, "reads never end");
  clock_.Advance(seconds(100));
  CheckStep();
  findings_.Note("{} ns: all is well", clock_.now().count());
  for (uint32_t i = 0; i < 2 && findings_.ok(); ++i) {
    const uint32_t layer = draws_.Count(0, scenario_.n_layers - 1);
    const uint32_t first = draws_.Count(0, scenario_.n_experts - 1);
    const uint32_t last = std::min(first + 8, scenario_.n_experts);
    std::vector<PageId> pages;
    for (uint32_t expert = first; expert < last; ++expert) {
      pages.push_back(layout_->page(layer, expert));
    }
    const uint64_t n_failed = tally_.rounds_failed;
    const bool all_there =
        std::ranges::all_of(pages, [this](PageId page) { return pager_->IsResident(page); });
    Serve(pages, Phase::kDecode, WantOrder::kArrival, false);
    const bool failed = tally_.rounds_failed > n_failed;
    findings_.Expect(failed == (cut_short_ && !all_there), "a want {} when all is well",
                     failed ? "fails" : "succeeds");
    CheckStep();
  }
}

void Simulation::Finish() {
  if (pager_) {
    if (findings_.ok() && draws_.Chance(0.5)) {
      Guess(0);
    }
    const memory::PagerStats& stats = pager_->stats();
    const io::ReaderStats& reads = pager_->reader_stats();
    for (const memory::WantStats& phase : stats.phases) {
      tally_.hits += phase.hits;
      tally_.misses += phase.misses();
      tally_.joined += phase.joined;
    }
    tally_.pages_failed += stats.failures;
    tally_.evictions += stats.evictions;
    tally_.guesses_used += stats.prefetched_used;
    tally_.guesses_dropped += stats.prefetched_dropped;
    tally_.short_reads += reads.short_reads;
    tally_.interruptions += reads.interruptions;
    tally_.retries += reads.error_retries;
    tally_.ends_under_way += pager_->reader().n_outstanding() > 0 ? 1U : 0U;
    findings_.Note("end: {} hits, {} misses, {} reads", tally_.hits, tally_.misses,
                   watched_->n_reads());
    pager_.reset();
  }
  CheckLedger();
  others_.clear();
  others_bytes_ = 0;
  CheckLedger();
}

void Simulation::AddTo(Tally& tally) const {
  for (const NamedCount& named : NamedCounts()) {
    tally.*named.count += tally_.*named.count;
  }
}

}  // namespace plimsoll::sim
