// tokenizer.json and the tokenizer made from it on whatever the fuzzer makes up: neither may crash,
// and what encodes must decode. The file, its tokenizer_config.json and a text are separated by
// kNextPart.
#include <cstdint>
#include <string_view>

#include "base/invariant.h"
#include "fuzz/seeds.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json.h"

using plimsoll::Invariant;
using plimsoll::TokenId;
using plimsoll::text::Detokenizer;
using plimsoll::text::Tokenizer;

namespace {

std::string_view TakePart(std::string_view& input) {
  const size_t end = input.find(plimsoll::fuzz::kNextPart);
  const std::string_view part = input.substr(0, end);
  input.remove_prefix(end == std::string_view::npos ? input.size()
                                                    : end + plimsoll::fuzz::kNextPart.size());
  return part;
}

void CheckText(const Tokenizer& tokenizer, std::string_view text, bool parse_special) {
  const auto tokens = tokenizer.Encode(text, {.add_bos_eos = true, .parse_special = parse_special});
  Detokenizer stream(tokenizer, parse_special);
  std::string streamed;
  for (const TokenId token : tokens) {
    Invariant(token >= 0 && static_cast<size_t>(token) < tokenizer.size(), "ids are tokens");
    streamed += stream.Add(token);
  }
  streamed += stream.Flush();
  Invariant(streamed == tokenizer.Decode(tokens, parse_special), "streaming loses nothing");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view json = TakePart(input);
  const std::string_view config = TakePart(input);
  auto spec = plimsoll::text::TokenizerJson(json, config);
  if (!spec) {
    return 0;
  }
  const auto tokenizer = Tokenizer::Create(std::move(*spec));
  if (tokenizer) {
    CheckText(**tokenizer, input, false);
    CheckText(**tokenizer, input, true);
    Invariant((*tokenizer)->Bytes() > 0, "a tokenizer holds memory");
  }
  return 0;
}
