// How a prefix tree grows: with the prompts that begin to run, and with what is computed.
#include <algorithm>
#include <utility>

#include "base/invariant.h"
#include "engine/prefix/prefix_tree.h"

namespace plimsoll::engine::prefix {
namespace {

bool BeginsWith(std::span<const TokenId> tokens, std::span<const TokenId> beginning) {
  return tokens.size() >= beginning.size() &&
         std::ranges::equal(tokens.first(beginning.size()), beginning);
}

// Block `i` of these tokens, as far as they go.
std::span<const TokenId> Digit(std::span<const TokenId> tokens, size_t i) {
  const auto rest = tokens.subspan(i * kv::kBlockTokens);
  return rest.first(std::min<size_t>(rest.size(), kv::kBlockTokens));
}

}  // namespace

void PrefixTree::ExtendKey(Node& node, Key key) {
  std::ranges::copy(key.subspan(node.n_tokens), node.tokens.begin() + node.n_tokens);
  node.n_tokens = static_cast<uint32_t>(key.size());
  ++nodes_[node.parent].growth;
}

// No child's key is the beginning of another's: a new key takes over the child that it begins with,
// or joins the one that begins with it. Between a beginning and what it is of no other can stand,
// so both are neighbours; and a key that grows keeps its place in the order.
NodeIndex PrefixTree::Place(NodeIndex parent, Key key, uint64_t time_us, bool counts) {
  const size_t at = LowerBound(nodes_[parent], key);
  const std::vector<NodeIndex>& children = nodes_[parent].children;
  NodeIndex found = Hold::kNone;
  if (at < children.size() && BeginsWith(nodes_[children[at]].key(), key)) {
    found = children[at];
  } else if (at > 0 && BeginsWith(key, nodes_[children[at - 1]].key())) {
    found = children[at - 1];
    ExtendKey(nodes_[found], key);
  }
  if (found != Hold::kNone) {
    if (counts) {
      CountUse(nodes_[found], time_us, false);
      writer_.UseNode(nodes_[found].serial, time_us);
      Refresh(found);
    }
    return found;
  }
  if (n_room() == 0) {
    return Hold::kNone;
  }
  const NodeIndex made = NewNode(parent, time_us);
  std::ranges::copy(key, nodes_[made].tokens.begin());
  nodes_[made].n_tokens = static_cast<uint32_t>(key.size());
  Node& above = nodes_[parent];
  above.children.insert(above.children.begin() + static_cast<ptrdiff_t>(at), made);
  ++above.growth;
  Refresh(parent);
  return made;
}

bool PrefixTree::Branches(const Hold& hold, NodeIndex partial) const {
  if (partial != Hold::kNone) {
    return hold.n_partial_ < nodes_[partial].n_tokens;
  }
  return !nodes_[hold.path_.back()].children.empty();
}

void PrefixTree::Start(Hold& hold, std::span<const TokenId> tokens, const kv::KvSequence& kv,
                       uint32_t n_found, uint64_t time_us, bool counts) {
  now_us_ = time_us;
  if (!hold) {
    return;
  }
  // While it holds what it has found: what it places is held only then.
  const size_t n_blocks = kv::BlockPool::BlocksFor(tokens.size());
  MakeRoom(n_blocks - hold.path_.size());
  const NodeIndex before = Deepest(hold);
  const NodeIndex partial = std::exchange(hold.partial_, Hold::kNone);
  if (counts && !hold.path_.empty()) {
    const bool branches = Branches(hold, partial);
    writer_.UsePath(nodes_[hold.path_.back()].serial, time_us, branches);
    for (const NodeIndex index : hold.path_) {
      CountUse(nodes_[index], time_us, branches);
    }
  }
  while (hold.path_.size() < n_blocks) {
    const NodeIndex parent = hold.path_.empty() ? hold.root_ : hold.path_.back();
    const NodeIndex next = Place(parent, Digit(tokens, hold.path_.size()), time_us, counts);
    if (next == Hold::kNone) {
      break;
    }
    hold.path_.push_back(next);
  }
  hold.n_computed_ = n_found;
  hold.n_promised_tokens_ = static_cast<uint32_t>(tokens.size());
  hold.first_promised_ = n_found / kv::kBlockTokens;
  hold.end_promised_ = hold.path_.size();
  for (size_t i = hold.first_promised_; i < hold.end_promised_; ++i) {
    ++nodes_[hold.path_[i]].n_promisers;
  }
  // It goes on in the block of a node whose tokens become other ones, or that it does not hold any
  // more: the block goes with it.
  if (const size_t i = n_found / kv::kBlockTokens;
      partial != Hold::kNone && (i >= hold.path_.size() || partial != hold.path_[i]) &&
      nodes_[partial].block == kv.blocks()[i]) {
    DropContent(nodes_[partial]);
  }
  MoveHold(before, Deepest(hold));
}

void PrefixTree::Advance(Hold& hold, std::span<const TokenId> computed, kv::KvSequence& kv,
                         uint64_t time_us) {
  now_us_ = time_us;
  if (!hold) {
    return;
  }
  const auto n = static_cast<uint32_t>(computed.size());
  for (size_t i = hold.n_computed_ / kv::kBlockTokens; i * kv::kBlockTokens < n; ++i) {
    const Key mine = Digit(computed, i);
    // What comes behind a block that is not kept is not either.
    if (i > hold.path_.size() || (i == hold.path_.size() && !Join(hold, i, mine, time_us))) {
      break;
    }
    Node& node = nodes_[hold.path_[i]];
    if (!BeginsWith(node.key(), mine)) {
      if (BeginsWith(mine, node.key())) {
        ExtendKey(node, mine);
      } else if (!Leave(hold, i, mine, kv, time_us)) {
        break;
      }
    }
    Settle(nodes_[hold.path_[i]], kv, i, static_cast<uint32_t>(mine.size()));
    WantSaved(hold.path_[i]);
    if (i == hold.first_promised_ && i < hold.end_promised_ &&
        n >= std::min<size_t>((i + 1) * kv::kBlockTokens, hold.n_promised_tokens_)) {
      --nodes_[hold.path_[i]].n_promisers;
      ++hold.first_promised_;
    }
  }
  hold.n_computed_ = n;
}

// The answer reaches into another block.
bool PrefixTree::Join(Hold& hold, size_t i, Key mine, uint64_t time_us) {
  MakeRoom(1);
  const NodeIndex before = Deepest(hold);
  const NodeIndex joined = Place(i == 0 ? hold.root_ : hold.path_[i - 1], mine, time_us, true);
  if (joined == Hold::kNone) {
    return false;
  }
  hold.path_.push_back(joined);
  MoveHold(before, joined);
  return true;
}

// Of two with one prompt, or of a prompt that goes on and an answer, the tokens have become
// different: this one's block goes with it.
bool PrefixTree::Leave(Hold& hold, size_t i, Key mine, const kv::KvSequence& kv, uint64_t time_us) {
  const NodeIndex before = hold.path_[i];
  Invariant(i + 1 == hold.path_.size(), "only the last block's tokens become different");
  if (nodes_[before].block == kv.blocks()[i]) {
    DropContent(nodes_[before]);
  }
  if (i >= hold.first_promised_ && i < hold.end_promised_) {
    --nodes_[before].n_promisers;
    hold.first_promised_ = hold.end_promised_;
  }
  MakeRoom(1);
  const NodeIndex other = Place(nodes_[before].parent, mine, time_us, true);
  hold.path_.pop_back();
  if (other != Hold::kNone) {
    hold.path_.push_back(other);
  }
  MoveHold(before, Deepest(hold));
  return other != Hold::kNone;
}

// The node has what was computed most of; a whole block is there once.
void PrefixTree::Settle(Node& node, kv::KvSequence& kv, size_t i, uint32_t n_mine) {
  if (n_mine < kv::kBlockTokens && !shares_parts()) {
    return;
  }
  const BlockId block = kv.blocks()[i];
  if (n_mine > node.n_ready) {
    if (node.block && node.block != block) {
      pool_.Unkeep(*node.block);
    }
    node.block = block;
    node.n_ready = n_mine;
    pool_.Keep(block, n_mine);
  } else if (node.is_ready() && n_mine == kv::kBlockTokens && node.block != block) {
    kv.ReplaceBlock(i, *node.block);
  }
}

}  // namespace plimsoll::engine::prefix
