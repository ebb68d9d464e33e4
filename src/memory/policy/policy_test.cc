// What holds for every policy, on random work: a victim is a candidate, nothing allocates, the same
// work gives the same victims, and no policy is thrown by a shrinking budget.
#include "memory/policy/policy.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "memory/policy/make_policy.h"

namespace plimsoll::memory::policy {
namespace {

constexpr uint32_t kLayers = 5;
constexpr uint32_t kExperts = 12;

// A pager in small: does what the contract of policy.h says and checks the policy's answers.
class Cache {
 public:
  Cache(Policy& policy, const PageLayout& layout, uint32_t n_slots)
      : policy_(policy), layout_(layout), n_slots_(n_slots) {
    policy_.SetCapacity(n_slots);
  }

  void SetCapacity(uint32_t n_slots) {
    n_slots_ = n_slots;
    policy_.SetCapacity(n_slots);
    while (resident_.size() > n_slots_) {
      EvictOne(std::nullopt);
    }
  }

  void Serve(uint32_t layer, uint64_t step, Phase phase, const std::set<uint32_t>& experts) {
    const std::vector<uint32_t> chosen(experts.begin(), experts.end());
    const uint32_t near = *experts.begin() == 0 ? kExperts - 1 : 0;
    const std::vector<float> probabilities(chosen.size(), 0.1F);
    const float near_probability = 0.05F;
    policy_.Visit({layer, step, phase, 1, chosen, probabilities, std::span(&near, 1),
                   std::span(&near_probability, 1)});
    for (const uint32_t expert : chosen) {
      if (resident_.contains(layout_.page(layer, expert))) {
        ++n_hits_;
        pinned_.insert(layout_.page(layer, expert));
      }
    }
    for (const uint32_t expert : chosen) {
      const PageId page = layout_.page(layer, expert);
      if (!resident_.contains(page)) {
        while (resident_.size() >= n_slots_) {
          EvictOne(page);
        }
        policy_.Admit(page);
        resident_.insert(page);
        pinned_.insert(page);
      }
    }
    pinned_.clear();
  }

  // A prompt of one token for each of a layer's pages, each read, used and given up.
  void ServePrompt(uint32_t layer, uint64_t step) {
    std::vector<uint32_t> chosen(layout_.n_pages(layer));
    std::iota(chosen.begin(), chosen.end(), 0U);
    policy_.Visit({layer, step, Phase::kPrefill, layout_.n_pages(layer), chosen, {}, {}, {}});
    for (const uint32_t expert : chosen) {
      const PageId page = layout_.page(layer, expert);
      if (!resident_.contains(page)) {
        while (resident_.size() >= n_slots_) {
          EvictOne(page);
        }
        policy_.Admit(page);
        resident_.insert(page);
      }
    }
  }

  [[nodiscard]] const std::vector<PageId>& victims() const { return victims_; }
  [[nodiscard]] uint64_t n_hits() const { return n_hits_; }

 private:
  void EvictOne(std::optional<PageId> incoming) {
    std::vector<uint64_t> words((layout_.n_pages() + 63) / 64, 0);
    for (const PageId page : resident_) {
      if (!pinned_.contains(page)) {
        words[page.value / 64] |= uint64_t{1} << (page.value % 64);
      }
    }
    const auto victim = policy_.ChooseVictim(incoming, PageSet(words));
    RC_ASSERT(victim.has_value());
    RC_ASSERT(PageSet(words).Contains(*victim));
    policy_.Evict(*victim);
    resident_.erase(*victim);
    victims_.push_back(*victim);
  }

