#include <string>
#include <string_view>
#include <utility>

#include <boost/json/value.hpp>

#include "server/api/json/parse_body.h"
#include "server/api/openai/prompt_fields.h"
#include "server/api/openai/requests.h"

namespace plimsoll::server::api::openai {

ApiResult<EmbeddingRequest> ParseEmbeddingRequest(std::string_view body) {
  const auto parsed = ParseBody(body);
  if (!parsed) return tl::unexpected(parsed.error());
  Reading reading;
  Fields fields = reading.Open(*parsed);
  EmbeddingRequest request;
  request.model = fields["model"].String({.most = 1024}).value_or("");
  request.inputs = ReadTexts(fields.Required("input"), kMaxInputs);
  request.base64 = fields["encoding_format"].OneOf({"float", "base64"}) == 1U;
  if (const Field dimensions = fields["dimensions"]; dimensions.present()) {
    dimensions.FailUnsupported("a vector has the model's own dimensions");
  }
  (void)fields["user"].String();
  fields.NoteUnknown();
  if (reading.error) return tl::unexpected(std::move(*reading.error));
  request.unknown = std::move(reading.unknown);
  return request;
}

ApiResult<TokenizeRequest> ParseTokenizeRequest(std::string_view body) {
  const auto parsed = ParseBody(body);
  if (!parsed) return tl::unexpected(parsed.error());
  Reading reading;
  Fields fields = reading.Open(*parsed);
  TokenizeRequest request;
  request.model = fields["model"].String({.most = 1024}).value_or("");
  request.content = fields.Required("content").String().value_or("");
  request.add_special = fields["add_special"].Bool().value_or(false);
  request.parse_special = fields["parse_special"].Bool().value_or(true);
  request.with_pieces = fields["with_pieces"].Bool().value_or(false);
  if (reading.error) return tl::unexpected(std::move(*reading.error));
  return request;
}

ApiResult<DetokenizeRequest> ParseDetokenizeRequest(std::string_view body) {
  const auto parsed = ParseBody(body);
  if (!parsed) return tl::unexpected(parsed.error());
  Reading reading;
  Fields fields = reading.Open(*parsed);
  DetokenizeRequest request;
  request.model = fields["model"].String({.most = 1024}).value_or("");
  request.tokens = ReadTokens(fields.Required("tokens"), 0);
  if (reading.error) return tl::unexpected(std::move(*reading.error));
  return request;
}

}  // namespace plimsoll::server::api::openai
