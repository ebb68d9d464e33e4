// The keys and values of prefixes, for those that begin alike: the next turn of a conversation, a
// system prompt that many share, the choices of one request.
//
// A radix tree over tokens whose digits are blocks: a node stands for up to kv::kBlockTokens tokens
// behind those of its parent, and holds the block with their keys and values. Each owner has a tree
// of its own and never meets another's. A running sequence's prompt is in the tree from its start,
// as a promise: others that begin alike wait for it rather than compute it twice; as it is computed
// it becomes ready. Blocks that no sequence uses stay for as long as nobody needs the memory, and
// go in the order of their price (price.h), leaves first. Where layers are quantized
// (kv::BlockLayout) only whole blocks are shared.
//
// A request holds the deepest node that it uses; what is held, and all above it, is never evicted.
//
// Nodes are charged to Account::kIndex before they are made, kSlabNodes at a time. When the ledger
// has no room for more, others are evicted for new ones; when all are held, what is new is not
// kept, and its sequences run without.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "engine/prefix/decision_log.h"
#include "engine/prefix/price.h"
#include "kv/kv_sequence.h"
#include "kv/store/block_store.h"
#include "memory/ledger.h"

namespace plimsoll::engine::prefix {

class PrefixTree;
using NodeIndex = uint32_t;

// What a request holds of a tree: the nodes that its tokens begin with. Lets go when it goes.
class Hold {
 public:
  Hold() = default;
  Hold(Hold&& other) noexcept { *this = std::move(other); }
  Hold& operator=(Hold&& other) noexcept;
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold() { Release(); }

  [[nodiscard]] explicit operator bool() const { return tree_ != nullptr; }
  void Release();

 private:
  friend class PrefixTree;
  static constexpr NodeIndex kNone = UINT32_MAX;

  PrefixTree* tree_ = nullptr;
  NodeIndex root_ = kNone;
  std::vector<NodeIndex> path_;  // of a waiting request: those it has in common to their end
  // Of a waiting request, a node of which it has the first tokens in common.
  NodeIndex partial_ = kNone;
  uint32_t n_partial_ = 0;
  size_t n_ready_nodes_ = 0;  // of the path, known to be ready
  uint64_t seen_growth_ = 0;
  // Of a running request.
  uint32_t n_computed_ = 0;
  size_t first_promised_ = 0;  // nodes of the path
  size_t end_promised_ = 0;
  uint32_t n_promised_tokens_ = 0;
  std::vector<NodeIndex> promised_states_;  // of the path
};

// Which leaf goes first.
enum class PrefixEviction : uint8_t {
  kPrice,        // what it would cost to lose is least (price.h)
  kLeastRecent,  // it was used longest ago: to compare with
};

struct PrefixTreeOptions {
  PrefixEviction eviction = PrefixEviction::kPrice;
  DemandClock clock;
  WaysBack ways_back;
  DecisionLog* log = nullptr;       // outlives the tree; for kPrice
  kv::BlockStore* store = nullptr;  // the slower memory, outlives the tree; null: there is none
};

struct PrefixTreeStats {
  uint64_t n_nodes = 0;          // now, roots included
  uint64_t n_evicted = 0;        // blocks
  uint64_t bytes_evicted = 0;    // with the states that they carried
  uint64_t tokens_compared = 0;  // by all lookups
};

// For one thread at a time. Times are microseconds since some start, and never fall.
class PrefixTree {
 public:
  // `pool` and `ledger` outlive it; it outlives its holds.
  PrefixTree(kv::BlockPool& pool, memory::Ledger& ledger, const PrefixTreeOptions& options);
  // What the nodes of so many blocks are charged, and those of some owners.
  [[nodiscard]] static uint64_t BytesFor(uint64_t n_blocks) {
    return (n_blocks / kSlabNodes + 2) * kSlabNodes * kNodeBytes;
  }
  PrefixTree(const PrefixTree&) = delete;
  PrefixTree& operator=(const PrefixTree&) = delete;
  ~PrefixTree();

  // The longest beginning of the tokens that is in the owner's tree, ready or promised. What it has
  // found does not go while it is held. O(its length). Holds nothing where there is no room for an
  // owner's first node: then nothing is there, and nothing will be kept.
  [[nodiscard]] Hold Find(const std::string& owner, std::span<const TokenId> tokens);
  // Looks on from where it ended, if something has grown there since. `tokens` as before.
  void FindMore(Hold& hold, std::span<const TokenId> tokens);
  // Of what was found, how much is computed.
  [[nodiscard]] uint32_t ReadyTokens(Hold& hold) const;
  // Whether running sequences will compute at least `n` tokens more of it.
  [[nodiscard]] bool IsPromised(Hold& hold, uint32_t n) const;

