#include "text/jinja/value.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <unordered_map>

namespace plimsoll::text::jinja {

namespace {

// Up to here a walk over the members beats a search.
constexpr size_t kIndexedSize = 8;

// Removes members whose key comes again, after moving the last value to the first place.
void MergeEqualKeys(std::vector<Member>& members) {
  std::unordered_map<std::string_view, size_t> first;
  std::vector<size_t> kept;  // the indices of first places, ascending
  for (size_t i = 0; i < members.size(); ++i) {
    const auto [at, added] = first.try_emplace(members[i].first, i);
    if (added) {
      kept.push_back(i);
    } else {
      members[at->second].second = std::move(members[i].second);
    }
  }
  if (kept.size() == members.size()) return;
  std::vector<Member> merged;
  merged.reserve(kept.size());
  for (const size_t i : kept) merged.push_back(std::move(members[i]));
  members = std::move(merged);
}

uint64_t BytesOf(const std::vector<Member>& members) {
  uint64_t bytes = members.size() * sizeof(Member);
  for (const Member& member : members) bytes += member.first.size();
  return bytes;
}

}  // namespace

Value::Value(std::string text) : data_(std::make_shared<const StringNode>(std::move(text))) {}

Value Value::List(std::vector<Value> items) {
  return std::make_shared<const ListNode>(std::move(items));
}

Value Value::Object(std::vector<Member> members) {
  return std::make_shared<const Dict>(std::move(members));
}

Kind Value::kind() const {
  constexpr std::array kKinds = {Kind::kUndefined, Kind::kNone,      Kind::kBool,    Kind::kInt,
                                 Kind::kInt,       Kind::kDouble,    Kind::kString,  Kind::kList,
                                 Kind::kDict,      Kind::kNamespace, Kind::kCallable};
  static_assert(kKinds.size() == std::variant_size_v<Data>);
  return kKinds[data_.index()];
}

const std::string& Value::string() const { return std::get<StringPtr>(data_)->text; }

const std::vector<Value>& Value::list() const { return std::get<ListPtr>(data_)->items; }

double Value::number() const {
  if (const int64_t* integer = exact_integer()) return static_cast<double>(*integer);
  if (const auto* wide = std::get_if<WideInteger>(&data_)) return wide->value;
  return std::get<double>(data_);
}

Value Value::Get(std::string_view key) const {
  if (!is(Kind::kDict)) return {};
  const Value* found = dict().Find(key);
  return found == nullptr ? Value() : *found;
}

bool Value::is_tuple() const { return is(Kind::kList) && std::get<ListPtr>(data_)->tuple; }

uint32_t Value::depth() const {
  if (const auto* list = std::get_if<ListPtr>(&data_)) return (*list)->depth;
  if (const auto* dict = std::get_if<DictPtr>(&data_)) return (*dict)->depth();
  return 0;
}

const void* Value::identity() const {
  if (const auto* node = std::get_if<StringPtr>(&data_)) return node->get();
  if (const auto* node = std::get_if<ListPtr>(&data_)) return node->get();
  if (const auto* node = std::get_if<DictPtr>(&data_)) return node->get();
  if (const auto* node = std::get_if<NamespacePtr>(&data_)) return node->get();
  if (const auto* node = std::get_if<CallablePtr>(&data_)) return node->get();
  return nullptr;
}

ListNode::ListNode(std::vector<Value> items_in, bool tuple_in, MemoryMeter* meter)
    : items(std::move(items_in)),
      tuple(tuple_in),
      charge(meter, sizeof(ListNode) + items.capacity() * sizeof(Value)) {
  for (const Value& item : items) depth = std::max(depth, item.depth() + 1);
}

Dict::Dict(std::vector<Member> members, MemoryMeter* meter)
    : members_(std::move(members)), charge_(meter, sizeof(Dict) + BytesOf(members_)) {
  MergeEqualKeys(members_);
  for (const Member& member : members_) depth_ = std::max(depth_, member.second.depth() + 1);
  if (members_.size() <= kIndexedSize) return;
  by_key_.resize(members_.size());
  std::iota(by_key_.begin(), by_key_.end(), 0U);
  std::ranges::sort(by_key_, {}, [&](uint32_t i) -> std::string_view { return members_[i].first; });
}

const Value* Dict::Find(std::string_view key) const {
  if (by_key_.empty()) {
    for (const Member& member : members_) {
      if (member.first == key) return &member.second;
    }
    return nullptr;
  }
  const auto key_of = [&](uint32_t i) -> std::string_view { return members_[i].first; };
  const auto at = std::ranges::lower_bound(by_key_, key, {}, key_of);
  if (at == by_key_.end() || key_of(*at) != key) return nullptr;
  return &members_[*at].second;
}

}  // namespace plimsoll::text::jinja
