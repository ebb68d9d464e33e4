#include "memory/trace/binary_trace.h"

#include <bit>
#include <cstring>
#include <optional>

#include "base/checked.h"
#include "base/fnv.h"
#include "memory/trace/trace_builder.h"

namespace plimsoll::memory::trace {
namespace {

using policy::Phase;

constexpr uint32_t kVersion = 1;
constexpr uint32_t kNameMax = 65536;

template <class T>
void Put(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void PutVarint(std::string& out, uint32_t value) {
  for (; value >= 0x80; value >>= 7) {
    out.push_back(static_cast<char>(value | 0x80));
  }
  out.push_back(static_cast<char>(value));
}

void PutText(std::string& out, std::string_view text) {
  text = text.substr(0, kNameMax);
  Put(out, static_cast<uint32_t>(text.size()));
  out += text;
}

// Rounded to nearest, so that three digits are kept.
uint16_t PackProbability(float probability) {
  const auto bits = std::bit_cast<uint32_t>(probability);
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1)) >> 16);
}

float UnpackProbability(uint16_t packed) {
  return std::bit_cast<float>(static_cast<uint32_t>(packed) << 16);
}

// Reads from the front of a text; every read says whether there was enough.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes), size_(bytes.size()) {}

  [[nodiscard]] size_t offset() const { return size_ - rest_.size(); }
  [[nodiscard]] bool empty() const { return rest_.empty(); }

  template <class T>
  [[nodiscard]] std::optional<T> Get() {
    if (rest_.size() < sizeof(T)) {
      return std::nullopt;
    }
    T value;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_.remove_prefix(sizeof(T));
    return value;
  }
  [[nodiscard]] std::optional<uint32_t> GetVarint() {
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 35; shift += 7) {
      const auto byte = Get<uint8_t>();
      if (!byte) {
        return std::nullopt;
      }
      value |= static_cast<uint64_t>(*byte & 0x7F) << shift;
      if ((*byte & 0x80) == 0) {
        return CheckedCast<uint32_t>(value);
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] std::optional<std::string_view> GetBytes(size_t n) {
    if (rest_.size() < n) {
      return std::nullopt;
    }
    const std::string_view bytes = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return bytes;
  }
  [[nodiscard]] std::optional<std::string_view> GetText() {
    const auto n = Get<uint32_t>();
    return n && *n <= kNameMax ? GetBytes(*n) : std::nullopt;
  }

 private:
  std::string_view rest_;
  size_t size_;
};

Complaint ReadHeader(Reader& in, std::string_view bytes, TraceBuilder& builder) {
  const auto magic = in.GetBytes(kTraceMagic.size());
  const auto version = in.Get<uint32_t>();
  if (!magic || *magic != kTraceMagic || !version) {
    return "no header of a trace";
  }
  if (*version != kVersion) {
    return fmt::format("version {} of the format; this program reads {}", *version, kVersion);
  }
  const auto n_layers = in.Get<uint32_t>();
  const auto model = in.GetText();
  const auto architecture = in.GetText();
  if (!n_layers || *n_layers > kLayersMax || !model || !architecture) {
    return "a damaged header";
  }
  std::vector<TraceLayer> layers(*n_layers);
  for (TraceLayer& layer : layers) {
    const auto n_experts = in.Get<uint32_t>();
    const auto n_active = in.Get<uint32_t>();
    const auto n_ranked = in.Get<uint32_t>();
    const auto expert_bytes = in.Get<uint64_t>();
    if (!expert_bytes || *n_active > *n_ranked || *n_ranked > kRankedMax) {
      return "a damaged header";
    }
    layer = {*n_experts, *n_active, *n_ranked, *expert_bytes};
  }
  const uint64_t expected = Fnv1a(bytes.substr(0, in.offset()));
  if (in.Get<uint64_t>() != expected) {
    return "a header with a wrong checksum";
  }
  builder.trace().model = *model;
  builder.trace().architecture = *architecture;
  return builder.SetLayers(std::move(layers));
}

struct VisitHead {
  uint32_t pass = 0;
  uint32_t layer = 0;
  Phase phase = Phase::kDecode;
  uint32_t n_tokens = 0;
};

std::optional<VisitHead> ReadVisitHead(Reader& in, uint32_t last_pass) {
  const auto passes = in.GetVarint();
  const auto layer = in.GetVarint();
  const auto phase = in.Get<uint8_t>();
  const auto n_tokens = in.GetVarint();
  if (!n_tokens || !phase || *phase > 1) {
    return std::nullopt;
  }
  const auto pass = CheckedAdd<uint32_t>(last_pass, *passes);
  return pass ? std::optional(VisitHead{*pass, *layer, Phase{*phase}, *n_tokens}) : std::nullopt;
}

