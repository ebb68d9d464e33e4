// Template text with the places that it came from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/stop.h"

namespace plimsoll::text::jinja {

// The text that the lexer reads: the template after the rules of Hugging Face's renderers
// (trim_blocks, lstrip_blocks, one newline at the end dropped, `generation` tags dropped).
class Source {
 public:
  explicit Source(std::string_view original);

  [[nodiscard]] std::string_view text() const { return text_; }
  // Throws Stop with kBadModel, the line and column (from 1, in bytes) of text()[at], and `what`.
  [[noreturn]] void Reject(size_t at, std::string_view what) const;

 private:
  void UnifyNewlines();
  void StripLines();
  void TrimNewlines();
  void DropGenerationTags();
  // Keeps text_[from, to) in the pass under way.
  void Keep(size_t from, size_t to);
  void EndPass();

  std::string text_;
  std::vector<uint32_t> origin_;  // of each byte of text_ in the original
  std::string kept_;
  std::vector<uint32_t> kept_origin_;
  std::vector<uint32_t> line_starts_;  // offsets in the original
  uint32_t original_size_ = 0;
};

}  // namespace plimsoll::text::jinja
