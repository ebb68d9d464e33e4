#include <algorithm>
#include <iterator>
#include <variant>

#include <fmt/format.h>

#include "base/bytes.h"
#include "cli/inspect_report.h"
#include "formats/escape.h"

namespace plimsoll::cli {
namespace {

using formats::Escape;

constexpr size_t kValueBytes = 72;  // of a string before it is cut
constexpr size_t kFirstElements = 4;
constexpr size_t kShownElements = 8;  // arrays up to this length are shown whole

class TextReport {
 public:
  explicit TextReport(const InspectReport& report) : report_(report) {}

  std::string Write() {
    WriteHead();
    WriteMetadata();
    if (report_.summary.all.n_tensors > 0) {
      WriteKinds();
      WritePerToken();
    }
    if (report_.with_tensors) {
      WriteTensors();
    }
    return std::move(text_);
  }

 private:
  template <class... Args>
  void Line(fmt::format_string<Args...> format, Args&&... args) {
    const size_t begin = text_.size();
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    while (text_.size() > begin && text_.back() == ' ') {
      text_.pop_back();
    }
    text_ += '\n';
  }

  [[nodiscard]] std::string MetadataText(std::string_view key) const {
    const auto text = report_.catalogue.metadata.StringOr(key, "");
    return text ? Escape(*text) : std::string();
  }

  void WriteHead();
  void WriteMetadata();
  void WriteKinds();
  void WritePerToken();
  void WriteTensors();
  [[nodiscard]] std::string PlaceOf(const formats::TensorEntry& tensor) const;

  const InspectReport& report_;
  std::string text_;
};

std::string TypeName(const formats::Value& value) {
  if (const auto* array = std::get_if<formats::Array>(&value.value)) {
    return fmt::format("[{} {}]", array->size(),
                       array->element_type == formats::ValueType::kString
                           ? "strings"
                           : formats::ValueTypeName(array->element_type));
  }
  return std::string(formats::ValueTypeName(value.type));
}

std::string Shown(const std::string& text) { return fmt::format("\"{}\"", Escape(text, 24)); }
std::string Shown(auto number) { return fmt::format("{}", number); }

std::string ShowArray(const auto& elements) {
  const size_t n = elements.size() <= kShownElements ? elements.size() : kFirstElements;
  std::string text;
  for (size_t i = 0; i < n; ++i) {
    text += (i == 0 ? "" : ", ") + Shown(elements[i]);
  }
  return n < elements.size() ? text + ", …" : text;
}

std::string ShowString(const std::string& text) {
  std::string shown = Escape(text, kValueBytes);
  return text.size() > kValueBytes ? fmt::format("{} ({} bytes)", shown, text.size()) : shown;
}

std::string ShowNumber(formats::ValueType type, double number) {
  // A float is shown with its own digits, not with those of the double that holds it.
  return type == formats::ValueType::kF32 ? fmt::format("{}", static_cast<float>(number))
                                          : fmt::format("{}", number);
}

std::string ShowValue(const formats::Value& value) {
  if (const auto* text = std::get_if<std::string>(&value.value)) {
    return ShowString(*text);
  }
  if (const auto* array = std::get_if<formats::Array>(&value.value)) {
    return std::visit([](const auto& elements) { return ShowArray(elements); }, array->values);
  }
  if (const auto* number = std::get_if<double>(&value.value)) {
    return ShowNumber(value.type, *number);
  }
  if (const auto* flag = std::get_if<bool>(&value.value)) {
    return *flag ? "true" : "false";
  }
  const auto* wide = std::get_if<uint64_t>(&value.value);
  return wide != nullptr ? fmt::format("{}", *wide)
                         : fmt::format("{}", std::get<int64_t>(value.value));
}

std::string Types(const formats::Summary& summary) {
  std::string text;
  for (const auto& [dtype, totals] : summary.by_dtype) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", tensor::Traits(dtype).name,
                        FormatBytes(totals.bytes));
  }
  return text;
}

void TextReport::WriteHead() {
  const formats::Summary& summary = report_.summary;
  uint64_t file_bytes = 0;
  for (const auto& file : report_.catalogue.files) {
    file_bytes += file->size();
  }
  const size_t n_files = report_.catalogue.files.size();
  Line("{}", Escape(report_.path, 4096));
  Line("  architecture  {}", MetadataText("general.architecture"));
  Line("  name          {}", MetadataText("general.name"));
  Line("  {:<13} {}", n_files == 1 ? "file" : fmt::format("{} files", n_files),
       FormatBytes(file_bytes));
  if (summary.all.n_tensors == 0) {
    Line("  tensors       none: a vocabulary only");
    return;
  }
  Line("  tensors       {}: {}", summary.all.n_tensors, Types(summary));
  Line("  parameters    {}, {} of them active for a token", FormatCount(summary.all.parameters),
       FormatCount(summary.parameters_active));
  if (summary.n_prediction_layers > 0) {
    const bool one = summary.n_prediction_layers == 1;
    Line("  not used      {} layer{} that predict{} further tokens: {}",
         summary.n_prediction_layers, one ? "" : "s", one ? "s" : "",
         FormatBytes(summary.of(formats::TensorKind::kPrediction).bytes));
  }
  for (const formats::LeftOut& left_out : report_.catalogue.left_out) {
    Line("  left out      {} tensors of {}: {}", left_out.n_tensors, left_out.what,
         FormatBytes(left_out.bytes));
  }
}

