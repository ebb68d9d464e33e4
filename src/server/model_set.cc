#include "server/model_set.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "base/bytes.h"
#include "base/invariant.h"
#include "engine/group_limit.h"
#include "server/turn.h"

namespace plimsoll::server {
namespace {

using Clock = std::chrono::steady_clock;
using ServicePtr = std::shared_ptr<engine::Service>;

Clock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

api::ApiError NotFound() {
  return {.status = 404,
          .message = "there is no such model here; GET /v1/models lists those there are",
          .code = "model_not_found",
          .param = "model"};
}

api::ApiError LoadFailed(const Error& error) {
  return {.status = 503,
          .message = "the model cannot be loaded: " + error.message,
          .type = "server_error",
          .code = error.kind == ErrorKind::kDoesNotFit ? "does_not_fit" : "model_load_failed",
          .may_retry = false};
}

api::ApiError Busy(double retry_seconds) {
  return {.status = 429,
          .message = "other models are in use, and there is no room for this one beside them",
          .type = "server_error",
          .code = "server_overloaded",
          .retry_after_seconds = retry_seconds};
}

api::ApiError Stopping() {
  return {.status = 503,
          .message = "the server is stopping",
          .type = "server_error",
          .code = "server_stopping"};
}

}  // namespace

class ModelSet::State : public std::enable_shared_from_this<State> {
 public:
  State(std::vector<ModelSource> sources, std::unique_ptr<ModelLoader> loader,
        const ModelSetOptions& options);

  void Run();
  void Stop();
  [[nodiscard]] std::vector<ModelListing> List() const;
  void Use(const std::string& name, UseFn then);
  void Unload(const std::string& name);
  [[nodiscard]] std::vector<ServicePtr> Loaded();
  [[nodiscard]] uint64_t line() const;
  [[nodiscard]] uint64_t least_line() const;
  [[nodiscard]] Result<> SetLine(uint64_t bytes);
  void Drain(Clock::time_point deadline);

  std::thread thread;

 private:
  struct Entry {
    ModelSource source;
    ServicePtr service;  // null: not loaded
    LineWish wish;       // of a loaded one: what it can be moved to
    uint64_t line = 0;   // that it has, or is being loaded with
    uint32_t n_users = 0;
    bool is_leaving = false;  // whoever asks for it waits for it to be loaded again
    uint64_t last_used = 0;
    Clock::time_point idle_since;
    std::vector<UseFn> waiting;
    LoadState state;
  };
  using Lock = std::unique_lock<std::mutex>;
  // Entries and the lines they are to have.
  using Lines = std::vector<std::pair<Entry*, uint64_t>>;

  [[nodiscard]] Entry* Find(const std::string& name);
  // With the lock, as all of the following that do not take it.
  // Whoever only looks (is_use false) keeps the model there, but not from growing old.
  [[nodiscard]] ServicePtr Pin(Entry& entry, bool is_use);
  void Release(Entry& entry, bool is_use);
  [[nodiscard]] std::vector<Entry*> LoadedEntries();
  [[nodiscard]] Entry* NextToUnload(Clock::time_point now);
  [[nodiscard]] std::optional<Clock::time_point> NextExpiry() const;
  void CheckSum() const;

  // These give the lock away while an engine works.
  void UnloadNow(Entry& entry, Lock& lock);
  [[nodiscard]] Result<> MoveLine(Entry& entry, uint64_t bytes, Lock& lock);
  [[nodiscard]] Result<> MoveLines(const Lines& lines, Lock& lock);
  void ShareAnew(Lock& lock);
  void LoadNext(Lock& lock);
  [[nodiscard]] api::ApiResult<> MakeRoomFor(Entry& entry, const LineWish& newcomer, Lock& lock);
  [[nodiscard]] static api::ApiError Failed(Entry& entry, const Error& error);
  [[nodiscard]] bool WaitForIdle(const std::vector<Entry*>& entries, Lock& lock);
  [[nodiscard]] api::ApiResult<> Load(Entry& entry, Lock& lock);
  [[nodiscard]] api::ApiResult<> LoadWithin(Entry& entry, const LineWish& wish, Lock& lock);
  void Answer(Entry& entry, const api::ApiResult<>& loaded, Lock& lock);

  const std::unique_ptr<ModelLoader> loader_;
  const ModelSetOptions options_;

