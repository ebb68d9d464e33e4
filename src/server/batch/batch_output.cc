#include "server/batch/batch_output.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include <boost/json/value.hpp>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/json_text.h"
#include "server/api/json/fields.h"
#include "server/api/json/parse_body.h"

namespace plimsoll::server::batch {
namespace {

// Nothing for a line that is no answer.
std::optional<std::string> IdOfAnswer(std::string_view text) {
  const auto parsed = api::ParseBody(text, {.depth = 67, .n_values = 10'000'000});
  if (!parsed) {
    return std::nullopt;
  }
  api::Reading reading;
  api::Fields fields = reading.Open(*parsed);
  const auto id = fields.Required("custom_id").String();
  (void)fields.Required("response").Object();
  return id && !reading.error ? std::optional<std::string>(*id) : std::nullopt;
}

}  // namespace

Result<BatchOutput> BatchOutput::Open(const std::filesystem::path& path) {
  BatchOutput output;
  output.path_ = path;
  output.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (output.fd_ < 0) {
    return Fail(ErrorKind::kIo, "cannot write {}: {}", path.string(), std::strerror(errno));
  }
  if (::flock(output.fd_, LOCK_EX | LOCK_NB) != 0) {
    return Fail(ErrorKind::kUsage, "{} is being written by another process", path.string());
  }
  if (auto read = output.ReadWhatIsThere(); !read) {
    return Forward(read);
  }
  if (::ftruncate(output.fd_, static_cast<off_t>(output.size_)) != 0) {
    return Fail(ErrorKind::kIo, "cannot write {}: {}", path.string(), std::strerror(errno));
  }
  return output;
}

BatchOutput::BatchOutput(BatchOutput&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      size_(other.size_),
      answered_(std::move(other.answered_)) {}

BatchOutput::~BatchOutput() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

// What stands behind the last end of a line is a piece that a killed process left.
Result<> BatchOutput::ReadWhatIsThere() {
  std::ifstream file(path_, std::ios::binary);
  std::string line;
  for (uint64_t number = 1; std::getline(file, line) && !file.eof(); ++number) {
    auto id = IdOfAnswer(line);
    if (!id) {
      return Fail(ErrorKind::kUsage,
                  "{}:{}: no answer of a batch, so that nothing is written there; name another "
                  "file with -o",
                  path_.string(), number);
    }
    if (!answered_.insert(*std::move(id)).second) {
      return Fail(ErrorKind::kUsage, "{}:{}: the same custom_id was answered before",
                  path_.string(), number);
    }
    size_ += line.size() + 1;
  }
  return {};
}

Result<> BatchOutput::Append(std::string_view custom_id, unsigned status, std::string_view body) {
  JsonText json;
  json.BeginObject();
  json.Key("id").String("batch_req_" + std::string(custom_id));
  json.Key("custom_id").String(custom_id);
  json.Key("response").BeginObject();
  json.Key("status_code").Number(status);
  json.Key("request_id").String(custom_id);
  json.Key("body").Raw(body);
  json.EndObject().Key("error").Null().EndObject();
  const std::string line = json.text() + "\n";
  size_t n_written = 0;
  while (n_written < line.size()) {
    const ssize_t n = ::pwrite(fd_, line.data() + n_written, line.size() - n_written,
                               static_cast<off_t>(size_ + n_written));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      const int cause = n < 0 ? errno : ENOSPC;
      const bool is_clean = ::ftruncate(fd_, static_cast<off_t>(size_)) == 0;
      return Fail(ErrorKind::kIo, "cannot write {}: {}{}", path_.string(), std::strerror(cause),
                  is_clean ? "" : "; a piece of a line is left at its end");
    }
    n_written += static_cast<size_t>(n);
  }
  size_ += line.size();
  return {};
}

}  // namespace plimsoll::server::batch
