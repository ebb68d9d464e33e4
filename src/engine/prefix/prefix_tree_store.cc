// What of a prefix tree is in a slower memory too.
#include "base/invariant.h"
#include "engine/prefix/prefix_tree.h"

namespace plimsoll::engine::prefix {

using kv::kBlockTokens;

// A name says all that is before it, so it is made of the one above.
const kv::BlockKey& PrefixTree::NameOf(NodeIndex index) {
  std::vector<NodeIndex> unnamed;
  NodeIndex at = index;
  while (!nodes_[at].name && !nodes_[at].is_root()) {
    unnamed.push_back(at);
    at = nodes_[at].parent;
  }
  if (!nodes_[at].name) {
    nodes_[at].name = kv::RootKey(*nodes_[at].owner);
  }
  for (; !unnamed.empty(); unnamed.pop_back()) {
    Node& node = nodes_[unnamed.back()];
    Invariant(node.n_tokens == kBlockTokens, "only whole blocks are named");
    node.name = kv::NextKey(*nodes_[node.parent].name, node.key());
  }
  return *nodes_[index].name;
}

bool PrefixTree::IsWorthSaving(const Node& node) const {
  const WaysBack& ways = options_.ways_back;
  const uint32_t first = node.depth * kBlockTokens;
  return ways.CheapestSeconds(first, kBlockTokens, pool_.layout().block_bytes(), true) <
         ways.RecomputeSeconds(first, kBlockTokens);
}

void PrefixTree::WantSaved(NodeIndex index) {
  Node& node = nodes_[index];
  if (options_.store != nullptr && node.is_ready() && !node.is_saved && !node.waits_to_be_saved &&
      IsWorthSaving(node)) {
    node.waits_to_be_saved = true;
    to_save_.push_back({.node = index, .serial = node.serial});
  }
}

void PrefixTree::LearnSaved(NodeIndex index) {
  nodes_[index].is_saved = true;
  writer_.Save(nodes_[index].serial);
  Refresh(index);
}

void PrefixTree::CollectSaved() {
  for (const auto& [ticket, is_there] : options_.store->TakeSaved()) {
    const auto index = static_cast<NodeIndex>(ticket);
    nodes_[index].waits_to_be_saved = false;
    if (is_there) {
      LearnSaved(index);
    } else {
      WantSaved(index);  // later
    }
    --n_saving_;
    LetGo(index);
  }
}

void PrefixTree::SaveMore() {
  if (options_.store == nullptr) {
    return;
  }
  CollectSaved();
  is_refused_ = false;
  for (; !to_save_.empty(); to_save_.pop_front()) {
    const auto [index, serial] = to_save_.front();
    Node& node = nodes_[index];
    if (node.serial != serial) {
      continue;  // it has gone
    }
    if (!node.is_ready()) {
      node.waits_to_be_saved = false;
      continue;
    }
    const kv::BlockKey& name = NameOf(index);
    if (options_.store->Has(name)) {
      node.waits_to_be_saved = false;
      LearnSaved(index);
      continue;
    }
    if (!options_.store->Save(name, pool_.Data(*node.block), index)) {
      is_refused_ = n_saving_ == 0;
      return;
    }
    ++n_saving_;
    MoveHold(Hold::kNone, index);  // its block stays until it is there
  }
}

bool PrefixTree::FinishSaves(std::chrono::milliseconds bound) {
  if (n_saving_ == 0 || !options_.store->WaitForSaves(bound)) {
    return false;
  }
  CollectSaved();
  return true;
}

std::vector<kv::BlockKey> PrefixTree::InStore(const Hold& hold, std::span<const TokenId> tokens,
                                              size_t n_blocks, size_t n_max) {
  std::vector<kv::BlockKey> names;
  if (options_.store == nullptr || !hold) {
    return names;
  }
  kv::BlockKey name = NameOf(n_blocks == 0 ? hold.root_ : hold.path_[n_blocks - 1]);
  for (size_t i = n_blocks; names.size() < n_max && (i + 1) * kBlockTokens <= tokens.size(); ++i) {
    name = kv::NextKey(name, tokens.subspan(i * kBlockTokens, kBlockTokens));
    if (!options_.store->Has(name)) {
      break;
    }
    names.push_back(name);
  }
  return names;
}

}  // namespace plimsoll::engine::prefix
