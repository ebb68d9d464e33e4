#include "engine/vocabulary_to_metadata.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/pre_tokenizer.h"

namespace plimsoll::engine {
namespace {

using formats::Array;
using formats::Metadata;
using formats::ValueType;
using text::TokenizerModel;
using text::TokenType;
using text::VocabularySpec;

// What llama.cpp's converter calls the pre-tokenizers of these architectures, where it differs from
// what others of the same patterns are called.
struct UsualName {
  std::string_view architecture;
  std::string_view name;
};
constexpr std::array<UsualName, 5> kUsualNames = {{{"llama4", "llama4"},
                                                   {"minimax-m2", "minimax-m2"},
                                                   {"glm4moe", "glm4"},
                                                   {"granite", "refact"},
                                                   {"granitemoe", "refact"}}};

// One name for each of the pre-tokenizers that there are.
constexpr std::array<std::string_view, 13> kNames = {
    "llama-bpe",   "glm4",      "qwen2",        "qwen35",         "gpt-4o", "tekken", "gpt-2",
    "deepseek-v3", "starcoder", "deepseek-llm", "deepseek-coder", "falcon", "default"};

// Special tokens that Gemma 4's answers are made of: readers of them must see them.
constexpr std::array<std::string_view, 7> kVisible = {
    "<|channel>",       "<channel|>",       "<|tool_call>", "<tool_call|>",
    "<|tool_response>", "<tool_response|>", "<|\"|>"};

constexpr float kScoreOfAdded = -1000;

void SetStrings(std::string key, std::vector<std::string> strings, Metadata& metadata) {
  metadata.Set(std::move(key), {ValueType::kArray, Array{ValueType::kString, std::move(strings)}});
}

Result<std::string_view> PreTokenizerName(const VocabularySpec& spec,
                                          std::string_view architecture) {
  if (!spec.split_steps) {
    return std::string_view(spec.pre_tokenizer);
  }
  std::vector<std::string_view> names;
  const auto* const usual = std::ranges::find(kUsualNames, architecture, &UsualName::architecture);
  if (usual != kUsualNames.end()) {
    names.push_back(usual->name);
  }
  names.insert(names.end(), kNames.begin(), kNames.end());
  std::erase_if(names,
                [&](std::string_view name) { return !text::CutsAs(*spec.split_steps, name); });
  if (names.empty()) {
    return Fail(ErrorKind::kBadModel,
                "tokenizer.json: its pre_tokenizer is none that GGUF has a name for");
  }
  // Whether words that are tokens are taken whole goes with the name; it matters only for tokens
  // that no merges lead to.
  const bool takes_words = spec.ignore_merges.value_or(false);
  const auto exact = std::ranges::find_if(names, [&](std::string_view name) {
    return text::FindPreTokenizer(name)->ignore_merges == takes_words;
  });
  return exact == names.end() ? names.front() : *exact;
}

// A token that is made earlier has a higher score: that of its place among all that merges make.
Result<std::vector<float>> ScoresOfMerges(const VocabularySpec& spec) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    ids.emplace(spec.tokens[id], id);
  }
  const auto lowest = -static_cast<float>(spec.merges.size()) - 1;
  std::vector<float> scores(spec.tokens.size(), lowest);
  std::vector<bool> is_made(spec.tokens.size());
  size_t last = spec.tokens.size();
  float score = 0;
  for (const std::string& merge : spec.merges) {
    const size_t space = merge.find(' ', 1);
    const auto found = ids.find(merge.substr(0, space) + merge.substr(space + 1));
    if (found == ids.end() || spec.types[found->second] != TokenType::kNormal) {
      continue;  // it is taken out of the text before
    }
    const size_t id = found->second;
    if (id == last) {
      continue;
    }
    if (is_made[id]) {
      return Fail(ErrorKind::kBadModel,
                  "tokenizer.json: model.merges make \"{}\" at several ranks, which GGUF's scores "
                  "cannot say",
                  spec.tokens[id]);
    }
    is_made[id] = true;
    scores[id] = score--;
    last = id;
  }
  return scores;
}

Result<> SetCharacterModel(const VocabularySpec& spec, std::string_view architecture,
                           Metadata& metadata) {
  if (architecture == "gemma4") {
    metadata.SetString("tokenizer.ggml.model", "gemma4");
    SetStrings("tokenizer.ggml.merges", spec.merges, metadata);
    return {};
  }
  metadata.SetString("tokenizer.ggml.model", "llama");
  metadata.SetString("tokenizer.ggml.pre", "default");
  auto scores =
      spec.merges.empty() ? Result<std::vector<float>>(spec.scores) : ScoresOfMerges(spec);
  if (!scores) {
    return Forward(scores);
  }
  scores->resize(spec.tokens.size(), kScoreOfAdded);
  for (size_t id = 0; id < spec.types.size(); ++id) {
    if (spec.types[id] != TokenType::kNormal) {
      (*scores)[id] = spec.types[id] == TokenType::kByte ? 0 : kScoreOfAdded;
    }
  }
  metadata.Set("tokenizer.ggml.scores",
               {ValueType::kArray,
                Array{ValueType::kF32, std::vector<double>(scores->begin(), scores->end())}});
  return {};
}

