// A sequence of many tokens that comes back from a disk, against computing it again.
//
//   session_bench -m MODEL [-n 4096] [-t THREADS] [--memory LINE] [--folder DIR] [-r 3]
//
// Each repetition prefills -n drawn tokens, saves the session to a file in the folder, has the
// system forget what it keeps of that file, restores it in a new session, and compares the logits
// that both give behind one more token: they must be the same bits. Seconds of each, and medians.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "engine/engine.h"

namespace plimsoll {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string model;
  uint32_t n_tokens = 4096;
  uint32_t threads = 0;
  std::string memory;
  std::string folder = ".";
  uint32_t repetitions = 3;
};

struct Seconds {
  double prefill = 0;
  double save = 0;
  double restore = 0;
};

template <class F>
double Time(const F& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// What is in the page cache would come back at the speed of memory.
void Forget(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  ::close(fd);
}

std::vector<float> LogitsBehind(engine::Session& session, TokenId token) {
  const auto logits = session.AppendForLogits({&token, 1}).value();
  return {logits.begin(), logits.end()};
}

Result<Seconds> Measure(engine::Engine& engine, const Options& options, uint64_t seed) {
  std::vector<TokenId> tokens;
  const auto n_vocab = static_cast<double>(engine.tokenizer().size());
  for (uint32_t i = 0; i < options.n_tokens; ++i) {
    tokens.push_back(static_cast<TokenId>(UniformAt(seed, i) * n_vocab));
  }
  const fs::path path = fs::path(options.folder) / "session_bench.session";
  Seconds seconds;
  std::vector<float> expected;
  {
    auto session = engine.NewSession();
    if (!session) {
      return Forward(session);
    }
    Result<> done;
    seconds.prefill = Time([&] { done = (*session)->Append(tokens, {}); });
    if (done) {
      seconds.save = Time([&] { done = (*session)->Save(path, ""); });
    }
    if (!done) {
      return Forward(done);
    }
    expected = LogitsBehind(**session, tokens.front());
  }
  Forget(path);
  auto session = engine.NewSession();
  if (!session) {
    return Forward(session);
  }
  Result<engine::RestoredSession> restored;
  seconds.restore = Time([&] { restored = (*session)->Restore(path); });
  const uint64_t bytes = fs::file_size(path);
  fs::remove(path);
  if (!restored) {
    return Forward(restored);
  }
  const auto rest = std::span(tokens).subspan(restored->n_restored);
  if (auto appended = (*session)->Append(rest, {}); !appended) {
    return Forward(appended);
  }
  if (LogitsBehind(**session, tokens.front()) != expected) {
    return Fail(ErrorKind::kFailed, "the session that was restored gives other logits");
  }
  fmt::print("{} of {} tokens, {}: prefill {:.3f} s, save {:.3f} s, restore {:.3f} s ({:.1f}x)\n",
             restored->n_restored, tokens.size(), FormatBytes(bytes), seconds.prefill, seconds.save,
             seconds.restore, seconds.prefill / seconds.restore);
  std::fflush(stdout);
  return seconds;
}

Result<> Run(const Options& options) {
  engine::EngineOptions to_load = {
      .model = options.model, .n_ctx = options.n_tokens + 1, .n_threads = options.threads};
  if (!options.memory.empty()) {
    auto size = ParseSize(options.memory);
    if (!size) {
      return Forward(size);
    }
    to_load.memory = *size;
  }
  auto engine = engine::Engine::Load(to_load, {});
  if (!engine) {
    return Forward(engine);
  }
  std::vector<double> prefills;
  std::vector<double> restores;
  for (uint32_t i = 0; i < options.repetitions; ++i) {
    auto seconds = Measure(**engine, options, i);
    if (!seconds) {
      return Forward(seconds);
    }
    prefills.push_back(seconds->prefill);
    restores.push_back(seconds->restore);
  }
  std::ranges::sort(prefills);
  std::ranges::sort(restores);
  const double prefill = prefills[prefills.size() / 2];
  const double restore = restores[restores.size() / 2];
  fmt::print("medians: prefill {:.3f} s, restore {:.3f} s: {:.1f}x\n", prefill, restore,
             prefill / restore);
  return {};
}

}  // namespace
}  // namespace plimsoll

int main(int argc, char** argv) {
  plimsoll::Options options;
  CLI::App app("A sequence that comes back from a disk, against computing it again.");
  app.add_option("-m,--model", options.model)->required();
  app.add_option("-n", options.n_tokens);
  app.add_option("-t,--threads", options.threads);
  app.add_option("--memory", options.memory);
  app.add_option("--folder", options.folder);
  app.add_option("-r", options.repetitions)->check(CLI::Range(1, 1000));
  CLI11_PARSE(app, argc, argv);
  if (const auto done = plimsoll::Run(options); !done) {
    fmt::print(stderr, "error: {}\n", done.error().message);
    return static_cast<int>(done.error().kind);
  }
  return 0;
}
