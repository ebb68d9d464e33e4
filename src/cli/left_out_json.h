// What `inspect` and `quantize` say to programs of tensors that are no part of the model.
#pragma once

#include <span>

#include "base/json_text.h"
#include "formats/catalogue.h"

namespace plimsoll::cli {

inline void PutLeftOut(JsonText& json, std::span<const formats::LeftOut> all) {
  json.Key("left_out").BeginArray();
  for (const formats::LeftOut& left_out : all) {
    json.BeginObject().Key("what").String(left_out.what);
    json.Key("tensors").Number(left_out.n_tensors).Key("bytes").Number(left_out.bytes).EndObject();
  }
  json.EndArray();
}

}  // namespace plimsoll::cli