  // The most of the ready tokens, at most n, that Share can share: where layers are recurrent those
  // up to a state, where they are quantized whole blocks.
  [[nodiscard]] uint32_t Shareable(Hold& hold, uint32_t n) const;
  // A sequence of the first `n` tokens, which are Shareable.
  [[nodiscard]] std::unique_ptr<kv::KvSequence> Share(const Hold& hold, uint32_t n,
                                                      uint32_t max_tokens);
  // The request begins to run, `n_found` tokens of which it need not compute: the others become a
  // promise, as far as there is room for nodes. `kv` has room for all. It counts as demand unless
  // it did before.
  void Start(Hold& hold, std::span<const TokenId> tokens, const kv::KvSequence& kv,
             uint32_t n_found, uint64_t time_us, bool counts = true);
  // All of these tokens are computed now, their keys and values are in `kv`; they begin as those of
  // the last call. A block that is in the tree already takes the place of the sequence's own.
  void Advance(Hold& hold, std::span<const TokenId> computed, kv::KvSequence& kv, uint64_t time_us);

  // Frees the block with the lowest price; false when all that there are are held. Prices are those
  // of some seconds ago at most. A state that others have gone beyond goes alone, and before a
  // block that was used after it.
  bool Evict(uint64_t time_us);

  // Recurrent layers have no state per token: the request will attach one behind so many of its
  // tokens, a multiple of kv::kBlockTokens. Others wait for it.
  void PromiseState(Hold& hold, uint32_t n_tokens);
  // What a sequence that goes on behind `n_tokens`, which are computed, needs beside keys and
  // values: blocks of the pool (kv::StateBlocks). They are kept, unless there was no room for the
  // node or it has a state already, and go with the node, or before it (Evict).
  void AttachState(Hold& hold, uint32_t n_tokens, std::span<const BlockId> state);
  // The last state within the ready tokens, and within the first n: where a model with recurrent
  // layers can go on. 0: at the beginning.
  [[nodiscard]] uint32_t LastState(Hold& hold, uint32_t n = UINT32_MAX) const;

  // Saves whole blocks that are computed, as many as the store takes now, in the order in which
  // they became whole; and learns which are there. Without a store nothing happens.
  void SaveMore();
  // Waits for what is being saved, and then lets go of it. False when nothing is, or when it takes
  // longer.
  bool FinishSaves(std::chrono::milliseconds bound);
  // There is more to save, or under way.
  [[nodiscard]] bool IsSaving() const {
    return n_saving_ > 0 || (!to_save_.empty() && !is_refused_);
  }
  // The names of those blocks behind the first `n_blocks` of the tokens, which were found ready,
  // that the store has, one behind another; at most n_max. Where layers are recurrent, up to one
  // with a state, and then the names of that.
  [[nodiscard]] std::vector<kv::BlockKey> InStore(const Hold& hold, std::span<const TokenId> tokens,
                                                  size_t n_blocks, size_t n_max);

  void FlushLog() { writer_.Flush(); }
  [[nodiscard]] const PrefixTreeStats& stats() const { return stats_; }
  [[nodiscard]] const WaysBack& ways_back() const { return options_.ways_back; }

 private:
  friend class Hold;
  using Key = std::span<const TokenId>;

  struct Node {
    uint64_t serial = 0;
    NodeIndex parent = Hold::kNone;
    const std::string* owner = nullptr;  // of a root
    uint32_t depth = 0;                  // blocks before it
    uint32_t n_tokens = 0;               // of the key; all of them if it has children
    std::array<TokenId, kv::kBlockTokens> tokens;
    std::vector<NodeIndex> children;  // by their keys, in lexicographic order
    std::optional<BlockId> block;
    uint32_t n_ready = 0;  // tokens of the block that are computed
    uint32_t n_holds = 0;
    uint32_t n_promisers = 0;  // running sequences that will compute it
    uint64_t growth = 0;       // goes up when a child comes or grows
    Demand demand;
    uint64_t last_use_us = 0;
    bool is_candidate = false;
    double price = 0;                  // while it is one
    std::optional<kv::BlockKey> name;  // of its block in the store, once it was wanted
    bool is_saved = false;             // the store has it
    bool waits_to_be_saved = false;
    uint32_t n_logged = 0;  // tokens, and
    uint64_t bytes_logged = 0;
    std::vector<BlockId> state;      // empty: none
    uint32_t n_state_saving = 0;     // of its blocks, on their way to the store
    uint32_t n_state_promisers = 0;  // running sequences that will attach one
    uint64_t state_used_us = 0;      // when somebody last went on from it

    [[nodiscard]] Key key() const { return {tokens.data(), n_tokens}; }
    [[nodiscard]] bool is_root() const { return owner != nullptr; }
    [[nodiscard]] bool is_ready() const { return n_ready == kv::kBlockTokens; }
  };
  struct Unsaved {
    NodeIndex node = 0;
    uint64_t serial = 0;  // else it is another by now
    uint32_t part = 0;    // 0: its block; i: block i - 1 of its state
  };
  struct Candidate {
    double price = 0;
    uint64_t serial = 0;
    NodeIndex node = 0;
    friend auto operator<=>(const Candidate&, const Candidate&) = default;
  };
  static constexpr uint64_t kSlabNodes = 16;
  // With its places in its parent's children and in free_, and twice those in candidates_, since
  // they are made anew while the old ones are there.
  static constexpr uint64_t kNodeBytes = sizeof(Node) + 256;
  struct Neighbour {
    NodeIndex node = Hold::kNone;
    uint32_t n_common = 0;
  };

