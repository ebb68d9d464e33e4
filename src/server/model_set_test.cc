#include "server/model_set.h"

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/fake_service.h"

namespace plimsoll::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using ServicePtr = std::shared_ptr<engine::Service>;
using Used = api::ApiResult<ServicePtr>;

// What engines there are, and the lines that they have: whose sum is watched at every step.
class World {
 public:
  struct Model {
    LineWish wish;
    uint64_t loaded_least = 0;  // 0: wish.least
    std::string plan_error = {};
    std::string load_error = {};
    bool refuses_lines = false;
  };

  explicit World(uint64_t line) : line_(line) {}

  void Change(size_t model, uint64_t bytes, const std::string& what) {
    const std::lock_guard lock(mutex_);
    lines_[model] = bytes;
    events_.push_back(what + std::string(1, static_cast<char>('a' + model)) +
                      (bytes == 0 ? "" : " " + std::to_string(bytes)));
    uint64_t sum = 0;
    for (const auto& [which, its] : lines_) {
      sum += its;
    }
    largest_sum_ = std::max(largest_sum_, sum);
    EXPECT_LE(sum, line_) << events_.back();
  }
  void set_line(uint64_t line) {
    const std::lock_guard lock(mutex_);
    line_ = line;
  }
  std::vector<std::string> TakeEvents() {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
  }
  uint64_t line_of(size_t model) {
    const std::lock_guard lock(mutex_);
    return lines_[model];
  }
  void CountDrain(size_t model) {
    const std::lock_guard lock(mutex_);
    drained_.push_back(model);
  }
  std::vector<size_t> drained() {
    const std::lock_guard lock(mutex_);
    return drained_;
  }
  uint64_t largest_sum() {
    const std::lock_guard lock(mutex_);
    return largest_sum_;
  }

  std::vector<Model> models;
  std::function<void()> before_load;       // on the loading thread
  std::function<void(size_t)> before_end;  // of a model, on the thread that unloads it

 private:
  std::mutex mutex_;
  uint64_t line_;
  uint64_t largest_sum_ = 0;
  std::map<size_t, uint64_t> lines_;
  std::vector<std::string> events_;
  std::vector<size_t> drained_;
};

class FakeLoader final : public ModelLoader {
 public:
  explicit FakeLoader(World& world) : world_(world) {}

  [[nodiscard]] Result<LineWish> Plan(size_t model, uint64_t /*whole_line*/) override {
    const World::Model& its = world_.models[model];
    if (!its.plan_error.empty()) {
      return Fail(ErrorKind::kBadModel, "{}", its.plan_error);
    }
    return its.wish;
  }
  [[nodiscard]] Result<ServicePtr> Load(size_t model, uint64_t line,
                                        const engine::Engine::ProgressFn& on_progress) override {
    const World::Model& its = world_.models[model];
    world_.Change(model, line, "load ");
    on_progress({.bytes_done = 1, .bytes_total = 2});
    if (world_.before_load) {
      world_.before_load();
    }
    if (!its.load_error.empty()) {
      world_.Change(model, 0, "fail ");
      return Fail(ErrorKind::kIo, "{}", its.load_error);
    }
    const auto on_set_line = [this, model](uint64_t bytes) -> Result<> {
      if (world_.models[model].refuses_lines) {
        return Fail(ErrorKind::kDoesNotFit, "not now");
      }
      world_.Change(model, bytes, "line ");
      return {};
    };
    return std::make_shared<FakeService>(
        its.loaded_least != 0 ? its.loaded_least : its.wish.least,
        FakeService::Hooks{.on_set_line = on_set_line,
                           .on_end =
                               [this, model] {
                                 if (world_.before_end) {
                                   world_.before_end(model);
                                 }
                                 world_.Change(model, 0, "end ");
                               },
                           .on_drain = [this, model] { world_.CountDrain(model); }});
  }

 private:
  World& world_;
};

struct SetUnderTest {
  explicit SetUnderTest(uint64_t line, std::vector<World::Model> models,
                        ModelSetOptions options = {})
      : world(line) {
    world.models = std::move(models);
    std::vector<ModelSource> sources;
    for (size_t i = 0; i < world.models.size(); ++i) {
      const std::string name(1, static_cast<char>('a' + i));
      sources.push_back({.name = name, .others = {name + ".gguf"}, .file_bytes = 10 + i});
    }
    options.line = line;
    set = std::make_unique<ModelSet>(std::move(sources), std::make_unique<FakeLoader>(world),
                                     options);
  }

