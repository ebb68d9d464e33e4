#include "cli/list.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/json_text.h"
#include "cli/find_model.h"
#include "formats/store/find_model.h"

namespace plimsoll::cli {
namespace {

namespace store = formats::store;

constexpr size_t kNameWidthMax = 60;

std::string_view StateName(store::SearchedPlace::State state) {
  switch (state) {
    case store::SearchedPlace::State::kSearched:
      return "searched";
    case store::SearchedPlace::State::kMissing:
      return "missing";
    case store::SearchedPlace::State::kUnreadable:
      return "unreadable";
  }
  return "";
}

void StringOrNull(JsonText& json, std::string_view text) {
  text.empty() ? json.Null() : json.String(text);
}

std::string ModelRow(const store::FoundModel& model, size_t name_width) {
  const std::string note =
      model.problem.empty() ? "" : "\n    cannot be used: " + TerminalSafe(model.problem);
  return fmt::format("{:<{}}  {:>8}  {:<10}  {}{}\n", TerminalSafe(model.name), name_width,
                     model.problem.empty() ? FormatBytes(model.bytes) : "-",
                     model.type.empty() ? "-" : TerminalSafe(model.type),
                     TerminalSafe(model.path.string()), note);
}

std::string PlaceRow(const store::SearchedPlace& place) {
  const std::string what = place.state == store::SearchedPlace::State::kSearched  ? "nothing there"
                           : place.state == store::SearchedPlace::State::kMissing ? "not there"
                                                                                  : place.reason;
  return fmt::format("  {} ({})\n", TerminalSafe(place.path.string()), what);
}

}  // namespace

std::string ListText(const store::Findings& findings, const store::Places& places) {
  std::string text;
  size_t name_width = 0;
  for (const store::FoundModel& model : findings.models) {
    name_width = std::max(name_width, std::min(model.name.size(), kNameWidthMax));
  }
  for (const store::FoundModel& model : findings.models) {
    text += ModelRow(model, name_width);
  }
  for (const auto& [name, target] : places.aliases) {
    text += fmt::format("{} = {}\n", TerminalSafe(name), TerminalSafe(target));
  }
  if (findings.models.empty()) {
    text += "No models but the bundled one. Looked in:\n";
  }
  for (const store::SearchedPlace& place : findings.places) {
    if (findings.models.empty() || place.state == store::SearchedPlace::State::kUnreadable) {
      text += PlaceRow(place);
    }
  }
  return text;
}

std::string ListJson(const store::Findings& findings, const store::Places& places) {
  JsonText json;
  json.BeginObject().Key("schema_version").Number(1).Key("models").BeginArray();
  for (const store::FoundModel& model : findings.models) {
    json.BeginObject().Key("name").String(model.name);
    json.Key("source").String(store::SourceName(model.source));
    json.Key("bytes").Number(model.bytes).Key("type");
    StringOrNull(json, model.type);
    json.Key("path").String(model.path.string()).Key("problem");
    StringOrNull(json, model.problem);
    json.EndObject();
  }
  json.EndArray().Key("aliases").BeginArray();
  for (const auto& [name, target] : places.aliases) {
    json.BeginObject().Key("name").String(name).Key("target").String(target).EndObject();
  }
  json.EndArray().Key("places").BeginArray();
  for (const store::SearchedPlace& place : findings.places) {
    json.BeginObject().Key("source").String(store::SourceName(place.source));
    json.Key("path").String(place.path.string());
    json.Key("state").String(StateName(place.state)).Key("reason");
    StringOrNull(json, place.reason);
    json.Key("models").Number(place.n_models).EndObject();
  }
  json.EndArray().EndObject();
  return json.text() + "\n";
}

Result<> ListCommand(std::vector<std::string> args, const CommandContext& context) {
  std::vector<std::filesystem::path> folders;
  bool json = false;
  CommandLine line(
      "list",
      "List the models that -m finds by name: in the Hugging Face cache, Ollama's and\n"
      "LM Studio's stores, and folders of your own. Nothing is changed or fetched.",
      "plimsoll list [options]");
  AddModelsDirOption(line, folders);
  line.Flag("--json", "one JSON object", json);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  const store::Places places = PlacesOf(context, folders);
  const store::Findings findings = store::ListModels(places);
  return context.console.Write(json ? ListJson(findings, places) : ListText(findings, places));
}

}  // namespace plimsoll::cli
