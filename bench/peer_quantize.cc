// llama.cpp's own quantizer, as the peer that Plimsoll's is compared with (bench/quantizers).
//
//   peer-quantize IN OUT FILE_TYPE pure|mix [IMATRIX]
//
// FILE_TYPE is general.file_type's number; an importance matrix is a GGUF. NVFP4 is made by
// overrides, for its file type is none that llama.cpp's quantizer knows: every matrix whose rows
// are whole blocks gets it, the others IQ4_NL.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <ggml.h>
#include <gguf.h>
#include <llama.h>

namespace {

using Importance = std::map<std::string, std::vector<float>>;

// Mean squares by tensor; where nothing was counted, all channels alike.
Importance ReadImportance(const char* path) {
  ggml_context* tensors = nullptr;
  gguf_context* const file = gguf_init_from_file(path, {/*no_alloc=*/false, &tensors});
  if (file == nullptr) {
    std::fprintf(stderr, "%s is no GGUF\n", path);
    std::exit(1);
  }
  Importance importance;
  const std::string suffix = ".in_sum2";
  for (ggml_tensor* sums = ggml_get_first_tensor(tensors); sums != nullptr;
       sums = ggml_get_next_tensor(tensors, sums)) {
    std::string name = sums->name;
    if (name.size() <= suffix.size() || name.substr(name.size() - suffix.size()) != suffix) {
      continue;
    }
    name.resize(name.size() - suffix.size());
    const ggml_tensor* const counts = ggml_get_tensor(tensors, (name + ".counts").c_str());
    const auto* const sum = static_cast<const float*>(sums->data);
    std::vector<float>& means = importance[name];
    for (int64_t i = 0; i < ggml_nelements(sums); ++i) {
      const float count = static_cast<const float*>(counts->data)[i / sums->ne[0]];
      means.push_back(count > 0 ? sum[i] / count : 1.0F);
    }
  }
  return importance;
}

// "^NAME$" of every tensor whose rows are a whole number of blocks of `type`.
std::vector<std::string> PatternsOfTensorsFor(ggml_type type, const char* path) {
  ggml_context* tensors = nullptr;
  gguf_context* const file = gguf_init_from_file(path, {/*no_alloc=*/true, &tensors});
  if (file == nullptr) {
    std::fprintf(stderr, "%s is no GGUF\n", path);
    std::exit(1);
  }
  std::vector<std::string> patterns;
  for (ggml_tensor* tensor = ggml_get_first_tensor(tensors); tensor != nullptr;
       tensor = ggml_get_next_tensor(tensors, tensor)) {
    if (tensor->ne[0] % ggml_blck_size(type) == 0) {
      patterns.push_back("^" + std::string(tensor->name) + "$");
    }
  }
  return patterns;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: peer-quantize IN OUT FILE_TYPE pure|mix [IMATRIX]\n");
    return 2;
  }
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.ftype = static_cast<llama_ftype>(std::atoi(argv[3]));
  params.pure = std::strcmp(argv[4], "pure") == 0;
  params.nthread = 2;
  const Importance importance = argc > 5 ? ReadImportance(argv[5]) : Importance();
  std::vector<llama_model_imatrix_data> entries;
  for (const auto& [name, means] : importance) {
    entries.push_back({name.c_str(), means.data(), means.size()});
  }
  entries.push_back({nullptr, nullptr, 0});
  params.imatrix = importance.empty() ? nullptr : entries.data();
  std::vector<std::string> patterns;
  std::vector<llama_model_tensor_override> overrides;
  if (params.ftype == LLAMA_FTYPE_MOSTLY_NVFP4) {
    params.ftype = LLAMA_FTYPE_MOSTLY_IQ4_NL;
    patterns = PatternsOfTensorsFor(GGML_TYPE_NVFP4, argv[1]);
    for (const std::string& pattern : patterns) {
      overrides.push_back({pattern.c_str(), GGML_TYPE_NVFP4});
    }
    overrides.push_back({nullptr, GGML_TYPE_COUNT});
    params.tt_overrides = overrides.data();
  }
  llama_backend_init();
  return llama_model_quantize(argv[1], argv[2], &params) == 0 ? 0 : 1;
}