  // Held over a whole division of the line. Taken before mutex_.
  Turn transaction_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;  // of the thread
  std::vector<Entry> entries_;    // never grows: pointers stay good
  std::deque<Entry*> to_load_;
  uint64_t line_;
  uint64_t n_uses_ = 0;
  uint32_t n_waiting_ = 0;
  bool stopping_ = false;
};

ModelSet::State::State(std::vector<ModelSource> sources, std::unique_ptr<ModelLoader> loader,
                       const ModelSetOptions& options)
    : loader_(std::move(loader)), options_(options), line_(options.line) {
  for (ModelSource& source : sources) {
    entries_.emplace_back().source = std::move(source);
  }
  Invariant(!entries_.empty(), "a set of models has one");
}

ModelSet::State::Entry* ModelSet::State::Find(const std::string& name) {
  if (name.empty()) {
    return &entries_.front();
  }
  for (Entry& entry : entries_) {
    if (entry.source.name == name) {
      return &entry;
    }
  }
  for (Entry& entry : entries_) {
    if (std::ranges::find(entry.source.others, name) != entry.source.others.end()) {
      return &entry;
    }
  }
  return nullptr;
}

// The handle has no share in the service itself, so that the set's is the last, and the memory is
// free when the set has let go of it.
ServicePtr ModelSet::State::Pin(Entry& entry, bool is_use) {
  ++entry.n_users;
  return {entry.service.get(), [state = shared_from_this(), &entry, is_use](engine::Service*) {
            const std::lock_guard lock(state->mutex_);
            state->Release(entry, is_use);
          }};
}

void ModelSet::State::Release(Entry& entry, bool is_use) {
  Invariant(entry.n_users > 0, "a model is released as often as it was pinned");
  entry.idle_since = is_use ? Clock::now() : entry.idle_since;
  if (--entry.n_users == 0) {
    wake_.notify_all();
  }
}

void ModelSet::State::Use(const std::string& name, UseFn then) {
  api::ApiResult<ServicePtr> answer;
  {
    const std::lock_guard lock(mutex_);
    Entry* const entry = Find(name);
    if (entry == nullptr) {
      answer = tl::make_unexpected(NotFound());
    } else if (stopping_) {
      answer = tl::make_unexpected(Stopping());
    } else if (entry->service != nullptr && !entry->is_leaving) {
      entry->last_used = ++n_uses_;
      answer = Pin(*entry, true);
    } else if (n_waiting_ >= options_.max_waiting) {
      answer = tl::make_unexpected(Busy(1));
    } else {
      ++n_waiting_;
      if (entry->waiting.empty()) {
        to_load_.push_back(entry);
      }
      entry->waiting.push_back(std::move(then));
      wake_.notify_all();
      return;
    }
  }
  then(std::move(answer));
}

void ModelSet::State::Unload(const std::string& name) {
  const std::lock_guard lock(mutex_);
  Entry* const entry = Find(name);
  if (entry != nullptr && entry->service != nullptr) {
    entry->is_leaving = true;
    wake_.notify_all();
  }
}

std::vector<ModelListing> ModelSet::State::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModelListing> listings;
  for (const Entry& entry : entries_) {
    listings.push_back({.name = entry.source.name,
                        .file_bytes = entry.source.file_bytes,
                        .created = entry.source.created,
                        .state = entry.state});
  }
  return listings;
}

std::vector<ServicePtr> ModelSet::State::Loaded() {
  const std::lock_guard lock(mutex_);
  std::vector<ServicePtr> services;
  for (Entry* entry : LoadedEntries()) {
    if (!entry->is_leaving) {
      services.push_back(Pin(*entry, false));
    }
  }
  return services;
}

std::vector<ModelSet::State::Entry*> ModelSet::State::LoadedEntries() {
  std::vector<Entry*> loaded;
  for (Entry& entry : entries_) {
    if (entry.service != nullptr) {
      loaded.push_back(&entry);
    }
  }
  return loaded;
}

uint64_t ModelSet::State::line() const {
  const std::lock_guard lock(mutex_);
  return line_;
}

uint64_t ModelSet::State::least_line() const {
  const std::lock_guard lock(mutex_);
  uint64_t used = 0;
  uint64_t largest = 0;
  for (const Entry& entry : entries_) {
    if (entry.service != nullptr) {
      used += entry.n_users > 0 ? entry.wish.least : 0;
      largest = std::max(largest, entry.wish.least);
    }
  }
  return std::max(used, largest);
}

void ModelSet::State::CheckSum() const {
  uint64_t sum = 0;
  for (const Entry& entry : entries_) {
    sum += entry.line;
  }
  Invariant(sum <= line_, "the models' lines add up to at most the line");
}

// ---- the thread ----

