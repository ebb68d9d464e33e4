// Walking through the text of calls that may not be whole yet.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "server/api/output/call_region.h"

namespace plimsoll::server::api::output {

// A position in the text. What is asked of it either moves it on, or settles the region: the text
// ends too early (kOpen, or kFailed when no more comes) or is not what it should be (kFailed).
// Everything goes on in vain then, so callers look at ok() where it matters.
class RegionReader {
 public:
  RegionReader(std::span<const Tool> tools, std::string_view text, bool at_end)
      : tools_(tools), text_(text), at_end_(at_end) {}

  [[nodiscard]] bool ok() const { return !settled_; }
  [[nodiscard]] Region Finish() &&;

  void Space();
  // Moves behind `mark` if the text goes on with it. Settled when that cannot be told yet.
  bool Skip(std::string_view mark);
  // The same for one that may be missing at the end of everything.
  bool SkipLast(std::string_view mark);
  // Moves behind `mark`, which has to be there.
  void Expect(std::string_view mark);
  // The text up to the first of these marks; stays before it. Nothing when it cannot be told.
  std::optional<std::string_view> Until(std::initializer_list<std::string_view> marks);
  // A tool's name up to the first of these marks, without white space around it.
  std::string Name(std::initializer_list<std::string_view> marks);

  // A value in a notation other than JSON (ScanLiteral), as JSON; "" when there is none.
  std::string LiteralValue();
  [[nodiscard]] char Peek();  // 0 when there is nothing
  void Fail();

  // {"name": ..., "arguments": {...}}; `strict`: no other members, and arguments have to be there.
  void JsonCall(bool strict);
  // The arguments of a call, as a JSON object.
  void Arguments(std::string name);
  // Arguments that are put together: what is known of them up to here, and that they are whole.
  void PartialCall(std::string name, std::string arguments);
  void CompleteCall();
  // Everything up to here is settled whatever comes.
  void Commit() { region_.end = at_; }

  [[nodiscard]] const Tool* FindTool(std::string_view name) const;

 private:
  [[nodiscard]] std::string_view Rest() const { return text_.substr(at_); }
  void WantMore();

  // What is known of a call that is an object.
  struct CallObject {
    std::optional<std::string> name;
    size_t begin = 0;  // of the arguments; end 0: none yet
    size_t end = 0;
  };
  std::string Key();
  void CallMember(std::string_view key, CallObject& call);
  void MemberArguments(const CallObject& call, bool done);

  std::span<const Tool> tools_;
  std::string_view text_;
  bool at_end_;
  size_t at_ = 0;
  bool settled_ = false;
  bool strict_ = false;
  Region region_;
};

}  // namespace plimsoll::server::api::output
