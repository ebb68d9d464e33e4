#include "engine/prefix/prefix_tree.h"

#include <algorithm>
#include <list>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "engine/prefix/check_log.h"

namespace plimsoll::engine::prefix {
namespace {

using Tokens = std::vector<TokenId>;
using testing::HasSubstr;

struct TextLog final : DecisionLog {
  void Write(std::string_view line) override { text += line; }
  std::string text;
};

Tokens Counting(TokenId first, size_t n) {
  Tokens tokens(n);
  for (size_t i = 0; i < n; ++i) {
    tokens[i] = first + static_cast<TokenId>(i);
  }
  return tokens;
}

Tokens Joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A pool with a tree, and requests that "compute": into a slot they write a number that depends on
// all tokens up to it.
class PrefixTreeTest : public testing::Test {
 protected:
  struct Request {
    std::string owner;
    Tokens tokens;
    Hold hold;
    std::unique_ptr<kv::KvSequence> kv;
    uint32_t n_found = 0;
    uint32_t n_computed = 0;
  };
  using Requests = std::list<Request>;

  explicit PrefixTreeTest(size_t n_blocks = 64)
      : ledger_(kMiB), pool_(ledger_, kv::BlockLayout({{1, 8, 8}})), n_blocks_(n_blocks) {
    EXPECT_TRUE(pool_.Promise(n_blocks));
    MakeTree({});
  }

  void MakeTree(PrefixTreeOptions options) {
    log_.text.clear();
    options.log = options.eviction == PrefixEviction::kPrice ? &log_ : nullptr;
    tree_ = std::make_unique<PrefixTree>(pool_, ledger_, options);
  }

  static uint64_t& Slot(const kv::KvSequence& kv, uint32_t slot) {
    return *reinterpret_cast<uint64_t*>(kv.MutableBlock(slot) +
                                        slot % kv::kBlockTokens * pool_stride());
  }
  static size_t pool_stride() { return 16; }
  static uint64_t Mix(uint64_t sum, TokenId token) {
    return (sum ^ static_cast<uint64_t>(token)) * uint64_t{0x9e3779b97f4a7c15} + 1;
  }

  // What is there must be what it would have computed.
  static void ExpectTrue(const Request& request) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < request.n_computed; ++i) {
      sum = Mix(sum, request.tokens[i]);
      ASSERT_EQ(Slot(*request.kv, i), sum) << "slot " << i;
    }
  }

  Hold Find(const std::string& owner, const Tokens& tokens) { return tree_->Find(owner, tokens); }
  uint32_t Ready(const std::string& owner, const Tokens& tokens) {
    Hold hold = Find(owner, tokens);
    return tree_->ReadyTokens(hold);
  }

  // False when there is no room.
  bool Start(Request& request) {
    if (!request.hold) {
      request.hold = Find(request.owner, request.tokens);
    }
    const auto n_tokens = static_cast<uint32_t>(request.tokens.size());
    request.n_found = std::min(tree_->ReadyTokens(request.hold), n_tokens - 1);
    request.kv = tree_->Share(request.hold, request.n_found, 2000);
    const uint32_t n_missing = n_tokens - request.n_found;
    while (pool_.n_free() < request.kv->BlocksToAppend(n_missing)) {
      if (!tree_->Evict(now_)) {
        request.kv.reset();
        return false;
      }
    }
    EXPECT_EQ(request.kv->Append(n_missing, request.n_found), kv::AppendOutcome::kAppended);
    tree_->Start(request.hold, request.tokens, *request.kv, request.n_found, ++now_);
    request.n_computed = request.n_found;
    return true;
  }

