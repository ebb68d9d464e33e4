#include "engine/prefix/decision_log.h"

#include <span>
#include <utility>

#include <fmt/format.h>

namespace plimsoll::engine::prefix {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 16;

}  // namespace

Result<std::unique_ptr<DecisionLogFile>> DecisionLogFile::Create(
    const std::filesystem::path& path) {
  auto file = io::AppendFile::Create(path);
  if (!file) {
    return Forward(file);
  }
  return std::unique_ptr<DecisionLogFile>(new DecisionLogFile(*std::move(file)));
}

void DecisionLogFile::Write(std::string_view line) {
  if (failed_) {
    return;
  }
  buffer_ += line;
  if (buffer_.size() >= kBufferBytes) {
    Flush();
  }
}

void DecisionLogFile::Flush() {
  if (!failed_ && !buffer_.empty()) {
    failed_ = !file_.Append(std::as_bytes(std::span(buffer_)));
    buffer_.clear();
  }
}

void DecisionWriter::Begin(const DemandClock& clock, const WaysBack& ways_back) {
  if (log_ != nullptr) {
    log_->Write("# plimsoll_prefix_log v1\n");
    log_->Write(
        fmt::format("# use_half_life_us={} branch_half_life_us={} seconds_per_token={:a} "
                    "seconds_per_token_and_position={:a} reload_bytes_per_second={:a}\n",
                    clock.use_half_life_us, clock.branch_half_life_us, ways_back.seconds_per_token,
                    ways_back.seconds_per_token_and_position, ways_back.reload_bytes_per_second));
  }
}

void DecisionWriter::Create(uint64_t serial, uint64_t parent, uint64_t time_us) {
  if (log_ != nullptr) {
    log_->Write(fmt::format("create {} {} {}\n", serial, parent, time_us));
  }
}

void DecisionWriter::UsePath(uint64_t serial, uint64_t time_us, bool branches) {
  if (log_ != nullptr) {
    log_->Write(fmt::format("{} {} {}\n", branches ? "branch" : "go-on", serial, time_us));
  }
}

void DecisionWriter::Price(uint64_t time_us) {
  if (log_ != nullptr) {
    log_->Write(fmt::format("price {}\n", time_us));
  }
}

void DecisionWriter::UseNode(uint64_t serial, uint64_t time_us) {
  if (log_ != nullptr) {
    log_->Write(fmt::format("use {} {}\n", serial, time_us));
  }
}

void DecisionWriter::Hold(uint64_t serial) {
  if (log_ != nullptr) {
    log_->Write(fmt::format("hold {}\n", serial));
  }
}

void DecisionWriter::LetGo(uint64_t serial) {
  if (log_ != nullptr) {
    log_->Write(fmt::format("let-go {}\n", serial));
  }
}

void DecisionWriter::Fill(uint64_t serial, uint32_t n_tokens, uint64_t bytes) {
  if (log_ != nullptr) {
    log_->Write(fmt::format("fill {} {} {}\n", serial, n_tokens, bytes));
  }
}

void DecisionWriter::Save(uint64_t serial) {
  if (log_ != nullptr) {
    log_->Write(fmt::format("save {}\n", serial));
  }
}

void DecisionWriter::Drop(uint64_t serial) {
  if (log_ != nullptr) {
    log_->Write(fmt::format("drop {}\n", serial));
  }
}

void DecisionWriter::Evict(uint64_t serial) {
  if (log_ != nullptr) {
    log_->Write(fmt::format("evict {}\n", serial));
  }
}

void DecisionWriter::Flush() {
  if (log_ != nullptr) {
    log_->Flush();
  }
}

}  // namespace plimsoll::engine::prefix
