#include "text/normalize.h"

#include <algorithm>

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>

#include "base/invariant.h"
#include "text/utf8.h"

namespace plimsoll::text {
namespace {

// ICU takes 32-bit lengths. A cut between two pieces changes nothing that a model could tell.
constexpr size_t kMaxPieceBytes = size_t{1} << 28;

const icu::Normalizer2& NormalizerOf(Normalization form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = nullptr;
  switch (form) {
    case Normalization::kNone:
      break;
    case Normalization::kNfc:
      normalizer = icu::Normalizer2::getNFCInstance(status);
      break;
    case Normalization::kNfd:
      normalizer = icu::Normalizer2::getNFDInstance(status);
      break;
    case Normalization::kNfkc:
      normalizer = icu::Normalizer2::getNFKCInstance(status);
      break;
    case Normalization::kNfkd:
      normalizer = icu::Normalizer2::getNFKDInstance(status);
      break;
  }
  Invariant(U_SUCCESS(status) && normalizer != nullptr, "ICU has its normalization data");
  return *normalizer;
}

void AppendNormalized(const icu::Normalizer2& normalizer, std::string_view valid,
                      std::string& out) {
  icu::StringByteSink<std::string> sink(&out);
  UErrorCode status = U_ZERO_ERROR;
  normalizer.normalizeUTF8(0, icu::StringPiece(valid.data(), static_cast<int32_t>(valid.size())),
                           sink, nullptr, status);
  Invariant(U_SUCCESS(status), "ICU normalizes well-formed text");
}

}  // namespace

std::string Normalize(std::string_view text, Normalization form) {
  const icu::Normalizer2& normalizer = NormalizerOf(form);
  std::string normal;
  normal.reserve(text.size());
  size_t begin = 0;  // of the well-formed stretch that reaches as far as `pos`
  for (size_t pos = 0; pos < text.size();) {
    const DecodedChar c = DecodeChar(text.substr(pos));
    if (!c.valid || pos - begin >= kMaxPieceBytes) {
      AppendNormalized(normalizer, text.substr(begin, pos - begin), normal);
      begin = pos;
    }
    pos += c.length;
    if (!c.valid) {
      normal.append(text.substr(begin, 1));
      begin = pos;
    }
  }
  AppendNormalized(normalizer, text.substr(begin), normal);
  return normal;
}

}  // namespace plimsoll::text
