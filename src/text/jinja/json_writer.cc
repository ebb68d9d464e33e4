#include <algorithm>
#include <cmath>

#include <unicode/coll.h>

#include "text/jinja/namespace.h"
#include "text/jinja/printing.h"
#include "text/jinja/unicode.h"

namespace plimsoll::text::jinja {

namespace {

// In the order of the Unicode collation, as the reference sorts keys.
void SortByKey(std::vector<const Member*>& members) {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<icu::Collator> collator(
      icu::Collator::createInstance(icu::Locale::getRoot(), status));
  if (U_FAILURE(status) != 0) StopRender("sort_keys: no collation ({})", u_errorName(status));
  std::ranges::stable_sort(members, [&](const Member* a, const Member* b) {
    UErrorCode compare_status = U_ZERO_ERROR;
    const auto piece = [](const std::string& text) {
      return icu::StringPiece(text.data(), static_cast<int32_t>(text.size()));
    };
    return collator->compareUTF8(piece(a->first), piece(b->first), compare_status) == UCOL_LESS;
  });
}

class JsonPrinter {
 public:
  JsonPrinter(const JsonOptions& options, Buffer& out)
      : options_(options),
        item_separator_(options.item_separator.value_or(options.indent > 0 ? "," : ", ")),
        key_separator_(options.key_separator.value_or(": ")),
        out_(out) {}

  void Write(const Value& value, size_t depth) {
    if (depth > kMaxValueDepth) {
      StopRender("stopped at its depth limit of {} levels of lists and dicts", kMaxValueDepth);
    }
    switch (value.kind()) {
      case Kind::kUndefined:
        return out_.Append(options_.undefined_as_null ? "null" : "undefined");
      case Kind::kInt:
      case Kind::kDouble:
        return WriteNumber(value);
      case Kind::kString:
        return PrintJsonString(value.string(), options_.ensure_ascii, out_);
      case Kind::kList:
        return WriteList(value, depth);
      case Kind::kDict:
        return WriteMembers(value.dict().members(), depth);
      case Kind::kNamespace:
        return WriteMembers(value.ns().members, depth);
      case Kind::kCallable:
        StopRender("a macro or function has no JSON");
      case Kind::kNone:
        return out_.Append("null");
      case Kind::kBool:
        return out_.Append(value.boolean() ? "true" : "false");
    }
  }

 private:
  void WriteNumber(const Value& value) {
    if (const int64_t* exact = value.exact_integer()) return out_.Append(std::to_string(*exact));
    if (!std::isfinite(value.number())) return out_.Append("null");
    out_.Append(value.is(Kind::kDouble) ? FloatText(value.number()) : NumberText(value.number()));
  }

  void NewLine(size_t depth) {
    if (options_.indent == 0) return;
    out_.Append('\n');
    out_.Fill(depth * options_.indent, ' ');
  }

  void WriteList(const Value& value, size_t depth) {
    out_.Append('[');
    bool first = true;
    for (const Value& item : value.list()) {
      if (!first) out_.Append(item_separator_);
      first = false;
      NewLine(depth + 1);
      Write(item, depth + 1);
    }
    if (!first) NewLine(depth);
    out_.Append(']');
  }

  void WriteMembers(const std::vector<Member>& members, size_t depth) {
    std::vector<const Member*> ordered;
    ordered.reserve(members.size());
    for (const Member& member : members) ordered.push_back(&member);
    if (options_.sort_keys) SortByKey(ordered);
    out_.Append('{');
    bool first = true;
    for (const Member* member : ordered) {
      if (!first) out_.Append(item_separator_);
      first = false;
      NewLine(depth + 1);
      PrintJsonString(member->first, options_.ensure_ascii, out_);
      out_.Append(key_separator_);
      Write(member->second, depth + 1);
    }
    if (!first) NewLine(depth);
    out_.Append('}');
  }

  const JsonOptions& options_;
  const std::string item_separator_;
  const std::string key_separator_;
  Buffer& out_;
};

void AppendEscape(uint32_t unit, std::string& out) { out += fmt::format("\\u{:04x}", unit); }

// A character beyond plain ASCII, as one or two escaped UTF-16 units.
void AppendEscapedChar(uint32_t code_point, std::string& out) {
  if (code_point < 0x10000) return AppendEscape(code_point, out);
  AppendEscape(0xD800 + ((code_point - 0x10000) >> 10), out);
  AppendEscape(0xDC00 + ((code_point - 0x10000) & 0x3FF), out);
}

}  // namespace

void PrintJsonString(std::string_view text, bool ensure_ascii, Buffer& out) {
  constexpr std::string_view kSpecial = "\"\\\b\f\n\r\t";
  constexpr std::string_view kLetters = "\"\\bfnrt";
  std::string escaped = "\"";
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    const size_t special = kSpecial.find(c);
    const size_t bytes = CharBytes(text, at);
    if (special != std::string_view::npos) {
      (escaped += '\\') += kLetters[special];
    } else if (static_cast<uint8_t>(c) < 0x20) {
      AppendEscape(static_cast<uint8_t>(c), escaped);
    } else if (ensure_ascii && static_cast<uint8_t>(c) >= 0x7F) {
      AppendEscapedChar(CodePointAt(text, at), escaped);
    } else {
      escaped.append(text, at, bytes);
    }
    at += bytes;
  }
  out.Append(escaped += '"');
}

void PrintJson(const Value& value, const JsonOptions& options, Buffer& out) {
  JsonPrinter(options, out).Write(value, 0);
}

}  // namespace plimsoll::text::jinja
