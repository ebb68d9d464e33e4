// Writes the seed corpora: small, valid or nearly valid inputs that reach every branch of a parser.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "formats/gguf/raw_file.h"
#include "formats/packed/test_packed.h"
#include "formats/safetensors/test_files.h"
#include "fuzz/seeds.h"
#include "kv/session_file.h"
#include "memory/trace/binary_trace.h"

namespace plimsoll::fuzz {
namespace {

namespace fs = std::filesystem;
using formats::ValueType;
using formats::gguf::RawFile;
using formats::safetensors::TensorsJson;
using tensor::DType;

void Write(const fs::path& folder, std::string_view name, std::string_view bytes) {
  fs::create_directories(folder);
  std::ofstream(folder / name, std::ios::binary) << bytes;
}

RawFile EveryValueType() {
  RawFile raw(0, 14);
  raw.KeyString("general.architecture", "llama");
  raw.Key("u8", ValueType::kU8).Put<uint8_t>(1);
  raw.Key("i8", ValueType::kI8).Put<int8_t>(-1);
  raw.Key("u16", ValueType::kU16).Put<uint16_t>(1);
  raw.Key("i16", ValueType::kI16).Put<int16_t>(-1);
  raw.KeyU32("u32", 1);
  raw.Key("i32", ValueType::kI32).Put<int32_t>(-1);
  raw.Key("u64", ValueType::kU64).Put<uint64_t>(1);
  raw.Key("i64", ValueType::kI64).Put<int64_t>(-1);
  raw.Key("f32", ValueType::kF32).Put(0.5F);
  raw.Key("f64", ValueType::kF64).Put(0.5);
  raw.Key("bool", ValueType::kBool).Put<uint8_t>(1);
  raw.KeyArray("strings", ValueType::kString, 3).String("a").String("").String("\xc4\xa0the");
  raw.KeyArray("floats", ValueType::kF32, 2).Put(0.5F).Put(-1.F);
  return raw;
}

RawFile EveryArrayType() {
  RawFile raw(0, 12);
  raw.KeyArray("u8", ValueType::kU8, 2).Put<uint8_t>(0).Put<uint8_t>(255);
  raw.KeyArray("i8", ValueType::kI8, 1).Put<int8_t>(-1);
  raw.KeyArray("u16", ValueType::kU16, 1).Put<uint16_t>(1);
  raw.KeyArray("i16", ValueType::kI16, 1).Put<int16_t>(-1);
  raw.KeyArray("u32", ValueType::kU32, 1).Put<uint32_t>(1);
  raw.KeyArray("i32", ValueType::kI32, 1).Put<int32_t>(-1);
  raw.KeyArray("u64", ValueType::kU64, 1).Put<uint64_t>(1);
  raw.KeyArray("i64", ValueType::kI64, 1).Put<int64_t>(-1);
  raw.KeyArray("f64", ValueType::kF64, 1).Put(0.5);
  raw.KeyArray("bool", ValueType::kBool, 2).Put<uint8_t>(1).Put<uint8_t>(0);
  raw.KeyArray("none", ValueType::kString, 0);
  raw.KeyArray("nested", ValueType::kArray, 1);
  return raw;
}

RawFile EveryTensorType() {
  const auto types = tensor::AllDTypes();
  RawFile raw(types.size(), 1);
  raw.KeyU32("general.alignment", 8);
  uint64_t offset = 0;
  for (const tensor::DTypeTraits& traits : types) {
    raw.Tensor(traits.name, {256, 1, 2}, traits.dtype, offset);
    offset += *tensor::BytesFor(traits.dtype, 512);
  }
  return raw.Data(offset, 8);
}

RawFile Experts() {
  RawFile raw(4, 4);
  raw.KeyString("general.architecture", "qwen3moe");
  raw.KeyU32("qwen3moe.block_count", 1);
  raw.KeyU32("qwen3moe.expert_count", 2);
  raw.KeyU32("qwen3moe.expert_used_count", 1);
  raw.Tensor("token_embd.weight", {32, 2}, DType::kQ4_0, 0);
  raw.Tensor("blk.0.ffn_gate_inp.weight", {32, 2}, DType::kF32, 64);
  raw.Tensor("blk.0.ffn_up_exps.weight", {32, 1, 2}, DType::kQ8_0, 320);
  raw.Tensor("output_norm.weight", {32}, DType::kF32, 416);
  return raw.Data(544);
}

RawFile SplitPart(uint16_t number, uint16_t count, std::string_view tensor) {
  RawFile raw(1, 4);
  raw.KeyString("general.name", "split");
  raw.Key("split.no", ValueType::kU16).Put(number);
  raw.Key("split.count", ValueType::kU16).Put(count);
  raw.Key("split.tensors.count", ValueType::kI32).Put<int32_t>(count);
  return raw.Tensor(tensor, {8}, DType::kF32, 0).Data(32);
}

std::string Joined(std::initializer_list<RawFile> parts) {
  std::string joined;
  for (const RawFile& part : parts) {
    joined += joined.empty() ? "" : kNextPart;
    joined += part.bytes();
  }
  return joined;
}

void WriteGguf(const fs::path& folder) {
  Write(folder, "empty", RawFile(0, 0).bytes());
  Write(folder, "values", EveryValueType().bytes());
  Write(folder, "arrays", EveryArrayType().bytes());
  Write(folder, "tensors", EveryTensorType().bytes());
  Write(folder, "experts", Experts().bytes());
  Write(folder, "unsupported", RawFile(1, 0).Tensor("t", {256}, DType(31), 0).Data(144).bytes());
  Write(folder, "split-1", Joined({SplitPart(0, 1, "a")}));
  Write(folder, "split-2", Joined({SplitPart(0, 2, "a"), SplitPart(1, 2, "b")}));
  Write(folder, "split-swapped", Joined({SplitPart(1, 2, "a"), SplitPart(0, 2, "b")}));
  Write(folder, "split-short", Joined({SplitPart(0, 3, "a"), SplitPart(1, 3, "b")}));
}

std::string Parts(std::initializer_list<std::string_view> parts) {
  std::string joined;
  for (const std::string_view part : parts) {
    joined += joined.empty() ? "" : kNextPart;
    joined += part;
  }
  return joined;
}

constexpr std::string_view kDenseConfig =
    R"({"model_type":"llama","num_hidden_layers":1,"hidden_size":8,"intermediate_size":4,)"
    R"("num_attention_heads":2,"num_key_value_heads":1,"head_dim":4,"vocab_size":5,)"
    R"("max_position_embeddings":64,"rms_norm_eps":1e-5,"rope_theta":5e5,"hidden_act":"silu",)"
    R"("rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,)"
    R"("high_freq_factor":4.0,"original_max_position_embeddings":8192},)"
    R"("tie_word_embeddings":false,"bos_token_id":1,"eos_token_id":[2,3]})";
constexpr std::string_view kYarnConfig =
    R"({"model_type":"qwen2","num_hidden_layers":1,"hidden_size":8,"intermediate_size":4,)"
    R"("num_attention_heads":2,"sliding_window":16,"use_sliding_window":true,)"
    R"("max_window_layers":0,"layer_types":["sliding_attention"],"partial_rotary_factor":0.5,)"
    R"("rope_parameters":{"type":"yarn","factor":4.0,"attention_factor":1.0,"beta_fast":32,)"
    R"("beta_slow":1,"rope_theta":1e6},"tie_word_embeddings":true})";
constexpr std::string_view kMoeConfig =
    R"({"model_type":"qwen2_moe","num_hidden_layers":1,"hidden_size":8,"intermediate_size":4,)"
    R"("num_attention_heads":2,"num_experts":2,"num_experts_per_tok":1,"norm_topk_prob":true,)"
    R"("moe_intermediate_size":4,"shared_expert_intermediate_size":4,"decoder_sparse_step":1,)"
    R"("mlp_only_layers":[],"clip_qkv":null})";

void WriteSafetensors(const fs::path& folder) {
  const std::string dense = TensorsJson()
                                .Add("model.embed_tokens.weight", "BF16", {5, 8})
                                .Add("model.layers.0.self_attn.q_proj.weight", "F16", {8, 8})
                                .Add("model.layers.0.rotary_emb.inv_freq", "F32", {2})
                                .File();
  const std::string output = TensorsJson().Add("lm_head.weight", "F32", {5, 8}).File();
  const std::string experts =
      TensorsJson()
          .Add("model.layers.0.mlp.experts.0.up_proj.weight", "BF16", {4, 8})
          .Add("model.layers.0.mlp.experts.1.up_proj.weight", "BF16", {4, 8})
          .Add("model.layers.0.mlp.shared_expert_gate.weight", "BF16", {1, 8})
          .File();
  constexpr std::string_view kIndex =
      R"({"metadata":{"total_size":1},"weight_map":{"model.embed_tokens.weight":"a",)"
      R"("model.layers.0.self_attn.q_proj.weight":"a","lm_head.weight":"b"}})";
  Write(folder, "sharded", Parts({kDenseConfig, kIndex, dense, output}));
  Write(folder, "single", Parts({kYarnConfig, "", dense}));
  Write(folder, "experts", Parts({kMoeConfig, "", experts}));
  Write(folder, "nothing", Parts({kYarnConfig, "", TensorsJson().File()}));
}

// Headers alone, small ones: the fuzz target gives them their length and their checksum.
void WritePacked(const fs::path& folder) {
  using formats::packed::LayerShape;
  using formats::packed::SourceFile;
  const auto header_of = [](const std::vector<LayerShape>& layers,
                            const std::vector<SourceFile>& sources) {
    const std::string file = formats::packed::TestFile(layers, sources);
    return file.substr(0, formats::packed::PlaceTables(sources, layers).value().header_bytes);
  };
  const formats::packed::MatrixShape matrix = {DType::kF32, 4, 2};
  const LayerShape layer = {1, {matrix, matrix, matrix}};
  const SourceFile source = {.bytes = 100, .header_bytes = 50, .header_digest = {1, 2}};
  Write(folder, "smallest", header_of({layer}, {source}));
  Write(folder, "layers", header_of({layer, {}, {3, layer.projections}}, {source}));
  Write(folder, "types", header_of(formats::packed::TestLayers(), {source}));
  Write(folder, "sources", header_of({layer}, formats::packed::TestSources()));
}

void WriteSessions(const fs::path& folder) {
  fs::create_directories(folder);
  const auto save = [&folder](std::string_view name, const kv::SavedSequence& sequence) {
    const std::vector<std::byte> block(sequence.block_bytes, std::byte{7});
    const std::vector<const std::byte*> blocks(sequence.n_blocks(), block.data());
    const std::vector<std::byte> state(sequence.state_bytes, std::byte{9});
    static_cast<void>(kv::SaveSequence(folder / name, sequence, blocks, state));
  };
  save("nothing", {});
  save("tokens", {.tokens = {1, 2, 3}, .note = "note"});
  save("block", {.tokens = {1, 2, 3}, .positions = {0, 1}, .block_bytes = 64});
  save("state", {.tokens = {1}, .positions = {0}, .block_bytes = 64, .state_bytes = 5});
}

void WriteTraces(const fs::path& folder) {
  using memory::policy::Phase;
  const std::vector<memory::trace::TraceLayer> layers = {{0, 0, 0, 0}, {16, 2, 3, 4096}};
  memory::trace::BlockEncoder encoder;
  const std::vector<memory::trace::Choice> ranked = {{1, 0.5F}, {9, 0.25F}, {15, 0.125F},
                                                     {9, 0.5F}, {0, 0.25F}, {3, 0.125F}};
  encoder.Add(1, 0, Phase::kPrefill, 2, ranked);
  encoder.Add(1, 1, Phase::kDecode, 1, std::span(ranked).first(3));
  const std::string block = encoder.TakeBlock();
  const std::string header = memory::trace::EncodeTraceHeader("m", "moe", layers);
  Write(folder, "binary", header + block);
  Write(folder, "visits", "VISITS:" + block.substr(12));
  Write(folder, "binary-cut", header + block + block.substr(0, 9));
  Write(folder, "route-trace-v1",
        "# route_trace v1\n# model=m arch=a n_layer=2 n_expert=4 n_expert_used=1\n"
        "# layer=1 expert_bytes=9\n"
        "turn,phase,step,layer,slot,expert,weight,residency,expert_bytes\n"
        "0,0,0,0,0,3,0.5,0,10\n0,0,1,0,0,1,0.25,0,10\n0,1,2,1,0,2,1e-3,1,0\n");
  Write(folder, "colibri", "0 0 1 5:0.75 2:0.25\n0 1 1 5:0.6 3:0.4\n1 0 1 1:0.5 0:0.5\n");
}

}  // namespace
}  // namespace plimsoll::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_corpus FOLDER\n";
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  plimsoll::fuzz::WriteGguf(folder / "gguf");
  plimsoll::fuzz::WriteSafetensors(folder / "safetensors");
  plimsoll::fuzz::WritePacked(folder / "packed");
  plimsoll::fuzz::WriteTraces(folder / "trace");
  plimsoll::fuzz::WriteSessions(folder / "session");
  return 0;
}
