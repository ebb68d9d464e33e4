// A file of requests, one a line, in the form of OpenAI's batches:
//   {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/result.h"

namespace plimsoll::server::batch {

class BatchInput {
 public:
  struct Line {
    std::string custom_id;
    std::string url;
    uint64_t offset = 0;  // of the line in the file
    uint64_t bytes = 0;
  };

  // Looks at every line, and keeps only where it is. kIo when it cannot be read; kUsage names the
  // first line that is none of the above, an id that came before, or a url that has no batches.
  [[nodiscard]] static Result<BatchInput> Open(const std::filesystem::path& path);

  [[nodiscard]] const std::vector<Line>& lines() const { return lines_; }
  // The request's body as JSON. kIo when the file was changed meanwhile.
  [[nodiscard]] Result<std::string> Body(size_t line);

 private:
  std::filesystem::path path_;
  std::ifstream file_;
  std::vector<Line> lines_;
};

}  // namespace plimsoll::server::batch
