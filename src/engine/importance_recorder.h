// Makes an importance matrix (engine/importance.h) from what a model's matrices read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/importance_options.h"
#include "formats/catalogue.h"
#include "memory/buffer.h"
#include "model/activation_observer.h"
#include "model/matrix_inputs.h"
#include "model/model.h"

namespace plimsoll::engine {

// What of the model's inputs is recorded.
[[nodiscard]] std::vector<model::MatrixInput> RecordedInputs(const model::Model& model,
                                                             const ImportanceOptions& options);

// Asked before a long run rather than found at its end. kUsage for an output that is a file of the
// model; kIo for one that cannot be written, or has no room.
[[nodiscard]] Result<> CheckImportanceOutput(const formats::Catalogue& catalogue,
                                             std::span<const model::MatrixInput> inputs,
                                             const std::filesystem::path& output);

// Adds up what a model's matrices read. Not thread-safe.
class ImportanceRecorder final : public model::ActivationObserver {
 public:
  // Memory that the sums of these inputs take.
  [[nodiscard]] static uint64_t Bytes(std::span<const model::MatrixInput> inputs);
  // The ledger grants it, and it and the model outlive the recorder. kDoesNotFit.
  [[nodiscard]] static Result<std::unique_ptr<ImportanceRecorder>> Create(
      std::vector<model::MatrixInput> inputs, memory::Ledger& ledger);

  // Of readers that are none of the inputs' nothing is kept.
  void OnInput(const tensor::Matrix& reader, const model::ObservedRows& rows) override;

  // For the tensors whose inputs were seen. The file is there when all of it is written. kIo;
  // kFailed when nothing was seen.
  [[nodiscard]] Result<> Write(const std::filesystem::path& path,
                               const ImportanceSource& source) const;

 private:
  struct Sums {
    model::MatrixInput input;
    std::span<double> squares;   // [n_matrices][k]
    std::span<uint64_t> counts;  // [n_matrices]: rows
  };

  ImportanceRecorder(std::vector<model::MatrixInput> inputs, memory::Buffer buffer);

  memory::Buffer buffer_;
  std::vector<Sums> sums_;
  std::map<const tensor::Matrix*, Sums*> by_reader_;
};

}  // namespace plimsoll::engine