  void Compute(Request& request, uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < request.n_computed + n; ++i) {
      sum = Mix(sum, request.tokens[i]);
      if (i >= request.n_computed) {
        Slot(*request.kv, i) = sum;
      }
    }
    request.n_computed += n;
    tree_->Advance(request.hold, std::span(request.tokens).first(request.n_computed), *request.kv,
                   ++now_);
  }

  // A token of the answer; false when there is no room.
  bool Answer(Request& request, TokenId token) {
    while (pool_.n_free() < request.kv->BlocksToAppend(1)) {
      if (!tree_->Evict(now_)) {
        return false;
      }
    }
    EXPECT_EQ(request.kv->Append(1, request.n_computed), kv::AppendOutcome::kAppended);
    request.tokens.push_back(token);
    Compute(request, 1);
    return true;
  }

  void Run(const std::string& owner, const Tokens& tokens) {
    Request request = {.owner = owner, .tokens = tokens, .hold = {}, .kv = nullptr};
    ASSERT_TRUE(Start(request));
    Compute(request, static_cast<uint32_t>(tokens.size()) - request.n_computed);
    ExpectTrue(request);
  }

  // From here on there is room for so many more slabs of nodes.
  memory::Reservation LeaveRoomForSlabs(uint64_t n) {
    const uint64_t room = n * PrefixTree::BytesFor(0) / 2;
    auto rest = ledger_.Reserve(memory::Account::kHeap, ledger_.available_bytes() - room);
    EXPECT_TRUE(rest);
    return std::move(*rest);
  }
  uint64_t IndexBytes() const { return ledger_.Snapshot().of(memory::Account::kIndex).bytes; }

  LogSummary ExpectTrueLog() {
    std::istringstream in(log_.text);
    const auto checked = CheckLog(in);
    EXPECT_TRUE(checked) << (checked ? "" : checked.error().message);
    return checked.value_or(LogSummary());
  }

  memory::Ledger ledger_;
  kv::BlockPool pool_;
  size_t n_blocks_;
  TextLog log_;
  std::unique_ptr<PrefixTree> tree_;
  uint64_t now_ = 0;
};

TEST_F(PrefixTreeTest, FindsWhatBeginsAlikeToTheToken) {
  Run("", Counting(0, 100));
  EXPECT_EQ(Ready("", Counting(0, 100)), 100U);
  EXPECT_EQ(Ready("", Counting(0, 200)), 100U);
  EXPECT_EQ(Ready("", Counting(0, 50)), 50U);
  EXPECT_EQ(Ready("", Joined(Counting(0, 70), Counting(900, 50))), 70U);
  EXPECT_EQ(Ready("", Joined(Counting(0, 97), Counting(900, 50))), 97U);
  EXPECT_EQ(Ready("", Counting(1, 50)), 0U);
  Run("", Joined(Counting(0, 70), Counting(900, 50)));
  EXPECT_EQ(Ready("", Counting(0, 100)), 100U);
  EXPECT_EQ(Ready("", Joined(Counting(0, 70), Counting(900, 60))), 120U);
  ExpectTrueLog();
}

TEST_F(PrefixTreeTest, OwnersShareNothing) {
  Run("a", Counting(0, 100));
  EXPECT_EQ(Ready("b", Counting(0, 100)), 0U);
  Run("b", Counting(0, 100));
  EXPECT_EQ(pool_.n_idle(), 8U);
  EXPECT_EQ(Ready("a", Counting(0, 100)), 100U);
}

TEST_F(PrefixTreeTest, ChargesWhatNobodyUsesToPrefixAndGivesItBack) {
  const auto prefix_bytes = [&] { return ledger_.Snapshot().of(memory::Account::kPrefix).bytes; };
  const auto reserved_blocks = [&] {
    const memory::LedgerSnapshot ledger = ledger_.Snapshot();
    return ledger.reserved_bytes - ledger.of(memory::Account::kIndex).bytes;
  };
  const uint64_t reserved = reserved_blocks();
  {
    Request request = {.owner = "", .tokens = Counting(0, 65), .hold = {}, .kv = nullptr};
    ASSERT_TRUE(Start(request));
    Compute(request, 65);
    EXPECT_EQ(prefix_bytes(), 0U);
  }
  EXPECT_EQ(prefix_bytes(), 3 * pool_.layout().block_bytes());
  EXPECT_EQ(reserved_blocks(), reserved);
  while (tree_->Evict(now_)) {
  }
  EXPECT_EQ(prefix_bytes(), 0U);
  EXPECT_EQ(pool_.n_free(), n_blocks_);
  EXPECT_EQ(tree_->stats().n_nodes, 0U);
  EXPECT_EQ(ExpectTrueLog().n_evicted, 3U);
}

