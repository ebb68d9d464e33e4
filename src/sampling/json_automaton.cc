#include "sampling/json_automaton.h"

namespace plimsoll::sampling {
namespace {

bool IsDigit(char byte) { return byte >= '0' && byte <= '9'; }
bool IsHex(uint8_t byte) {
  return IsDigit(static_cast<char>(byte)) || (byte >= 'a' && byte <= 'f') ||
         (byte >= 'A' && byte <= 'F');
}

}  // namespace

bool JsonAutomaton::Take(char byte) {
  switch (state_) {
    case State::kString:
    case State::kEscape:
    case State::kHex:
    case State::kUtf8:
      return TakeString(static_cast<uint8_t>(byte));
    case State::kLiteral:
      if (byte != *literal_) {
        return false;
      }
      return *++literal_ == '\0' ? Go(State::kBehindValue) : true;
    case State::kMinus:
    case State::kZero:
    case State::kInteger:
    case State::kPoint:
    case State::kFraction:
    case State::kExponent:
    case State::kSign:
    case State::kPower:
      return TakeNumber(byte);
    case State::kDone:
      return false;
    default:
      return TakeSpace(byte) || TakeStructure(byte);
  }
}

bool JsonAutomaton::TakeSpace(char byte) {
  const bool is_space = byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
  n_spaces_ = is_space ? static_cast<uint8_t>(n_spaces_ + 1) : uint8_t{0};
  return is_space && n_spaces_ <= kMaxSpaces;
}

bool JsonAutomaton::TakeStructure(char byte) {
  switch (state_) {
    case State::kStart:
      return byte == '{' && Open(byte);
    case State::kFirstKey:
    case State::kKey:
      if (byte == '"') {
        in_key_ = true;
        return Go(State::kString);
      }
      return byte == '}' && state_ == State::kFirstKey && Close('{');
    case State::kColon:
      return byte == ':' && Go(State::kValue);
    case State::kFirstItem:
      return byte == ']' ? Close('[') : BeginValue(byte);
    case State::kValue:
      return BeginValue(byte);
    case State::kBehindValue:
      if (byte == ',') {
        return Go(open_.back() == '{' ? State::kKey : State::kValue);
      }
      return (byte == '}' && Close('{')) || (byte == ']' && Close('['));
    default:
      return false;
  }
}

bool JsonAutomaton::BeginValue(char byte) {
  switch (byte) {
    case '{':
    case '[':
      return Open(byte);
    case '"':
      in_key_ = false;
      return Go(State::kString);
    case 't':
      literal_ = "rue";
      return Go(State::kLiteral);
    case 'f':
      literal_ = "alse";
      return Go(State::kLiteral);
    case 'n':
      literal_ = "ull";
      return Go(State::kLiteral);
    case '-':
      return Go(State::kMinus);
    case '0':
      return Go(State::kZero);
    default:
      return IsDigit(byte) && Go(State::kInteger);
  }
}

// The bytes of a character as Unicode's table 3-7 has them.
bool JsonAutomaton::TakeString(uint8_t byte) {
  switch (state_) {
    case State::kEscape:
      if (byte == 'u') {
        n_left_ = 4;
        return Go(State::kHex);
      }
      return (byte == '"' || byte == '\\' || byte == '/' || byte == 'b' || byte == 'f' ||
              byte == 'n' || byte == 'r' || byte == 't') &&
             Go(State::kString);
    case State::kHex:
      return IsHex(byte) && (--n_left_ > 0 || Go(State::kString));
    case State::kUtf8:
      if (byte < low_ || byte > high_) {
        return false;
      }
      low_ = 0x80;
      high_ = 0xBF;
      return --n_left_ > 0 || Go(State::kString);
    default:
      break;
  }
  if (byte == '"') {
    return Go(in_key_ ? State::kColon : State::kBehindValue);
  }
  if (byte == '\\') {
    return Go(State::kEscape);
  }
  if (byte < 0x80) {
    return byte >= 0x20;
  }
  if (byte < 0xC2 || byte > 0xF4) {
    return false;
  }
  n_left_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
  low_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
  high_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
  return Go(State::kUtf8);
}

// A number ends with the byte behind it.
bool JsonAutomaton::TakeNumber(char byte) {
  const bool digit = IsDigit(byte);
  switch (state_) {
    case State::kMinus:
      return digit && Go(byte == '0' ? State::kZero : State::kInteger);
    case State::kPoint:
      return digit && Go(State::kFraction);
    case State::kExponent:
      return ((byte == '+' || byte == '-') && Go(State::kSign)) || (digit && Go(State::kPower));
    case State::kSign:
      return digit && Go(State::kPower);
    default:
      break;
  }
  if (digit && state_ != State::kZero) {
    return true;
  }
  if (byte == '.' && (state_ == State::kZero || state_ == State::kInteger)) {
    return Go(State::kPoint);
  }
  if ((byte == 'e' || byte == 'E') && state_ != State::kPower) {
    return Go(State::kExponent);
  }
  state_ = State::kBehindValue;
  return TakeSpace(byte) || TakeStructure(byte);
}

bool JsonAutomaton::Open(char bracket) {
  if (open_.size() >= kMaxDepth) {
    return false;
  }
  open_.push_back(bracket);
  return Go(bracket == '{' ? State::kFirstKey : State::kFirstItem);
}

bool JsonAutomaton::Close(char bracket) {
  if (open_.empty() || open_.back() != bracket) {
    return false;
  }
  open_.pop_back();
  return Go(open_.empty() ? State::kDone : State::kBehindValue);
}

}  // namespace plimsoll::sampling
