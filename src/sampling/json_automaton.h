// The bytes of one JSON object, accepted one by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace plimsoll::sampling {

// Strict JSON (RFC 8259) in valid UTF-8, nested at most kMaxDepth deep. White space is taken where
// JSON has it, but no more than kMaxSpaces at a time, so that a model cannot go on with it for
// ever. Cheap to copy: to see whether a text can follow, a copy is fed.
class JsonAutomaton {
 public:
  static constexpr size_t kMaxDepth = 32;
  static constexpr uint8_t kMaxSpaces = 32;

  // False, and nothing is known from then on, when the byte cannot follow.
  [[nodiscard]] bool Take(char byte);
  // The object is closed: nothing can follow.
  [[nodiscard]] bool done() const { return state_ == State::kDone; }
  // Of the object itself, not of those in it: whether the last byte belongs to one of its keys,
  // and what comes next.
  [[nodiscard]] bool in_own_key() const {
    return open_.size() == 1 && in_key_ && (state_ == State::kString || IsWithinString());
  }
  [[nodiscard]] bool before_own_key() const {
    return open_.size() == 1 && (state_ == State::kFirstKey || state_ == State::kKey);
  }
  [[nodiscard]] size_t depth() const { return open_.size(); }
  [[nodiscard]] bool before_own_value() const {
    return open_.size() == 1 && state_ == State::kValue;
  }

 private:
  enum class State : uint8_t {
    kStart,        // before the object
    kFirstKey,     // behind {, where } may come
    kKey,          // behind a comma of an object
    kColon,        // behind a key
    kFirstItem,    // behind [, where ] may come
    kValue,        // behind a colon, or a comma of an array
    kBehindValue,  // comma or the container's end
    kString,
    kEscape,
    kHex,       // n_left_ digits of \u
    kUtf8,      // n_left_ bytes of a character
    kLiteral,   // the rest of true, false, null
    kMinus,     // behind -
    kZero,      // behind a leading 0
    kInteger,   // behind a digit of the integer part
    kPoint,     // behind .
    kFraction,  // behind a digit of the fraction
    kExponent,  // behind e
    kSign,      // behind a sign of the exponent
    kPower,     // behind a digit of the exponent
    kDone,
  };

  [[nodiscard]] bool TakeSpace(char byte);
  [[nodiscard]] bool BeginValue(char byte);
  [[nodiscard]] bool TakeStructure(char byte);
  [[nodiscard]] bool TakeString(uint8_t byte);
  [[nodiscard]] bool TakeNumber(char byte);
  [[nodiscard]] bool Open(char bracket);
  [[nodiscard]] bool Close(char bracket);
  [[nodiscard]] bool IsWithinString() const {
    return state_ == State::kEscape || state_ == State::kHex || state_ == State::kUtf8;
  }
  [[nodiscard]] bool Go(State state) {
    state_ = state;
    return true;
  }

  std::vector<char> open_;  // the brackets that are
  State state_ = State::kStart;
  bool in_key_ = false;
  uint8_t n_spaces_ = 0;
  uint8_t n_left_ = 0;
  uint8_t low_ = 0x80;  // of the next byte of a character
  uint8_t high_ = 0xBF;
  const char* literal_ = "";  // what is left of it
};

}  // namespace plimsoll::sampling