  [[nodiscard]] bool is_recurrent() const { return pool_.layout().is_recurrent(); }
  [[nodiscard]] bool shares_parts() const {
    return pool_.layout().n_open_blocks() == 0 && !is_recurrent();
  }
  // Nodes that have been charged and are not used.
  [[nodiscard]] uint64_t n_room() const { return free_.size() + n_charged_ - nodes_.size(); }
  // Makes that at least n, of the ledger or by evicting; false when it is fewer.
  bool MakeRoom(uint64_t n);
  // kNone when there is no room.
  [[nodiscard]] NodeIndex RootOf(const std::string& owner);
  [[nodiscard]] NodeIndex NewNode(NodeIndex parent, uint64_t time_us);  // there is room
  [[nodiscard]] size_t LowerBound(const Node& parent, Key key);
  // The child that has most of the key in common.
  [[nodiscard]] Neighbour Nearest(const Node& parent, Key key);
  // The child for these tokens, an old one if it begins with them or they with it. kNone when it
  // would be a new one and there is no room.
  [[nodiscard]] NodeIndex Place(NodeIndex parent, Key key, uint64_t time_us, bool counts);
  void ExtendKey(Node& node, Key key);
  void Descend(Hold& hold, std::span<const TokenId> tokens);

  [[nodiscard]] static NodeIndex Deepest(const Hold& hold);
  void MoveHold(NodeIndex from, NodeIndex to);
  void LetGo(NodeIndex node);
  void Release(Hold& hold);
  void CountUse(Node& node, uint64_t time_us, bool branches) const;
  // Whether its tokens leave what was there before that ends.
  [[nodiscard]] bool Branches(const Hold& hold, NodeIndex partial) const;
  // False when there is no room for a node: the hold's path ends before it.
  [[nodiscard]] bool Join(Hold& hold, size_t i, Key mine, uint64_t time_us);
  [[nodiscard]] bool Leave(Hold& hold, size_t i, Key mine, const kv::KvSequence& kv,
                           uint64_t time_us);
  void Settle(Node& node, kv::KvSequence& kv, size_t i, uint32_t n_mine);

  // Of a node whose tokens fill a block, or of a root.
  [[nodiscard]] const kv::BlockKey& NameOf(NodeIndex index);
  [[nodiscard]] bool IsWorthSaving(const Node& node) const;
  void WantSaved(NodeIndex index);
  void WantStateSaved(NodeIndex index, uint32_t first, uint32_t n);
  // What `unsaved` is of, in memory; null: that has gone.
  [[nodiscard]] const std::byte* DataOf(const Unsaved& unsaved);
  [[nodiscard]] kv::BlockKey NameOf(const Unsaved& unsaved);
  void LearnSaved(NodeIndex index);
  // Without those behind the last one that has a state in the store, whose names come last.
  void UpToState(std::vector<kv::BlockKey>& names) const;
  void CollectSaved();

  void DropContent(Node& node);
  void DropState(Node& node);
  // Of those above others, the one that was used longest ago, if that was before `time_us`.
  bool EvictStateUsedBefore(uint64_t time_us);
  void ForgetPromisedState(Hold& hold, NodeIndex node);
  [[nodiscard]] double PriceOf(const Node& node) const;
  void PriceAnew(uint64_t time_us);
  void Refresh(NodeIndex index);  // whether it can be evicted, and for what
  void Prune(NodeIndex index);    // if it is of no use, and what is above it
  void Remove(NodeIndex index);
  [[nodiscard]] uint64_t BytesOf(const Node& node) const;
  [[nodiscard]] uint32_t CommonTokens(Key a, Key b);

  kv::BlockPool& pool_;
  memory::Ledger& ledger_;
  PrefixTreeOptions options_;
  DecisionWriter writer_;
  std::vector<memory::Reservation> slabs_;
  uint64_t n_charged_ = 0;  // nodes
  std::deque<Node> nodes_;
  std::vector<NodeIndex> free_;
  std::map<std::string, NodeIndex> roots_;
  std::set<Candidate> candidates_;
  std::vector<NodeIndex> with_state_;
  uint64_t priced_us_ = 0;  // prices are of this time
  uint64_t now_us_ = 0;     // the last that was told
  uint64_t last_serial_ = 0;
  std::deque<Unsaved> to_save_;
  uint32_t n_saving_ = 0;    // held until the store has them
  bool is_refused_ = false;  // the store took none when it had none under way
  PrefixTreeStats stats_;
};

}  // namespace plimsoll::engine::prefix
