#include "cli/version.h"

#include <cstdlib>

#include <fmt/format.h>

#include "engine/engine.h"
#include "kernels/kernels.h"

namespace plimsoll::cli {
namespace {

#if defined(__clang__)
constexpr std::string_view kCompiler = "clang " __clang_version__;
#else
constexpr std::string_view kCompiler = "g++ " __VERSION__;
#endif

}  // namespace

std::string DescribeVersion() {
  std::string text = fmt::format("plimsoll {} ({})\nbundled model: {}\nkernels:\n",
                                 PLIMSOLL_VERSION, kCompiler, engine::BundledModelName());
  const char* forced = std::getenv("PLIMSOLL_KERNELS");
  auto chosen = kernels::SelectKernelSet(forced == nullptr ? "" : forced);
  for (const kernels::KernelSet* set : kernels::AllKernelSets()) {
    const std::string_view state = !set->supported()          ? "not supported by this CPU"
                                   : chosen && *chosen == set ? "chosen"
                                                              : "supported";
    text += fmt::format("  {:<8} {:<36} {}\n", set->name, set->description, state);
  }
  if (!chosen) {
    text += fmt::format("PLIMSOLL_KERNELS: {}\n", chosen.error().message);
  }
  return text;
}

}  // namespace plimsoll::cli
