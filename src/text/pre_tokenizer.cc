#include "text/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/ranges.h>

#include "text/regex_splitter.h"
#include "text/run_splitter.h"
#include "text/word_patterns.h"

namespace plimsoll::text {
namespace {

// The patterns of each family are those of its models' tokenizer.json; which GGUF name stands for
// which family, and the two flags, are from ggml-org/llama.cpp, src/llama-vocab.cpp.

constexpr std::string_view kNewline = "[\\r\\n]";
constexpr std::string_view kLineEndSpaces = "\\s+$";
constexpr std::string_view kDigit = "\\p{N}";
constexpr std::string_view kDigitRun = "\\p{N}+";
constexpr std::string_view kThreeDigits = "\\p{N}{1,3}";
constexpr std::string_view kExactlyThreeDigits = "[0-9][0-9][0-9]";
constexpr std::string_view kSpacedLetters = "\\s?\\p{L}+";
constexpr std::string_view kSpacedPunctuation = "\\s?\\p{P}+";
constexpr std::string_view kFalconPunctuation = "[\\p{P}\\$\\+<=>\\^~\\|`]+";
constexpr std::string_view kDefaultPunctuation = "[\\p{P}\\$\\+<=>\\^~\\|]+";
// DeepSeek LLM and Coder: ideographs and much else, from U+0800 on.
constexpr std::string_view kCjkAndMore = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+";
// DeepSeek V3: ideographs and kana.
constexpr std::string_view kIdeographs = "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
constexpr std::string_view kDeepSeekPunctuation =
    "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+";
// The letters that have case, as of the Unicode version that the model's makers had.
constexpr std::string_view kDeepSeekLetters =
    "\\s?[A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293"
    "\u0295-\u02AF\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C"
    "\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5"
    "\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77"
    "\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59"
    "\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC"
    "\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107"
    "\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139"
    "\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE"
    "\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E"
    "\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A"
    "\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2"
    "\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943]+";

struct Family {
  std::array<std::string_view, 6> patterns;  // empty ones at the end are none
  bool ignore_merges = false;
  bool add_bos = false;
};

constexpr Family kGpt2{{kGpt2Pattern}};
constexpr Family kDigitGpt2{{kDigit, kGpt2Pattern}};
constexpr Family kLlama3{{kLlama3Pattern}, true, true};
constexpr Family kGroupedDigits{{kLlama3Pattern}};
constexpr Family kQwen2{{kQwen2Pattern}};
constexpr Family kQwen35{{kQwen35Pattern}};
constexpr Family kGpt4o{{kGpt4oPattern}};
constexpr Family kTekken{{kTekkenPattern}, true, true};
constexpr Family kFalcon{{kFalconPunctuation, kGpt2Pattern, kExactlyThreeDigits}};
constexpr Family kDefault{{kDefaultPunctuation, kGpt2Pattern, kDigitRun, kExactlyThreeDigits}};
constexpr Family kDeepSeekLlm{
    {kNewline, kDeepSeekLetters, kDeepSeekPunctuation, kLineEndSpaces, kCjkAndMore, kDigitRun}};
constexpr Family kDeepSeekCoder{
    {kNewline, kSpacedLetters, kSpacedPunctuation, kCjkAndMore, kDigit}};
constexpr Family kDeepSeekV3{{kThreeDigits, kIdeographs, kDeepSeekV3Pattern}};

struct Name {
  std::string_view name;
  const Family* family;
};

// In order of the alphabet.
constexpr Name kNames[] = {
    {"a.x-4.0", &kGpt2},
    {"chatglm-bpe", &kGroupedDigits},
    {"codeshell", &kDigitGpt2},
    {"command-r", &kDigitGpt2},
    {"dbrx", &kGroupedDigits},
    {"deepseek-coder", &kDeepSeekCoder},
    {"deepseek-llm", &kDeepSeekLlm},
    {"deepseek-r1-qwen", &kQwen2},
    {"deepseek-v3", &kDeepSeekV3},
    {"default", &kDefault},
    {"exaone", &kDigitGpt2},
    {"exaone4", &kGpt2},
    {"f2llmv2", &kQwen2},
    {"falcon", &kFalcon},
    {"falcon-h1", &kLlama3},
    {"falcon3", &kLlama3},
    {"gigachat", &kGpt2},
    {"glm4", &kGroupedDigits},
    {"gpt-2", &kGpt2},
    {"gpt-4o", &kGpt4o},
    {"granite-docling", &kGpt2},
    {"grok-2", &kQwen2},
    {"hunyuan", &kQwen2},
    {"hunyuan-dense", &kDeepSeekV3},
    {"hy_v4", &kDeepSeekV3},
    {"jais", &kGpt2},
    {"jina-de", &kGpt2},
    {"jina-es", &kGpt2},
    {"jina-v2-de", &kGpt2},
    {"jina-v2-es", &kGpt2},
    {"jina-v5-nano", &kLlama3},
    {"joyai-llm", &kDeepSeekV3},
    {"kanana2", &kGpt4o},
    {"kormo", &kQwen2},
    {"lfm2", &kLlama3},
    {"llama-bpe", &kLlama3},
    {"llama-v3", &kLlama3},
    {"llama3", &kLlama3},
    {"llama4", &kGpt4o},
    {"megrez", &kQwen2},
    {"mellum", &kGpt2},
    {"mellum2", &kDigitGpt2},
    {"midm-2.0", &kLlama3},
    {"minerva-7b", &kDigitGpt2},
    {"minimax-m2", &kGpt4o},
    {"modern-bert", &kGpt2},
    {"mpt", &kGpt2},
    {"olmo", &kGpt2},
    {"phi-2", &kGpt2},
    {"pixtral", &kLlama3},
    {"qwen2", &kQwen2},
    {"qwen35", &kQwen35},
    {"refact", &kDigitGpt2},
    {"smaug-bpe", &kGroupedDigits},
    {"smollm", &kDigitGpt2},
    {"solar-open", &kQwen2},
    {"stablelm2", &kQwen2},
    {"starcoder", &kDigitGpt2},
    {"talkie", &kGpt4o},
    {"tekken", &kTekken},
    {"trillion", &kGpt2},
};

// Other spellings of the patterns that have a splitter of their own.
struct Spelling {
  std::string_view seen;
  std::string_view known;
};

constexpr Spelling kSpellings[] = {
    {"\r", "\\r"},
    {"\n", "\\n"},
    {"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", "(?i:'s|'t|'re|'ve|'m|'ll|'d)"},
    {"\\p{N}{1}", "\\p{N}"},
};

std::string Normalized(std::string_view pattern) {
  std::string result(pattern);
  for (const auto& [seen, known] : kSpellings) {
    for (size_t at = result.find(seen); at != std::string::npos;
         at = result.find(seen, at + known.size())) {
      result.replace(at, seen.size(), known);
    }
  }
  return result;
}

Result<std::unique_ptr<const Splitter>> MakeSplitter(const SplitStep& step) {
  const SplitParts parts{step.keep_matches, step.keep_gaps};
  const std::string pattern = Normalized(step.pattern);
  if (auto known = KnownPatternSplitter(pattern, parts)) {
    return known;
  }
  if (auto run = RunPatternSplitter(pattern, parts)) {
    return run;
  }
  return RegexSplitter(step.pattern, parts);
}

// Runs the words that one splitter makes through those after it.
class Pipeline final : public WordSink {
 public:
  Pipeline(std::span<const std::unique_ptr<const Splitter>> splitters, WordSink& sink)
      : splitters_(splitters), sink_(sink) {}