  Policy& policy_;
  const PageLayout& layout_;
  uint32_t n_slots_;
  std::set<PageId> resident_;
  std::set<PageId> pinned_;
  std::vector<PageId> victims_;
  uint64_t n_hits_ = 0;
};

PageLayout SmallLayout() {
  const std::vector<uint32_t> n_pages(kLayers, kExperts);
  return PageLayout(n_pages);
}

// Three of twelve experts; four steps use them all.
std::set<uint32_t> Three(uint64_t step) {
  const auto i = static_cast<uint32_t>(step % 4);
  return {i, i + 4, i + 8};
}

struct Pass {
  bool prefill;
  uint32_t n_slots;
  std::vector<std::set<uint32_t>> experts;  // [kLayers]
};

rc::Gen<Pass> AnyPass() {
  const auto expert = rc::gen::inRange<uint32_t>(0, kExperts);
  const auto chosen = rc::gen::map(
      rc::gen::container<std::vector<uint32_t>>(3, expert),
      [](const std::vector<uint32_t>& v) { return std::set<uint32_t>(v.begin(), v.end()); });
  return rc::gen::build<Pass>(
      rc::gen::set(&Pass::prefill), rc::gen::set(&Pass::n_slots, rc::gen::inRange(3U, 40U)),
      rc::gen::set(&Pass::experts,
                   rc::gen::container<std::vector<std::set<uint32_t>>>(kLayers, chosen)));
}

std::vector<PageId> Victims(std::string_view name, const PageLayout& layout,
                            const std::vector<Pass>& passes) {
  const auto policy = MakePolicy(name, layout).value();
  Cache cache(*policy, layout, 20);
  uint64_t step = 0;
  for (const Pass& pass : passes) {
    cache.SetCapacity(pass.n_slots);
    ++step;
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      cache.Serve(layer, step, pass.prefill ? Phase::kPrefill : Phase::kDecode,
                  pass.experts[layer]);
    }
  }
  return cache.victims();
}

class EveryPolicy : public testing::TestWithParam<PolicyName> {};

TEST_P(EveryPolicy, ChoosesCandidatesWhateverHappensAndAlwaysTheSame) {
  const PageLayout layout = SmallLayout();
  EXPECT_TRUE(rc::check([&] {
    const auto passes = *rc::gen::container<std::vector<Pass>>(AnyPass());
    const auto victims = Victims(GetParam().name, layout, passes);
    RC_ASSERT(victims == Victims(GetParam().name, layout, passes));
  }));
}

TEST_P(EveryPolicy, HasNoVictimAmongNoCandidates) {
  const PageLayout layout = SmallLayout();
  const auto policy = MakePolicy(GetParam().name, layout).value();
  policy->SetCapacity(4);
  const std::vector<uint64_t> none(1, 0);
  EXPECT_EQ(policy->ChooseVictim(layout.page(0, 0), PageSet(none)), std::nullopt);
  EXPECT_EQ(policy->ChooseVictim(std::nullopt, PageSet(none)), std::nullopt);
}

// Three experts of every layer again and again, with slots for them: nothing is missed twice.
TEST_P(EveryPolicy, KeepsAWorkingSetThatFits) {
  const PageLayout layout = SmallLayout();
  const auto policy = MakePolicy(GetParam().name, layout).value();
  Cache cache(*policy, layout, 3 * kLayers);
  for (uint64_t step = 1; step <= 50; ++step) {
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      cache.Serve(layer, step, Phase::kDecode, {layer, layer + 2, layer + 5});
    }
  }
  EXPECT_EQ(cache.n_hits(), 49 * 3 * kLayers);
  EXPECT_TRUE(cache.victims().empty());
}