TEST_F(PrefixTreeTest, WhatIsPromisedIsWaitedForAndForgottenWithItsRequest) {
  Request first = {.owner = "", .tokens = Counting(0, 200), .hold = {}, .kv = nullptr};
  ASSERT_TRUE(Start(first));
  Request second = {.owner = "",
                    .tokens = Joined(Counting(0, 150), Counting(900, 20)),
                    .hold = Find("", Joined(Counting(0, 150), Counting(900, 20))),
                    .kv = nullptr};
  EXPECT_TRUE(tree_->IsPromised(second.hold, 150));
  EXPECT_FALSE(tree_->IsPromised(second.hold, 151));
  Compute(first, 100);
  EXPECT_EQ(tree_->ReadyTokens(second.hold), 100U);
  EXPECT_TRUE(tree_->IsPromised(second.hold, 50));
  EXPECT_FALSE(tree_->IsPromised(second.hold, 51));
  first.kv.reset();
  first.hold.Release();
  EXPECT_FALSE(tree_->IsPromised(second.hold, 1));
  EXPECT_EQ(tree_->ReadyTokens(second.hold), 100U);
  ASSERT_TRUE(Start(second));
  Compute(second, 70);
  ExpectTrue(second);
}

TEST_F(PrefixTreeTest, LooksOnOnlyWhereSomethingHasGrown) {
  Hold waiting = Find("", Counting(0, 500));
  Run("", Joined(Counting(0, 320), Counting(900, 20)));
  tree_->FindMore(waiting, Counting(0, 500));
  EXPECT_EQ(tree_->ReadyTokens(waiting), 320U);
  const uint64_t before = tree_->stats().tokens_compared;
  for (int i = 0; i < 1000; ++i) {
    tree_->FindMore(waiting, Counting(0, 500));
  }
  EXPECT_EQ(tree_->stats().tokens_compared, before);
  Run("", Counting(0, 352));
  const uint64_t others = tree_->stats().tokens_compared;
  tree_->FindMore(waiting, Counting(0, 500));
  EXPECT_EQ(tree_->ReadyTokens(waiting), 352U);
  EXPECT_LT(tree_->stats().tokens_compared, others + 4 * 33);
}

// 1,000 long prompts that wait behind one, with a common beginning that ends within a block.
TEST_F(PrefixTreeTest, AThousandLongPromptsTakeFewComparisons) {
  const Tokens system = Counting(0, 1010);
  std::vector<Tokens> prompts;
  for (TokenId i = 0; i < 1000; ++i) {
    prompts.push_back(Joined(system, Counting(5000 + 37 * i, 500)));
  }
  Request first = {.owner = "", .tokens = prompts[0], .hold = {}, .kv = nullptr};
  ASSERT_TRUE(Start(first));
  std::vector<Hold> holds;
  uint64_t n_tokens = 0;
  for (const Tokens& prompt : prompts) {
    holds.push_back(Find("", prompt));
    n_tokens += prompt.size();
  }
  EXPECT_LT(tree_->stats().tokens_compared, 3 * n_tokens);
  const uint64_t before = tree_->stats().tokens_compared;
  while (first.n_computed < first.tokens.size()) {
    Compute(first,
            std::min<uint32_t>(100, static_cast<uint32_t>(first.tokens.size()) - first.n_computed));
    for (size_t i = 0; i < holds.size(); ++i) {
      tree_->FindMore(holds[i], prompts[i]);
      ASSERT_GE(tree_->ReadyTokens(holds[i]), std::min(first.n_computed, 1010U));
    }
  }
  EXPECT_EQ(tree_->stats().tokens_compared, before);
}

TEST_F(PrefixTreeTest, EvictsTheCheapestLeafAndNothingThatIsHeld) {
  Run("", Joined(Counting(0, 64), Counting(100, 32)));
  for (int i = 0; i < 3; ++i) {
    Run("", Joined(Counting(0, 64), Counting(200, 32)));
  }
  const Hold held = Find("", Counting(0, 40));
  ASSERT_TRUE(tree_->Evict(now_));
  EXPECT_EQ(Ready("", Joined(Counting(0, 64), Counting(100, 32))), 64U);
  EXPECT_EQ(Ready("", Joined(Counting(0, 64), Counting(200, 32))), 96U);
  while (tree_->Evict(now_)) {
  }
  EXPECT_EQ(Ready("", Counting(0, 40)), 40U);
  EXPECT_EQ(ExpectTrueLog().n_evicted, 2U);
}