  std::future<Used> Ask(const std::string& name) const {
    auto promise = std::make_shared<std::promise<Used>>();
    set->Use(name, [promise](Used used) { promise->set_value(std::move(used)); });
    return promise->get_future();
  }
  Used Use(const std::string& name) const {
    auto used = Ask(name);
    if (used.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      ADD_FAILURE() << name << " does not come";
      return tl::make_unexpected(api::ApiError{});
    }
    return used.get();
  }
  // Until the set's thread has done what it has to.
  template <class IsTrueFn>
  static bool Soon(const IsTrueFn& is_true) {
    for (int i = 0; i < 2000; ++i) {
      if (is_true()) {
        return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  bool IsLoaded(size_t model) const { return set->List()[model].state.loaded; }

  World world;
  std::unique_ptr<ModelSet> set;  // goes first
};

TEST(ModelSet, LoadsOnFirstUseWithTheWholeLine) {
  SetUnderTest test(100, {{{10, 20, 50}}, {{10, 20, 50}}});
  EXPECT_FALSE(test.IsLoaded(0));
  EXPECT_THAT(test.set->Loaded(), IsEmpty());
  EXPECT_TRUE(test.Use("a"));
  EXPECT_TRUE(test.IsLoaded(0));
  EXPECT_TRUE(test.Use(""));
  EXPECT_TRUE(test.Use("a.gguf"));
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("load a 100"));
  EXPECT_EQ(test.set->Loaded().size(), 1U);
  EXPECT_EQ(test.set->List()[1].file_bytes, 11U);
}

TEST(ModelSet, AnUnknownNameIs404) {
  SetUnderTest test(100, {{{10, 20, 50}}});
  const Used used = test.Use("b");
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().status, 404U);
  EXPECT_EQ(used.error().code, "model_not_found");
}

TEST(ModelSet, OthersAreLoweredBeforeOneIsLoaded) {
  SetUnderTest test(100, {{{10, 20, 80}}, {{10, 20, 80}}});
  const Used a = test.Use("a");
  const Used b = test.Use("b");
  ASSERT_TRUE(a && b);
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("load a 100", "line a 50", "load b 50"));
  EXPECT_EQ(test.world.largest_sum(), 100U);
}

TEST(ModelSet, IdleOnesGoWhenThereIsNotEnoughForAllThatIsGood) {
  SetUnderTest test(100, {{{10, 60, 80}}, {{10, 60, 80}}});
  EXPECT_TRUE(test.Use("a"));
  EXPECT_TRUE(test.Use("b"));
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("load a 100", "end a", "load b 100"));
  EXPECT_FALSE(test.IsLoaded(0));
}

TEST(ModelSet, OneInUseIsSqueezedAndGrowsAgain) {
  SetUnderTest test(100, {{{10, 60, 80}}, {{10, 60, 80}}});
  const Used a = test.Use("a");
  {
    const Used b = test.Use("b");
    EXPECT_THAT(test.world.TakeEvents(), ElementsAre("load a 100", "line a 50", "load b 50"));
    test.set->Unload("b");  // when it is over
    EXPECT_THAT(test.world.TakeEvents(), IsEmpty());
  }
  EXPECT_TRUE(SetUnderTest::Soon([&] { return test.world.line_of(0) == 100; }));
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("end b", "line a 100"));
}

