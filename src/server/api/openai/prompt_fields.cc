#include "server/api/openai/prompt_fields.h"

#include <limits>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

namespace plimsoll::server::api::openai {

std::vector<TokenId> ReadTokens(const Field& field, uint64_t least) {
  std::vector<TokenId> tokens;
  for (const int64_t id :
       field.Integers({0, std::numeric_limits<TokenId>::max()}, {.least = least})) {
    tokens.push_back(static_cast<TokenId>(id));
  }
  return tokens;
}

std::vector<TextOrTokens> ReadTexts(const Field& field, uint64_t most) {
  std::vector<TextOrTokens> texts;
  if (!field.is_array()) {
    if (const auto text = field.String({.least = 1})) texts.emplace_back(std::string(*text));
    return texts;
  }
  const boost::json::array& array = field.value()->get_array();
  if (!array.empty() && array[0].is_number()) {
    texts.emplace_back(ReadTokens(field, 1));
    return texts;
  }
  for (const Field& item : field.Array({.least = 1, .most = most})) {
    if (item.is_array()) {
      texts.emplace_back(ReadTokens(item, 1));
    } else if (item.present()) {
      texts.emplace_back(std::string(item.String({.least = 1}).value_or("")));
    } else {
      item.Fail("invalid_type", "must be a string or an array of tokens; it is null");
    }
  }
  return texts;
}

}  // namespace plimsoll::server::api::openai
