#include "cli/batch.h"

#include <algorithm>
#include <cmath>
#include <ostream>
#include <utility>

#include "cli/command_line.h"
#include "cli/progress.h"
#include "cli/serve_models.h"
#include "engine/service.h"

namespace plimsoll::cli {
namespace {

namespace batch = server::batch;

struct BatchFlags {
  EngineFlags engine;
  ServeModelFlags models;
  std::optional<std::string> input;
  std::optional<std::string> output;
  engine::ServiceOptions service = {
      .max_queue = 1'000'000, .max_queue_seconds = 1'000'000'000, .max_seconds = 1'000'000'000};
};

void Declare(CommandLine& line, BatchFlags& flags) {
  line.Topic("Files");
  line.Text("-i,--input", "FILE", "requests, a JSON object a line, as OpenAI's batches have them",
            flags.input);
  line.Text("-o,--output", "FILE",
            "where the answers go; what it answers already is not asked again", flags.output);
  AddServeModelOptions(line, flags.models);
  line.Topic("Machine");
  line.Integer("-np,--parallel", "contexts for which there is always room (default 1)",
               flags.service.n_parallel, 1, 4096);
  line.Integer("--max-running", "requests that are computed at a time (default 256)",
               flags.service.max_running, 1, 4096);
  AddMachineOptions(line, flags.engine);
  line.Topic("Output");
  AddOutputOptions(line, flags.engine);
}

// Says how far the batch is: on a terminal on one line that changes, elsewhere a line every ten
// seconds.
class BatchBar {
 public:
  BatchBar(const Console& console, bool quiet) : console_(console), quiet_(quiet) {}
  ~BatchBar() { Clear(); }
  BatchBar(const BatchBar&) = delete;
  BatchBar& operator=(const BatchBar&) = delete;

  void Update(const batch::BatchProgress& progress) {
    const double now = SecondsNow();
    if (progress.n_read < progress.n_requests) {
      began_ = now;  // only answering tells how long answering takes
    }
    if (quiet_ || now < next_) {
      return;
    }
    next_ = now + (console_.err_is_terminal ? 0.2 : 10.0);
    const std::string text =
        progress.n_read < progress.n_requests
            ? fmt::format("reading {} of {}", progress.n_read, progress.n_requests)
            : BatchProgressText(progress, now - began_);
    console_.err << (console_.err_is_terminal ? "\r\x1b[K" + text : text + "\n") << std::flush;
    shown_ = console_.err_is_terminal;
  }
  void Clear() {
    if (std::exchange(shown_, false)) {
      console_.err << "\r\x1b[K" << std::flush;
    }
  }

 private:
  const Console& console_;
  bool quiet_;
  bool shown_ = false;
  double began_ = SecondsNow();
  double next_ = SecondsNow() + 0.5;
};

std::string TimeText(double seconds) {
  if (seconds < 90) {
    return fmt::format("{:.0f} s", seconds);
  }
  return seconds < 5400 ? fmt::format("{:.0f} min", seconds / 60)
                        : fmt::format("{:.1f} h", seconds / 3600);
}

Result<> Run(BatchFlags& flags, const CommandContext& context) {
  std::vector<std::string> notes;
  auto served = FindServedModels(flags.models, flags.engine, context, notes);
  if (!served) {
    return Forward(served);
  }
  auto input = batch::BatchInput::Open(*flags.input);
  if (!input) {
    return Forward(input);
  }
  auto output = batch::BatchOutput::Open(*flags.output);
  if (!output) {
    return Forward(output);
  }
  auto made =
      MakeModelSet(std::move(*served), flags.models, flags.engine, flags.service, 0, context);
  if (!made) {
    return Forward(made);
  }
  const std::shared_ptr<server::ModelSet> models = std::move(*made);
  auto serving = std::make_shared<server::Serving>();
  serving->models = models;
  serving->version = PLIMSOLL_VERSION;
  serving->run_task.seed_of = batch::SeedOfRequest;
  if (context.interrupts != nullptr) {
    context.interrupts->SetMode(Interrupts::Mode::kAnswer);
  }
  BatchBar bar(context.console, flags.engine.quiet);
  const double began = SecondsNow();
  auto done = batch::RunBatch(
      serving, *input, *output,
      {.max_waiting = 2 * flags.service.max_running,
       .on_progress = [&](const batch::BatchProgress& progress) { bar.Update(progress); },
       .is_stopped =
           [&] { return context.interrupts != nullptr && context.interrupts->raised(); }});
  bar.Clear();
  models->Drain(std::chrono::steady_clock::now());
  if (!done) {
    if (done.error().kind == ErrorKind::kInterrupted && !flags.engine.quiet) {
      context.console.err << done.error().message << "\n";
    }
    return Forward(done);
  }
  if (!flags.engine.quiet) {
    context.console.err << fmt::format(
        "answered {} requests in {}{}{}\n", done->n_done - done->n_earlier,
        TimeText(SecondsNow() - began),
        done->n_earlier == 0 ? "" : fmt::format(", {} were answered before", done->n_earlier),
        done->n_refused == 0 ? "" : fmt::format("; {} were refused", done->n_refused));
  }
  return {};
}

}  // namespace

std::string BatchProgressText(const batch::BatchProgress& progress, double seconds) {
  const size_t n_now = progress.n_done - progress.n_earlier;
  std::string text = fmt::format("answered {} of {}", progress.n_done, progress.n_requests);
  if (progress.n_refused > 0) {
    text += fmt::format(" ({} refused)", progress.n_refused);
  }
  if (n_now > 0 && seconds > 0) {
    const double per_second = static_cast<double>(n_now) / seconds;
    text += fmt::format(
        ", {:.1f} a second, {} left", per_second,
        TimeText(static_cast<double>(progress.n_requests - progress.n_done) / per_second));
  }
  return text;
}

Result<> BatchCommand(std::vector<std::string> args, const CommandContext& context) {
  BatchFlags flags;
  CommandLine line("batch",
                   "Answer a file of requests, in the form of OpenAI's batches, into a file of\n"
                   "answers, in the order that computes what prompts share only once. What was\n"
                   "stopped or killed is gone on with by the same command.",
                   "plimsoll batch [options] -i FILE -o FILE");
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!flags.input || !flags.output) {
    return Fail(ErrorKind::kUsage, "which files? Give the requests with -i, the answers with -o");
  }
  return Run(flags, context);
}

}  // namespace plimsoll::cli
