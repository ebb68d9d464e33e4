// A family of models as Hugging Face publishes them: what its config.json says and leaves out, and
// which tensors of GGUF's its own become. Each is a few lines in families/; families.cc lists them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "formats/safetensors/config_keys.h"
#include "formats/safetensors/matrix_view.h"

namespace plimsoll::formats::safetensors {

// One tensor of GGUF's out of one of the folder's. Names are those inside a layer, or outside of
// all, without "model." before and without ".weight" or ".bias" behind, which stays as it is. A
// `to` with a dot is GGUF's whole name, of a tensor whose own has no such end; where GGUF's has
// none either, the dot is behind it. A * in `from` stands for an expert's number. Several rules may
// have the same `from`: then a tensor has several parts.
struct Rule {
  std::string_view from;
  std::string_view to;
  Change change = nullptr;  // null: none

  [[nodiscard]] constexpr bool is_whole() const { return to.find('.') != std::string_view::npos; }
};

// What transformers takes where config.json has no such key.
struct Default {
  std::string_view key;
  uint32_t value = 0;
};

enum class Windows : uint8_t {
  kIfAsked,  // a window counts where use_sliding_window says so
  kAlways,   // where it is given
  kOwn,      // the family's own `configure` sees to it
};

struct Family {
  std::string_view hugging_face;  // config.json's model_type, of the text part where there is one
  std::string_view gguf;          // general.architecture
  double rms_eps = 1e-6;
  double rope_theta = 10'000;
  double rotary_part = 1;  // of a head
  Windows windows = Windows::kIfAsked;
  std::string_view activation = "silu";
  bool normalises = false;  // the chosen experts' weights sum to 1
  bool is_sigmoid = false;  // so are their scores made
  std::span<const Default> defaults = {};
  // Writes what is beyond the keys that all families share; may be null.
  void (*configure)(ConfigKeys& keys) = nullptr;
  // Before the names that all families share.
  std::span<const Rule> rules = {};
};

[[nodiscard]] std::span<const Family* const> AllFamilies();
// Null when there is none of that name.
[[nodiscard]] const Family* FindFamily(std::string_view hugging_face);

}  // namespace plimsoll::formats::safetensors
