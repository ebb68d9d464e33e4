// A loaded model, ready to answer: files, tokenizer, template, weights, kernels and threads behind
// one object. Two engines can live in one process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/bundled_model.h"
#include "engine/importance_options.h"
#include "formats/summary.h"
#include "kv/policy/policy_options.h"
#include "kv/precision.h"
#include "memory/ledger.h"
#include "memory/page_stream.h"
#include "memory/pager.h"
#include "memory/policy/guess_gate.h"
#include "sampling/sampler.h"
#include "sampling/token_filter.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace plimsoll::engine {

// Where blocks of keys and values go that memory has no room for, and that outlive the process
// (kv/store/block_store.h).
struct KvDiskOptions {
  std::filesystem::path folder;
  uint64_t bytes = 0;         // of this model; 0: nothing goes there
  uint64_t folder_bytes = 0;  // of all models together
};

struct EngineOptions {
  std::optional<std::filesystem::path> model;  // none: the bundled one
  std::optional<SizeSpec> memory;              // none: what the machine has free, less a reserve
  uint32_t n_ctx = 0;                          // 0: the model's, up to 4096
  uint32_t n_parallel = 1;       // sessions of n_ctx tokens that the line has room for
  uint32_t n_threads = 0;        // 0: the physical cores this process may use
  uint32_t prefill_chunk = 512;  // tokens computed together
  bool constrained = false;      // answers may be held to a form: room for what that keeps
  bool batches = false;          // NewBatcher will be called: room for the tables of its requests
  kv::Precision kv;              // of keys and values
  kv::policy::PolicyOptions kv_policy;  // which of them stay
  std::string kernels;                  // "": the fastest this CPU supports
  std::string policy;                   // of the pages; "": the default, as the next two
  std::string io;                       // how pages are read
  std::string prefetch;                 // what the next layer's experts are guessed by
  bool packed = true;                   // use the packed file beside the model, if there is one
  // The folder that remembers how popular each expert was (engine/hot_set.h); "": nothing does.
  std::filesystem::path profiles;
  KvDiskOptions kv_disk;  // of a batcher
  // Called, while the engine is made, with what is odd and does not stop it; may be empty.
  std::function<void(std::string_view)> on_note;
  std::optional<std::filesystem::path> trace;  // where to record what the routers choose
  // Where an importance matrix goes of what enters matrices; none: nothing is recorded.
  std::optional<ImportanceOptions> importance;
};

struct LoadProgress {
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};

struct ModelSummary {
  std::string name;  // general.name or the file's
  std::string architecture;
  uint64_t file_bytes = 0;
  uint32_t n_ctx = 0;  // of this engine
  uint32_t n_ctx_train = 0;
  uint32_t n_layers = 0;
  std::string kernels;
  uint32_t n_threads = 0;
  uint32_t prefill_chunk = 0;   // tokens computed together; fewer than asked where memory is short
  std::string kv_type = "f16";  // of keys and values (kv::Precision::Text); else answers differ
  // Which of them stay (kv::policy::PolicyOptions::Text); else answers differ.
  std::string kv_policy = "full";
};

// What the attention of one token takes, in all layers.
struct AttentionWork {
  uint64_t kv_bytes = 0;  // of keys and values read, and of recurrent layers' states both ways
  uint64_t multiply_adds = 0;
};

// Where EngineOptions::profiles of this user are; empty when there is no place for them.
[[nodiscard]] std::filesystem::path ProfileFolderOfUser();

// The tokenizer of a model's files alone (none: of the bundled model); works for vocabulary-only
// files too.
[[nodiscard]] Result<std::unique_ptr<const text::Tokenizer>> LoadTokenizer(
    const std::optional<std::filesystem::path>& model);

struct GenerateOptions {
  sampling::SamplerParams sampling;
  uint32_t n_predict = 0;         // 0: until the model ends or the context is full
  std::vector<std::string> stop;  // generation ends before the first of these
  bool ignore_end = false;        // go on past end-of-generation tokens
  bool show_control = false;      // control tokens are part of the text
};

