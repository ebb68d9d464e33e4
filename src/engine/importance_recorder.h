// Makes an importance matrix (engine/importance.h) from what a model's matrices read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "model/activation_observer.h"

namespace plimsoll::engine {

// Adds up what a model's matrices read. Not thread-safe. Not in the ledger: eight bytes for each
// channel of each input, a few thousandths of the weights.
class ImportanceRecorder final : public model::ActivationObserver {
 public:
  void OnInput(const model::ObservedRows& rows) override;

  struct Source {
    std::string dataset;  // the text's name
    uint32_t n_chunks = 0;
    uint32_t chunk_tokens = 0;
  };
  // For the tensors of `model` whose inputs were seen. The file is there when all of it is written.
  // kIo; kFailed when nothing was seen.
  [[nodiscard]] Result<> Write(const std::filesystem::path& path, const formats::Catalogue& model,
                               const Source& source) const;

 private:
  struct Key {
    uint32_t layer_idx;
    model::MatrixInput input;
    auto operator<=>(const Key&) const = default;
  };
  struct Sums {
    std::vector<double> squares;  // [k]
    uint64_t count = 0;
  };
  // The tensor's, by matrix; empty when one has another shape, or none was seen.
  [[nodiscard]] std::vector<const Sums*> SumsOf(const formats::TensorEntry& tensor) const;

  std::map<Key, std::map<uint32_t, Sums>> sums_;  // by input and expert
};

}  // namespace plimsoll::engine