TEST_F(PrefixTreeTest, AWrongDecisionInALogIsNamed) {
  Run("", Counting(0, 96));
  const Hold held = Find("", Counting(0, 96));
  Run("", Counting(500, 96));
  const std::string text = log_.text;
  const auto complaint = [](std::string log) {
    std::istringstream in(std::move(log));
    const auto checked = CheckLog(in);
    return checked ? std::string() : checked.error().message;
  };
  EXPECT_EQ(complaint(text), "");
  EXPECT_EQ(complaint(text + "evict 7\n"), "");
  const auto lines = std::ranges::count(text, '\n');
  EXPECT_EQ(complaint(text + "evict 4\n"),
            fmt::format("line {}: node 4 was evicted while it was held", lines + 1));
  EXPECT_THAT(complaint(text + "evict 6\n"), HasSubstr("before those behind it"));
  EXPECT_THAT(complaint(text + "let-go 4\nevict 7\n"),
              HasSubstr("node 7 was evicted, but node 4 was cheaper"));
  EXPECT_THAT(complaint(text + "let-go 6\n"), HasSubstr("nobody held node 6"));
  EXPECT_THAT(complaint(text + "evict 99\n"), HasSubstr("there is no node 99"));
  EXPECT_THAT(complaint(text + "create 4 1 5\n"), HasSubstr("not a new one"));
  EXPECT_THAT(complaint(text + "drop 7\n"), HasSubstr("in use"));
  EXPECT_THAT(complaint(text + "evict -7\n"), HasSubstr("no event"));
  EXPECT_THAT(complaint("hello\n"), HasSubstr("no log"));
  EXPECT_EQ(complaint(text + "evict 99"), "");  // being written
}

// Two blocks each, of which the tree has the only hold.
class PrefixTreeStateTest : public PrefixTreeTest {
 protected:
  void Attach(Request& request, uint32_t n_tokens) {
    const std::vector<BlockId> state = {*pool_.Allocate(), *pool_.Allocate()};
    tree_->AttachState(request.hold, n_tokens, state);
    for (const BlockId block : state) {
      pool_.DropReference(block);
    }
  }
  uint32_t LastOf(const Tokens& tokens) {
    Hold hold = Find("", tokens);
    return tree_->LastState(hold);
  }
  Request ComputedWithStates() {
    Request request = {.owner = "", .tokens = Counting(0, 100), .hold = {}, .kv = nullptr};
    EXPECT_TRUE(Start(request));
    Compute(request, 100);
    Attach(request, 32);
    Attach(request, 96);
    return request;
  }
};

TEST_F(PrefixTreeStateTest, StatesGoWithTheirNodes) {
  ComputedWithStates();
  EXPECT_EQ(ledger_.Snapshot().of(memory::Account::kPrefix).bytes,
            (4 + 2 * 2) * pool_.layout().block_bytes());
  EXPECT_EQ(LastOf(Counting(0, 100)), 96U);
  EXPECT_EQ(LastOf(Counting(0, 95)), 32U);
  EXPECT_EQ(LastOf(Counting(0, 31)), 0U);
  const size_t n_free = pool_.n_free();
  ASSERT_TRUE(tree_->Evict(now_));  // the four tokens at the end
  ASSERT_TRUE(tree_->Evict(now_));
  EXPECT_EQ(pool_.n_free(), n_free + 4);
  EXPECT_EQ(LastOf(Counting(0, 100)), 32U);
  EXPECT_EQ(tree_->stats().bytes_evicted, 4 * pool_.layout().block_bytes());
  ExpectTrueLog();
}

TEST_F(PrefixTreeStateTest, ASecondStateOfANodeIsNotKept) {
  Request request = ComputedWithStates();
  const size_t n_free = pool_.n_free();
  Attach(request, 32);
  EXPECT_EQ(pool_.n_free(), n_free);
}

