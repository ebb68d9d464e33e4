#include "text/tokenizer_json.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include <simdjson.h>

#include "text/json_field.h"
#include "text/tokenizer_json_steps.h"

namespace plimsoll::text {
namespace {

namespace dom = simdjson::dom;

// Ids that no entry names become unused tokens; a file cannot ask for more of them than this.
constexpr uint64_t kMaxUnnamedTokens = 65536;

struct Entry {
  std::string spelling;
  TokenType type = TokenType::kNormal;
  float score = 0;
};

// The vocabulary by id, as its parts name it.
using Entries = std::map<uint64_t, Entry>;

Result<uint64_t> TokenNumber(dom::element value, const std::string& field) {
  uint64_t id = 0;
  if (value.get(id) != simdjson::SUCCESS || id >= uint64_t{1} << 24) {
    return Fail(ErrorKind::kBadModel, "{}: not a token id", field);
  }
  return id;
}

Result<> ReadBpeVocabulary(dom::object model, Entries& entries) {
  auto vocab = Field<dom::object>(model, "vocab", "model.vocab");
  if (!vocab) {
    return Forward(vocab);
  }
  for (const auto& [spelling, value] : *vocab) {
    auto id = TokenNumber(value, fmt::format("model.vocab[\"{}\"]", spelling));
    if (!id) {
      return Forward(id);
    }
    if (!entries.emplace(*id, Entry{std::string(spelling)}).second) {
      return Fail(ErrorKind::kBadModel, "model.vocab: two tokens have the id {}", *id);
    }
  }
  return {};
}

Result<> ReadMerges(dom::object model, VocabularySpec& spec) {
  auto merges = Field<dom::array>(model, "merges", "model.merges");
  if (!merges) {
    return Forward(merges);
  }
  size_t i = 0;
  for (const dom::element merge : *merges) {
    std::string_view text;
    std::string_view left;
    std::string_view right;
    if (merge.get(text) == simdjson::SUCCESS) {
      spec.merges.emplace_back(text);
    } else if (merge.at_pointer("/0").get(left) == simdjson::SUCCESS &&
               merge.at_pointer("/1").get(right) == simdjson::SUCCESS && !left.empty() &&
               left.find(' ', 1) == std::string_view::npos) {
      spec.merges.push_back(fmt::format("{} {}", left, right));
    } else {
      return Fail(ErrorKind::kBadModel, "model.merges[{}]: not a pair of symbols", i);
    }
    ++i;
  }
  return {};
}

Result<> RefuseString(dom::object object, std::string_view key) {
  const auto value = FieldOr<std::string_view>(object, key, {});
  if (!value.empty()) {
    return Fail(ErrorKind::kBadModel, "model.{}: \"{}\" is not supported", key, value);
  }
  return {};
}

Result<> ReadBpe(dom::object model, VocabularySpec& spec, Entries& entries) {
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (auto checked = RefuseString(model, key); !checked) {
      return checked;
    }
  }
  if (auto read = ReadBpeVocabulary(model, entries); !read) {
    return read;
  }
  if (auto read = ReadMerges(model, spec); !read) {
    return read;
  }
  spec.ignore_merges = FieldOr<bool>(model, "ignore_merges", false);
  return {};
}

Result<> ReadUnigram(dom::object model, VocabularySpec& spec, Entries& entries) {
  spec.model = TokenizerModel::kUnigram;
  auto vocab = Field<dom::array>(model, "vocab", "model.vocab");
  if (!vocab) {
    return Forward(vocab);
  }
  uint64_t id = 0;
  for (const dom::element pair : *vocab) {
    std::string_view spelling;
    double score = 0;
    if (pair.at_pointer("/0").get(spelling) != simdjson::SUCCESS ||
        pair.at_pointer("/1").get(score) != simdjson::SUCCESS) {
      return Fail(ErrorKind::kBadModel, "model.vocab[{}]: not a token and its score", id);
    }
    entries[id++] = {std::string(spelling), TokenType::kNormal, static_cast<float>(score)};
  }
  const auto unknown = model["unk_id"];
  if (unknown.error() == simdjson::SUCCESS && !unknown.value_unsafe().is_null()) {
    auto number = TokenNumber(unknown.value_unsafe(), "model.unk_id");
    if (!number) {
      return Forward(number);
    }
    if (*number >= entries.size()) {
      return Fail(ErrorKind::kBadModel, "model.unk_id: {} is not among the {} tokens", *number,
                  entries.size());
    }
    spec.unk = static_cast<TokenId>(*number);
    entries[*number].type = TokenType::kUnknown;
  }
  return {};
}

// Which of the tokens <0x00> to <0xFF> stand for bytes: all, when the model falls back to bytes.
void MarkByteTokens(Entries& entries) {
  for (auto& [id, entry] : entries) {
    if (entry.spelling.size() == 6 && entry.spelling.starts_with("<0x") &&
        entry.spelling.ends_with('>')) {
      entry.type = TokenType::kByte;
    }
  }
}

Result<> ReadModel(dom::object root, VocabularySpec& spec, Entries& entries) {
  auto model = Field<dom::object>(root, "model", "model");
  if (!model) {
    return Forward(model);
  }
  std::string_view type;
  if ((*model)["type"].get(type) != simdjson::SUCCESS) {
    // Old files leave it out; of the supported models only BPE has merges.
    type = (*model)["merges"].error() == simdjson::SUCCESS ? "BPE" : "Unigram";
  }
  if (type != "BPE" && type != "Unigram") {
    return Fail(ErrorKind::kBadModel,
                "model.type: \"{}\" is not supported.\nSupported: BPE, Unigram", type);
  }
  auto read = type == "BPE" ? ReadBpe(*model, spec, entries) : ReadUnigram(*model, spec, entries);
  if (!read) {
    return read;
  }
  if (FieldOr<bool>(*model, "byte_fallback", false)) {
    MarkByteTokens(entries);
  }
  std::string_view unknown;
  if (type == "BPE" && (*model)["unk_token"].get(unknown) == simdjson::SUCCESS) {
    for (auto& [id, entry] : entries) {
      if (entry.spelling == unknown) {
        spec.unk = static_cast<TokenId>(id);
      }
    }
  }
  return {};
}

Result<> ReadAddedTokens(dom::object root, VocabularySpec& spec, Entries& entries) {
  dom::array added;
  if (root["added_tokens"].get(added) != simdjson::SUCCESS) {
    return {};
  }
  size_t i = 0;
  for (const dom::element token : added) {
    const std::string name = fmt::format("added_tokens[{}]", i++);
    std::string_view content;
    auto number = Field<dom::element>(token, "id", name + ".id");
    if (!number) {
      return Forward(number);
    }
    auto id = TokenNumber(*number, name + ".id");
    if (!id) {
      return Forward(id);
    }
    if (token["content"].get(content) != simdjson::SUCCESS) {
      return Fail(ErrorKind::kBadModel, "{}.content: not a string", name);
    }
    const auto flag = [&token](std::string_view key) { return FieldOr<bool>(token, key, false); };
    Entry& entry = entries[*id];
    entry.spelling = content;
    entry.type = flag("special") ? TokenType::kControl : TokenType::kUserDefined;
    if (flag("lstrip")) {
      spec.strips_left.push_back(static_cast<TokenId>(*id));
    }
    if (flag("rstrip")) {
      spec.strips_right.push_back(static_cast<TokenId>(*id));
    }
  }
  return {};
}

Result<> FillTokens(Entries entries, VocabularySpec& spec) {
  if (entries.empty()) {
    return Fail(ErrorKind::kBadModel, "model.vocab: it is empty");
  }
  const uint64_t n_tokens = entries.rbegin()->first + 1;
  if (n_tokens - entries.size() > kMaxUnnamedTokens) {
    return Fail(ErrorKind::kBadModel, "model.vocab: {} tokens have ids up to {}", entries.size(),
                n_tokens - 1);
  }
  spec.tokens.resize(n_tokens);
  spec.types.assign(n_tokens, TokenType::kUnused);
  if (spec.model != TokenizerModel::kByteBpe) {
    spec.scores.assign(n_tokens, 0);
  }
  for (auto& [id, entry] : entries) {
    spec.tokens[id] = std::move(entry.spelling);
    spec.types[id] = entry.type;
    if (!spec.scores.empty()) {
      spec.scores[id] = entry.score;
    }
  }
  return {};
}

// "<s>", or {"content": "<s>", ...}; empty when there is none.
std::string_view TokenName(dom::object config, std::string_view key) {
  const auto name = FieldOr<std::string_view>(config, key, {});
  return name.empty() ? FieldOr<std::string_view>(config[key], "content", {}) : name;
}

Result<> ReadConfig(dom::object config, VocabularySpec& spec) {
  const std::pair<std::string_view, std::optional<TokenId>*> names[] = {{"bos_token", &spec.bos},
                                                                        {"eos_token", &spec.eos},
                                                                        {"unk_token", &spec.unk},
                                                                        {"pad_token", &spec.pad}};
  for (const auto& [key, id] : names) {
    const std::string_view name = TokenName(config, key);
    const auto found = std::find(spec.tokens.begin(), spec.tokens.end(), name);
    if (!name.empty() && found != spec.tokens.end()) {
      *id = static_cast<TokenId>(found - spec.tokens.begin());
    }
  }
  bool flag = false;
  if (config["add_bos_token"].get(flag) == simdjson::SUCCESS) {
    spec.add_bos = flag && spec.bos;
  }
  if (config["add_eos_token"].get(flag) == simdjson::SUCCESS) {
    spec.add_eos = flag && spec.eos;
  }
  return {};
}

// What the post-processor adds counts where tokenizer_config.json does not say: a template that
// begins with a special token begins with BOS.
void ReadPostProcessor(dom::element processor, VocabularySpec& spec) {
  dom::array processors;
  if (processor["processors"].get(processors) == simdjson::SUCCESS) {
    for (const dom::element part : processors) {
      if (FieldOr<std::string_view>(part, "type", {}) == "TemplateProcessing") {
        ReadPostProcessor(part, spec);
      }
    }
    return;
  }
  dom::array single;
  if (processor["single"].get(single) != simdjson::SUCCESS) {
    return;
  }
  const auto find = [&](std::string_view name) -> std::optional<TokenId> {
    const auto found = std::find(spec.tokens.begin(), spec.tokens.end(), name);
    return found == spec.tokens.end()
               ? std::nullopt
               : std::optional(static_cast<TokenId>(found - spec.tokens.begin()));
  };
  bool before_text = true;
  for (const dom::element part : single) {
    std::string_view name;
    if (part["SpecialToken"]["id"].get(name) != simdjson::SUCCESS) {
      before_text = false;
      continue;
    }
    const auto id = find(name);
    auto& token = before_text ? spec.bos : spec.eos;
    auto& add = before_text ? spec.add_bos : spec.add_eos;
    if (id && (!token || token == id)) {
      token = id;
      add = add.value_or(true);
    }
  }
}

}  // namespace