INSTANTIATE_TEST_SUITE_P(Policies, EveryPolicy,
                         testing::ValuesIn(PolicyNames().begin(), PolicyNames().end()),
                         [](const auto& param) {
                           std::string name(param.param.name);
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(PolicyTest, AnUnknownNameIsRefusedWithThoseThatThereAre) {
  const PageLayout layout = SmallLayout();
  const auto policy = MakePolicy("best", layout);
  ASSERT_FALSE(policy);
  EXPECT_EQ(policy.error().kind, ErrorKind::kUsage);
  EXPECT_NE(policy.error().message.find("s3-fifo"), std::string::npos);
}

// With a layer's pages fewer slots than one token's cycle, a global LRU hits exactly never.
TEST(PolicyTest, OnlyAGlobalLruFallsOffTheCliff) {
  const PageLayout layout = SmallLayout();
  const auto hits = [&](std::string_view name) {
    const auto policy = MakePolicy(name, layout).value();
    Cache cache(*policy, layout, 3 * (kLayers - 1));
    for (uint64_t step = 1; step <= 50; ++step) {
      for (uint32_t layer = 0; layer < kLayers; ++layer) {
        cache.Serve(layer, step, Phase::kDecode, {layer, layer + 2, layer + 5});
      }
    }
    return cache.n_hits();
  };
  EXPECT_EQ(hits("lru"), 0U);
  EXPECT_GE(hits("lru-layer"), 49U * kLayers);
  EXPECT_GE(hits(PolicyNames().front().name), 49U * 2 * kLayers);
}

// A prompt that touches every page once must not cost the decode its pages.
TEST(PolicyTest, APromptDoesNotFlushWhatDecodingUses) {
  const std::vector<uint32_t> n_pages(kLayers, 64);
  const PageLayout layout(n_pages);
  const auto misses_after_prompt = [&](std::string_view name) {
    const auto policy = MakePolicy(name, layout).value();
    Cache cache(*policy, layout, 16 * kLayers);
    uint64_t step = 0;
    const auto decode = [&](uint32_t n) {
      for (uint32_t i = 0; i < n; ++i) {
        ++step;
        for (uint32_t layer = 0; layer < kLayers; ++layer) {
          cache.Serve(layer, step, Phase::kDecode, Three(step));
        }
      }
    };
    decode(60);
    ++step;
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      cache.ServePrompt(layer, step);
    }
    const uint64_t hits = cache.n_hits();
    decode(4);  // each of the 12 pages of a layer once
    return 12 * kLayers - (cache.n_hits() - hits);
  };
  EXPECT_GE(misses_after_prompt("lru"), 11 * kLayers);
  EXPECT_LE(misses_after_prompt("forecast"), kLayers);
}

TEST(PolicyTest, APopularityProfileIsAHintUntilRoutersSpeak) {
  const PageLayout layout = SmallLayout();
  const auto policy = MakePolicy("forecast", layout).value();
  policy->SetCapacity(layout.n_pages());
  std::vector<float> popularity(layout.n_pages(), 100);
  popularity[layout.page(2, 7).value] = 1;
  policy->Warm(popularity);
  const std::vector<uint64_t> all(1, (uint64_t{1} << layout.n_pages()) - 1);
  EXPECT_EQ(policy->ChooseVictim(std::nullopt, PageSet(all)), layout.page(2, 7));

  Cache cache(*policy, layout, layout.n_pages());
  for (uint64_t step = 1; step <= 100; ++step) {
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      cache.Serve(layer, step, Phase::kDecode, {5, 6, 7});
    }
  }
  const auto victim = policy->ChooseVictim(std::nullopt, PageSet(all));
  ASSERT_TRUE(victim);
  EXPECT_FALSE(std::set<uint32_t>({5, 6, 7}).contains(victim->value % kExperts));
}

TEST(PageSetTest, ForEachInVisitsARangeOfAnyPosition) {
  EXPECT_TRUE(rc::check([] {
    const auto words =
        *rc::gen::container<std::vector<uint64_t>>(4, rc::gen::arbitrary<uint64_t>());
    const uint32_t begin = *rc::gen::inRange(0U, 256U);
    const uint32_t end = *rc::gen::inRange(begin, 257U);
    const PageSet set(words);
    std::vector<PageId> expected;
    set.ForEach([&](PageId page) {
      if (page.value >= begin && page.value < end) {
        expected.push_back(page);
      }
    });
    std::vector<PageId> found;
    set.ForEachIn(begin, end, [&](PageId page) { found.push_back(page); });
    RC_ASSERT(found == expected);
  }));
}

}  // namespace
}  // namespace plimsoll::memory::policy