TEST(ModelSet, WaitsForOneInUseWhenBothCannotBe) {
  SetUnderTest test(100, {{{60, 60, 60}}, {{60, 60, 60}}});
  Used a = test.Use("a");
  auto b = test.Ask("b");
  EXPECT_EQ(b.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  // Who asks for the first now waits behind the second.
  auto again = test.Ask("a");
  EXPECT_EQ(again.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  a = Used();
  EXPECT_TRUE(b.get());
  EXPECT_TRUE(again.get());
  EXPECT_THAT(test.world.TakeEvents(),
              ElementsAre("load a 100", "end a", "load b 100", "end b", "load a 100"));
}

TEST(ModelSet, WaitsNoLongerThanItMay) {
  SetUnderTest test(100, {{{60, 60, 60}}, {{60, 60, 60}}}, {.max_wait_seconds = 0.05});
  const Used a = test.Use("a");
  const Used b = test.Use("b");
  ASSERT_FALSE(b);
  EXPECT_EQ(b.error().status, 429U);
  EXPECT_TRUE(b.error().retry_after_seconds.has_value());
  EXPECT_TRUE(test.Use("a")) << "it stays, and is there for others";
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("load a 100"));
}

TEST(ModelSet, RefusesWithNumbersWhatNeverFits) {
  SetUnderTest test(uint64_t{1} << 30, {{{10, 20, 50}}, {{uint64_t{2} << 30, 0, 0}}});
  const Used a = test.Use("a");
  const Used b = test.Use("b");
  ASSERT_FALSE(b);
  EXPECT_EQ(b.error().status, 503U);
  EXPECT_FALSE(b.error().may_retry);
  EXPECT_THAT(b.error().message, HasSubstr("needs 2.00 GiB at least, and the line is 1.00 GiB"));
  EXPECT_TRUE(test.set->List()[1].state.failed);
  EXPECT_EQ(test.set->List()[1].state.error, ErrorKind::kDoesNotFit);
  EXPECT_TRUE(test.IsLoaded(0));
}

TEST(ModelSet, AFailedLoadLeavesTheOthersAsBefore) {
  SetUnderTest test(100, {{{10, 20, 80}}, {{10, 20, 80}}, {{10, 20, 80}}});
  const Used a = test.Use("a");
  test.world.models[1].load_error = "the disk is gone";
  test.world.models[2].plan_error = "no model at all";
  test.world.TakeEvents();
  const Used b = test.Use("b");
  ASSERT_FALSE(b);
  EXPECT_THAT(b.error().message, HasSubstr("the disk is gone"));
  EXPECT_THAT(test.world.TakeEvents(),
              ElementsAre("line a 50", "load b 50", "fail b", "line a 100"));
  EXPECT_THAT(test.Use("c").error().message, HasSubstr("no model at all"));
  EXPECT_THAT(test.world.TakeEvents(), IsEmpty());
  EXPECT_TRUE(test.set->List()[2].state.failed);
  test.world.models[1].load_error.clear();
  EXPECT_TRUE(test.Use("b")) << "a failure is tried again";
}

TEST(ModelSet, OneThatCannotGiveWayJustNowIsNoFailure) {
  SetUnderTest test(100, {{{10, 20, 80}}, {{10, 20, 80}}});
  const Used a = test.Use("a");
  test.world.models[0].refuses_lines = true;
  const Used b = test.Use("b");
  ASSERT_FALSE(b);
  EXPECT_EQ(b.error().status, 429U);
  EXPECT_FALSE(test.set->List()[1].state.failed);
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("load a 100"));
}

TEST(ModelSet, ManyWhoAskAtOnceGetOneLoad) {
  SetUnderTest test(100, {{{10, 20, 80}}}, {.line_wait_seconds = 0.05});
  std::promise<void> go;
  std::shared_future<void> gone(go.get_future());
  test.world.before_load = [gone] { gone.wait(); };
  std::vector<std::future<Used>> all;
  for (int i = 0; i < 32; ++i) {
    all.push_back(test.Ask("a"));
  }
  EXPECT_TRUE(
      SetUnderTest::Soon([&] { return test.set->List()[0].state.progress.bytes_total == 2; }));
  EXPECT_FALSE(test.IsLoaded(0));
  EXPECT_EQ(test.set->SetLine(50).error().kind, ErrorKind::kFailed) << "not while one is loaded";
  go.set_value();
  for (auto& one : all) {
    EXPECT_TRUE(one.get());
  }
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("load a 100"));
}

TEST(ModelSet, SoManyMayWaitAndNoMore) {
  SetUnderTest test(100, {{{10, 20, 80}}}, {.max_waiting = 2});
  std::promise<void> go;
  std::shared_future<void> gone(go.get_future());
  test.world.before_load = [gone] { gone.wait(); };
  auto first = test.Ask("a");
  auto second = test.Ask("a");
  EXPECT_EQ(test.Use("a").error().status, 429U);
  go.set_value();
  EXPECT_TRUE(first.get() && second.get());
}

