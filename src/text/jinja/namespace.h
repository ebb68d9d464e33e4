// The mutable object that namespace() makes.
#pragma once

#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace plimsoll::text::jinja {

struct Namespace {
  std::vector<Member> members;  // in the order of their first assignment

  [[nodiscard]] const Value* Find(std::string_view key) const {
    for (const Member& member : members) {
      if (member.first == key) return &member.second;
    }
    return nullptr;
  }
  void Set(std::string_view key, Value value) {
    for (Member& member : members) {
      if (member.first == key) {
        member.second = std::move(value);
        return;
      }
    }
    members.emplace_back(std::string(key), std::move(value));
  }
};

}  // namespace plimsoll::text::jinja
