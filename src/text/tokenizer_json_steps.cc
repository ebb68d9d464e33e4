#include "text/tokenizer_json_steps.h"

#include <string>
#include <string_view>

#include "text/json_field.h"
#include "text/model.h"
#include "text/word_patterns.h"

namespace plimsoll::text {
namespace {

namespace dom = simdjson::dom;

// Sequences within sequences beyond this are not what any tool writes.
constexpr int kMaxNesting = 8;

// What the steps turn out to be while they are read.
struct Steps {
  bool byte_level = false;
  bool spaces_become_marks = false;
  std::vector<SplitStep> splits;
};

bool Flag(dom::element step, std::string_view key, bool fallback) {
  return FieldOr<bool>(step, key, fallback);
}

std::string_view String(dom::element step, std::string_view key) {
  return FieldOr<std::string_view>(step, key, {});
}

tl::unexpected<Error> NotSupported(std::string_view field, std::string_view what) {
  return Fail(ErrorKind::kBadModel, "{}: \"{}\" is not supported", field, what);
}

// Calls `read(step, depth + 1)` for each part of a Sequence, whose list has one of these names.
template <class Read>
Result<> ReadSequence(dom::element sequence, std::string_view field, std::string_view list_name,
                      int depth, const Read& read) {
  if (depth >= kMaxNesting) {
    return Fail(ErrorKind::kBadModel, "{}: sequences are nested too deep", field);
  }
  auto list = Field<dom::array>(sequence, list_name, fmt::format("{}.{}", field, list_name));
  if (!list) {
    return Forward(list);
  }
  for (const dom::element step : *list) {
    if (auto done = read(step, depth + 1); !done) {
      return done;
    }
  }
  return {};
}

Result<> ReadReplace(dom::element step, Steps& steps) {
  std::string_view pattern;
  if (step["pattern"]["String"].get(pattern) != simdjson::SUCCESS || pattern != " " ||
      String(step, "content") != kSpaceMark) {
    return NotSupported("normalizer", "Replace of anything but a space by U+2581");
  }
  steps.spaces_become_marks = true;
  return {};
}

Result<> ReadNormalizer(dom::element step, int depth, Steps& steps, VocabularySpec& spec) {
  const std::string_view type = String(step, "type");
  const std::pair<std::string_view, Normalization> forms[] = {{"NFC", Normalization::kNfc},
                                                              {"NFD", Normalization::kNfd},
                                                              {"NFKC", Normalization::kNfkc},
                                                              {"NFKD", Normalization::kNfkd}};
  for (const auto& [name, form] : forms) {
    if (type == name) {
      if (spec.normalization != Normalization::kNone) {
        return NotSupported("normalizer", "more than one normal form");
      }
      spec.normalization = form;
      return {};
    }
  }
  if (type == "Sequence") {
    return ReadSequence(
        step, "normalizer", "normalizers", depth,
        [&](dom::element part, int inner) { return ReadNormalizer(part, inner, steps, spec); });
  }
  if (type == "Prepend" && String(step, "prepend") == kSpaceMark) {
    spec.add_space_prefix = true;
    return {};
  }
  if (type == "Replace") {
    return ReadReplace(step, steps);
  }
  return NotSupported("normalizer.type", type);
}

// A pattern that matches `text` and nothing else.
std::string Quoted(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (byte < 0x80 && !word) {
      pattern.push_back('\\');
    }
    pattern.push_back(c);
  }
  return pattern;
}

Result<> ReadSplit(dom::element step, Steps& steps) {
  std::string_view text;
  const std::string_view behavior = String(step, "behavior");
  const bool invert = Flag(step, "invert", false);
  if (step["pattern"]["String"].get(text) == simdjson::SUCCESS) {
    // The spaces are all marks by now, so that there is nothing to split at.
    if (text == " " && steps.spaces_become_marks) {
      return {};
    }
    steps.splits.push_back({Quoted(text), true, true});
  } else if (step["pattern"]["Regex"].get(text) == simdjson::SUCCESS) {
    steps.splits.push_back({std::string(text), true, true});
  } else {
    return Fail(ErrorKind::kBadModel, "pre_tokenizer.pattern: neither String nor Regex");
  }
  if (behavior == "Removed") {
    steps.splits.back().keep_matches = invert;
    steps.splits.back().keep_gaps = !invert;
  } else if (behavior != "Isolated") {
    return NotSupported("pre_tokenizer.behavior", behavior);
  }
  return {};
}

Result<> ReadPunctuation(dom::element step, Steps& steps) {
  const std::string_view behavior = String(step, "behavior");
  std::string pattern = "[\\p{P}\\$\\+<=>\\^`\\|~]";
  if (behavior == "Contiguous") {
    pattern.push_back('+');
  } else if (!behavior.empty() && behavior != "Isolated") {
    return NotSupported("pre_tokenizer.behavior", behavior);
  }
  steps.splits.push_back({std::move(pattern), true, true});
  return {};
}

Result<> ReadByteLevel(dom::element step, Steps& steps) {
  steps.byte_level = true;
  if (Flag(step, "add_prefix_space", true)) {
    return NotSupported("pre_tokenizer", "ByteLevel with add_prefix_space");
  }
  if (Flag(step, "use_regex", true)) {
    steps.splits.push_back({std::string(kGpt2Pattern), true, true});
  }
  return {};
}

Result<> ReadMetaspace(dom::element step, Steps& steps, VocabularySpec& spec) {
  if (String(step, "replacement") != kSpaceMark) {
    return NotSupported("pre_tokenizer.replacement", String(step, "replacement"));
  }
  steps.spaces_become_marks = true;
  std::string_view scheme = String(step, "prepend_scheme");
  if (scheme.empty()) {
    scheme = Flag(step, "add_prefix_space", true) ? "always" : "never";
  }
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    return NotSupported("pre_tokenizer.prepend_scheme", scheme);
  }
  spec.add_space_prefix = scheme != "never";
  spec.space_prefix_after_special = scheme == "always";
  spec.space_prefix_before_space = false;
  return {};
}

