#include "cli/inspect.h"

#include "cli/inspect_report.h"
#include "formats/catalogue.h"
#include "formats/summary.h"

namespace plimsoll::cli {

Result<> Inspect(const InspectOptions& options, std::ostream& out) {
  auto catalogue = formats::OpenModel(options.path);
  if (!catalogue) {
    return Forward(catalogue);
  }
  const formats::Summary summary = formats::Summarise(*catalogue);
  const InspectReport report{options.path.string(), *catalogue, summary, options.tensors};
  out << (options.json ? report.Json() : report.Text()) << std::flush;
  if (!out) {
    return Fail(ErrorKind::kIo,
                "cannot write the report; the output was closed or its disk is full");
  }
  return {};
}

}  // namespace plimsoll::cli
