#include "memory/trace/recorder.h"

namespace plimsoll::memory::trace {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 16;

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

Result<std::unique_ptr<Recorder>> Recorder::Create(const std::filesystem::path& path,
                                                   std::string_view model,
                                                   std::string_view architecture,
                                                   std::vector<TraceLayer> layers) {
  auto file = io::AppendFile::Create(path);
  if (!file) {
    return Forward(file);
  }
  if (auto written = file->Append(Bytes(EncodeTraceHeader(model, architecture, layers)));
      !written) {
    return Forward(written);
  }
  return std::unique_ptr<Recorder>(new Recorder(*std::move(file), std::move(layers)));
}

void Recorder::OnVisit(const policy::LayerVisit& visit) {
  if (error_ || visit.layer >= layers_.size() || visit.n_tokens == 0) {
    return;
  }
  const TraceLayer& layer = layers_[visit.layer];
  const size_t n_active = layer.n_active;
  const size_t n_near = layer.n_ranked - layer.n_active;
  if (visit.experts.size() != visit.n_tokens * n_active ||
      visit.near_experts.size() != visit.n_tokens * n_near) {
    error_ = Error{
        ErrorKind::kFailed,
        fmt::format("{}: a pass chose {} experts for {} tokens in layer {}, which the "
                    "trace cannot hold",
                    file_.path().string(), visit.experts.size(), visit.n_tokens, visit.layer)};
    return;
  }
  const auto probability = [](std::span<const float> all, size_t i) {
    return i < all.size() ? all[i] : 0;
  };
  ranked_.clear();
  for (size_t token = 0; token < visit.n_tokens; ++token) {
    for (size_t i = token * n_active; i < (token + 1) * n_active; ++i) {
      ranked_.push_back({visit.experts[i], probability(visit.probabilities, i)});
    }
    for (size_t i = token * n_near; i < (token + 1) * n_near; ++i) {
      ranked_.push_back({visit.near_experts[i], probability(visit.near_probabilities, i)});
    }
  }
  pass_ += step_ && *step_ != visit.step ? 1U : 0U;
  step_ = visit.step;
  encoder_.Add(visit.layer, pass_, visit.phase, visit.n_tokens, ranked_);
  if (encoder_.payload_bytes() >= kBlockBytes) {
    WriteBlock();
  }
}

void Recorder::WriteBlock() {
  if (auto written = file_.Append(Bytes(encoder_.TakeBlock())); !written) {
    error_ = std::move(written).error();
    error_->message += "\nThe trace ends here; what it holds can be replayed.";
  }
}

Result<> Recorder::Finish() {
  if (!error_ && encoder_.payload_bytes() != 0) {
    WriteBlock();
  }
  if (error_) {
    return tl::unexpected<Error>(*error_);
  }
  return {};
}

}  // namespace plimsoll::memory::trace
