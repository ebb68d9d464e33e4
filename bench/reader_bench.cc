// How fast the reader gives pages of a file, beside bare preads by as many threads as pages are
// under way: by page size, depth, backend and class.
//
//   reader_bench [--file F] [--pages 64K,1M] [--depths 1,8,64] [--backends io_uring,threads]
//                [--seconds 0.3] [--rounds 5] [--small-pages]
//
// Frames are in huge pages, as the engine's are, or with --small-pages not, to see what that is
// worth. Without a file it writes one of 2 GiB to --folder. The ways of reading take turns, so that
// a disk whose speed changes is the same for all of them; figures are medians of the rounds. Pages
// start at any multiple of 32 bytes, as those of a GGUF do. The columns: GB/s of wanted bytes; the
// ratio to the bare preads of the same round; the share of the time in which the device had work,
// by /proc/diskstats (which counts what others do too); processor time per GB; the longest wait of
// a page.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
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
#include "io/frame_memory.h"
#include "io/reader.h"

namespace plimsoll::io {
namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::string file;
  std::string folder = ".";
  std::vector<std::string> pages = {"64K", "256K", "1M", "4M"};
  std::vector<uint32_t> depths = {1, 8, 32};
  std::vector<std::string> backends = {"io_uring", "io_uring-registered", "threads",
                                       "io_uring-buffered"};
  uint64_t segment_bytes = 1 << 20;
  double seconds = 0.3;
  uint32_t rounds = 5;
  bool small_pages = false;
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

struct Sample {
  double bytes_per_second = 0;
  double ratio = 0;
  double device_busy = 0;
  double processor_ms_per_gb = 0;
  double longest_ms = 0;
};

double MedianOf(const std::vector<Sample>& samples, double Sample::*field) {
  std::vector<double> values;
  for (const Sample& sample : samples) {
    values.push_back(sample.*field);
  }
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
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

  Result<Sample> Run(const Row& row) {
    if (row.backend == "pread") {
      return Bare(row);
    }
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
    auto memory = FrameMemory::Allocate(frame_bytes_ * row.depth, !settings_.small_pages);
    if (!memory) {
      return Forward(memory);
    }
    memory_ = std::move(*memory);
    buffer_ = kNoReadBuffer;
    if (row.backend == "io_uring-registered") {
      const auto buffer = (*reader)->RegisterBuffer(memory_.span());
      if (!buffer) {
        return Fail(ErrorKind::kFailed, "no memory may be registered");
      }
      buffer_ = *buffer;
    }
    return Measure(**reader, *file, row);
  }

 private:
  void Submit(Reader& reader, ReadFileId file, const Row& row, uint64_t slot) {
    const uint64_t random =
        static_cast<uint64_t>(UniformAt(settings_.pages.size(), n_submitted_++) *
                              static_cast<double>(file_->size() - row.page_bytes));
    static_cast<void>(reader.Submit({.file = file,
                                     .offset = random / 32 * 32,
                                     .bytes = row.page_bytes,
                                     .frame = {memory_.data() + slot * frame_bytes_, frame_bytes_},
                                     .buffer = buffer_,
                                     .read_class = row.read_class,
                                     .tag = slot}));
  }

  // What the device was doing before, for the figures afterwards.
  struct Before {
    double device = 0;
    double processor = ProcessorSeconds();
    Clock::time_point start = Clock::now();
  };

  Sample SampleOf(const Before& before, double bytes, double longest) const {
    const double seconds = Seconds(Clock::now() - before.start);
    return {.bytes_per_second = bytes / seconds,
            .device_busy = (DeviceBusySeconds(*file_) - before.device) / seconds,
            .processor_ms_per_gb = 1e3 * (ProcessorSeconds() - before.processor) / (bytes / 1e9),
            .longest_ms = 1e3 * longest};
  }

  // No reader: as many threads as pages under way, each reading aligned pages as fast as it can.
  Result<Sample> Bare(const Row& row) {
    const std::string path = fmt::format("/proc/self/fd/{}", file_->descriptor());
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (descriptor < 0) {
      return Fail(ErrorKind::kIo, "no direct reads here");
    }
    auto memory = FrameMemory::Allocate(row.page_bytes * row.depth, !settings_.small_pages);
    if (!memory) {
      return Forward(memory);
    }
    const Before before{.device = DeviceBusySeconds(*file_)};
    std::atomic<uint64_t> bytes = 0;
    std::atomic<bool> failed = false;
    const auto work = [&](uint32_t thread) {
      for (uint64_t i = 0; Seconds(Clock::now() - before.start) < settings_.seconds; ++i) {
        const auto at = static_cast<uint64_t>(UniformAt(thread + 1, i) *
                                              static_cast<double>(file_->size() - row.page_bytes));
        const ssize_t n =
            ::pread(descriptor, memory->data() + thread * row.page_bytes, row.page_bytes,
                    static_cast<off_t>(at / kIoAlignment * kIoAlignment));
        if (n < 0) {
          failed = true;
          return;
        }
        bytes += static_cast<uint64_t>(n);
      }
    };
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < row.depth; ++i) {
      threads.emplace_back(work, i);
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    ::close(descriptor);
    if (failed) {
      return Fail(ErrorKind::kIo, "a read failed");
    }
    return SampleOf(before, static_cast<double>(bytes.load()), 0);
  }

  Result<Sample> Measure(Reader& reader, ReadFileId file, const Row& row) {
    const Before before{.device = DeviceBusySeconds(*file_)};
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
      const bool is_over = Seconds(Clock::now() - before.start) >= settings_.seconds;
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
    const ReadClassStats& stats = reader.stats().classes[static_cast<size_t>(row.read_class)];
    return SampleOf(before, static_cast<double>(stats.bytes_wanted), longest);
  }

  std::shared_ptr<const File> file_;
  const Settings& settings_;
  FrameMemory memory_;
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

// The rows take turns; the first is what the others are compared with.
Result<> RunRows(const Settings& settings, Bench& bench, const File& file,
                 const std::vector<Row>& rows) {
  std::vector<std::vector<Sample>> samples(rows.size());
  for (uint32_t round = 0; round < settings.rounds; ++round) {
    for (size_t i = 0; i < rows.size(); ++i) {
      DropFromCache(file);
      auto sample = bench.Run(rows[i]);
      if (!sample) {
        return Forward(sample);
      }
      samples[i].push_back(*sample);
      samples[i].back().ratio = sample->bytes_per_second / samples[0].back().bytes_per_second;
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    fmt::print("| {} | {} | {} | {} | {:.2f} | {:.2f} | {:.0f} % | {:.0f} | {:.1f} |\n",
               FormatBytes(rows[i].page_bytes), rows[i].depth, rows[i].backend,
               rows[i].backend == "pread" ? "" : ReadClassName(rows[i].read_class),
               MedianOf(samples[i], &Sample::bytes_per_second) / 1e9,
               MedianOf(samples[i], &Sample::ratio),
               100 * MedianOf(samples[i], &Sample::device_busy),
               MedianOf(samples[i], &Sample::processor_ms_per_gb),
               MedianOf(samples[i], &Sample::longest_ms));
  }
  std::fflush(stdout);
  return {};
}

Result<> RunAll(const Settings& settings, const std::shared_ptr<const File>& file) {
  Bench bench(file, settings);
  fmt::print(
      "| page | depth | by | class | GB/s | of pread | device busy | ms of processor a GB | "
      "longest "
      "ms |\n|---:|---:|---|---|---:|---:|---:|---:|---:|\n");
  for (const std::string& page : settings.pages) {
    auto size = ParseSize(page);
    if (!size) {
      return Forward(size);
    }
    for (const uint32_t depth : settings.depths) {
      std::vector<Row> rows = {{"pread", size->Resolve(0), depth}};
      for (const std::string& backend : settings.backends) {
        rows.push_back({backend, size->Resolve(0), depth});
      }
      if (auto done = RunRows(settings, bench, *file, rows); !done) {
        return done;
      }
    }
  }
  // What the limits of the lower classes cost.
  std::vector<Row> rows = {{"pread", 1 << 20, 16}};
  for (size_t c = 0; c < kNReadClasses; ++c) {
    rows.push_back({"io_uring-registered", 1 << 20, 16, static_cast<ReadClass>(c)});
  }
  return RunRows(settings, bench, *file, rows);
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
  app.add_option("--rounds", settings.rounds);
  app.add_flag("--small-pages", settings.small_pages);
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
