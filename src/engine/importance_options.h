// What an importance matrix (engine/importance.h) is made of, and where it goes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace plimsoll::engine {

struct ImportanceOptions {
  std::filesystem::path output;
  bool with_logits = false;  // also for the matrix that makes the logits, if that is no embedding
};

struct ImportanceSource {
  std::string dataset;  // the text's name
  uint32_t n_chunks = 0;
  uint32_t chunk_tokens = 0;
};

}  // namespace plimsoll::engine
