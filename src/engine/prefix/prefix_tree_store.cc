// What of a prefix tree is in a slower memory too.
#include "base/invariant.h"
#include "engine/prefix/prefix_tree.h"

namespace plimsoll::engine::prefix {

using kv::kBlockTokens;

namespace {

constexpr uint32_t kPartShift = 32;

}  // namespace

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

void PrefixTree::WantStateSaved(NodeIndex index, uint32_t first, uint32_t n) {
  for (uint32_t i = first; options_.store != nullptr && i < first + n; ++i) {
    to_save_.push_back({.node = index, .serial = nodes_[index].serial, .part = i + 1});
  }
}

const std::byte* PrefixTree::DataOf(const Unsaved& unsaved) {
  const Node& node = nodes_[unsaved.node];
  if (unsaved.part == 0) {
    return node.is_ready() ? pool_.Data(*node.block) : nullptr;
  }
  return node.state.empty() ? nullptr : pool_.Data(node.state[unsaved.part - 1]);
}

kv::BlockKey PrefixTree::NameOf(const Unsaved& unsaved) {
  const kv::BlockKey& name = NameOf(unsaved.node);
  return unsaved.part == 0 ? name : kv::StateKey(name, unsaved.part - 1);
}

void PrefixTree::LearnSaved(NodeIndex index) {
  nodes_[index].is_saved = true;
  writer_.Save(nodes_[index].serial);
  Refresh(index);
}

// A ticket names the part of a node.
void PrefixTree::CollectSaved() {
  for (const auto& [ticket, is_there] : options_.store->TakeSaved()) {
    const auto index = static_cast<NodeIndex>(ticket);
    const auto part = static_cast<uint32_t>(ticket >> kPartShift);
    if (part > 0) {
      --nodes_[index].n_state_saving;
      if (!is_there) {
        WantStateSaved(index, part - 1, 1);  // later
      }
    } else {
      nodes_[index].waits_to_be_saved = false;
      if (is_there) {
        LearnSaved(index);
      } else {
        WantSaved(index);
      }
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
    const Unsaved unsaved = to_save_.front();
    Node& node = nodes_[unsaved.node];
    if (node.serial != unsaved.serial) {
      continue;  // it has gone
    }
    const std::byte* data = DataOf(unsaved);
    const bool is_block = unsaved.part == 0;
    if (data == nullptr) {
      node.waits_to_be_saved = node.waits_to_be_saved && !is_block;
      continue;
    }
    const kv::BlockKey name = NameOf(unsaved);
    if (options_.store->Has(name)) {
      if (is_block) {
        node.waits_to_be_saved = false;
        LearnSaved(unsaved.node);
      }
      continue;
    }
    const uint64_t ticket = uint64_t{unsaved.part} << kPartShift | unsaved.node;
    if (!options_.store->Save(name, data, ticket)) {
      is_refused_ = n_saving_ == 0;
      return;
    }
    ++n_saving_;
    node.n_state_saving += is_block ? 0 : 1;
    MoveHold(Hold::kNone, unsaved.node);  // it stays until it is there
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
  if (is_recurrent()) {
    UpToState(names);
  }
  return names;
}

void PrefixTree::UpToState(std::vector<kv::BlockKey>& names) const {
  const uint32_t n_state = pool_.layout().n_state_blocks();
  for (; !names.empty(); names.pop_back()) {
    std::vector<kv::BlockKey> state;
    while (state.size() < n_state &&
           options_.store->Has(kv::StateKey(names.back(), static_cast<uint32_t>(state.size())))) {
      state.push_back(kv::StateKey(names.back(), static_cast<uint32_t>(state.size())));
    }
    if (state.size() == n_state) {
      names.insert(names.end(), state.begin(), state.end());
      return;
    }
  }
}

}  // namespace plimsoll::engine::prefix