// One visit, token by token: what it takes is bounded by the bytes that are there.
Complaint ReadVisit(Reader& in, uint32_t& pass, std::vector<Choice>& ranked,
                    TraceBuilder& builder) {
  const auto head = ReadVisitHead(in, pass);
  const auto& layers = builder.trace().layers;
  if (!head || head->layer >= layers.size() || layers[head->layer].n_active == 0) {
    return "a damaged visit";
  }
  pass = head->pass;
  const TraceLayer layer = layers[head->layer];
  for (uint32_t token = 0; token < head->n_tokens; ++token) {
    ranked.clear();
    for (uint32_t i = 0; i < layer.n_ranked; ++i) {
      const auto expert = in.GetVarint();
      const auto probability = in.Get<uint16_t>();
      if (!expert || !probability) {
        return "a visit that ends too early";
      }
      ranked.push_back({*expert, UnpackProbability(*probability)});
    }
    Complaint complaint =
        builder.AddRow({head->pass, head->layer, token, head->phase}, ranked, layer.n_active);
    if (!complaint.empty()) {
      return complaint;
    }
  }
  return {};
}

}  // namespace

std::string EncodeTraceHeader(std::string_view model, std::string_view architecture,
                              std::span<const TraceLayer> layers) {
  std::string out(kTraceMagic);
  Put(out, kVersion);
  Put(out, static_cast<uint32_t>(layers.size()));
  PutText(out, model);
  PutText(out, architecture);
  for (const TraceLayer& layer : layers) {
    Put(out, layer.n_experts);
    Put(out, layer.n_active);
    Put(out, layer.n_ranked);
    Put(out, layer.expert_bytes);
  }
  Put(out, Fnv1a(out));
  return out;
}

std::string EncodeBlock(std::string_view payload) {
  std::string block;
  Put(block, static_cast<uint32_t>(payload.size()));
  Put(block, Fnv1a(payload));
  block += payload;
  return block;
}

void BlockEncoder::Add(uint32_t layer, uint32_t pass, Phase phase, uint32_t n_tokens,
                       std::span<const Choice> ranked) {
  PutVarint(payload_, pass - last_pass_);
  last_pass_ = pass;
  PutVarint(payload_, layer);
  Put(payload_, static_cast<uint8_t>(phase));
  PutVarint(payload_, n_tokens);
  for (const Choice& choice : ranked) {
    PutVarint(payload_, choice.expert);
    Put(payload_, PackProbability(choice.probability));
  }
}

std::string BlockEncoder::TakeBlock() {
  std::string block = EncodeBlock(payload_);
  payload_.clear();
  return block;
}

Result<Trace> ParseBinaryTrace(std::string_view bytes, std::string_view name,
                               uint64_t* ignored_bytes) {
  TraceBuilder builder;
  Reader in(bytes);
  const auto fail = [&](size_t offset, const Complaint& complaint) {
    return Fail(ErrorKind::kFailed, "{}, byte {}: {}", name, offset, complaint);
  };
  if (const Complaint complaint = ReadHeader(in, bytes, builder); !complaint.empty()) {
    return fail(in.offset(), complaint);
  }
  uint64_t ignored = 0;
  uint32_t pass = 0;
  std::vector<Choice> ranked;
  while (!in.empty()) {
    const size_t begin = in.offset();
    const auto n = in.Get<uint32_t>();
    const auto checksum = in.Get<uint64_t>();
    if (n && *n > kBlockBytesMax) {
      return fail(begin, fmt::format("a block of {} bytes", *n));
    }
    const auto payload = checksum ? in.GetBytes(*n) : std::nullopt;
    if (!payload) {
      ignored = bytes.size() - begin;
      break;
    }
    if (Fnv1a(*payload) != *checksum) {
      return fail(begin, "a block with a wrong checksum");
    }
    for (Reader visits(*payload); !visits.empty();) {
      const Complaint complaint = ReadVisit(visits, pass, ranked, builder);
      if (!complaint.empty()) {
        return fail(in.offset() - payload->size() + visits.offset(), complaint);
      }
    }
  }
  if (ignored_bytes != nullptr) {
    *ignored_bytes = ignored;
  }
  if (const Complaint complaint = builder.Finish(); !complaint.empty()) {
    return fail(in.offset(), complaint);
  }
  return std::move(builder.trace());
}

}  // namespace plimsoll::memory::trace