enum class FinishReason { kEnd, kStopString, kLength, kContextFull, kInterrupted };
inline constexpr size_t kNFinishReasons = 5;

struct GenerateStats {
  uint32_t n_prompt = 0;         // tokens of the prompt
  uint32_t n_prompt_reused = 0;  // of these, already in the KV cache
  uint32_t n_generated = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;  // from the first token to the last
  double first_token_seconds = 0;
  FinishReason reason = FinishReason::kEnd;
};

// How the experts that are paged fare.
struct PagingSnapshot {
  uint32_t n_pages = 0;
  uint32_t n_frames = 0;
  uint32_t n_resident = 0;
  memory::PagerStats pager;
  memory::policy::GuessGate::Stats guesses;
  io::ReaderStats reader;
};

// How the dense weights that are streamed fare.
struct StreamingSnapshot {
  uint64_t total_bytes = 0;  // of what can be streamed, as it takes memory
  uint64_t kept_bytes = 0;   // of these, what stays there
  memory::PageStreamStats stream;
  io::ReaderStats reader;
};

namespace batch {
class Batcher;
struct BatchOptions;
}  // namespace batch

// What a session's file held.
struct RestoredSession {
  std::vector<TokenId> tokens;  // all of it; none when it was made with another model
  uint32_t n_restored = 0;      // of these, whose keys and values are in the session now
  std::string note;             // what it was saved with
  std::string problem;          // why no more were restored; "": nothing is wrong
};

// One sequence: its tokens and their KV. Belongs to one thread at a time; must not outlive its
// engine.
class Session {
 public:
  virtual ~Session() = default;

  [[nodiscard]] virtual std::span<const TokenId> tokens() const = 0;
  [[nodiscard]] virtual uint32_t n_ctx() const = 0;

  // Keeps the first n tokens. Where keys and values are quantized it may keep up to 31 fewer, where
  // only some of them stay (EngineOptions::kv_policy) as few as the first 32, where layers are
  // recurrent those up to near the end of the last prompt that was generated from, or none.
  virtual void Truncate(uint32_t n) = 0;

  // Appends tokens; logits of every one go to `on_logits(index, logits)` when it is given, else
  // none are computed. kUsage when they do not fit the context, with both numbers.
  using LogitsFn = std::function<void(uint32_t index, std::span<const float> logits)>;
  [[nodiscard]] virtual Result<> Append(std::span<const TokenId> tokens,
                                        const LogitsFn& on_logits) = 0;

  // Appends tokens, at least one, and gives the logits behind the last; valid until the next call.
  [[nodiscard]] virtual Result<std::span<const float>> AppendForLogits(
      std::span<const TokenId> tokens) = 0;

  // Makes the sequence `prompt` (what of it is there already is kept), then generates. Where the
  // first prompt stays (kv::policy::Reference), that is what the first call of this or of
  // AppendForLogits gave the empty sequence; a prompt that does not begin with it begins anew.
  // kUsage when it leaves no room beside it.
  // `on_text` gets complete UTF-8 text as it grows, stop strings cut off; returning false ends the
  // generation with kInterrupted. The generated tokens stay in the sequence. `filter`: what they
  // may be, of this answer alone; null: all.
  using TextFn = std::function<bool(std::string_view text)>;
  [[nodiscard]] virtual Result<GenerateStats> Generate(std::span<const TokenId> prompt,
                                                       const GenerateOptions& options,
                                                       const TextFn& on_text,
                                                       sampling::TokenFilter* filter) = 0;
  [[nodiscard]] Result<GenerateStats> Generate(std::span<const TokenId> prompt,
                                               const GenerateOptions& options,
                                               const TextFn& on_text) {
    return Generate(prompt, options, on_text, nullptr);
  }