Result<> ReadPreTokenizer(dom::element step, int depth, Steps& steps, VocabularySpec& spec) {
  const std::string_view type = String(step, "type");
  if (type == "Sequence") {
    return ReadSequence(
        step, "pre_tokenizer", "pretokenizers", depth,
        [&](dom::element part, int inner) { return ReadPreTokenizer(part, inner, steps, spec); });
  }
  if (type == "Split") {
    return ReadSplit(step, steps);
  }
  if (type == "ByteLevel") {
    return ReadByteLevel(step, steps);
  }
  if (type == "Metaspace") {
    return ReadMetaspace(step, steps, spec);
  }
  if (type == "Digits") {
    const bool single = Flag(step, "individual_digits", false);
    steps.splits.push_back({single ? "\\p{N}" : "\\p{N}+", true, true});
    return {};
  }
  if (type == "Punctuation") {
    return ReadPunctuation(step, steps);
  }
  return NotSupported("pre_tokenizer.type", type);
}

// The member when it is there and not null.
std::optional<dom::element> Present(dom::object root, std::string_view key) {
  dom::element value;
  if (root[key].get(value) != simdjson::SUCCESS || value.is_null()) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

Result<> ReadTextSteps(dom::object root, VocabularySpec& spec) {
  Steps steps;
  spec.add_space_prefix = false;
  if (const auto normalizer = Present(root, "normalizer")) {
    if (auto read = ReadNormalizer(*normalizer, 0, steps, spec); !read) {
      return read;
    }
  }
  if (const auto pre_tokenizer = Present(root, "pre_tokenizer")) {
    if (auto read = ReadPreTokenizer(*pre_tokenizer, 0, steps, spec); !read) {
      return read;
    }
  }
  if (const auto decoder = Present(root, "decoder")) {
    steps.byte_level = steps.byte_level || String(*decoder, "type") == "ByteLevel";
  }
  if (spec.model == TokenizerModel::kUnigram || !steps.byte_level) {
    if (!steps.splits.empty()) {
      return NotSupported("pre_tokenizer", "a split before a model that is not byte-level");
    }
    if (!steps.spaces_become_marks) {
      return NotSupported("pre_tokenizer", "a model over characters without Metaspace");
    }
    if (spec.model != TokenizerModel::kUnigram) {
      spec.model = TokenizerModel::kSentencePieceBpe;
    }
    return {};
  }
  spec.model = TokenizerModel::kByteBpe;
  spec.split_steps = std::move(steps.splits);
  return {};
}

}  // namespace plimsoll::text