Result<> SetModel(const VocabularySpec& spec, Metadata& metadata) {
  const std::string architecture(metadata.String("general.architecture").value_or(""));
  if (spec.model == TokenizerModel::kUnigram) {
    return Fail(ErrorKind::kBadModel,
                "tokenizer.json: model.type: a Unigram model has no GGUF of this architecture");
  }
  if (spec.model == TokenizerModel::kSentencePieceBpe) {
    metadata.SetBool("tokenizer.ggml.add_space_prefix", spec.add_space_prefix);
    return SetCharacterModel(spec, architecture, metadata);
  }
  const auto pre = PreTokenizerName(spec, architecture);
  if (!pre) {
    return tl::unexpected<Error>(pre.error());
  }
  metadata.SetString("tokenizer.ggml.model", "gpt2");
  metadata.SetString("tokenizer.ggml.pre", std::string(*pre));
  SetStrings("tokenizer.ggml.merges", spec.merges, metadata);
  return {};
}

// Ids without a token have names that no text has.
void PadTokens(uint64_t n_rows, VocabularySpec& spec) {
  spec.types.resize(spec.tokens.size(), TokenType::kNormal);
  spec.types.resize(n_rows, TokenType::kUnused);
  spec.tokens.resize(n_rows);
  for (size_t id = 0; id < n_rows; ++id) {
    if (spec.tokens[id].empty()) {
      spec.tokens[id] = fmt::format("[PAD{}]", id);
      spec.types[id] = TokenType::kUnused;
    }
  }
}

void SetTypes(const VocabularySpec& spec, Metadata& metadata) {
  const bool is_gemma4 =
      metadata.StringOr("tokenizer.ggml.model", "").value_or("") == std::string_view("gemma4");
  std::vector<int64_t> types;
  for (size_t id = 0; id < spec.types.size(); ++id) {
    const bool is_visible =
        is_gemma4 && std::ranges::find(kVisible, spec.tokens[id]) != kVisible.end();
    types.push_back(static_cast<int64_t>(is_visible ? TokenType::kUserDefined : spec.types[id]));
  }
  metadata.Set("tokenizer.ggml.token_type",
               {ValueType::kArray, Array{ValueType::kI32, std::move(types)}});
}

// The tokenizer's own ids count before those of config.json, which are there already.
void SetIds(const VocabularySpec& spec, Metadata& metadata) {
  const std::pair<std::string_view, std::optional<TokenId>> ids[] = {
      {"bos", spec.bos}, {"eos", spec.eos}, {"unknown", spec.unk}, {"padding", spec.pad}};
  for (const auto& [name, id] : ids) {
    if (id) {
      metadata.SetU32(fmt::format("tokenizer.ggml.{}_token_id", name), static_cast<uint32_t>(*id));
    }
  }
  const auto eos = metadata.U32Or("tokenizer.ggml.eos_token_id", 0).value_or(0);
  const auto other = std::ranges::find_if(
      spec.extra_end_tokens, [eos](TokenId id) { return static_cast<uint32_t>(id) != eos; });
  if (other != spec.extra_end_tokens.end()) {
    metadata.SetU32("tokenizer.ggml.eot_token_id", static_cast<uint32_t>(*other));
  }
}

}  // namespace

Result<> VocabularyToMetadata(const VocabularySpec& spec, uint64_t n_rows, Metadata& metadata) {
  if (spec.tokens.size() > n_rows) {
    return Fail(ErrorKind::kBadModel, "tokenizer.json: {} tokens, and the embedding has {} rows",
                spec.tokens.size(), n_rows);
  }
  VocabularySpec padded = spec;
  PadTokens(n_rows, padded);
  if (auto set = SetModel(padded, metadata); !set) {
    return set;
  }
  SetTypes(padded, metadata);
  SetIds(padded, metadata);
  metadata.SetBool("tokenizer.ggml.add_bos_token", padded.add_bos.value_or(false));
  metadata.SetBool("tokenizer.ggml.add_eos_token", padded.add_eos.value_or(false));
  SetStrings("tokenizer.ggml.tokens", std::move(padded.tokens), metadata);
  return {};
}

}  // namespace plimsoll::engine
