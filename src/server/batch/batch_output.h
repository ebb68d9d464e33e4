// The file of answers, one a line, in the form of OpenAI's batches:
//   {"id": "batch_req_7", "custom_id": "a", "response": {"status_code": 200, "request_id": "a",
//    "body": {...}}, "error": null}
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_set>

#include "base/result.h"

namespace plimsoll::server::batch {

// Lines are appended whole, each by one write, and are there when Append has returned: a process
// that is killed leaves at most a piece of a line, which the next one takes away.
class BatchOutput {
 public:
  // A file that is not there is made. kUsage when what is there is no such file, or another process
  // writes to it; kIo when it cannot be written.
  [[nodiscard]] static Result<BatchOutput> Open(const std::filesystem::path& path);
  BatchOutput(BatchOutput&& other) noexcept;
  BatchOutput(const BatchOutput&) = delete;
  BatchOutput& operator=(const BatchOutput&) = delete;
  BatchOutput& operator=(BatchOutput&&) = delete;
  ~BatchOutput();

  // The ids that were answered when it was opened.
  [[nodiscard]] const std::unordered_set<std::string>& answered() const { return answered_; }
  // `body` is JSON.
  [[nodiscard]] Result<> Append(std::string_view custom_id, unsigned status, std::string_view body);

 private:
  BatchOutput() = default;
  [[nodiscard]] Result<> ReadWhatIsThere();

  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t size_ = 0;
  std::unordered_set<std::string> answered_;
};

}  // namespace plimsoll::server::batch
