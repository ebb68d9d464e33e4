// llama.cpp's own quantizer, as the peer that Plimsoll's is compared with (bench/quantizers).
//
//   peer-quantize IN OUT FILE_TYPE pure|mix [IMATRIX]
//
// FILE_TYPE is general.file_type's number; an importance matrix is a GGUF.
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
  llama_backend_init();
  return llama_model_quantize(argv[1], argv[2], &params) == 0 ? 0 : 1;
}