void ModelSet::State::Run() {
  const std::shared_ptr<State> alive = shared_from_this();
  Lock lock(mutex_);
  while (!stopping_) {
    if (NextToUnload(Clock::now()) != nullptr || !to_load_.empty()) {
      lock.unlock();
      const std::lock_guard transaction(transaction_);
      lock.lock();
      if (Entry* const entry = NextToUnload(Clock::now())) {
        UnloadNow(*entry, lock);
        ShareAnew(lock);
      } else if (!to_load_.empty()) {
        LoadNext(lock);
      }
    } else if (const auto expiry = NextExpiry()) {
      wake_.wait_until(lock, *expiry);
    } else {
      wake_.wait(lock);
    }
  }
  for (Entry& entry : entries_) {
    Answer(entry, tl::make_unexpected(Stopping()), lock);
  }
}

void ModelSet::State::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  thread.join();
}

// One that is to go, or was not used for long; of these any.
ModelSet::State::Entry* ModelSet::State::NextToUnload(Clock::time_point now) {
  for (Entry* entry : LoadedEntries()) {
    const bool is_old = options_.keep_alive_seconds &&
                        now >= entry->idle_since + Seconds(*options_.keep_alive_seconds);
    if (entry->n_users == 0 && (entry->is_leaving || is_old)) {
      return entry;
    }
  }
  return nullptr;
}

std::optional<Clock::time_point> ModelSet::State::NextExpiry() const {
  std::optional<Clock::time_point> next;
  for (const Entry& entry : entries_) {
    if (options_.keep_alive_seconds && entry.service != nullptr && entry.n_users == 0) {
      const auto expiry = entry.idle_since + Seconds(*options_.keep_alive_seconds);
      next = std::min(next.value_or(expiry), expiry);
    }
  }
  return next;
}

void ModelSet::State::UnloadNow(Entry& entry, Lock& lock) {
  Invariant(entry.n_users == 0, "only what nobody uses is unloaded");
  ServicePtr service = std::exchange(entry.service, nullptr);
  entry.state = {};
  lock.unlock();
  service.reset();  // ends its thread and frees its memory
  lock.lock();
  entry.line = 0;
  entry.is_leaving = false;
}

Result<> ModelSet::State::MoveLine(Entry& entry, uint64_t bytes, Lock& lock) {
  // A higher line counts from now, a lower one when it holds.
  const uint64_t before = entry.line;
  entry.line = std::max(before, bytes);
  CheckSum();
  engine::Service& service = *entry.service;  // only who holds the transaction unloads
  lock.unlock();
  auto moved = service.SetLine(bytes);
  lock.lock();
  entry.line = moved ? bytes : before;
  return moved;
}

// Lower ones first. When one does not take its line, those that did have theirs back.
Result<> ModelSet::State::MoveLines(const Lines& lines, Lock& lock) {
  Lines before;
  for (const bool lower : {true, false}) {
    for (const auto& [entry, bytes] : lines) {
      const uint64_t old = entry->line;
      if (bytes == old || (bytes < old) != lower) {
        continue;
      }
      if (auto moved = MoveLine(*entry, bytes, lock); !moved) {
        std::ranges::reverse(before);
        for (const auto& [other, its_old] : before) {
          static_cast<void>(MoveLine(*other, its_old, lock));
        }
        return moved;
      }
      before.emplace_back(entry, old);
    }
  }
  return {};
}

// Gives what is free to those that are loaded; nobody's line is lowered.
void ModelSet::State::ShareAnew(Lock& lock) {
  const std::vector<Entry*> loaded = LoadedEntries();
  std::vector<LineWish> wishes;
  for (const Entry* entry : loaded) {
    const uint64_t good = std::max(entry->line, entry->wish.good);
    wishes.push_back({entry->line, good, std::max(good, entry->wish.all)});
  }
  const auto shares = ShareLine(wishes, line_);
  Invariant(shares.has_value(), "what is loaded fits the line");
  for (size_t i = 0; i < loaded.size(); ++i) {
    if ((*shares)[i] > loaded[i]->line) {
      // One that cannot take more keeps what it has; that is no fault of anyone's.
      static_cast<void>(MoveLine(*loaded[i], (*shares)[i], lock));
    }
  }
}

void ModelSet::State::LoadNext(Lock& lock) {
  Entry& entry = *to_load_.front();
  to_load_.pop_front();
  Answer(entry, Load(entry, lock), lock);
}

