#include <algorithm>
#include <variant>

#include "base/json_text.h"
#include "cli/inspect_report.h"
#include "cli/left_out_json.h"

namespace plimsoll::cli {
namespace {

constexpr int kInspectSchemaVersion = 1;
constexpr size_t kListedElements = 64;

void Put(JsonText& json, formats::ValueType /*type*/, const std::string& text) {
  json.String(text);
}
void Put(JsonText& json, formats::ValueType /*type*/, bool flag) { json.Bool(flag); }
void Put(JsonText& json, formats::ValueType type, double number) {
  if (type == formats::ValueType::kF32) {
    json.Number(static_cast<float>(number));
  } else {
    json.Number(number);
  }
}
void Put(JsonText& json, formats::ValueType /*type*/, std::integral auto number) {
  json.Number(number);
}

void PutArray(JsonText& json, const formats::Array& array) {
  json.Key("element_type").String(formats::ValueTypeName(array.element_type));
  json.Key("length").Number(array.size());
  json.Key("values").BeginArray();
  const auto put_first = [&](const auto& elements) {
    for (size_t i = 0; i < std::min(elements.size(), kListedElements); ++i) {
      Put(json, array.element_type, elements[i]);
    }
  };
  std::visit(put_first, array.values);
  json.EndArray();
}

void PutMetadata(JsonText& json, const formats::Metadata& metadata) {
  json.Key("metadata").BeginObject();
  for (const std::string& key : metadata.keys()) {
    const formats::Value& value = *metadata.Find(key);
    json.Key(key).BeginObject().Key("type").String(formats::ValueTypeName(value.type));
    const auto put = [&](const auto& held) {
      if constexpr (std::is_same_v<std::decay_t<decltype(held)>, formats::Array>) {
        PutArray(json, held);
      } else {
        json.Key("value");
        Put(json, value.type, held);
      }
    };
    std::visit(put, value.value);
    json.EndObject();
  }
  json.EndObject();
}

void PutTotals(JsonText& json, const formats::Totals& totals) {
  json.Key("tensors").Number(totals.n_tensors);
  json.Key("parameters").Number(totals.parameters);
  json.Key("bytes").Number(totals.bytes);
}

void PutSummary(JsonText& json, const formats::Summary& summary) {
  json.Key("kinds").BeginArray();
  for (size_t i = 0; i < formats::kTensorKinds; ++i) {
    const auto kind = static_cast<formats::TensorKind>(i);
    json.BeginObject().Key("kind").String(formats::TensorKindName(kind));
    PutTotals(json, summary.by_kind[i]);
    json.EndObject();
  }
  json.EndArray().Key("types").BeginArray();
  for (const auto& [dtype, totals] : summary.by_dtype) {
    json.BeginObject().Key("type").String(tensor::Traits(dtype).name);
    PutTotals(json, totals);
    json.EndObject();
  }
  json.EndArray().Key("totals").BeginObject();
  PutTotals(json, summary.all);
  json.Key("parameters_active").Number(summary.parameters_active).EndObject();
  json.Key("experts").BeginObject().Key("count").Number(summary.n_experts);
  json.Key("active").Number(summary.n_experts_active).EndObject();
  json.Key("prediction_layers").Number(summary.n_prediction_layers);
  json.Key("output_is_tied").Bool(summary.output_is_tied);
  const formats::ReadPerToken& bytes = summary.bytes_per_token;
  json.Key("bytes_per_token").BeginObject().Key("total").Number(bytes.total());
  json.Key("dense").Number(bytes.dense).Key("output").Number(bytes.output);
  json.Key("experts").Number(bytes.experts);
  json.Key("embedding_row").Number(bytes.embedding_row).EndObject();
}

void PutTensor(JsonText& json, const formats::Catalogue& catalogue,
               const formats::TensorEntry& tensor) {
  json.BeginObject().Key("name").String(tensor.name);
  const auto kind = formats::ClassifyTensor(tensor.name, formats::LayersInUse(catalogue.metadata));
  json.Key("kind").String(formats::TensorKindName(kind));
  json.Key("type").String(tensor::Traits(tensor.dtype).name).Key("shape").BeginArray();
  for (uint32_t i = 0; i < tensor.shape.n_dims; ++i) {
    json.Number(tensor.shape.dims[i]);
  }
  json.EndArray().Key("bytes").Number(tensor.bytes).Key("ranges").BeginArray();
  for (const formats::FileRange& range : tensor.ranges) {
    json.BeginObject().Key("file").String(catalogue.files[range.file_idx]->name());
    json.Key("offset").Number(range.offset).Key("bytes").Number(range.bytes).EndObject();
  }
  json.EndArray().EndObject();
}

}  // namespace

std::string InspectReport::Json() const {
  JsonText json;
  json.BeginObject().Key("schema_version").Number(kInspectSchemaVersion).Key("path").String(path);
  json.Key("files").BeginArray();
  for (const auto& file : catalogue.files) {
    json.BeginObject().Key("name").String(file->name());
    json.Key("bytes").Number(file->size()).EndObject();
  }
  json.EndArray();
  json.Key("architecture");
  json.String(catalogue.metadata.StringOr("general.architecture", "").value_or(""));
  json.Key("name").String(catalogue.metadata.StringOr("general.name", "").value_or(""));
  PutMetadata(json, catalogue.metadata);
  PutSummary(json, summary);
  PutLeftOut(json, catalogue.left_out);
  if (with_tensors) {
    json.Key("tensors").BeginArray();
    for (const formats::TensorEntry& tensor : catalogue.tensors()) {
      PutTensor(json, catalogue, tensor);
    }
    json.EndArray();
  }
  json.EndObject();
  return json.text() + "\n";
}

}  // namespace plimsoll::cli
