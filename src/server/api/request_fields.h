// Reading what the requests of several dialects have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/json/fields.h"
#include "server/api/task.h"

namespace plimsoll::server::api {

inline constexpr uint64_t kMessagesMost = 10'000;
inline constexpr uint64_t kPartsMost = 10'000;
inline constexpr uint64_t kToolsMost = 128;
inline constexpr LengthRange kModelNameBytes{.most = 1024};
inline constexpr LengthRange kIdBytes{.most = 256};
inline constexpr int64_t kTokensMost = 2'147'483'647;

// Absent members leave `value` as it is.
void ReadFloat(const Field& field, NumberRange range, float& value);
void ReadInt(const Field& field, IntegerRange range, int32_t& value);
void ReadSeed(const Field& field, Task& task);  // -1: none

void ReadCacheSalt(const Field& field, Task& task);

// kv_policy and what goes with it.
void ReadKvPolicy(Fields& fields, Task& task);

// A string, or up to 16, of 1 to 256 bytes.
[[nodiscard]] std::vector<std::string> ReadStopStrings(const Field& field);

// A text's next part, which a line break parts from those before.
void AppendPart(std::optional<std::string>& text, std::string_view part);

// A tool that is written flat: {"name", "description", and a schema under some name}.
[[nodiscard]] Tool ReadFlatTool(Fields& fields, std::string_view schema_key);
// Adds it; an error when there is one of that name.
void AddTool(Conversation& conversation, Tool tool, const Field& item);
[[nodiscard]] bool HasToolNamed(const Conversation& conversation, std::string_view name);
// The client's list, each read by `read`, at most kToolsMost of them.
template <class ReadOne>
void ReadToolList(const Field& list, Conversation& conversation, const ReadOne& read) {
  for (const Field& item : list.Array({.most = kToolsMost})) {
    AddTool(conversation, read(item), item);
  }
}
// The name of one of the tools.
[[nodiscard]] std::string ReadKnownTool(const Field& field, const Conversation& conversation);

// Tells the template how much to think: as `reasoning_effort`, which may be empty, and
// `enable_thinking`.
void SetThinking(Conversation& conversation, bool enable, std::string_view effort);

}  // namespace plimsoll::server::api
