#include "cli/long_work.h"

#include <utility>

namespace plimsoll::cli {
namespace {}  // namespace

LongWork::LongWork(std::string verb, std::string name, bool is_quiet, const CommandContext& context)
    : context_(context),
      progress_(std::move(name), context.console.err_is_terminal, std::move(verb)),
      is_quiet_(is_quiet),
      started_(SecondsNow()) {
  if (context.interrupts != nullptr) {
    context.interrupts->SetMode(Interrupts::Mode::kAnswer);
  }
}

LongWork::~LongWork() {
  context_.console.err << progress_.Clear() << std::flush;
  if (context_.interrupts != nullptr) {
    context_.interrupts->SetMode(Interrupts::Mode::kExit);
  }
}

std::function<void(uint64_t, uint64_t)> LongWork::on_progress() {
  return [this](uint64_t done, uint64_t total) {
    if (!is_quiet_) {
      context_.console.err << progress_.Update(done, total, SecondsNow()) << std::flush;
    }
  };
}

std::function<bool()> LongWork::is_stopped() {
  return [this] { return context_.interrupts != nullptr && context_.interrupts->raised(); };
}

double LongWork::seconds() const { return SecondsNow() - started_; }

}  // namespace plimsoll::cli
