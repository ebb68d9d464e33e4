#include "server/api/responses/output_item.h"

namespace plimsoll::server::api::responses {
namespace {

void WriteToken(JsonText& json, const TokenText& token) {
  json.Key("token").String(token.text).Key("bytes").BeginArray();
  for (const char c : token.text) json.Number(static_cast<unsigned>(static_cast<unsigned char>(c)));
  json.EndArray().Key("logprob").Number(token.logprob);
}

}  // namespace

void WriteTokenReports(JsonText& json, const std::vector<TokenReport>& tokens) {
  json.BeginArray();
  for (const TokenReport& report : tokens) {
    json.BeginObject();
    WriteToken(json, report.token);
    json.Key("top_logprobs").BeginArray();
    for (const TokenText& other : report.top) {
      json.BeginObject();
      WriteToken(json, other);
      json.EndObject();
    }
    json.EndArray().EndObject();
  }
  json.EndArray();
}

void WriteContentPart(JsonText& json, const OutputItem& item, std::string_view text,
                      const std::vector<TokenReport>& tokens) {
  json.BeginObject();
  if (item.kind == OutputItem::Kind::kReasoning) {
    json.Key("type").String("reasoning_text").Key("text").String(text);
  } else {
    json.Key("type").String("output_text").Key("text").String(text);
    json.Key("annotations").BeginArray().EndArray().Key("logprobs");
    WriteTokenReports(json, tokens);
  }
  json.EndObject();
}

void WriteOutputItem(JsonText& json, const OutputItem& item, bool with_content) {
  json.BeginObject().Key("id").String(item.id);
  if (item.kind == OutputItem::Kind::kFunctionCall) {
    json.Key("type").String("function_call").Key("status").String(item.status);
    json.Key("call_id").String(item.call_id).Key("name").String(item.name);
    json.Key("arguments").String(with_content ? item.text : "").EndObject();
    return;
  }
  const bool reasoning = item.kind == OutputItem::Kind::kReasoning;
  json.Key("type").String(reasoning ? "reasoning" : "message");
  json.Key("status").String(item.status);
  if (reasoning) {
    json.Key("summary").BeginArray().EndArray();
  } else {
    json.Key("role").String("assistant");
  }
  json.Key("content").BeginArray();
  if (with_content) WriteContentPart(json, item, item.text, item.tokens);
  json.EndArray().EndObject();
}

}  // namespace plimsoll::server::api::responses
