// How fast the reader gives pages of a file, beside what the device is seen to do: by backend, page
// size, depth and class.
//
//   reader_bench --file F [--pages 64K,1M] [--depths 1,4,16,64] [--backends io_uring,threads]
//   [--seconds 0.5]
//
// Without a file it writes one of 2 GiB to --folder. Pages start at any multiple of 32 bytes, as
// those of a GGUF do. The columns: GB/s of wanted bytes; what the alignment reads on top; the share
// of the time in which the device had work (as the reader sees it, and by /proc/diskstats, which
// counts what others do too); processor time per GB; the longest wait of a page.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "io/atomic_file.h"
#include "io/reader.h"

namespace plimsoll::io {
namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::string file;
  std::string folder = ".";
  std::vector<std::string> pages = {"64K", "256K", "1M", "4M"};
  std::vector<uint32_t> depths = {1, 4, 16, 64};
  std::vector<std::string> backends = {"io_uring", "io_uring-registered", "threads",
                                       "io_uring-buffered"};
  uint64_t segment_bytes = 1 << 20;
  double seconds = 0.5;
};

double Seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

double ProcessorSeconds() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

// Milliseconds for which the file's device had work, since the start of the system; the 10th figure
// behind its name.
double DeviceBusySeconds(const File& file) {
  struct stat status = {};
  ::fstat(file.descriptor(), &status);
  std::ifstream in("/proc/diskstats");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    uint64_t device_major = 0;
    uint64_t device_minor = 0;
    std::string name;
    words >> device_major >> device_minor >> name;
    if (device_major == ::major(status.st_dev) && device_minor == ::minor(status.st_dev)) {
      uint64_t value = 0;
      for (int i = 0; i < 10; ++i) {
        words >> value;
      }
      return static_cast<double>(value) * 1e-3;
    }
  }
  return 0;
}

struct Row {
  std::string backend;
  uint64_t page_bytes = 0;
  uint32_t depth = 0;
  ReadClass read_class = ReadClass::kDemand;
};

class Bench {
 public:
  Bench(std::shared_ptr<const File> file, const Settings& settings)
      : file_(std::move(file)), settings_(settings) {}

  Result<> Run(const Row& row) {
    const bool buffered = row.backend == "io_uring-buffered";
    auto reader =
        MakeReader({.kind = row.backend == "threads" ? BackendKind::kThreads : BackendKind::kUring,
                    .direct = !buffered,
                    .n_threads = 8},
                   {.segment_bytes = settings_.segment_bytes});
    if (!reader) {
      return Forward(reader);
    }
    auto file = (*reader)->AddFile(file_);
    if (!file) {
      return Forward(file);
    }
    frame_bytes_ = FrameBytesMax(row.page_bytes, 32);
    memory_.reset(
        static_cast<std::byte*>(std::aligned_alloc(kIoAlignment, frame_bytes_ * row.depth)));
    std::fill_n(memory_.get(), frame_bytes_ * row.depth, std::byte{1});
    buffer_ = kNoReadBuffer;
    if (row.backend == "io_uring-registered") {
      const auto buffer = (*reader)->RegisterBuffer({memory_.get(), frame_bytes_ * row.depth});
      if (!buffer) {
        return Fail(ErrorKind::kFailed, "no memory may be registered");
      }
      buffer_ = *buffer;
    }
    return Measure(**reader, *file, row);
  }

 private:
  struct FreeMemory {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  void Submit(Reader& reader, ReadFileId file, const Row& row, uint64_t slot) {
    const uint64_t random =
        static_cast<uint64_t>(UniformAt(settings_.pages.size(), n_submitted_++) *
                              static_cast<double>(file_->size() - row.page_bytes));
    static_cast<void>(reader.Submit({.file = file,
                                     .offset = random / 32 * 32,
                                     .bytes = row.page_bytes,
                                     .frame = {memory_.get() + slot * frame_bytes_, frame_bytes_},
                                     .buffer = buffer_,
                                     .read_class = row.read_class,
                                     .tag = slot}));
  }

