#include "eval/dialogue.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "eval/draws.h"

namespace plimsoll::eval {
namespace {

using Words = std::span<const std::string_view>;

constexpr std::array<std::string_view, 20> kNames = {
    "Ada", "Ben",  "Cleo", "Dan",  "Elsa", "Finn", "Hugo", "Iris",   "Jonas", "Kira",
    "Leo", "Mina", "Noah", "Olga", "Paul", "Rosa", "Tara", "Viktor", "Wendy", "Zoe"};
constexpr std::array<std::string_view, 12> kAnimals = {"fox",   "owl",   "bear", "rabbit",
                                                       "otter", "wolf",  "crow", "badger",
                                                       "deer",  "mouse", "frog", "goose"};
constexpr std::array<std::string_view, 8> kColours = {"red",   "blue",   "green",  "yellow",
                                                      "black", "silver", "golden", "purple"};
constexpr std::array<std::string_view, 14> kThings = {"lamp", "key",  "boat",   "kettle", "drum",
                                                      "map",  "coin", "clock",  "ladder", "mirror",
                                                      "bell", "book", "hammer", "kite"};
constexpr std::array<std::string_view, 12> kPlaces = {"forest", "harbour", "village", "mountain",
                                                      "river",  "market",  "castle",  "garden",
                                                      "island", "bridge",  "mill",    "library"};
constexpr std::array<std::string_view, 8> kMoods = {"happy", "sad",   "tired", "proud",
                                                    "calm",  "angry", "brave", "lonely"};
constexpr std::array<std::string_view, 6> kWeathers = {"sunny", "rainy", "windy",
                                                       "foggy", "cold",  "warm"};
constexpr std::array<std::string_view, 6> kDeeds = {"found",   "lost", "carried",
                                                    "painted", "sold", "dropped"};
constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kCapitals = {{
    {"France", "Paris"},
    {"Spain", "Madrid"},
    {"Italy", "Rome"},
    {"Germany", "Berlin"},
    {"Norway", "Oslo"},
    {"Sweden", "Stockholm"},
    {"Greece", "Athens"},
    {"Portugal", "Lisbon"},
    {"Japan", "Tokyo"},
    {"Egypt", "Cairo"},
    {"Peru", "Lima"},
    {"Canada", "Ottawa"},
}};

// A sentence that leads nowhere.
std::string Filler(Draws& draws) {
  const auto who = draws.Pick(kNames);
  const auto place = draws.Pick(kPlaces);
  const auto colour = draws.Pick(kColours);
  const auto thing = draws.Pick(kThings);
  switch (draws.Below(6)) {
    case 0:
      return fmt::format("{} {} the {} {} near the {}.", who, draws.Pick(kDeeds), colour, thing,
                         place);
    case 1:
      return fmt::format("One {} morning {} walked to the {}.", draws.Pick(kWeathers), who, place);
    case 2: {
      const auto mood = draws.Pick(kMoods);
      return fmt::format("The {} by the {} was {}.", draws.Pick(kAnimals), place, mood);
    }
    case 3:
      return fmt::format("\"Where is the {} {}?\" asked {}.", colour, thing, who);
    case 4:
      return fmt::format("In the evening {} felt {} and went home.", who, draws.Pick(kMoods));
    default:
      return fmt::format("The {} was quiet, and the air was {}.", place, draws.Pick(kWeathers));
  }
}

struct Secret {
  std::string thing;
  std::string code;