api::ApiResult<> ModelSet::State::Load(Entry& entry, Lock& lock) {
  if (entry.service != nullptr) {  // it was to go, and may stay
    entry.is_leaving = false;
    return {};
  }
  entry.state = {};
  const auto model = static_cast<size_t>(&entry - entries_.data());
  const uint64_t whole_line = line_;
  lock.unlock();
  const Result<LineWish> wish = loader_->Plan(model, whole_line);
  lock.lock();
  if (!wish) {
    return tl::make_unexpected(Failed(entry, wish.error()));
  }
  api::ApiResult<> loaded = MakeRoomFor(entry, *wish, lock);
  loaded = loaded ? LoadWithin(entry, *wish, lock) : loaded;
  ShareAnew(lock);
  return loaded;
}

api::ApiError ModelSet::State::Failed(Entry& entry, const Error& error) {
  entry.state = {.failed = true, .error = error.kind, .message = error.message};
  return LoadFailed(error);
}

// Unloads what has to go, and waits for it if it is in use.
api::ApiResult<> ModelSet::State::MakeRoomFor(Entry& entry, const LineWish& newcomer, Lock& lock) {
  const std::vector<Entry*> loaded = LoadedEntries();
  std::vector<Tenant> tenants;
  for (const Entry* other : loaded) {
    tenants.push_back({other->wish, other->n_users == 0, other->last_used});
  }
  const auto eviction = MakeRoom(tenants, newcomer, line_);
  if (!eviction) {
    return tl::make_unexpected(Failed(
        entry,
        {ErrorKind::kDoesNotFit, fmt::format("it needs {} at least, and the line is {}",
                                             FormatBytes(newcomer.least), FormatBytes(line_))}));
  }
  std::vector<Entry*> leaving;
  for (const size_t i : eviction->unload) {
    leaving.push_back(loaded[i]);
    loaded[i]->is_leaving = true;
  }
  if (!WaitForIdle(leaving, lock)) {
    for (Entry* other : leaving) {
      other->is_leaving = false;
      if (!other->waiting.empty()) {  // those that came meanwhile
        std::erase(to_load_, other);
        Answer(*other, {}, lock);
      }
    }
    return tl::make_unexpected(stopping_ ? Stopping() : Busy(options_.max_wait_seconds));
  }
  for (Entry* other : leaving) {
    UnloadNow(*other, lock);
  }
  return {};
}

bool ModelSet::State::WaitForIdle(const std::vector<Entry*>& entries, Lock& lock) {
  const auto deadline = Clock::now() + Seconds(options_.max_wait_seconds);
  const auto all_idle = [&] {
    return stopping_ ||
           std::ranges::all_of(entries, [](const Entry* entry) { return entry->n_users == 0; });
  };
  return wake_.wait_until(lock, deadline, all_idle) && !stopping_;
}

api::ApiResult<> ModelSet::State::LoadWithin(Entry& entry, const LineWish& wish, Lock& lock) {
  const std::vector<Entry*> loaded = LoadedEntries();
  std::vector<LineWish> wishes = {wish};
  for (const Entry* other : loaded) {
    wishes.push_back(other->wish);
  }
  const auto shares = ShareLine(wishes, line_);
  Invariant(shares.has_value(), "there is room for all leasts");
  Lines lines;
  for (size_t i = 0; i < loaded.size(); ++i) {
    lines.emplace_back(loaded[i], std::min(loaded[i]->line, (*shares)[i + 1]));
  }
  if (auto moved = MoveLines(lines, lock); !moved) {  // its requests need more just now
    return tl::make_unexpected(Busy(1));
  }
  const uint64_t line = shares->front();
  entry.line = line;
  CheckSum();
  const auto model = static_cast<size_t>(&entry - entries_.data());
  lock.unlock();
  auto service = loader_->Load(model, line, [&](const engine::LoadProgress& progress) {
    const std::lock_guard guard(mutex_);
    entry.state.progress = progress;
  });
  const uint64_t least = service ? std::min((*service)->LeastLine(), line) : 0;
  lock.lock();
  if (!service) {
    entry.line = 0;
    return tl::make_unexpected(Failed(entry, service.error()));
  }
  entry.service = std::move(*service);
  entry.wish = {.least = least,
                .good = std::max(least, wish.good),
                .all = std::max({least, wish.good, wish.all})};
  entry.state.loaded = true;
  entry.idle_since = Clock::now();
  return {};
}

// Tells those that wait; what they leave behind goes without the lock.
void ModelSet::State::Answer(Entry& entry, const api::ApiResult<>& loaded, Lock& lock) {
  std::vector<UseFn> waiting = std::exchange(entry.waiting, {});
  n_waiting_ -= static_cast<uint32_t>(waiting.size());
  std::vector<api::ApiResult<ServicePtr>> answers;
  for (size_t i = 0; i < waiting.size(); ++i) {
    if (loaded) {
      entry.last_used = ++n_uses_;
      answers.emplace_back(Pin(entry, true));
    } else {
      answers.emplace_back(tl::make_unexpected(loaded.error()));
    }
  }
  lock.unlock();
  for (size_t i = 0; i < waiting.size(); ++i) {
    waiting[i](std::move(answers[i]));
  }
  waiting.clear();
  answers.clear();
  lock.lock();
}