TEST(ModelSet, UnusedOnesGoAfterAWhile) {
  SetUnderTest test(100, {{{10, 20, 80}}, {{10, 20, 80}}}, {.keep_alive_seconds = 0.05});
  const Used a = test.Use("a");
  EXPECT_TRUE(test.Use("b"));
  // Looking at them keeps none.
  EXPECT_TRUE(SetUnderTest::Soon([&] {
    static_cast<void>(test.set->Loaded());
    return !test.IsLoaded(1);
  }));
  EXPECT_TRUE(SetUnderTest::Soon([&] { return test.world.line_of(0) == 100; }));
  EXPECT_TRUE(test.IsLoaded(0));
}

TEST(ModelSet, AnIdleOneIsUnloadedWhenAsked) {
  SetUnderTest test(100, {{{10, 20, 80}}});
  test.set->Unload("a");
  test.set->Unload("nothing");
  EXPECT_TRUE(test.Use("a"));
  test.set->Unload("a");
  EXPECT_TRUE(SetUnderTest::Soon([&] { return !test.IsLoaded(0); }));
  EXPECT_TRUE(test.Use("a"));
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("load a 100", "end a", "load a 100"));
}

TEST(ModelSet, TheLineIsMovedForAll) {
  SetUnderTest test(100, {{{10, 20, 80}}, {{10, 20, 80}}});
  const Used a = test.Use("a");
  const Used b = test.Use("b");
  EXPECT_EQ(test.set->least_line(), 20U);
  test.world.TakeEvents();
  ASSERT_TRUE(test.set->SetLine(60));
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("line a 30", "line b 30"));
  test.world.set_line(200);
  ASSERT_TRUE(test.set->SetLine(200));
  EXPECT_EQ(test.set->line(), 200U);
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("line a 100", "line b 100"));
  const auto refused = test.set->SetLine(19);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_EQ(test.set->line(), 200U);
  test.world.models[1].refuses_lines = true;
  EXPECT_FALSE(test.set->SetLine(100));
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("line a 50", "line a 100")) << "it goes back";
  EXPECT_EQ(test.set->line(), 200U);
}

TEST(ModelSet, ALowerLineUnloadsIdleOnesButNotTheOnlyOne) {
  SetUnderTest test(100, {{{10, 40, 80}}, {{10, 40, 80}}});
  const Used a = test.Use("a");
  EXPECT_TRUE(test.Use("b"));
  ASSERT_TRUE(test.set->SetLine(50));
  EXPECT_TRUE(test.IsLoaded(0));
  EXPECT_FALSE(test.IsLoaded(1));
  SetUnderTest alone(100, {{{10, 40, 80}}});
  EXPECT_TRUE(alone.Use("a"));
  EXPECT_TRUE(alone.set->SetLine(20));
  EXPECT_TRUE(alone.IsLoaded(0));
  EXPECT_FALSE(alone.set->SetLine(9));
}

TEST(ModelSet, NobodyGetsAModelThatALowerLineIsAboutToUnload) {
  std::vector<std::future<Used>> asked;
  SetUnderTest test(100, {{{10, 20, 80}}, {{10, 20, 80}}, {{10, 20, 80}}});
  const Used a = test.Use("a");
  EXPECT_TRUE(test.Use("b"));
  EXPECT_TRUE(test.Use("c"));
  test.world.before_end = [&](size_t model) {
    if (asked.empty()) {
      asked.push_back(test.Ask(model == 1 ? "c" : "b"));
    }
  };
  ASSERT_TRUE(test.set->SetLine(20));
  ASSERT_EQ(asked.size(), 1U);
  ASSERT_TRUE(asked.front().get()) << "it is loaded again, within the new line";
  EXPECT_EQ(test.world.line_of(0) + test.world.line_of(1) + test.world.line_of(2), 20U);
}

