#include <array>
#include <string>

#include "kernels/avx2/avx2.h"
#include "kernels/avx512/avx512.h"
#include "kernels/kernels.h"
#include "kernels/ref/ref.h"

namespace plimsoll::kernels {
namespace {

constexpr std::array<const KernelSet*, 3> kSets = {&ref::kKernelSet, &avx2::kKernelSet,
                                                   &avx512::kKernelSet};

// "ref, avx2": all sets, or those that run here.
std::string Names(bool supported_only) {
  std::string names;
  for (const KernelSet* set : kSets) {
    if (!supported_only || set->supported()) {
      names += names.empty() ? "" : ", ";
      names += set->name;
    }
  }
  return names;
}

}  // namespace

std::span<const KernelSet* const> AllKernelSets() { return kSets; }

Result<const KernelSet*> SelectKernelSet(std::string_view name) {
  const KernelSet* fastest = kSets.front();
  for (const KernelSet* set : kSets) {
    if (name.empty() && set->supported()) {
      fastest = set;
    } else if (set->name == name) {
      if (!set->supported()) {
        return Fail(ErrorKind::kUsage,
                    "the kernels \"{}\" ({}) do not run on this CPU; those that do: {}", name,
                    set->description, Names(true));
      }
      return set;
    }
  }
  if (!name.empty()) {
    return Fail(ErrorKind::kUsage, "there are no kernels named \"{}\"; choose one of {}", name,
                Names(false));
  }
  return fastest;
}

}  // namespace plimsoll::kernels
