// Texts to vectors, for the dialects that offer it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "server/serving.h"

namespace plimsoll::server {

using EmbedInput = std::variant<std::string, std::vector<TokenId>>;

struct Embedded {
  std::string model;                        // the one that did it
  std::vector<std::vector<float>> vectors;  // one an input, each of length 1
  uint64_t n_tokens = 0;
};

struct EmbedOptions {
  // Inputs that are longer than the context are cut; else they are an error.
  bool truncate = false;
  std::function<http::Response(const Embedded&)> reply;
};

// Answers `exchange` when all are done; a client that goes cancels.
void EmbedTexts(const ServingPtr& serving, const std::string& model, std::vector<EmbedInput> inputs,
                EmbedOptions options, ErrorFn error_response,
                std::shared_ptr<http::Exchange> exchange);

}  // namespace plimsoll::server
