#include "server/api/output/call_filter.h"

#include <algorithm>
#include <utility>

#include "base/invariant.h"

namespace plimsoll::server::api::output {
namespace {

// Whether a value of a type of JSON Schema, given by its first letter, may begin so.
bool MayBegin(char type, char byte) {
  switch (type) {
    case 's':  // string
      return byte == '"';
    case 'i':  // integer
    case 'n':  // number, null
      return byte == '-' || (byte >= '0' && byte <= '9') || (type == 'n' && byte == 'n');
    case 'b':  // boolean
      return byte == 't' || byte == 'f';
    case 'a':  // array
      return byte == '[';
    case 'o':  // object
      return byte == '{';
    default:
      return true;
  }
}

}  // namespace

CallFilter::CallFilter(const text::Tokenizer& tokenizer, CallGrammar grammar, bool shows_control)
    : tokenizer_(tokenizer), grammar_(std::move(grammar)), shows_control_(shows_control) {
  if (grammar_.name_is_said) {
    EnterArguments(place_, grammar_.tools.front());
  }
}

// The bridge ends with the object's bracket.
void CallFilter::EnterArguments(Place& place, const ToolShape& tool) const {
  place.part = Part::kArguments;
  place.tool = &tool;
  place.is_used.assign(tool.properties.size(), false);
  const bool opened = place.arguments.Take('{');
  Invariant(opened, "arguments begin with a bracket");
}

bool CallFilter::Allows(TokenId token) {
  if (tokenizer_.IsEndOfGeneration(token)) {
    return place_.part == Part::kOver;
  }
  const std::string_view piece = tokenizer_.Piece(token, shows_control_);
  Place place = place_;
  return !piece.empty() && Take(place, piece);
}

Result<std::span<const uint64_t>> CallFilter::Mask() {
  mask_.assign(tokenizer_.size() / 64 + 1, 0);
  bool any = false;
  for (size_t i = 0; i < tokenizer_.size(); ++i) {
    if (Allows(static_cast<TokenId>(i))) {
      mask_[i / 64] |= uint64_t{1} << (i % 64);
      any = true;
    }
  }
  if (!any) {
    return Fail(ErrorKind::kUsage, "none of the model's tokens can follow in the call");
  }
  return std::span<const uint64_t>(mask_);
}

void CallFilter::Accept(TokenId token) {
  if (!tokenizer_.IsEndOfGeneration(token)) {
    static_cast<void>(Take(place_, tokenizer_.Piece(token, shows_control_)));
  }
}

bool CallFilter::Take(Place& place, std::string_view text) const {
  return std::ranges::all_of(text, [&](char byte) { return TakeByte(place, byte); });
}

bool CallFilter::TakeByte(Place& place, char byte) const {
  switch (place.part) {
    case Part::kName:
      return TakeNameByte(place, byte);
    case Part::kBridge:
      if (byte != grammar_.bridge[place.n]) {
        return false;
      }
      if (++place.n == grammar_.bridge.size()) {
        EnterArguments(place, *std::ranges::find(grammar_.tools, place.name, &ToolShape::name));
      }
      return true;
    case Part::kArguments:
      return TakeArgumentsByte(place, byte);
    case Part::kClosing:
      if (byte != grammar_.closing[place.n]) {
        return false;
      }
      if (++place.n == grammar_.closing.size()) {
        place.part = Part::kOver;
      }
      return true;
    case Part::kOver:
      break;
  }
  return false;
}

bool CallFilter::TakeNameByte(Place& place, char byte) const {
  const std::string longer = place.name + byte;
  if (std::ranges::any_of(grammar_.tools,
                          [&](const ToolShape& tool) { return tool.name.starts_with(longer); })) {
    place.name = longer;
    return true;
  }
  if (std::ranges::find(grammar_.tools, place.name, &ToolShape::name) == grammar_.tools.end() ||
      byte != grammar_.bridge.front()) {
    return false;
  }
  place.part = Part::kBridge;
  place.n = 1;
  return true;
}

bool CallFilter::TakeArgumentsByte(Place& place, char byte) const {
  const auto& properties = place.tool->properties;
  const bool was_in_key = place.arguments.in_own_key();
  const bool outermost = place.arguments.depth() == 1 && !was_in_key;
  const bool before_value = place.arguments.before_own_value();
  if (!place.arguments.Take(byte)) {
    return false;
  }
  if (place.arguments.done()) {
    for (size_t i = 0; i < properties.size(); ++i) {
      if (properties[i].required && !place.is_used[i]) {
        return false;
      }
    }
    place.part = grammar_.closing.empty() ? Part::kOver : Part::kClosing;
    place.n = 0;
    return true;
  }
  if (before_value && !place.arguments.before_own_value()) {  // no white space: it begins
    return MayBegin(std::exchange(place.value_type, '\0'), byte);
  }
  // Behind a value a comma promises another property.
  const bool all_used = std::ranges::find(place.is_used, false) == place.is_used.end();
  if (outermost && place.arguments.before_own_key() && byte == ',' && all_used &&
      !place.tool->others) {
    return false;
  }
  return TakeKeyByte(place, byte, was_in_key);
}

bool CallFilter::TakeKeyByte(Place& place, char byte, bool was_in_key) const {
  const auto& properties = place.tool->properties;
  const bool is_in_key = place.arguments.in_own_key();
  const auto find = [&](const auto& fits) {
    for (size_t i = 0; i < properties.size(); ++i) {
      if (!place.is_used[i] && fits(properties[i].name)) {
        return i;
      }
    }
    return properties.size();
  };
  if (was_in_key && !is_in_key) {  // it ends
    const size_t i = find([&](const std::string& name) { return name == place.key; });
    if (i < properties.size()) {
      place.is_used[i] = true;
      place.value_type = properties[i].type.empty() ? '\0' : properties[i].type.front();
      return true;
    }
    place.value_type = '\0';
    return place.tool->others;
  }
  if (!is_in_key) {
    return true;
  }
  if (was_in_key) {
    place.key += byte;
  } else {
    place.key.clear();
  }
  const size_t i = find([&](const std::string& name) { return name.starts_with(place.key); });
  return i < properties.size() || place.tool->others;
}

}  // namespace plimsoll::server::api::output