Result<VocabularySpec> TokenizerJson(std::string_view json, std::string_view config) {
  if (json.size() > kMaxTokenizerJsonBytes || config.size() > kMaxTokenizerJsonBytes) {
    return Fail(ErrorKind::kBadModel, "tokenizer.json: more than {} bytes", kMaxTokenizerJsonBytes);
  }
  dom::parser parser(kMaxTokenizerJsonBytes);
  dom::object root;
  if (const auto error = parser.parse(simdjson::padded_string(json)).get(root);
      error != simdjson::SUCCESS) {
    return Fail(ErrorKind::kBadModel, "tokenizer.json: {}", simdjson::error_message(error));
  }
  VocabularySpec spec;
  Entries entries;
  if (auto read = ReadModel(root, spec, entries); !read) {
    return Forward(read);
  }
  if (auto read = ReadAddedTokens(root, spec, entries); !read) {
    return Forward(read);
  }
  if (auto read = ReadTextSteps(root, spec); !read) {
    return Forward(read);
  }
  if (auto filled = FillTokens(std::move(entries), spec); !filled) {
    return Forward(filled);
  }
  if (!config.empty()) {
    dom::parser config_parser(kMaxTokenizerJsonBytes);
    dom::object config_root;
    if (const auto error = config_parser.parse(simdjson::padded_string(config)).get(config_root);
        error != simdjson::SUCCESS) {
      return Fail(ErrorKind::kBadModel, "tokenizer_config.json: {}",
                  simdjson::error_message(error));
    }
    if (auto read = ReadConfig(config_root, spec); !read) {
      return Forward(read);
    }
  }
  if (const auto processor = root["post_processor"]; processor.error() == simdjson::SUCCESS) {
    ReadPostProcessor(processor.value_unsafe(), spec);
  }
  spec.add_bos = spec.add_bos.value_or(false);
  spec.add_eos = spec.add_eos.value_or(false);
  return spec;
}

}  // namespace plimsoll::text
