#include "formats/dtype_names.h"

#include "tensor/dtype.h"

namespace plimsoll::formats {

std::string SupportedDTypes() {
  std::string names;
  for (const tensor::DTypeTraits& traits : tensor::AllDTypes()) {
    names += names.empty() ? "" : ", ";
    names += traits.name;
  }
  return names;
}

}  // namespace plimsoll::formats