// ---- from other threads ----

Result<> ModelSet::State::SetLine(uint64_t bytes) {
  const std::unique_lock transaction(transaction_, Seconds(options_.line_wait_seconds));
  if (!transaction.owns_lock()) {
    return Fail(ErrorKind::kFailed,
                "the line cannot be moved while a model is loaded; try again when it is");
  }
  const uint64_t least = least_line();
  if (bytes < least) {
    return Fail(ErrorKind::kDoesNotFit, "the models that are loaded need {} at least, more than {}",
                FormatBytes(least), FormatBytes(bytes));
  }
  Lock lock(mutex_);
  const std::vector<Entry*> loaded = LoadedEntries();
  std::vector<Tenant> tenants;
  for (const Entry* entry : loaded) {
    tenants.push_back({entry->wish, entry->n_users == 0, entry->last_used});
  }
  const auto eviction = MakeRoom(tenants, {}, bytes);
  if (!eviction || eviction->must_wait) {
    return Fail(ErrorKind::kDoesNotFit, "the models in use need more than {}", FormatBytes(bytes));
  }
  std::vector<Entry*> leaving;  // all marked first: nobody gets one while another is unloaded
  for (const size_t i : eviction->unload) {
    if (loaded.size() > 1) {
      leaving.push_back(loaded[i]);
      loaded[i]->is_leaving = true;
    }
  }
  for (Entry* entry : leaving) {
    UnloadNow(*entry, lock);
  }
  std::vector<LineWish> wishes;
  Lines lines;
  for (Entry* entry : LoadedEntries()) {
    wishes.push_back(entry->wish);
    lines.emplace_back(entry, 0);
  }
  const auto shares = ShareLine(wishes, bytes);
  if (!shares) {
    return Fail(ErrorKind::kDoesNotFit, "the models in use need more than {}", FormatBytes(bytes));
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    lines[i].second = (*shares)[i];
  }
  const uint64_t before = std::exchange(line_, std::max(line_, bytes));
  auto moved = MoveLines(lines, lock);
  line_ = moved ? bytes : before;
  return moved;
}

void ModelSet::State::Drain(Clock::time_point deadline) {
  std::vector<ServicePtr> services;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
    for (Entry* entry : LoadedEntries()) {
      // Also who has no request: its thread may hold the last of them, and have blocks to save.
      services.push_back(Pin(*entry, false));
    }
  }
  std::vector<std::thread> threads;
  for (const ServicePtr& service : services) {
    threads.emplace_back([&service, deadline] { service->Drain(deadline); });
  }
  for (std::thread& one : threads) {
    one.join();
  }
}

// ---- the set ----

namespace {

ModelSetOptions WithoutKept(ModelSetOptions options) {
  options.line -= std::min(options.line, options.kept_bytes);
  return options;
}

}  // namespace

ModelSet::ModelSet(std::vector<ModelSource> sources, std::unique_ptr<ModelLoader> loader,
                   const ModelSetOptions& options)
    : kept_bytes_(options.kept_bytes),
      state_(std::make_shared<State>(std::move(sources), std::move(loader), WithoutKept(options))) {
  state_->thread = std::thread([state = state_.get()] { state->Run(); });
}

ModelSet::~ModelSet() { state_->Stop(); }

std::vector<ModelListing> ModelSet::List() const { return state_->List(); }
void ModelSet::Use(const std::string& name, UseFn then) { state_->Use(name, std::move(then)); }
void ModelSet::Unload(const std::string& name) { state_->Unload(name); }
std::vector<ServicePtr> ModelSet::Loaded() const { return state_->Loaded(); }
uint64_t ModelSet::line() const { return state_->line() + kept_bytes_; }
uint64_t ModelSet::least_line() const { return state_->least_line() + kept_bytes_; }
Result<> ModelSet::SetLine(uint64_t bytes) {
  // All models together: each alone is below it.
  if (bytes > line()) {
    if (auto allowed = engine::CheckGroupAllows(bytes); !allowed) {
      return allowed;
    }
  }
  return state_->SetLine(bytes - std::min(bytes, kept_bytes_));
}
void ModelSet::Drain(Clock::time_point deadline) { state_->Drain(deadline); }

}  // namespace plimsoll::server