void TextReport::WriteMetadata() {
  const formats::Metadata& metadata = report_.catalogue.metadata;
  size_t key_width = 0;
  size_t type_width = 0;
  for (const std::string& key : metadata.keys()) {
    key_width = std::max(key_width, std::min<size_t>(key.size(), 48));
    type_width = std::max(type_width, TypeName(*metadata.Find(key)).size());
  }
  Line("");
  Line("Metadata: {} keys", metadata.keys().size());
  for (const std::string& key : metadata.keys()) {
    const formats::Value& value = *metadata.Find(key);
    Line("  {:<{}}  {:<{}}  {}", Escape(key), key_width, TypeName(value), type_width,
         ShowValue(value));
  }
}

void TextReport::WriteKinds() {
  const formats::Summary& summary = report_.summary;
  Line("");
  Line("Tensors by kind");
  Line("  {:<12}  {:>7}  {:>10}  {:>10}  {:>7}", "", "tensors", "parameters", "bytes", "share");
  const auto row = [&](std::string_view name, const formats::Totals& totals) {
    Line("  {:<12}  {:>7}  {:>10}  {:>10}  {:>5.1f} %", name, totals.n_tensors,
         FormatCount(totals.parameters), FormatBytes(totals.bytes),
         100.0 * static_cast<double>(totals.bytes) / static_cast<double>(summary.all.bytes));
  };
  for (size_t i = 0; i < formats::kTensorKinds; ++i) {
    if (summary.by_kind[i].n_tensors > 0) {
      row(formats::TensorKindName(static_cast<formats::TensorKind>(i)), summary.by_kind[i]);
    }
  }
  row("total", summary.all);
}

void TextReport::WritePerToken() {
  const formats::Summary& summary = report_.summary;
  const formats::ReadPerToken& bytes = summary.bytes_per_token;
  Line("");
  Line("Read for one token: {}", FormatBytes(bytes.total()));
  Line("  {:>10}  attention, router, norms, dense feed-forward", FormatBytes(bytes.dense));
  if (bytes.experts > 0) {
    Line("  {:>10}  {} of {} experts in each layer", FormatBytes(bytes.experts),
         summary.n_experts_active, summary.n_experts);
  }
  Line("  {:>10}  output{}", FormatBytes(bytes.output),
       summary.output_is_tied ? " (tied to the embedding)" : "");
  Line("  {:>10}  one row of the embedding", FormatBytes(bytes.embedding_row));
}

std::string TextReport::PlaceOf(const formats::TensorEntry& tensor) const {
  if (tensor.conversion != nullptr) {
    return "made when it is read";
  }
  const formats::FileRange& range = tensor.ranges.front();
  const std::string ranges =
      tensor.ranges.size() == 1 ? "" : fmt::format(" in {} ranges", tensor.ranges.size());
  return fmt::format("{} at {}{}", Escape(report_.catalogue.files[range.file_idx]->name()),
                     range.offset, ranges);
}

void TextReport::WriteTensors() {
  const auto& tensors = report_.catalogue.tensors();
  size_t name_width = 0;
  size_t shape_width = 0;
  for (const formats::TensorEntry& tensor : tensors) {
    name_width = std::max(name_width, Escape(tensor.name).size());
    shape_width = std::max(shape_width, tensor.shape.ToString().size());
  }
  Line("");
  Line("Tensors: {}", tensors.size());
  for (const formats::TensorEntry& tensor : tensors) {
    Line("  {:<{}}  {:<7}  {:<{}}  {:>10}  {}", Escape(tensor.name), name_width,
         tensor::Traits(tensor.dtype).name, tensor.shape.ToString(), shape_width,
         FormatBytes(tensor.bytes), PlaceOf(tensor));
  }
}

}  // namespace

std::string FormatCount(uint64_t count) {
  constexpr std::array<std::string_view, 5> kUnits = {"", " K", " M", " G", " T"};
  auto scaled = static_cast<double>(count);
  size_t unit = 0;
  while (scaled >= 999.5 && unit + 1 < kUnits.size()) {
    scaled /= 1000;
    ++unit;
  }
  if (unit == 0) {
    return fmt::format("{}", count);
  }
  const int decimals = scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}", scaled, decimals, kUnits[unit]);
}

std::string InspectReport::Text() const { return TextReport(*this).Write(); }

}  // namespace plimsoll::cli
