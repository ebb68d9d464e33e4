#include <bit>
#include <cstring>
#include <string>
#include <string_view>

#include "base/json_text.h"
#include "base/utf8.h"
#include "server/api/openai/replies.h"
#include "server/api/openai/reply_parts.h"
#include "server/api/retry_headers.h"

namespace plimsoll::server::api::openai {
namespace {

constexpr std::string_view kBase64Digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string Base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const std::string_view group = bytes.substr(i, 3);
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (k < group.size() ? static_cast<unsigned char>(group[k]) : 0U);
    }
    for (size_t k = 0; k < 4; ++k) {
      out += k <= group.size() ? kBase64Digits[bits >> (18 - 6 * k) & 63U] : '=';
    }
  }
  return out;
}

std::string LittleEndianBytes(std::span<const float> numbers) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(numbers.size_bytes(), '\0');
  std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

void WriteModel(const ModelEntry& model, JsonText& json) {
  json.BeginObject().Key("id").String(model.id).Key("object").String("model");
  json.Key("created").Number(model.created).Key("owned_by").String(model.owned_by).EndObject();
}

void WritePiece(std::string_view bytes, JsonText& json) {
  if (TokenSpelling(bytes) == bytes) {
    json.String(bytes);
    return;
  }
  json.BeginArray();
  for (const char c : bytes) json.Number(static_cast<unsigned char>(c));
  json.EndArray();
}

std::string ObjectOf(std::string_view key, std::string_view text) {
  JsonText json;
  return json.BeginObject().Key(key).String(text).EndObject().text();
}

}  // namespace

std::string ErrorBody(const ApiError& error) {
  JsonText json;
  json.BeginObject().Key("error");
  WriteError(error, json);
  return json.EndObject().text();
}

http::Response ErrorResponse(const ApiError& error) {
  return {.status = error.status, .body = ErrorBody(error), .headers = RetryHeaders(error)};
}

std::string EmbeddingReply(std::string_view model, std::span<const std::vector<float>> vectors,
                           bool base64, uint64_t n_prompt_tokens) {
  JsonText json;
  json.BeginObject().Key("object").String("list").Key("data").BeginArray();
  for (size_t i = 0; i < vectors.size(); ++i) {
    json.BeginObject().Key("object").String("embedding").Key("index").Number(i).Key("embedding");
    if (base64) {
      json.String(Base64(LittleEndianBytes(vectors[i])));
    } else {
      json.BeginArray();
      for (const float number : vectors[i]) json.Number(number);
      json.EndArray();
    }
    json.EndObject();
  }
  json.EndArray().Key("model").String(model).Key("usage").BeginObject();
  json.Key("prompt_tokens").Number(n_prompt_tokens);
  json.Key("total_tokens").Number(n_prompt_tokens).EndObject();
  return json.EndObject().text();
}

std::string ModelList(std::span<const ModelEntry> models) {
  JsonText json;
  json.BeginObject().Key("object").String("list").Key("data").BeginArray();
  for (const ModelEntry& model : models) WriteModel(model, json);
  return json.EndArray().EndObject().text();
}

std::string ModelObject(const ModelEntry& model) {
  JsonText json;
  WriteModel(model, json);
  return json.text();
}

std::string TokenizeReply(std::span<const TokenId> tokens, bool with_pieces,
                          const text::Tokenizer& tokenizer) {
  JsonText json;
  json.BeginObject().Key("tokens").BeginArray();
  for (const TokenId token : tokens) {
    if (with_pieces) {
      json.BeginObject().Key("id").Number(token).Key("piece");
      WritePiece(tokenizer.Piece(token, true), json);
      json.EndObject();
    } else {
      json.Number(token);
    }
  }
  return json.EndArray().EndObject().text();
}

std::string DetokenizeReply(std::string_view content) { return ObjectOf("content", content); }

std::string ApplyTemplateReply(std::string_view prompt) { return ObjectOf("prompt", prompt); }

}  // namespace plimsoll::server::api::openai
