// Dense matrices that are not in memory when their turn comes, as pages of a stream.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"
#include "memory/page_stream.h"
#include "model/loader.h"
#include "model/weights.h"
#include "tensor/matrix.h"

namespace plimsoll::model {

// Layers [begin, end).
struct LayerRange {
  uint32_t begin = 0;
  uint32_t end = 0;
};

// A matrix that can be streamed, or some rows of one.
struct StreamedMatrix {
  // Of the model's weights: its data is set while the matrix is in use. Null for a tile of the
  // output matrix, which nobody else looks at.
  tensor::Matrix* target = nullptr;
  tensor::Matrix matrix;  // type, k and rows, but no data
  formats::FileRange range;
  uint32_t layer = 0;      // or, of the output matrix, the number of layers
  uint32_t stage = 0;      // those of one stage are used at once; ascending
  uint64_t first_row = 0;  // of the output matrix
};

// Of its declaration. A stack is read whole.
[[nodiscard]] tensor::Matrix* TargetOf(const BoundTensor& tensor);

// Whether a tensor may stay in its file where dense weights are streamed: a dense matrix that lies
// in one piece and that its declaration does not keep.
[[nodiscard]] bool CanStream(const BoundTensor& tensor);

// Of the tensors those that can be streamed, in the order in which a pass uses them: matrices of
// dense weights that lie in one piece, and the output matrix (which may be the embedding) in tiles.
// `weights` are those that the declarations point into.
[[nodiscard]] std::vector<StreamedMatrix> FindStreamed(std::span<const BoundTensor> bound,
                                                       ModelWeights& weights);

// The most that one stage uses at once, as pages of a stream take it.
[[nodiscard]] uint64_t LargestStage(std::span<const StreamedMatrix> matrices);

// Not thread-safe. Allocates when it is made and never after.
class StreamedWeights {
 public:
  // Page i of the stream, which outlives this, is matrix i.
  StreamedWeights(memory::PageStream& stream, std::vector<StreamedMatrix> matrices);

  // The layers that the pass goes through, and whether it makes logits at their end.
  void BeginPass(const LayerRange& layers, bool makes_logits);
  // None is in use any more; the first ones of the next pass are read ahead.
  void EndPass();

  // Waits until these are in memory; those of the call before leave it. One that is not streamed
  // is there already. kIo as PageStream::Use.
  [[nodiscard]] Result<> Use(std::initializer_list<const tensor::Matrix*> matrices);

  // The same for a tile of the output matrix; its rows from first_row on.
  struct OutputTile {
    tensor::Matrix matrix;
    uint64_t first_row = 0;
  };
  [[nodiscard]] size_t n_output_tiles() const { return matrices_.size() - first_output_; }
  [[nodiscard]] Result<OutputTile> UseOutput(size_t tile);

 private:
  [[nodiscard]] Result<> UsePages();
  void LetGo();

  memory::PageStream& stream_;
  std::vector<StreamedMatrix> matrices_;
  std::vector<std::pair<const tensor::Matrix*, uint32_t>> page_of_;  // by address
  size_t first_output_ = 0;
  std::vector<uint32_t> in_use_;
};

}  // namespace plimsoll::model
