#include "engine/prefix/prefix_tree.h"

#include <algorithm>
#include <utility>

#include "base/invariant.h"

namespace plimsoll::engine::prefix {

using kv::kBlockTokens;

namespace {

// Of what fades by half in a minute, prices are off by a few hundredths.
constexpr uint64_t kRepriceMicroseconds = 2'000'000;

}  // namespace

Hold& Hold::operator=(Hold&& other) noexcept {
  if (this != &other) {
    Release();
    tree_ = std::exchange(other.tree_, nullptr);
    root_ = other.root_;
    path_ = std::exchange(other.path_, {});
    partial_ = std::exchange(other.partial_, kNone);
    n_partial_ = other.n_partial_;
    n_ready_nodes_ = other.n_ready_nodes_;
    seen_growth_ = other.seen_growth_;
    n_computed_ = other.n_computed_;
    first_promised_ = other.first_promised_;
    end_promised_ = other.end_promised_;
    n_promised_tokens_ = other.n_promised_tokens_;
    promised_states_ = std::exchange(other.promised_states_, {});
  }
  return *this;
}

void Hold::Release() {
  if (tree_ != nullptr) {
    std::exchange(tree_, nullptr)->Release(*this);
    path_.clear();
    partial_ = kNone;
  }
}

PrefixTree::PrefixTree(kv::BlockPool& pool, memory::Ledger& ledger,
                       const PrefixTreeOptions& options)
    : pool_(pool), ledger_(ledger), options_(options), writer_(options.log) {
  writer_.Begin(options_.clock, options_.ways_back);
}

PrefixTree::~PrefixTree() {
  for (SaveMore(); n_saving_ > 0; SaveMore()) {
    FinishSaves(std::chrono::seconds(1));
  }
  for (Node& node : nodes_) {
    Invariant(node.n_holds == 0, "a prefix tree outlives its holds");
    if (node.block) {
      pool_.Unkeep(*node.block);
    }
    DropState(node);
  }
}

bool PrefixTree::MakeRoom(uint64_t n) {
  while (n_room() < n) {
    auto slab = ledger_.Reserve(memory::Account::kIndex, kSlabNodes * kNodeBytes);
    if (slab) {
      slabs_.push_back(std::move(*slab));
      n_charged_ += kSlabNodes;
    } else if (!Evict(now_us_)) {
      return false;
    }
  }
  return true;
}

NodeIndex PrefixTree::RootOf(const std::string& owner) {
  if (const auto known = roots_.find(owner); known != roots_.end()) {
    return known->second;
  }
  if (!MakeRoom(1)) {
    return Hold::kNone;
  }
  const NodeIndex root = NewNode(Hold::kNone, 0);
  nodes_[root].owner = &roots_.emplace(owner, root).first->first;
  return root;
}

NodeIndex PrefixTree::NewNode(NodeIndex parent, uint64_t time_us) {
  NodeIndex index = static_cast<NodeIndex>(nodes_.size());
  if (free_.empty()) {
    nodes_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
    nodes_[index] = Node();
  }
  Node& node = nodes_[index];
  node.serial = ++last_serial_;
  node.parent = parent;
  if (parent != Hold::kNone) {
    node.depth = nodes_[parent].is_root() ? 0 : nodes_[parent].depth + 1;
    CountUse(node, time_us, false);
  }
  ++stats_.n_nodes;
  writer_.Create(node.serial, parent == Hold::kNone ? 0 : nodes_[parent].serial, time_us);
  return index;
}

uint32_t PrefixTree::CommonTokens(Key a, Key b) {
  const auto n = static_cast<uint32_t>(std::ranges::mismatch(a, b).in1 - a.begin());
  stats_.tokens_compared += n + 1;
  return n;
}

size_t PrefixTree::LowerBound(const Node& parent, Key key) {
  const auto comes_before = [&](NodeIndex child, Key wanted) {
    const Key own = nodes_[child].key();
    const uint32_t n = CommonTokens(own, wanted);
    return n < wanted.size() && (n == own.size() || own[n] < wanted[n]);
  };
  const auto at =
      std::lower_bound(parent.children.begin(), parent.children.end(), key, comes_before);
  return static_cast<size_t>(at - parent.children.begin());
}

// In a sorted list the longest common beginning is with a neighbour.
PrefixTree::Neighbour PrefixTree::Nearest(const Node& parent, Key key) {
  const size_t at = LowerBound(parent, key);
  Neighbour best;
  for (const size_t i : {at, at - 1}) {
    if (i < parent.children.size()) {
      const uint32_t n = CommonTokens(nodes_[parent.children[i]].key(), key);
      if (n > best.n_common) {
        best = {parent.children[i], n};
      }
    }
  }
  return best;
}

Hold PrefixTree::Find(const std::string& owner, std::span<const TokenId> tokens) {
  Hold hold;
  hold.root_ = RootOf(owner);
  if (hold.root_ == Hold::kNone) {
    return hold;
  }
  hold.tree_ = this;
  MoveHold(Hold::kNone, hold.root_);
  Descend(hold, tokens);
  return hold;
}

void PrefixTree::FindMore(Hold& hold, std::span<const TokenId> tokens) {
  const NodeIndex last = hold.path_.empty() ? hold.root_ : hold.path_.back();
  if (nodes_[last].growth != hold.seen_growth_) {
    Descend(hold, tokens);
  }
}

void PrefixTree::Descend(Hold& hold, std::span<const TokenId> tokens) {
  const NodeIndex before = Deepest(hold);
  hold.partial_ = Hold::kNone;
  hold.n_partial_ = 0;
  NodeIndex at = hold.path_.empty() ? hold.root_ : hold.path_.back();
  while (hold.path_.size() * kBlockTokens < tokens.size()) {
    const auto rest = tokens.subspan(hold.path_.size() * kBlockTokens);
    const auto [child, n] =
        Nearest(nodes_[at], rest.first(std::min<size_t>(rest.size(), kBlockTokens)));
    if (n < kBlockTokens) {
      hold.partial_ = child;
      hold.n_partial_ = n;
      break;
    }
    hold.path_.push_back(child);
    at = child;
  }
  hold.seen_growth_ = nodes_[at].growth;
  MoveHold(before, Deepest(hold));
}

uint32_t PrefixTree::ReadyTokens(Hold& hold) const {
  while (hold.n_ready_nodes_ < hold.path_.size() &&
         nodes_[hold.path_[hold.n_ready_nodes_]].is_ready()) {
    ++hold.n_ready_nodes_;
  }
  uint32_t n = static_cast<uint32_t>(hold.n_ready_nodes_) * kBlockTokens;
  if (!shares_parts()) {
    return n;
  }
  if (hold.n_ready_nodes_ < hold.path_.size()) {
    n += nodes_[hold.path_[hold.n_ready_nodes_]].n_ready;
  } else if (hold.partial_ != Hold::kNone) {
    n += std::min(hold.n_partial_, nodes_[hold.partial_].n_ready);
  }
  return n;
}

bool PrefixTree::IsPromised(Hold& hold, uint32_t n) const {
  if (is_recurrent()) {
    const size_t first = (size_t{LastState(hold)} + n + kBlockTokens - 1) / kBlockTokens;
    return std::any_of(
        hold.path_.begin() + static_cast<ptrdiff_t>(std::min(first - 1, hold.path_.size())),
        hold.path_.end(), [&](NodeIndex index) { return nodes_[index].n_state_promisers > 0; });
  }
  const uint32_t wanted = ReadyTokens(hold) + n;
  for (size_t i = hold.n_ready_nodes_; i < hold.path_.size(); ++i) {
    if (nodes_[hold.path_[i]].n_promisers == 0 && !nodes_[hold.path_[i]].is_ready()) {
      return false;
    }
    if ((i + 1) * kBlockTokens >= wanted) {
      return true;
    }
  }
  return shares_parts() && hold.partial_ != Hold::kNone && nodes_[hold.partial_].n_promisers > 0 &&
         hold.path_.size() * kBlockTokens + hold.n_partial_ >= wanted;
}

uint32_t PrefixTree::Shareable(Hold& hold, uint32_t n) const {
  if (is_recurrent()) {
    return LastState(hold, n);
  }
  n = std::min(n, ReadyTokens(hold));
  return shares_parts() ? n : n / kBlockTokens * kBlockTokens;
}

std::unique_ptr<kv::KvSequence> PrefixTree::Share(const Hold& hold, uint32_t n,
                                                  uint32_t max_tokens) {
  std::vector<BlockId> blocks;
  for (size_t i = 0; i < kv::BlockPool::BlocksFor(n); ++i) {
    const Node& node = nodes_[i < hold.path_.size() ? hold.path_[i] : hold.partial_];
    Invariant(node.block.has_value(), "what is shared is ready");
    blocks.push_back(*node.block);
  }
  std::shared_ptr<kv::StateBlocks> state;
  if (is_recurrent() && n > 0) {
    Node& last = nodes_[hold.path_[n / kBlockTokens - 1]];
    last.state_used_us = now_us_;
    state = kv::StateBlocks::Share(pool_, last.state);
  }
  return kv::KvSequence::OfBlocks(pool_, max_tokens, blocks, n, std::move(state));
}

NodeIndex PrefixTree::Deepest(const Hold& hold) {
  if (hold.partial_ != Hold::kNone) {
    return hold.partial_;
  }
  return hold.path_.empty() ? hold.root_ : hold.path_.back();
}

void PrefixTree::MoveHold(NodeIndex from, NodeIndex to) {
  if (from == to) {
    return;
  }
  ++nodes_[to].n_holds;
  writer_.Hold(nodes_[to].serial);
  Refresh(to);
  if (from != Hold::kNone) {
    LetGo(from);
  }
}

void PrefixTree::LetGo(NodeIndex index) {
  --nodes_[index].n_holds;
  writer_.LetGo(nodes_[index].serial);
  Prune(index);
}

void PrefixTree::Release(Hold& hold) {
  for (size_t i = hold.first_promised_; i < hold.end_promised_; ++i) {
    --nodes_[hold.path_[i]].n_promisers;
  }
  for (const NodeIndex index : hold.promised_states_) {
    --nodes_[index].n_state_promisers;
  }
  hold.promised_states_.clear();
  LetGo(Deepest(hold));
}

void PrefixTree::CountUse(Node& node, uint64_t time_us, bool branches) const {
  node.demand.Add(time_us, branches, options_.clock);
  node.last_use_us = time_us;
}

uint64_t PrefixTree::BytesOf(const Node& node) const {
  return pool_.layout().block_bytes() * (1 + node.state.size());
}

double PrefixTree::PriceOf(const Node& node) const {
  if (options_.eviction == PrefixEviction::kLeastRecent) {
    return static_cast<double>(node.last_use_us);
  }
  const uint64_t bytes = BytesOf(node);
  const double seconds = options_.ways_back.CheapestSeconds(node.depth * kBlockTokens, node.n_ready,
                                                            bytes, node.is_saved);
  return prefix::PriceOf(node.demand.At(priced_us_, options_.clock), seconds, bytes);
}

// Uses fade faster than branches, so the order changes with time.
void PrefixTree::PriceAnew(uint64_t time_us) {
  priced_us_ = time_us;
  writer_.Price(time_us);
  std::vector<Candidate> anew;
  anew.reserve(candidates_.size());
  for (const Candidate& old : candidates_) {
    Node& node = nodes_[old.node];
    node.price = PriceOf(node);
    anew.push_back({node.price, node.serial, old.node});
  }
  candidates_ = std::set<Candidate>(anew.begin(), anew.end());
}

void PrefixTree::Refresh(NodeIndex index) {
  Node& node = nodes_[index];
  if (node.is_candidate) {
    candidates_.erase({node.price, node.serial, index});
  }
  node.is_candidate = node.block.has_value() && node.children.empty() && node.n_holds == 0;
  if (!node.is_candidate) {
    return;
  }
  const uint64_t bytes = BytesOf(node);
  if (node.n_logged != node.n_ready || node.bytes_logged != bytes) {
    node.n_logged = node.n_ready;
    node.bytes_logged = bytes;
    writer_.Fill(node.serial, node.n_ready, bytes);
  }
  node.price = PriceOf(node);
  candidates_.insert({node.price, node.serial, index});
}

bool PrefixTree::Evict(uint64_t time_us) {
  now_us_ = time_us;
  if (candidates_.empty()) {
    return EvictStateUsedBefore(UINT64_MAX);
  }
  if (time_us >= priced_us_ + kRepriceMicroseconds) {
    PriceAnew(time_us);
  }
  const NodeIndex index = candidates_.begin()->node;
  Node& node = nodes_[index];
  if (EvictStateUsedBefore(node.last_use_us)) {
    return true;
  }
  Invariant(pool_.n_references(*node.block) == 0, "what a sequence uses is held");
  if (node.is_saved) {
    options_.store->Touch(NameOf(index));
  }
  writer_.Evict(node.serial);
  ++stats_.n_evicted;
  stats_.bytes_evicted += BytesOf(node);
  const NodeIndex parent = node.parent;
  Remove(index);
  Prune(parent);
  return true;
}

void PrefixTree::DropContent(Node& node) {
  if (node.block) {
    pool_.Unkeep(*std::exchange(node.block, std::nullopt));
    node.n_ready = 0;
    node.is_saved = false;
    DropState(node);
    if (node.n_logged > 0) {
      node.n_logged = 0;
      writer_.Fill(node.serial, 0, 0);
    }
  }
}

// From a node that something was taken from upwards: nodes without content that nobody holds or
// promised go, the first other one may have become a leaf.
void PrefixTree::Prune(NodeIndex index) {
  while (index != Hold::kNone) {
    const Node& node = nodes_[index];
    if (node.block || !node.children.empty() || node.n_holds > 0 || node.n_promisers > 0) {
      Refresh(index);
      return;
    }
    const NodeIndex parent = node.parent;
    writer_.Drop(node.serial);
    Remove(index);
    index = parent;
  }
}

void PrefixTree::Remove(NodeIndex index) {
  Node& node = nodes_[index];
  if (node.is_candidate) {
    candidates_.erase({node.price, node.serial, index});
  }
  node.n_logged = 0;  // that it goes says so
  DropContent(node);
  if (node.parent != Hold::kNone) {
    std::erase(nodes_[node.parent].children, index);
  } else {
    roots_.erase(*node.owner);
  }
  node = Node();
  free_.push_back(index);
  --stats_.n_nodes;
}

void PrefixTree::DropState(Node& node) {
  std::ranges::for_each(node.state, [this](BlockId block) { pool_.Unkeep(block); });
  if (!node.state.empty()) {
    node.state.clear();
    std::erase_if(with_state_, [&](NodeIndex index) { return &nodes_[index] == &node; });
  }
}

bool PrefixTree::EvictStateUsedBefore(uint64_t time_us) {
  const auto is_above_others = [&](NodeIndex index) { return !nodes_[index].children.empty(); };
  NodeIndex oldest = Hold::kNone;
  for (const NodeIndex index : with_state_) {
    const uint64_t used = nodes_[index].state_used_us;
    if (is_above_others(index) && nodes_[index].n_state_saving == 0 && used < time_us) {
      oldest = index;
      time_us = used;
    }
  }
  if (oldest == Hold::kNone) {
    return false;
  }
  stats_.bytes_evicted += nodes_[oldest].state.size() * pool_.layout().block_bytes();
  DropState(nodes_[oldest]);
  return true;
}

void PrefixTree::PromiseState(Hold& hold, uint32_t n_tokens) {
  const size_t i = n_tokens / kBlockTokens;
  if (hold && i > 0 && i <= hold.path_.size()) {
    hold.promised_states_.push_back(hold.path_[i - 1]);
    ++nodes_[hold.path_[i - 1]].n_state_promisers;
  }
}

void PrefixTree::ForgetPromisedState(Hold& hold, NodeIndex index) {
  const auto at = std::ranges::find(hold.promised_states_, index);
  if (at != hold.promised_states_.end()) {
    hold.promised_states_.erase(at);
    --nodes_[index].n_state_promisers;
  }
}

void PrefixTree::AttachState(Hold& hold, uint32_t n_tokens, std::span<const BlockId> state) {
  Invariant(n_tokens > 0 && n_tokens % kBlockTokens == 0, "a state belongs to the end of a block");
  if (!hold || n_tokens / kBlockTokens > hold.path_.size()) {
    return;
  }
  const NodeIndex index = hold.path_[n_tokens / kBlockTokens - 1];
  ForgetPromisedState(hold, index);
  Node& node = nodes_[index];
  if (!node.state.empty()) {
    return;
  }
  Invariant(node.is_ready(), "a state belongs to what is computed");
  node.state.assign(state.begin(), state.end());
  node.state_used_us = now_us_;
  std::ranges::for_each(state, [this](BlockId block) { pool_.Keep(block, kBlockTokens); });
  with_state_.push_back(index);
  Refresh(index);
  WantStateSaved(index, 0, static_cast<uint32_t>(state.size()));
}

uint32_t PrefixTree::LastState(Hold& hold, uint32_t n) const {
  static_cast<void>(ReadyTokens(hold));
  for (size_t i = std::min<size_t>(hold.n_ready_nodes_, n / kBlockTokens); i > 0; --i) {
    if (!nodes_[hold.path_[i - 1]].state.empty()) {
      return static_cast<uint32_t>(i) * kBlockTokens;
    }
  }
  return 0;
}

}  // namespace plimsoll::engine::prefix
