// inflate OUT.gguf: widens a small model, the bundled one unless another is named, to the shape of
// a large one that says the same.
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "tools/inflate/inflate.h"

namespace plimsoll::inflate {
namespace {

constexpr std::string_view kBundledModel = PLIMSOLL_SOURCE_DIR "/models/plimsoll-lab-q8_0.gguf";

int Report(const Error& error) {
  fmt::print(stderr, "inflate: {}\n", error.message);
  return static_cast<int>(error.kind);
}

std::string ListOfShapes() {
  std::string list;
  for (const Shape& shape : Shapes()) {
    list += fmt::format("{}{} ({})", list.empty() ? "" : ", ", shape.name, shape.description);
  }
  return list;
}

struct Options {
  std::string out;
  std::string from{kBundledModel};
  std::string shape;
  std::string type = "q4_0";
  Dimensions dimensions;  // 0: the shape's
};

void AddOptions(CLI::App& app, Options& options) {
  app.add_option("out", options.out, "file to write")->required();
  app.add_option("--from", options.from, "model to widen (the bundled one)");
  app.add_option("--shape", options.shape, ListOfShapes() + "; without: that of the small model");
  app.add_option(
      "--type", options.type,
      "type of every matrix but the routers: q4_0 (unless another is named), q8_0, q4_k, "
      "f16, bf16 or f32");
  app.add_option("--layers", options.dimensions.n_layers, "layers");
  app.add_option("--hidden", options.dimensions.hidden_dim, "width of the residual stream");
  app.add_option("--heads", options.dimensions.n_heads, "query heads");
  app.add_option("--kv-heads", options.dimensions.n_kv_heads, "key and value heads");
  app.add_option("--head-dim", options.dimensions.head_dim, "values a head");
  app.add_option("--expert-ff", options.dimensions.expert_ff_dim, "width of an expert");
}

// Each dimension that was given, else that of the shape, else that of the small model.
Result<Dimensions> DimensionsOf(const Options& options, const formats::Metadata& small) {
  auto base = options.shape.empty() ? ReadDimensions(small) : ShapeNamed(options.shape);
  if (!base) {
    return base;
  }
  for (const auto dimension :
       {&Dimensions::n_layers, &Dimensions::hidden_dim, &Dimensions::n_heads,
        &Dimensions::n_kv_heads, &Dimensions::head_dim, &Dimensions::expert_ff_dim}) {
    if (options.dimensions.*dimension != 0) {
      (*base).*dimension = options.dimensions.*dimension;
    }
  }
  return base;
}

class ProgressLine {
 public:
  explicit ProgressLine(bool is_shown) : is_shown_(is_shown) {}
  ~ProgressLine() {
    if (percent_ >= 0) {
      fmt::print(stderr, "\n");
    }
  }

  void Show(const Progress& progress) {
    const int percent = static_cast<int>(100 * progress.bytes_done / progress.bytes_total);
    if (is_shown_ && percent != percent_) {
      percent_ = percent;
      fmt::print(stderr, "\r{} %", percent);
    }
  }

 private:
  bool is_shown_;
  int percent_ = -1;
};

Result<> Inflate(const Options& options) {
  const auto dtype = tensor::DTypeFromName(options.type);
  if (!dtype) {
    return Fail(ErrorKind::kUsage, "no weight type '{}'", options.type);
  }
  auto small = formats::OpenModel(options.from);
  if (!small) {
    return Forward(small);
  }
  const auto dimensions = DimensionsOf(options, small->metadata);
  if (!dimensions) {
    return tl::unexpected(dimensions.error());
  }
  ProgressLine line(::isatty(STDERR_FILENO) == 1);
  return WriteInflated(*small, {*dimensions, *dtype}, options.out,
                       [&](const Progress& progress) { line.Show(progress); });
}

int Main(int argc, char** argv) {
  CLI::App app{"Widens a small model to the shape of a large one that says the same."};
  Options options;
  AddOptions(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ErrorKind::kUsage);
  }
  const auto done = Inflate(options);
  return done ? 0 : Report(done.error());
}

}  // namespace
}  // namespace plimsoll::inflate

int main(int argc, char** argv) { return plimsoll::inflate::Main(argc, argv); }