// Which nobody went on from since: the blocks behind it were used later.
TEST_F(PrefixTreeStateTest, AStateAboveOthersGoesBeforeBlocksThatWereUsedLater) {
  ComputedWithStates();
  now_ += 1000;
  Run("", Counting(0, 100));
  ASSERT_TRUE(tree_->Evict(now_));
  EXPECT_EQ(LastOf(Counting(0, 95)), 0U);
  EXPECT_EQ(LastOf(Counting(0, 100)), 96U);
  EXPECT_EQ(Ready("", Counting(0, 100)), 100U);
  ExpectTrueLog();
}

TEST_F(PrefixTreeTest, NodesAreChargedBeforeTheyAreMade) {
  EXPECT_EQ(IndexBytes(), 0U);
  Run("", Counting(0, 20 * 32));
  EXPECT_GE(IndexBytes(), 21 * sizeof(TokenId) * 32);
  EXPECT_LE(IndexBytes(), PrefixTree::BytesFor(20));
  const uint64_t before = IndexBytes();
  while (tree_->Evict(now_)) {
  }
  Run("", Counting(7, 20 * 32));
  EXPECT_EQ(IndexBytes(), before);
  MakeTree({});
  EXPECT_EQ(IndexBytes(), 0U);
}

TEST_F(PrefixTreeTest, WithoutRoomForNodesOldOnesGoForNewOnes) {
  const memory::Reservation rest = LeaveRoomForSlabs(1);  // 15 blocks and the root
  Run("", Counting(0, 10 * 32));
  Run("", Counting(9000, 10 * 32));
  EXPECT_EQ(Ready("", Counting(9000, 10 * 32)), 320U);
  EXPECT_EQ(Ready("", Counting(0, 10 * 32)), 5 * 32U);
  EXPECT_EQ(tree_->stats().n_nodes, 16U);
  ExpectTrueLog();
}

TEST_F(PrefixTreeTest, WithoutRoomForNodesWhatIsNewIsNotKept) {
  memory::Reservation rest = LeaveRoomForSlabs(1);
  Request held = {.owner = "a", .tokens = Counting(0, 10 * 32), .hold = {}, .kv = nullptr};
  ASSERT_TRUE(Start(held));
  Compute(held, 320);
  Request cut = {.owner = "a", .tokens = Counting(9000, 10 * 32), .hold = {}, .kv = nullptr};
  ASSERT_TRUE(Start(cut));
  Compute(cut, 320);
  for (TokenId i = 0; i < 40; ++i) {
    ASSERT_TRUE(Answer(cut, i));
  }
  EXPECT_EQ(Ready("a", cut.tokens), 5 * 32U);
  Request stranger = {.owner = "b", .tokens = Counting(0, 100), .hold = {}, .kv = nullptr};
  ASSERT_TRUE(Start(stranger));
  Compute(stranger, 100);
  EXPECT_FALSE(stranger.hold);
  ExpectTrue(cut);
  ExpectTrue(stranger);
  rest.Release();
  Run("b", Counting(0, 100));
  EXPECT_EQ(Ready("b", Counting(0, 100)), 100U);
  ExpectTrueLog();
}

// Two with one prompt, of which neither waited for the other, answer differently.
TEST_F(PrefixTreeTest, TwinsPartWhereTheirAnswersDo) {
  Request a = {.owner = "", .tokens = Counting(0, 40), .hold = {}, .kv = nullptr};
  Request b = {.owner = "", .tokens = Counting(0, 40), .hold = {}, .kv = nullptr};
  ASSERT_TRUE(Start(a));
  ASSERT_TRUE(Start(b));
  Compute(a, 40);
  Compute(b, 40);
  EXPECT_EQ(a.kv->blocks()[0], b.kv->blocks()[0]);
  EXPECT_NE(a.kv->blocks()[1], b.kv->blocks()[1]);
  ASSERT_TRUE(Answer(a, 7));
  ASSERT_TRUE(Answer(b, 8));
  ASSERT_TRUE(Answer(a, 9));
  EXPECT_EQ(Ready("", Joined(Counting(0, 40), {7, 9, 1})), 42U);
  EXPECT_EQ(Ready("", Joined(Counting(0, 40), {8, 9, 1})), 41U);
  ExpectTrue(a);
  ExpectTrue(b);
}

