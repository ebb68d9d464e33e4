#include "text/jinja/source.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "text/jinja/unicode.h"

namespace plimsoll::text::jinja {

namespace {

// A `generation` or `endgeneration` tag; transformers marks the assistant's tokens with them.
struct GenerationTag {
  size_t end = 0;
  bool strips_before = false;
  bool strips_after = false;
};

std::optional<GenerationTag> MatchGenerationTag(std::string_view text, size_t at) {
  GenerationTag tag;
  const auto accept = [&](std::string_view word) {
    if (!text.substr(at).starts_with(word)) return false;
    at += word.size();
    return true;
  };
  const auto skip_space = [&] {
    while (const size_t bytes = SpaceBytesAt(text, at)) at += bytes;
  };
  if (!accept("{%")) return std::nullopt;
  tag.strips_before = accept("-");
  skip_space();
  accept("end");
  if (!accept("generation")) return std::nullopt;
  skip_space();
  tag.strips_after = accept("-");
  if (!accept("%}")) return std::nullopt;
  tag.end = at;
  return tag;
}

bool EndsLine(std::string_view text, size_t at) {
  return at == 0 || text[at - 1] == '\n' ||
         (at >= 3 &&
          (text.substr(at - 3, 3) == "\xE2\x80\xA8" || text.substr(at - 3, 3) == "\xE2\x80\xA9"));
}

}  // namespace

Source::Source(std::string_view original)
    : text_(original), original_size_(static_cast<uint32_t>(original.size())) {
  line_starts_.push_back(0);
  for (uint32_t i = 0; i < original_size_; ++i) {
    if (original[i] == '\n') line_starts_.push_back(i + 1);
  }
  origin_.resize(text_.size());
  std::iota(origin_.begin(), origin_.end(), 0U);
  UnifyNewlines();
  StripLines();
  TrimNewlines();
  DropGenerationTags();
}

void Source::Keep(size_t from, size_t to) {
  kept_.append(text_, from, to - from);
  kept_origin_.insert(kept_origin_.end(), origin_.begin() + static_cast<ptrdiff_t>(from),
                      origin_.begin() + static_cast<ptrdiff_t>(to));
}

void Source::EndPass() {
  text_.swap(kept_);
  origin_.swap(kept_origin_);
  kept_.clear();
  kept_origin_.clear();
}

// Whatever ends a line, \n stands for it, and one at the end of the source goes: so in Jinja, while
// the package keeps each \r.
void Source::UnifyNewlines() {
  size_t from = 0;
  for (size_t at = text_.find('\r'); at != std::string::npos; at = text_.find('\r', at + 1)) {
    Keep(from, at);
    from = at + 1;
    if (text_.substr(from, 1) == "\n") continue;
    kept_ += '\n';
    kept_origin_.push_back(origin_[at]);
  }
  Keep(from, text_.size());
  EndPass();
  if (!text_.ends_with('\n')) return;
  text_.pop_back();
  origin_.pop_back();
}

// lstrip_blocks: blanks between the start of a line and a block or comment go. (As in the
// reference, `{-` counts as a block.)
void Source::StripLines() {
  size_t from = 0;
  for (size_t at = 0; at < text_.size();) {
    if (!EndsLine(text_, at)) {
      ++at;
      continue;
    }
    const size_t blanks_end = std::min(text_.find_first_not_of(" \t", at), text_.size());
    const bool block =
        blanks_end + 1 < text_.size() && text_[blanks_end] == '{' &&
        std::string_view("#%-").find(text_[blanks_end + 1]) != std::string_view::npos;
    if (block) {
      Keep(from, at);
      from = blanks_end;
    }
    at = std::max(at + 1, blanks_end);
  }
  Keep(from, text_.size());
  EndPass();
}

// trim_blocks: the newline after a block or comment goes.
void Source::TrimNewlines() {
  size_t from = 0;
  for (size_t at = 2; at < text_.size(); ++at) {
    if (text_[at] != '\n' || text_[at - 1] != '}') continue;
    if (std::string_view("#%-").find(text_[at - 2]) == std::string_view::npos) continue;
    Keep(from, at);
    from = at + 1;
  }
  Keep(from, text_.size());
  EndPass();
}

void Source::DropGenerationTags() {
  size_t from = 0;
  for (size_t at = text_.find("{%"); at != std::string::npos; at = text_.find("{%", at)) {
    const auto tag = MatchGenerationTag(text_, at);
    if (!tag) {
      ++at;
      continue;
    }
    size_t before = at;
    if (tag->strips_before) {
      while (const size_t bytes =
                 SpaceBytesBefore(std::string_view(text_).substr(from), before - from)) {
        before -= bytes;
      }
    }
    Keep(from, before);
    size_t spaces_end = tag->end;
    while (const size_t bytes = SpaceBytesAt(text_, spaces_end)) spaces_end += bytes;
    if (!tag->strips_after) Keep(tag->end, spaces_end);
    from = at = spaces_end;
  }
  Keep(from, text_.size());
  EndPass();
}

void Source::Reject(size_t at, std::string_view what) const {
  const uint32_t offset = at < origin_.size() ? origin_[at] : original_size_;
  const auto next_line = std::ranges::upper_bound(line_starts_, offset);
  const auto line = next_line - line_starts_.begin();
  throw Stop{{ErrorKind::kBadModel, fmt::format("chat template: line {}, column {}: {}", line,
                                                offset - *(next_line - 1) + 1, what)}};
}

}  // namespace plimsoll::text::jinja
