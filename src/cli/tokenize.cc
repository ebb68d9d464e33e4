#include "cli/tokenize.h"

#include <algorithm>
#include <charconv>
#include <istream>
#include <iterator>
#include <ostream>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "text/tokenizer.h"

namespace plimsoll::cli {
namespace {

std::string Join(const std::vector<TokenId>& ids) {
  std::string line;
  for (const TokenId id : ids) {
    if (!line.empty()) {
      line.push_back(' ');
    }
    line.append(std::to_string(id));
  }
  line.push_back('\n');
  return line;
}

Result<std::vector<TokenId>> ParseVocabularyIds(std::string_view text, size_t n_tokens) {
  constexpr std::string_view kSeparators = " \t\r\n,";
  std::vector<TokenId> ids;
  size_t begin = text.find_first_not_of(kSeparators);
  while (begin != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(kSeparators, begin), text.size());
    const std::string_view number = text.substr(begin, end - begin);
    TokenId id = 0;
    const auto [rest, error] = std::from_chars(number.begin(), number.end(), id);
    if (error != std::errc() || rest != number.end() || id < 0 ||
        static_cast<size_t>(id) >= n_tokens) {
      return Fail(ErrorKind::kUsage, "\"{}\" is no token id: they are numbers from 0 to {}",
                  number.substr(0, 40), n_tokens - 1);
    }
    ids.push_back(id);
    begin = text.find_first_not_of(kSeparators, end);
  }
  return ids;
}

std::string Encode(const text::Tokenizer& tokenizer, std::string_view text,
                   const TokenizeOptions& options) {
  std::vector<TokenId> ids =
      tokenizer.Encode(text, {.add_bos_eos = false, .parse_special = options.parse_special});
  if (options.bos && tokenizer.spec().bos) {
    ids.insert(ids.begin(), *tokenizer.spec().bos);
  }
  return Join(ids);
}

Result<std::string> Decode(const text::Tokenizer& tokenizer, std::string_view text,
                           const TokenizeOptions& options) {
  auto ids = ParseVocabularyIds(text, tokenizer.size());
  if (!ids) {
    return Forward(ids);
  }
  if (options.bos && !ids->empty() && ids->front() == tokenizer.spec().bos) {
    ids->erase(ids->begin());
  }
  return tokenizer.Decode(*ids, true);
}

}  // namespace

Result<> Tokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out) {
  const auto tokenizer = engine::LoadTokenizer(options.model);
  if (!tokenizer) {
    return tl::unexpected(tokenizer.error());
  }
  std::string text;
  if (options.prompt) {
    text = *options.prompt;
  } else {
    text.assign(std::istreambuf_iterator<char>(in), {});
    if (in.bad()) {
      return Fail(ErrorKind::kIo, "cannot read standard input");
    }
  }
  std::string result;
  if (options.decode) {
    auto decoded = Decode(**tokenizer, text, options);
    if (!decoded) {
      return Forward(decoded);
    }
    result = std::move(*decoded);
  } else {
    result = Encode(**tokenizer, text, options);
  }
  out.write(result.data(), static_cast<std::streamsize>(result.size()));
  out.flush();
  if (!out) {
    return Fail(ErrorKind::kIo, "cannot write to standard output");
  }
  return {};
}

}  // namespace plimsoll::cli
