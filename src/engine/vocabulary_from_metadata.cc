#include "engine/vocabulary_from_metadata.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/checked.h"
#include "engine/engine.h"
#include "io/file.h"
#include "sampling/constrained_memory.h"
#include "text/tokenizer_json.h"

namespace plimsoll::engine {
namespace {

using formats::Metadata;
using text::TokenizerModel;
using text::TokenType;
using text::VocabularySpec;

constexpr std::string_view kTokenizerJson = "plimsoll.tokenizer_json";

// The meaning of the keys, and what holds when one is missing, are those of ggml-org/llama.cpp,
// src/llama-vocab.cpp.

Result<> ReadModel(const Metadata& metadata, VocabularySpec& spec) {
  const auto model = metadata.String("tokenizer.ggml.model");
  if (!model) {
    return tl::unexpected(model.error());
  }
  if (*model == "gpt2") {
    spec.model = TokenizerModel::kByteBpe;
  } else if (*model == "llama") {
    spec.model = TokenizerModel::kSentencePieceBpe;
    spec.bos = 1;
    spec.eos = 2;
    spec.unk = 0;
  } else if (*model == "gemma4") {
    // A list of merges over characters; spaces are marked as SentencePiece does.
    spec.model = TokenizerModel::kSentencePieceBpe;
    spec.lists_merges = true;
    spec.add_space_prefix = false;
    spec.add_bos = true;
  } else if (*model == "t5") {
    spec.model = TokenizerModel::kUnigram;
    spec.eos = 1;
    spec.unk = 2;
    spec.pad = 0;
  } else {
    return Fail(ErrorKind::kBadModel,
                "tokenizer.ggml.model: the tokenizer \"{}\" is not supported.\n"
                "Supported: gpt2 (byte-level BPE), llama and gemma4 (SentencePiece BPE), t5 "
                "(unigram)",
                *model);
  }
  const auto pre = metadata.StringOr("tokenizer.ggml.pre", "");
  if (!pre) {
    return tl::unexpected(pre.error());
  }
  spec.pre_tokenizer = *pre;
  return {};
}

Result<> ReadTokens(const Metadata& metadata, VocabularySpec& spec) {
  const auto tokens = metadata.Strings("tokenizer.ggml.tokens");
  if (!tokens) {
    return tl::unexpected(tokens.error());
  }
  if (*tokens == nullptr) {
    return Fail(ErrorKind::kBadModel, "tokenizer.ggml.tokens: missing");
  }
  spec.tokens = **tokens;
  const auto merges = metadata.Strings("tokenizer.ggml.merges");
  if (!merges) {
    return tl::unexpected(merges.error());
  }
  if (spec.model != TokenizerModel::kByteBpe && !spec.lists_merges) {
    return {};
  }
  if (*merges == nullptr) {
    return Fail(ErrorKind::kBadModel,
                "tokenizer.ggml.merges: missing, and the tokenizer {} needs it",
                spec.lists_merges ? "gemma4" : "gpt2");
  }
  spec.merges = **merges;
  return {};
}

// `n` values for `n` tokens.
Result<> CheckLength(std::string_view key, size_t n, size_t n_tokens) {
  if (n != n_tokens) {
    return Fail(ErrorKind::kBadModel, "{}: {} values for {} tokens", key, n, n_tokens);
  }
  return {};
}

Result<> ReadScores(const Metadata& metadata, VocabularySpec& spec) {
  constexpr std::string_view kKey = "tokenizer.ggml.scores";
  auto scores = metadata.Floats(kKey);
  if (!scores) {
    return Forward(scores);
  }
  if (!*scores) {
    return {};
  }
  spec.scores = std::move(**scores);
  return CheckLength(kKey, spec.scores.size(), spec.tokens.size());
}

Result<> ReadTypes(const Metadata& metadata, VocabularySpec& spec) {
  constexpr std::string_view kKey = "tokenizer.ggml.token_type";
  const auto types = metadata.Integers(kKey);
  if (!types) {
    return tl::unexpected(types.error());
  }
  if (!*types) {
    return {};
  }
  if (auto checked = CheckLength(kKey, (*types)->size(), spec.tokens.size()); !checked) {
    return checked;
  }
  spec.types.reserve(spec.tokens.size());
  for (const int64_t type : **types) {
    // 0 is "undefined"; some converters wrote it for ordinary tokens.
    if (type < 0 || type > static_cast<int64_t>(TokenType::kByte)) {
      return Fail(ErrorKind::kBadModel, "{}: token {} has the unknown type {}", kKey,
                  spec.types.size(), type);
    }
    spec.types.push_back(type == 0 ? TokenType::kNormal : static_cast<TokenType>(type));
  }
  return {};
}

Result<> ReadId(const Metadata& metadata, std::string_view name, size_t n_tokens,
                std::optional<TokenId>& id) {
  const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
  if (!metadata.Has(key)) {
    // A family's usual id may be beyond a small vocabulary.
    if (id && static_cast<size_t>(*id) >= n_tokens) {
      id.reset();
    }
    return {};
  }
  const auto value = metadata.U32(key);
  if (!value) {
    return tl::unexpected(value.error());
  }
  const auto token = CheckedCast<TokenId>(*value);
  if (!token || *value >= n_tokens) {
    return Fail(ErrorKind::kBadModel, "{}: {} is not among the {} tokens", key, *value, n_tokens);
  }
  id = *token;
  return {};
}

Result<> ReadIds(const Metadata& metadata, VocabularySpec& spec) {
  std::optional<TokenId> end_of_message;
  const std::pair<std::string_view, std::optional<TokenId>*> ids[] = {
      {"bos", &spec.bos},     {"eos", &spec.eos},     {"eot", &spec.eot},
      {"unknown", &spec.unk}, {"padding", &spec.pad}, {"eom", &end_of_message}};
  for (const auto& [name, id] : ids) {
    if (auto read = ReadId(metadata, name, spec.tokens.size(), *id); !read) {
      return read;
    }
  }
  if (end_of_message) {
    spec.extra_end_tokens.push_back(*end_of_message);
  }
  return {};
}

Result<> ReadFlags(const Metadata& metadata, VocabularySpec& spec) {
  const auto read = [&](std::string_view key, auto& flag) -> Result<> {
    if (metadata.Has(key)) {
      const auto value = metadata.BoolOr(key, false);
      if (!value) {
        return tl::unexpected(value.error());
      }
      flag = *value;
    }
    return {};
  };
  if (auto r = read("tokenizer.ggml.add_bos_token", spec.add_bos); !r) {
    return r;
  }
  if (auto r = read("tokenizer.ggml.add_eos_token", spec.add_eos); !r) {
    return r;
  }
  if (auto r = read("tokenizer.ggml.add_space_prefix", spec.add_space_prefix); !r) {
    return r;
  }
  return read("tokenizer.ggml.remove_extra_whitespaces", spec.remove_extra_whitespaces);
}

// The tokens that config.json ends a generation with; those beyond the vocabulary end nothing.
Result<> AddConfiguredEnds(const Metadata& metadata, VocabularySpec& spec) {
  const auto ends = metadata.Integers("plimsoll.eos_token_ids");
  if (!ends) {
    return tl::unexpected(ends.error());
  }
  for (const int64_t id : ends->value_or(std::vector<int64_t>())) {
    if (const auto token = CheckedCast<TokenId>(id);
        token && *token >= 0 && static_cast<size_t>(*token) < spec.tokens.size()) {
      spec.extra_end_tokens.push_back(*token);
    }
  }
  return {};
}

Result<VocabularySpec> FromGguf(const Metadata& metadata) {
  VocabularySpec spec;
  for (const auto read : {ReadModel, ReadTokens, ReadScores, ReadTypes, ReadIds, ReadFlags}) {
    if (auto done = read(metadata, spec); !done) {
      return Forward(done);
    }
  }
  if (metadata.Has("tokenizer.ggml.precompiled_charsmap")) {
    return Fail(ErrorKind::kBadModel,
                "tokenizer.ggml.precompiled_charsmap: a tokenizer with its own table of character "
                "replacements is not supported");
  }
  if (auto added = AddConfiguredEnds(metadata, spec); !added) {
    return Forward(added);
  }
  return spec;
}

Result<VocabularySpec> FromTokenizerJson(const std::filesystem::path& path,
                                         const Metadata& metadata) {
  auto json = io::ReadWhole(path, text::kMaxTokenizerJsonBytes);
  if (!json) {
    return Forward(json);
  }
  const auto config_path = path.parent_path() / "tokenizer_config.json";
  std::string config;
  std::error_code error;
  if (std::filesystem::exists(config_path, error)) {
    auto read = io::ReadWhole(config_path, text::kMaxTokenizerJsonBytes);
    if (!read) {
      return Forward(read);
    }
    config = std::move(*read);
  }
  auto spec = text::TokenizerJson(*json, config);
  if (!spec) {
    return Fail(spec.error().kind, "{}: {}", path.string(), spec.error().message);
  }
  if (auto added = AddConfiguredEnds(metadata, *spec); !added) {
    return Forward(added);
  }
  return spec;
}

}  // namespace

Result<VocabularySpec> VocabularyFromMetadata(const Metadata& metadata) {
  if (metadata.Has(kTokenizerJson)) {
    const auto path = metadata.String(kTokenizerJson);
    if (!path) {
      return tl::unexpected(path.error());
    }
    return FromTokenizerJson(std::filesystem::path(*path), metadata);
  }
  return FromGguf(metadata);
}

uint64_t TokenizerMemory(const text::Tokenizer& tokenizer, const EngineOptions& options) {
  const uint32_t n_answers = ConstrainedAnswers(tokenizer, options);
  return tokenizer.Bytes() + (options.constrained
                                  ? sampling::ConstrainedMemoryOf(tokenizer).total(n_answers)
                                  : uint64_t{0});
}

uint32_t ConstrainedAnswers(const text::Tokenizer& tokenizer, const EngineOptions& options) {
  if (!options.constrained) {
    return 0;
  }
  return options.batches ? sampling::AnswersWithRoom(tokenizer.size(), options.n_parallel)
                         : options.n_parallel;
}

}  // namespace plimsoll::engine
