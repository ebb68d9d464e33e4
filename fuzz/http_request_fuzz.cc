// Raw HTTP: a request read in pieces is what it is read whole, and nothing is charged in the end.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/invariant.h"
#include "server/http/access_rules.h"
#include "server/http/request_parser.h"

namespace {

using plimsoll::Invariant;
using plimsoll::server::http::ChargeFn;
using plimsoll::server::http::Limits;
using plimsoll::server::http::RequestParser;

struct Outcome {
  RequestParser::State state = RequestParser::State::kHead;
  unsigned status = 0;
  std::string path;
  std::string body;
  bool operator==(const Outcome&) const = default;
};

Outcome Read(std::string_view text, size_t piece) {
  const Limits limits = {.max_header_bytes = 2048,
                         .max_header_fields = 20,
                         .max_request_line_bytes = 512,
                         .max_body_bytes = 4096};
  int64_t charged = 0;
  const ChargeFn charge = [&charged](int64_t bytes) {
    charged += bytes;
    return true;
  };
  Outcome outcome;
  {
    RequestParser parser(limits, charge);
    std::string in;
    while (parser.state() == RequestParser::State::kHead ||
           parser.state() == RequestParser::State::kBody) {
      const size_t n_used = parser.Put(in);
      Invariant(n_used <= in.size(), "no more is used than there is");
      in.erase(0, n_used);
      if (n_used == 0 || in.empty()) {
        if (text.empty()) {
          break;
        }
        in += text.substr(0, piece);
        text.remove_prefix(std::min(piece, text.size()));
      }
    }
    Invariant(parser.body_bytes() <= limits.max_body_bytes, "a body is within its limit");
    Invariant(parser.body_bytes() <= static_cast<uint64_t>(charged), "a body is charged");
    outcome = {.state = parser.state(), .status = parser.error().status, .path = {}, .body = {}};
    if (parser.state() == RequestParser::State::kDone) {
      outcome.path = parser.request().path;
      outcome.body = parser.request().body;
      const auto host = parser.request().Header("host");
      (void)plimsoll::server::http::HostName(host.value_or(""));
    }
  }
  Invariant(charged == 0, "all is given back");
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Outcome whole = Read(text, 1 << 16);
  if (whole.state == RequestParser::State::kDone) {
    Invariant(Read(text, 1) == whole, "pieces do not matter");
    Invariant(Read(text, 7) == whole, "pieces do not matter");
  }
  return 0;
}