// Against a list of everything that was ever computed: what is found was computed, and without
// evictions all that was computed is found, to the block. Slots have what the tokens before them
// say, and no block is lost; also where there are nodes for few of the blocks.
TEST_F(PrefixTreeTest, AgreesWithAListOfAllSequences) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(seed);
    PrefixTreeOptions options;
    options.clock = {.use_half_life_us = 20, .branch_half_life_us = 100};
    MakeTree(options);
    uint64_t n_drawn = 0;
    const auto draw = [&](uint64_t n) {
      return static_cast<uint64_t>(UniformAt(seed, n_drawn++) * static_cast<double>(n));
    };
    const bool roomy = seed % 3 == 0;
    const bool has_few_nodes = seed % 3 == 1;
    memory::Reservation rest;
    if (has_few_nodes) {
      rest = LeaveRoomForSlabs(1 + seed % 2);
    }
    std::vector<std::pair<std::string, Tokens>> computed;
    Requests running;
    const auto longest = [&](const Request& request) {
      ptrdiff_t n = 0;
      const auto look = [&](const std::string& owner, std::span<const TokenId> tokens) {
        const auto common = std::ranges::mismatch(tokens, request.tokens).in1 - tokens.begin();
        n = owner == request.owner ? std::max(n, common) : n;
      };
      for (const auto& [owner, tokens] : computed) {
        look(owner, tokens);
      }
      for (const Request& other : running) {
        look(other.owner, std::span(other.tokens).first(other.n_computed));
      }
      return static_cast<uint32_t>(n);
    };
    const auto draw_tokens = [&] {
      Tokens tokens;
      if (!computed.empty() && draw(4) != 0) {
        tokens = computed[draw(computed.size())].second;
        tokens.resize(draw(tokens.size() + 1));
      }
      const size_t n = tokens.size() + 1 + draw(80);
      while (tokens.size() < n && tokens.size() < 300) {
        tokens.push_back(static_cast<TokenId>(draw(30) == 0 ? draw(2) : 5));
      }
      return tokens;
    };
    const auto end = [&](Requests::iterator it) {
      ExpectTrue(*it);
      it->tokens.resize(it->n_computed);
      computed.emplace_back(it->owner, it->tokens);
      running.erase(it);
    };
    for (int step = 0; step < (roomy ? 60 : 300); ++step) {
      const uint64_t what = draw(10);
      if (what < 3 && running.size() < 5) {
        Request request = {
            .owner = draw(3) == 0 ? "b" : "a", .tokens = draw_tokens(), .hold = {}, .kv = nullptr};
        const uint32_t known = longest(request);
        if (Start(request)) {
          ASSERT_LE(request.n_found, known);
          if (tree_->stats().n_evicted == 0 && !has_few_nodes) {
            const auto limit = static_cast<uint32_t>(request.tokens.size()) - 1;
            ASSERT_GE(request.n_found,
                      std::min(known / kv::kBlockTokens * kv::kBlockTokens, limit));
          }
          running.push_back(std::move(request));
          ExpectTrue(running.back());
        }
      } else if (!running.empty()) {
        auto it = running.begin();
        std::advance(it, static_cast<ptrdiff_t>(draw(running.size())));
        const uint64_t n_left = it->tokens.size() - it->n_computed;
        if (what < 4) {
          end(it);  // cancelled, or preempted
        } else if (n_left > 0) {
          Compute(*it, static_cast<uint32_t>(1 + draw(n_left)));
        } else if (it->tokens.size() < 300 && draw(20) != 0) {
          if (!Answer(*it, static_cast<TokenId>(draw(2)))) {
            end(it);
          }
        } else {
          end(it);
        }
      }
      std::set<uint32_t> used;
      for (const Request& request : running) {
        for (const BlockId block : request.kv->blocks()) {
          used.insert(block.value);
        }
      }
      ASSERT_EQ(used.size() + pool_.n_idle() + pool_.n_free(), n_blocks_);
      if (roomy && pool_.n_free() < 20) {
        break;
      }
    }
    while (!running.empty()) {
      end(running.begin());
    }
    while (tree_->Evict(now_)) {
    }
    ASSERT_EQ(pool_.n_free(), n_blocks_);
    ASSERT_EQ(tree_->stats().n_nodes, 0U);
    ASSERT_EQ(ExpectTrueLog().n_evicted, tree_->stats().n_evicted);
  }
}

}  // namespace
}  // namespace plimsoll::engine::prefix