  // Writes the sequence to a file (docs/formats.md), whole or not at all: tokens, keys and values
  // of whole blocks of them, and `note`, which is the caller's. kIo.
  [[nodiscard]] virtual Result<> Save(const std::filesystem::path& /*path*/,
                                      const std::string& /*note*/) {
    return Fail(ErrorKind::kFailed, "this session cannot be saved");
  }
  // Becomes what such a file holds, as far as keys and values are sound and this model's; whoever
  // wants the other tokens has them computed. kBadModel, and nothing changes, when nothing of the
  // file can be believed. kIo when it cannot be read.
  [[nodiscard]] virtual Result<RestoredSession> Restore(const std::filesystem::path& /*path*/) {
    return Fail(ErrorKind::kFailed, "this session cannot be restored");
  }
};

class Engine {
 public:
  using ProgressFn = std::function<void(const LoadProgress&)>;

  // kDoesNotFit names what the model needs, what the line is, and what would fit.
  [[nodiscard]] static Result<std::unique_ptr<Engine>> Load(const EngineOptions& options,
                                                            const ProgressFn& on_progress);
  virtual ~Engine() = default;

  [[nodiscard]] virtual const ModelSummary& summary() const = 0;
  [[nodiscard]] virtual const text::Tokenizer& tokenizer() const = 0;
  // Null when the model has none; the error when it has one that does not parse.
  [[nodiscard]] virtual Result<const text::ChatTemplate*> chat_template() const = 0;
  [[nodiscard]] virtual memory::LedgerSnapshot ledger() const = 0;
  // Nothing when all experts are resident.
  [[nodiscard]] virtual std::optional<PagingSnapshot> paging() const { return std::nullopt; }
  // Why weights that are not in memory cannot be read, while that is so (io/read_trouble.h). From
  // any thread.
  [[nodiscard]] virtual std::optional<std::string> read_trouble() const { return std::nullopt; }
  // Nothing when all dense weights are resident.
  [[nodiscard]] virtual std::optional<StreamingSnapshot> streaming() const { return std::nullopt; }
  // Draws the line anew, between two calls of its sessions or while one calls its on_text: a lower
  // one evicts experts and dense weights that can be streamed first, a higher one gives them more
  // room. kDoesNotFit, and nothing changes, when what cannot leave memory is more than that, or the
  // control group's limit does not allow it; the message says how much that is.
  [[nodiscard]] virtual Result<> SetLine(uint64_t bytes) = 0;
  // What EngineOptions::memory means for this engine as the machine is now.
  [[nodiscard]] virtual uint64_t LineFor(const std::optional<SizeSpec>& memory) const = 0;
  // The lowest line that SetLine would accept.
  [[nodiscard]] virtual uint64_t LeastLine() const = 0;
  // What the model's files hold, and what a token reads of it.
  [[nodiscard]] virtual const formats::Summary& contents() const = 0;
  // The largest part of the weights that is together in memory, as bytes; page-aligned.
  [[nodiscard]] virtual std::span<const std::byte> weights() const = 0;
  // Of the token at a position, which sees itself and those before it that its window allows.
  [[nodiscard]] virtual AttentionWork AttentionAt(uint32_t position) const = 0;
  // A session with the engine's n_ctx. kDoesNotFit when the ledger has no room for another.
  [[nodiscard]] virtual Result<std::unique_ptr<Session>> NewSession() = 0;
  // Many sequences at a time (engine/batch/batcher.h), instead of sessions; must not outlive its
  // engine. kDoesNotFit when the ledger has no room for its contexts.
  [[nodiscard]] virtual Result<std::unique_ptr<batch::Batcher>> NewBatcher(
      const batch::BatchOptions& options) = 0;
  // Writes the rest of EngineOptions::trace. kIo when its disk was full: the run went on without.
  [[nodiscard]] virtual Result<> FinishTrace() { return {}; }
  // Writes what was recorded to the output of EngineOptions::importance, which is there when all of
  // it is written. kIo; kFailed when nothing was.
  [[nodiscard]] virtual Result<> WriteImportance(const ImportanceSource& /*source*/) {
    return Fail(ErrorKind::kFailed, "what enters matrices was not recorded");
  }
};

}  // namespace plimsoll::engine