  Result<> Measure(Reader& reader, ReadFileId file, const Row& row) {
    const double device_before = DeviceBusySeconds(*file_);
    const double processor_before = ProcessorSeconds();
    const auto start = Clock::now();
    for (uint32_t i = 0; i < row.depth; ++i) {
      Submit(reader, file, row, i);
    }
    double longest = 0;
    while (reader.n_outstanding() > 0) {
      std::array<ReadCompletion, 64> completions;
      const size_t n = reader.Wait(completions, std::chrono::seconds(30));
      if (n == 0) {
        return Fail(ErrorKind::kIo, "the disk does not answer");
      }
      const bool is_over = Seconds(Clock::now() - start) >= settings_.seconds;
      for (size_t i = 0; i < n; ++i) {
        if (completions[i].outcome != ReadOutcome::kDone) {
          return tl::unexpected(reader.Describe(completions[i]));
        }
        longest = std::max(longest, Seconds(completions[i].latency));
        if (!is_over) {
          Submit(reader, file, row, completions[i].tag);
        }
      }
    }
    const double seconds = Seconds(Clock::now() - start);
    const ReadClassStats& stats = reader.stats().classes[static_cast<size_t>(row.read_class)];
    const auto wanted = static_cast<double>(stats.bytes_wanted);
    fmt::print(
        "| {} | {} | {} | {} | {:.2f} | {:.1f} % | {:.0f} % | {:.0f} % | {:.0f} | {:.1f} |\n",
        row.backend, FormatBytes(row.page_bytes), row.depth, ReadClassName(row.read_class),
        wanted / seconds / 1e9, 100 * (static_cast<double>(stats.bytes_read) / wanted - 1),
        100 * Seconds(reader.stats().busy) / seconds,
        100 * (DeviceBusySeconds(*file_) - device_before) / seconds,
        1e3 * (ProcessorSeconds() - processor_before) / (wanted / 1e9), 1e3 * longest);
    std::fflush(stdout);
    return {};
  }

  std::shared_ptr<const File> file_;
  const Settings& settings_;
  std::unique_ptr<std::byte, FreeMemory> memory_;
  uint64_t frame_bytes_ = 0;
  uint64_t n_submitted_ = 0;
  ReadBufferId buffer_ = kNoReadBuffer;
};

Result<> WriteFile(const std::filesystem::path& path) {
  auto file = AtomicFile::Create(path);
  if (!file) {
    return Forward(file);
  }
  std::vector<std::byte> block(4 << 20);
  for (uint64_t i = 0; i < 512; ++i) {
    for (size_t at = 0; at < block.size(); at += 16) {
      const auto random = Philox(1, i, at);
      std::copy_n(reinterpret_cast<const std::byte*>(random.data()), 16, block.data() + at);
    }
    if (auto written = file->Append(block); !written) {
      return written;
    }
  }
  return file->Commit();
}

// The page cache must not answer for the disk.
void DropFromCache(const File& file) {
  ::fsync(file.descriptor());
  ::posix_fadvise(file.descriptor(), 0, 0, POSIX_FADV_DONTNEED);
}

Result<> RunAll(const Settings& settings, const std::shared_ptr<const File>& file) {
  Bench bench(file, settings);
  fmt::print(
      "| backend | page | depth | class | GB/s | read on top | reader busy | device busy | ms of "
      "processor a GB | longest ms |\n|---|---:|---:|---|---:|---:|---:|---:|---:|---:|\n");
  for (const std::string& backend : settings.backends) {
    for (const std::string& page : settings.pages) {
      auto size = ParseSize(page);
      if (!size) {
        return Forward(size);
      }
      for (const uint32_t depth : settings.depths) {
        DropFromCache(*file);
        if (auto done = bench.Run({backend, size->Resolve(0), depth, ReadClass::kDemand}); !done) {
          return done;
        }
      }
    }
  }
  // What the limits of the lower classes cost.
  for (size_t c = 1; c < kNReadClasses; ++c) {
    if (auto done = bench.Run({"io_uring", 1 << 20, 64, static_cast<ReadClass>(c)}); !done) {
      return done;
    }
  }
  return {};
}

int Main(int argc, char** argv) {
  Settings settings;
  CLI::App app{"reads of pages against the disk"};
  app.add_option("--file", settings.file);
  app.add_option("--folder", settings.folder);
  app.add_option("--pages", settings.pages)->delimiter(',');
  app.add_option("--depths", settings.depths)->delimiter(',');
  app.add_option("--backends", settings.backends)->delimiter(',');
  app.add_option("--segment", settings.segment_bytes);
  app.add_option("--seconds", settings.seconds);
  CLI11_PARSE(app, argc, argv);
  std::filesystem::path path = settings.file;
  const auto run = [&]() -> Result<> {
    if (settings.file.empty()) {
      path = std::filesystem::path(settings.folder) / "reader_bench.tmp";
      if (auto written = WriteFile(path); !written) {
        return written;
      }
    }
    auto file = File::Open(path);
    if (!file) {
      return Forward(file);
    }
    return RunAll(settings, *file);
  };
  const auto done = run();
  if (settings.file.empty()) {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
  if (!done) {
    fmt::print(stderr, "error: {}\n", done.error().message);
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace plimsoll::io

int main(int argc, char** argv) { return plimsoll::io::Main(argc, argv); }
