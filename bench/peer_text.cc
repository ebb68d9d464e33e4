// peer-text MODEL N_CONTEXT N_THREADS N_PREDICT LOAD < ids: llama.cpp goes on from the token ids on
// standard input, greedily, and prints what it said and how long it took as one JSON object.
//
// LOAD is "mmap" (weights stay in the file's pages, the only way for a model beyond memory) or
// "repack" (llama.cpp's default: mapped, but weights that it has faster layouts for are copied into
// these). peer.py compiles this against the libraries of node-llama-cpp; it is no part of the
// build.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <iterator>
#include <vector>

#include <ggml-backend.h>
#include <llama.h>

namespace {

double Seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

// Decodes `count` ids together; the likeliest token behind them, or -1.
llama_token Next(llama_context* context, llama_token* ids, int count, int n_vocab) {
  if (llama_decode(context, llama_batch_get_one(ids, count)) != 0) {
    return -1;
  }
  const float* logits = llama_get_logits_ith(context, -1);
  return static_cast<llama_token>(std::max_element(logits, logits + n_vocab) - logits);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    return 2;
  }
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  ggml_backend_load_all();
  llama_model_params model_params = llama_model_default_params();
  model_params.n_gpu_layers = 0;
  model_params.load_mode = LLAMA_LOAD_MODE_MMAP;
  model_params.use_extra_bufts = std::strcmp(argv[5], "repack") == 0;
  llama_model* model = llama_model_load_from_file(argv[1], model_params);
  if (model == nullptr) {
    std::fprintf(stderr, "cannot load %s\n", argv[1]);
    return 3;
  }
  llama_context_params context_params = llama_context_default_params();
  context_params.n_ctx = static_cast<uint32_t>(std::atoi(argv[2]));
  context_params.n_threads = context_params.n_threads_batch = std::atoi(argv[3]);
  llama_context* context = llama_init_from_model(model, context_params);
  if (context == nullptr) {
    std::fprintf(stderr, "no context\n");
    return 1;
  }
  const int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
  std::vector<llama_token> ids{std::istream_iterator<llama_token>(std::cin), {}};
  const double loaded = Seconds();

  // In batches of the context's own size.
  llama_token next = -1;
  const int batch = static_cast<int>(context_params.n_batch);
  for (int at = 0; at < static_cast<int>(ids.size()); at += batch) {
    next =
        Next(context, ids.data() + at, std::min(batch, static_cast<int>(ids.size()) - at), n_vocab);
  }
  const double first = Seconds();
  std::vector<llama_token> said;
  while (next >= 0 && static_cast<int>(said.size()) < std::atoi(argv[4])) {
    said.push_back(next);
    next =
        static_cast<int>(said.size()) < std::atoi(argv[4]) ? Next(context, &next, 1, n_vocab) : -1;
  }
  const double end = Seconds();
  std::printf("{\"prefill_s\": %.6f, \"decode_s\": %.6f, \"ids\": [", first - loaded, end - first);
  for (size_t i = 0; i < said.size(); ++i) {
    std::printf("%s%d", i == 0 ? "" : ", ", said[i]);
  }
  std::printf("]}\n");
  llama_free(context);
  llama_model_free(model);
  return 0;
}
