#include "server/batch/batch_input.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_set>
#include <utility>

#include <boost/json/value.hpp>

#include "server/api/json/fields.h"
#include "server/api/json/parse_body.h"

namespace plimsoll::server::batch {
namespace {

constexpr std::array<std::string_view, 4> kUrls = {"/v1/chat/completions", "/v1/completions",
                                                   "/v1/responses", "/v1/embeddings"};

struct ReadLine {
  std::string custom_id;
  std::string url;
  std::string body;
};

api::ApiResult<ReadLine> Read(std::string_view text) {
  const auto parsed = api::ParseBody(text, {.depth = 65});  // one more than a body alone
  if (!parsed) {
    return tl::make_unexpected(parsed.error());
  }
  api::Reading reading;
  api::Fields fields = reading.Open(*parsed);
  ReadLine line;
  line.custom_id = fields.Required("custom_id").String({.least = 1, .most = 1024}).value_or("");
  const api::Field method = fields["method"];
  if (method.String().value_or("POST") != "POST") {
    method.FailUnsupported("batches are of POST alone");
  }
  const api::Field url = fields.Required("url");
  line.url = url.String().value_or("");
  if (url.is_string() && std::ranges::find(kUrls, line.url) == kUrls.end()) {
    url.FailUnsupported(
        "there are /v1/chat/completions, /v1/completions, /v1/responses and "
        "/v1/embeddings");
  }
  const api::Field body = fields.Required("body");
  (void)body.Object();
  line.body = body.Json();
  if (reading.error) {
    return tl::make_unexpected(*reading.error);
  }
  return line;
}

}  // namespace

Result<BatchInput> BatchInput::Open(const std::filesystem::path& path) {
  BatchInput input;
  input.path_ = path;
  input.file_.open(path, std::ios::binary);
  if (!input.file_) {
    return Fail(ErrorKind::kIo, "cannot read {}", path.string());
  }
  std::unordered_set<std::string> ids;
  std::string text;
  uint64_t offset = 0;
  for (uint64_t number = 1; std::getline(input.file_, text); ++number) {
    const uint64_t bytes = text.size();
    if (text.find_first_not_of(" \t\r") != std::string::npos) {
      auto line = Read(text);
      if (!line) {
        return Fail(ErrorKind::kUsage, "{}:{}: {}", path.string(), number, line.error().message);
      }
      if (!ids.insert(line->custom_id).second) {
        return Fail(ErrorKind::kUsage, "{}:{}: the custom_id was there before", path.string(),
                    number);
      }
      input.lines_.push_back({.custom_id = std::move(line->custom_id),
                              .url = std::move(line->url),
                              .offset = offset,
                              .bytes = bytes});
    }
    offset += bytes + 1;
  }
  if (input.file_.bad()) {
    return Fail(ErrorKind::kIo, "cannot read {} any further", path.string());
  }
  return input;
}

Result<std::string> BatchInput::Body(size_t line) {
  const Line& at = lines_[line];
  std::string text(at.bytes, '\0');
  file_.clear();
  file_.seekg(static_cast<std::streamoff>(at.offset));
  file_.read(text.data(), static_cast<std::streamsize>(text.size()));
  auto read = file_ ? Read(text) : api::ApiResult<ReadLine>();
  if (!file_ || !read || read->custom_id != at.custom_id) {
    return Fail(ErrorKind::kIo, "{} was changed while it was worked on", path_.string());
  }
  return std::move(read->body);
}

}  // namespace plimsoll::server::batch