  [[nodiscard]] std::string Told() const {
    return fmt::format("The code of the {} is {}.", thing, code);
  }
  [[nodiscard]] Turn Asked() const {
    return {.question = fmt::format("What is the code of the {}?", thing),
            .answer = Told(),
            .value = code};
  }
};

// No two of one dialogue have a thing or a code in common; the same thing has one colour only.
std::vector<Secret> MakeSecrets(Draws& draws, size_t n) {
  std::vector<Secret> secrets;
  std::vector<std::string_view> things;
  while (secrets.size() < n) {
    const auto thing = draws.Pick(kThings);
    std::string code = std::to_string(1000 + draws.Below(9000));
    const bool is_taken = std::ranges::find(things, thing) != things.end() ||
                          std::ranges::find(secrets, code, &Secret::code) != secrets.end();
    if (!is_taken) {
      things.push_back(thing);
      secrets.push_back({fmt::format("{} {}", draws.Pick(kColours), thing), std::move(code)});
    }
  }
  return secrets;
}

Turn AskCapital(Draws& draws) {
  const auto& [country, city] = kCapitals[draws.Below(kCapitals.size())];
  return {.question = fmt::format("What is the capital of {}?", country),
          .answer = fmt::format("The capital of {} is {}.", country, city),
          .value = std::string(city),
          .is_small_talk = true};
}

std::vector<std::string> FillerSentences(Draws& draws, uint32_t n) {
  std::vector<std::string> sentences;
  for (uint32_t i = 0; i < n; ++i) {
    sentences.push_back(Filler(draws));
  }
  return sentences;
}

// Filler with the secrets told in it at random places.
std::string Hide(Draws& draws, const std::vector<Secret>& secrets, uint32_t n_filler) {
  auto sentences = FillerSentences(draws, n_filler);
  for (const Secret& secret : secrets) {
    const uint32_t place = draws.Below(static_cast<uint32_t>(sentences.size()) + 1);
    sentences.insert(sentences.begin() + place, secret.Told());
  }
  return fmt::format("{}", fmt::join(sentences, " "));
}

Turn Behind(std::string text, Turn turn) {
  turn.question = fmt::format("{} {}", text, turn.question);
  return turn;
}

std::vector<Turn> AskAll(const std::vector<Secret>& secrets) {
  std::vector<Turn> turns;
  for (const Secret& secret : secrets) {
    turns.push_back(secret.Asked());
  }
  return turns;
}

Dialogue SingleKey(Draws& draws, uint32_t n_filler) {
  const auto secrets = MakeSecrets(draws, 1);
  return {.context = Hide(draws, secrets, n_filler),
          .turns = {AskCapital(draws), secrets[0].Asked()}};
}

Dialogue MultiKey(Draws& draws, uint32_t n_filler) {
  const auto secrets = MakeSecrets(draws, 4);
  return {.context = Hide(draws, secrets, n_filler), .turns = AskAll(secrets)};
}

// A quarter of the filler comes with each of four turns.
Dialogue MultiTurn(Draws& draws, uint32_t n_filler) {
  const auto secrets = MakeSecrets(draws, 2);
  const uint32_t part = n_filler / 4;
  std::string context = Hide(draws, {secrets[0]}, part);
  Turn first = AskCapital(draws);
  Turn second = AskCapital(draws);
  second = Behind(Hide(draws, {secrets[1]}, part), std::move(second));
  return {.context = std::move(context),
          .turns = {std::move(first), std::move(second),
                    Behind(Hide(draws, {}, part), secrets[0].Asked()),
                    Behind(Hide(draws, {}, n_filler - 3 * part), secrets[1].Asked())}};
}

Dialogue State(Draws& draws, uint32_t n_filler) {
  const auto codes = MakeSecrets(draws, 3);
  const Secret& other = codes[2];
  const Secret& before = codes[0];
  const Secret now = {before.thing, codes[1].code};
  return {.context = Hide(draws, {before, other}, n_filler),
          .turns = {AskCapital(draws), Behind(now.Told(), AskCapital(draws)), now.Asked(),
                    other.Asked()}};
}

Dialogue MultiHop(Draws& draws, uint32_t n_filler) {
  const auto secrets = MakeSecrets(draws, 3);
  const Secret& known = secrets[0];
  const Secret& other = secrets[1];
  const Secret same = {secrets[2].thing, known.code};
  return {
      .context = Hide(draws, {known, other}, n_filler) +
                 fmt::format(" The code of the {} is the code of the {}.", same.thing, known.thing),
      .turns = {AskCapital(draws), same.Asked()}};
}

std::vector<std::string> DistinctWords(Draws& draws, Words words, size_t n) {
  std::vector<std::string> chosen;
  while (chosen.size() < n) {
    std::string word(draws.Pick(words));
    if (std::ranges::find(chosen, word) == chosen.end()) {
      chosen.push_back(std::move(word));
    }
  }
  return chosen;
}

Dialogue Copy(Draws& draws, uint32_t n_filler) {
  auto items = DistinctWords(draws, kNames, 2);
  std::ranges::copy(DistinctWords(draws, kAnimals, 2), std::back_inserter(items));
  std::ranges::copy(DistinctWords(draws, kPlaces, 1), std::back_inserter(items));
  for (uint32_t i = static_cast<uint32_t>(items.size()) - 1; i > 0; --i) {
    std::swap(items[i], items[draws.Below(i + 1)]);
  }
  const auto list = fmt::format("{}", fmt::join(items, ", "));
  const uint32_t i = draws.Below(static_cast<uint32_t>(items.size()) - 1);
  return {.context = Hide(draws, {}, n_filler),
          .turns = {AskCapital(draws),
                    {.question = "Repeat: " + list, .answer = list, .value = list},
                    {.question = fmt::format("What comes after {}?", items[i]),
                     .answer = fmt::format("{} comes after {}.", items[i + 1], items[i]),
                     .value = items[i + 1]}}};
}

Dialogue Make(Task task, Draws& draws, uint32_t n_filler) {
  switch (task) {
    case Task::kSingleKey:
      return SingleKey(draws, n_filler);
    case Task::kMultiKey:
    case Task::kSharedContext:
      return MultiKey(draws, n_filler);
    case Task::kMultiTurn:
      return MultiTurn(draws, n_filler);
    case Task::kState:
      return State(draws, n_filler);
    case Task::kMultiHop:
      return MultiHop(draws, n_filler);
    case Task::kCopy:
      return Copy(draws, n_filler);
  }
  return {};
}

}  // namespace

std::string_view TaskName(Task task) {
  constexpr std::array<std::string_view, kAllTasks.size()> kNamesOfTasks = {
      "single-key", "multi-key", "shared-context", "multi-turn", "state", "multi-hop", "copy"};
  return kNamesOfTasks[static_cast<size_t>(task)];
}

Dialogue MakeDialogue(Task task, uint64_t seed, uint32_t idx, uint32_t n_filler) {
  Draws draws(seed, (static_cast<uint64_t>(task) << 32U) | idx);
  Dialogue dialogue = Make(task, draws, n_filler);
  dialogue.task = task;
  dialogue.is_shared_context = task == Task::kSharedContext;
  return dialogue;
}

}  // namespace plimsoll::eval
