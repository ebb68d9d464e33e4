// What every dialect makes of a request for text.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/api/reply.h"
#include "server/api/task.h"

namespace plimsoll::server::api {

// What a reply says of itself.
struct ReplyIdentity {
  std::string unique;   // letters and digits, of this task alone; dialects put a prefix before it
  int64_t created = 0;  // seconds since 1970
  std::string model;    // the name of the model that answers
  std::string fingerprint;  // of engine and settings, "system_fingerprint"; "": left out
};

struct TaskRequest {
  Task task;
  // Makes the writer of this request's reply; knows which of its fields matter there.
  std::function<std::unique_ptr<ReplyWriter>(const ReplyIdentity&)> make_reply;
  // Paths of members that nobody knows, for one line in the log.
  std::vector<std::string> unknown;
};

}  // namespace plimsoll::server::api