TEST(ModelSet, AModelThatIsBeingUnloadedDoesNotKeepTheSetFromDraining) {
  SetUnderTest test(100, {{{60, 60, 60}}, {{60, 60, 60}}});
  EXPECT_TRUE(test.Use("a"));
  std::promise<void> drained;
  auto is_drained = drained.get_future().share();
  test.world.before_end = [is_drained](size_t /*model*/) { is_drained.wait(); };
  auto b = test.Ask("b");
  test.set->Drain(std::chrono::steady_clock::now() + std::chrono::seconds(10));
  drained.set_value();
  static_cast<void>(b.get());  // an answer, whichever
  EXPECT_EQ(test.Use("b").error().status, 503U);
}

// The last request may be over for its client before it is for the engine.
TEST(ModelSet, AModelThatNobodyUsesIsDrainedToo) {
  SetUnderTest test(100, {{{10, 20, 30}}, {{10, 20, 30}}, {{10, 20, 30}}});
  EXPECT_TRUE(test.Use("a"));
  const Used c = test.Use("c");
  test.set->Drain(std::chrono::steady_clock::now());
  EXPECT_THAT(test.world.drained(), testing::UnorderedElementsAre(0, 2));
}

TEST(ModelSet, WhoUsesAModelMayOutliveTheSet) {
  auto test = std::make_unique<SetUnderTest>(100, std::vector<World::Model>{{{10, 20, 80}}});
  Used a = test->Use("a");
  test->set.reset();
  EXPECT_EQ(test->world.line_of(0), 100U);
  a = Used();
  EXPECT_EQ(test->world.line_of(0), 0U);
}

TEST(ModelSet, ThoseThatWaitAreToldWhenItStops) {
  auto test = std::make_unique<SetUnderTest>(
      100, std::vector<World::Model>{{{60, 60, 60}}, {{60, 60, 60}}});
  const Used a = test->Use("a");
  auto b = test->Ask("b");
  test->set->Drain(std::chrono::steady_clock::now());
  EXPECT_EQ(b.get().error().status, 503U);
  EXPECT_EQ(test->Use("a").error().status, 503U);
  test->set.reset();
}

// Many clients of several models, with loads that fail now and then, and a line that moves.
TEST(ModelSet, TheSumHoldsWhateverHappens) {
  std::mt19937_64 random(7);
  std::vector<World::Model> models;
  for (uint64_t i = 0; i < 5; ++i) {
    const uint64_t least = 5 + random() % 30;
    const uint64_t good = least + random() % 30;
    models.push_back({{least, good, good + random() % 60}});
    models.back().loaded_least = least + random() % (good - least + 1);
  }
  SetUnderTest test(100, models, {.keep_alive_seconds = 0.002, .max_wait_seconds = 5});
  std::atomic<uint32_t> n_used = 0;
  std::vector<std::thread> clients;
  for (uint64_t client = 0; client < 8; ++client) {
    clients.emplace_back([&, client] {
      std::mt19937_64 mine(client);
      for (int i = 0; i < 60; ++i) {
        const std::string name(1, static_cast<char>('a' + mine() % 5));
        Used used = test.Use(name);
        if (used) {
          ++n_used;
          std::this_thread::sleep_for(std::chrono::microseconds(mine() % 2000));
        }
        used = Used();  // who holds one must not wait for the line
        if (mine() % 16 == 0) {
          test.set->Unload(name);
        }
        if (mine() % 16 == 0) {
          static_cast<void>(test.set->SetLine(90 + mine() % 10));
        }
      }
    });
  }
  for (std::thread& client : clients) {
    client.join();
  }
  EXPECT_GT(n_used, 400U);
  EXPECT_LE(test.world.largest_sum(), 100U);
}

TEST(ModelSet, KeepsAPartOfTheLineForOthers) {
  SetUnderTest test(100, {{{10, 20, 80}}}, {.kept_bytes = 30});
  ASSERT_TRUE(test.Use("a"));
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("load a 70"));
  EXPECT_EQ(test.set->line(), 100U);
  EXPECT_EQ(test.set->least_line(), 40U);
  EXPECT_TRUE(test.set->SetLine(60));
  EXPECT_THAT(test.world.TakeEvents(), ElementsAre("line a 30"));
  EXPECT_FALSE(test.set->SetLine(20));
}

}  // namespace
}  // namespace plimsoll::server
