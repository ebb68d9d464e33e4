// What a simulation has to say: the first broken invariant, a digest of all that happened, and the
// events themselves when someone wants to read them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace plimsoll::sim {

class Findings {
 public:
  // `trace`: events are printed as they happen.
  explicit Findings(bool trace) : trace_(trace) {}

  // What must hold. Only the first that does not is kept.
  template <class... Args>
  void Expect(bool holds, fmt::format_string<Args...> what, Args&&... args) {
    if (!holds && broken_.empty()) {
      broken_ = fmt::format(what, std::forward<Args>(args)...);
      if (trace_) {
        fmt::print("BROKEN: {}\n", broken_);
      }
    }
  }

  // An event; its numbers go into the digest.
  template <class... Args>
  void Note(fmt::format_string<const Args&...> what, const Args&... numbers) {
    (Add(static_cast<uint64_t>(numbers)), ...);
    if (trace_) {
      fmt::print("{}\n", fmt::format(what, numbers...));
      std::fflush(stdout);  // what comes next may end the process
    }
  }

  [[nodiscard]] bool ok() const { return broken_.empty(); }
  [[nodiscard]] const std::string& broken() const { return broken_; }
  [[nodiscard]] uint64_t digest() const { return digest_; }

 private:
  void Add(uint64_t number) { digest_ = (digest_ ^ number) * 0x100000001B3U; }  // FNV-1a, by words

  bool trace_;
  std::string broken_;
  uint64_t digest_ = 0xCBF29CE484222325U;
};

}  // namespace plimsoll::sim
