#include "text/regex_splitter.h"

#include <string>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text/utf8.h"

namespace plimsoll::text {
namespace {

// Real patterns need a few thousand steps on the worst text; nested repetitions reach any limit.
constexpr uint32_t kMatchLimit = 1'000'000;
constexpr uint32_t kHeapLimitKiB = 64 * 1024;

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

using Code = std::unique_ptr<pcre2_code, FreeCode>;
using MatchContext = std::unique_ptr<pcre2_match_context, FreeMatchContext>;

PCRE2_SPTR Units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

// PCRE2's \s also takes U+180E, which is no White_Space since Unicode 6.3; its property is exact.
std::string WithExactSpaces(std::string_view pattern) {
  std::string result;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const std::string_view pair = pattern.substr(i, 2);
    if (pair == "\\s" || pair == "\\S") {
      result += pair == "\\s" ? "\\p{White_Space}" : "\\P{White_Space}";
      ++i;
    } else if (pair.size() == 2 && pair[0] == '\\') {
      result += pair;
      ++i;
    } else {
      result += pattern[i];
    }
  }
  return result;
}

class Pcre2Splitter final : public Splitter {
 public:
  Pcre2Splitter(Code code, MatchContext context, SplitParts parts)
      : code_(std::move(code)), context_(std::move(context)), parts_(parts) {}

  void Split(std::string_view text, WordSink& sink) const override {
    const std::unique_ptr<pcre2_match_data, FreeMatchData> match(
        pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    size_t start = 0;  // of the well-formed stretch that reaches as far as `pos`
    for (size_t pos = 0; pos < text.size();) {
      const DecodedChar c = DecodeChar(text.substr(pos));
      if (!c.valid) {
        SplitValid(text.substr(start, pos - start), match.get(), sink);
        if (parts_.gaps) {
          sink.Word(text.substr(pos, 1));
        }
        start = pos + 1;
      }
      pos += c.length;
    }
    SplitValid(text.substr(start), match.get(), sink);
  }

  [[nodiscard]] uint64_t Bytes() const override {
    size_t code = 0;
    size_t jit = 0;
    pcre2_pattern_info(code_.get(), PCRE2_INFO_SIZE, &code);
    pcre2_pattern_info(code_.get(), PCRE2_INFO_JITSIZE, &jit);
    return sizeof(*this) + code + jit;
  }

 private:
  // False when there is no further match, or none within the limits.
  bool Find(std::string_view text, size_t pos, pcre2_match_data* match) const {
    int found = pcre2_match(code_.get(), Units(text), text.size(), pos,
                            PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match, context_.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found =
          pcre2_match(code_.get(), Units(text), text.size(), pos,
                      PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | PCRE2_NO_JIT, match, context_.get());
    }
    return found >= 0;
  }

  void SplitValid(std::string_view text, pcre2_match_data* match, WordSink& sink) const {
    size_t pos = 0;
    while (pos < text.size() && Find(text, pos, match)) {
      const PCRE2_SIZE* const bounds = pcre2_get_ovector_pointer(match);
      // \K can move the start of a match past its end or before `pos`; such a match is none.
      if (bounds[0] < pos || bounds[1] <= bounds[0]) {
        break;
      }
      if (bounds[0] > pos && parts_.gaps) {
        sink.Word(text.substr(pos, bounds[0] - pos));
      }
      if (parts_.matches) {
        sink.Word(text.substr(bounds[0], bounds[1] - bounds[0]));
      }
      pos = bounds[1];
    }
    if (pos < text.size() && parts_.gaps) {
      sink.Word(text.substr(pos));
    }
  }

  Code code_;
  MatchContext context_;
  SplitParts parts_;
};

}  // namespace

Result<std::unique_ptr<const Splitter>> RegexSplitter(std::string_view pattern, SplitParts parts) {
  const std::string exact = WithExactSpaces(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  Code code(pcre2_compile(Units(exact), exact.size(),
                          PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                          &offset, nullptr));
  if (!code) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(error, message, sizeof(message));
    return Fail(ErrorKind::kBadModel,
                "pre-tokenizer pattern \"{}\": {} at byte {} of its PCRE2 form", pattern,
                reinterpret_cast<const char*>(message), offset);
  }
  // Without a JIT compiler for this machine the interpreter gives the same matches.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  MatchContext context(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKiB);
  return std::make_unique<Pcre2Splitter>(std::move(code), std::move(context), parts);
}

}  // namespace plimsoll::text