  void Word(std::string_view word) override {
    if (splitters_.empty()) {
      sink_.Word(word);
      return;
    }
    Pipeline rest(splitters_.subspan(1), sink_);
    splitters_.front()->Split(word, rest);
  }

 private:
  std::span<const std::unique_ptr<const Splitter>> splitters_;
  WordSink& sink_;
};

}  // namespace

Result<PreTokenizerFamily> FindPreTokenizer(std::string_view name) {
  const auto found = std::find_if(std::begin(kNames), std::end(kNames),
                                  [&](const Name& known) { return known.name == name; });
  if (found == std::end(kNames)) {
    return Fail(ErrorKind::kBadModel,
                "tokenizer.ggml.pre: the pre-tokenizer \"{}\" is not supported.\nSupported: {}",
                name, fmt::join(PreTokenizerNames(), ", "));
  }
  PreTokenizerFamily family;
  std::copy_if(found->family->patterns.begin(), found->family->patterns.end(),
               std::back_inserter(family.patterns),
               [](std::string_view pattern) { return !pattern.empty(); });
  family.ignore_merges = found->family->ignore_merges;
  family.add_bos = found->family->add_bos;
  return family;
}

std::vector<std::string_view> PreTokenizerNames() {
  std::vector<std::string_view> names;
  for (const Name& known : kNames) {
    names.push_back(known.name);
  }
  return names;
}

bool CutsAs(std::span<const SplitStep> steps, std::string_view name) {
  const auto family = FindPreTokenizer(name);
  return family && std::ranges::equal(steps, family->patterns,
                                      [](const SplitStep& step, std::string_view pattern) {
                                        return step.keep_matches &&
                                               Normalized(step.pattern) == Normalized(pattern);
                                      });
}

Result<PreTokenizer> PreTokenizer::Create(std::span<const SplitStep> steps) {
  if (steps.size() > kMaxSteps) {
    return Fail(ErrorKind::kBadModel, "pre_tokenizer: {} steps are more than the {} supported",
                steps.size(), kMaxSteps);
  }
  PreTokenizer result;
  for (const SplitStep& step : steps) {
    auto splitter = MakeSplitter(step);
    if (!splitter) {
      return Forward(splitter);
    }
    result.splitters_.push_back(std::move(*splitter));
  }
  return result;
}

void PreTokenizer::Split(std::string_view text, WordSink& sink) const {
  if (!text.empty()) {
    Pipeline(splitters_, sink).Word(text);
  }
}

uint64_t PreTokenizer::Bytes() const {
  uint64_t bytes = splitters_.capacity() * sizeof(splitters_[0]);
  for (const auto& splitter : splitters_) {
    bytes += splitter->Bytes();
  }
  return bytes;
}

}  // namespace plimsoll::text
