// Files that lack a tensor or have one of another shape: of every architecture, every tensor, by
// its name.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "formats/catalogue.h"
#include "kernels/kernels.h"
#include "kernels/team.h"
#include "model/model.h"
#include "tools/random_model/model_metadata.h"
#include "tools/random_model/model_spec.h"
#include "tools/random_model/tensor_plan.h"

namespace plimsoll::tests {
namespace {

using random_model::ModelSpec;
using random_model::PlannedTensor;
using testing::HasSubstr;

struct Case {
  std::string name;
  ModelSpec spec;
  // What a file may have or not, and the generator gives it: ends of names. Beside the output
  // matrix.
  std::vector<std::string_view> optional;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  const auto add = [&](std::string_view arch, std::string_view name) -> ModelSpec& {
    ModelSpec spec;
    spec.arch = arch;
    EXPECT_TRUE(random_model::ApplyPreset("tiny", spec));
    spec.n_layers = 4;
    std::string clean(name);
    std::ranges::replace(clean, '-', '_');
    cases.push_back({.name = std::move(clean), .spec = spec, .optional = {}});
    return cases.back().spec;
  };
  for (const std::string_view arch : random_model::Architectures()) {
    add(arch, arch);
    if (arch == "gemma4") {
      cases.back().optional = {"layer_output_scale.weight", "ffn_down_exps.scale",
                               "blk.1.attn_v.weight", "blk.3.attn_v.weight"};
    } else if (arch == "glm4moe") {
      cases.back().optional = {"attn_q_norm.weight", "attn_k_norm.weight", "attn_q.bias",
                               "attn_k.bias", "attn_v.bias"};
    } else if (arch == "gpt-oss") {
      cases.back().optional = {"attn_output.bias"};
    }
  }
  ModelSpec& small = add("gemma4", "gemma4_with_inputs");
  small.n_experts = 0;
  small.layer_input_dim = 256;
  small.n_shared_kv_layers = 2;
  cases.back().optional = {"layer_output_scale.weight", "blk.1.attn_v.weight"};
  add("granitemoe", "granitemoe_without_shared_expert").shared_ffn_dim = 0;
  return cases;
}

bool IsOptional(const Case& c, std::string_view tensor) {
  return tensor == "output.weight" || std::ranges::any_of(c.optional, [&](std::string_view end) {
           return tensor.ends_with(end);
         });
}

class RefusedTensors : public testing::TestWithParam<Case> {
 protected:
  // Of all tensors, after `change` of one: false leaves it out.
  template <class F>
  Result<> Open(const F& change) {
    formats::Catalogue catalogue;
    catalogue.metadata = random_model::MakeMetadata(GetParam().spec);
    for (const PlannedTensor& tensor : random_model::PlanTensors(GetParam().spec)) {
      formats::TensorEntry entry{.name = tensor.name, .dtype = tensor.dtype, .shape = tensor.shape};
      if (change(entry)) {
        EXPECT_TRUE(catalogue.Add(entry));
      }
    }
    auto model = model::Model::Open(catalogue, team_,
                                    {.max_chunk = 8, .kernels = *kernels::SelectKernelSet()});
    return model ? Result<>() : Forward(model);
  }

  kernels::Team team_{1};
};

TEST_P(RefusedTensors, ByTheirNames) {
  const auto all = Open([](formats::TensorEntry&) { return true; });
  ASSERT_TRUE(all) << all.error().message;
  for (const PlannedTensor& tensor : random_model::PlanTensors(GetParam().spec)) {
    const auto lacking = Open([&](const formats::TensorEntry& e) { return e.name != tensor.name; });
    EXPECT_EQ(lacking.has_value(), IsOptional(GetParam(), tensor.name)) << tensor.name;
    if (!lacking) {
      EXPECT_EQ(lacking.error().kind, ErrorKind::kBadModel);
      EXPECT_THAT(lacking.error().message, HasSubstr(tensor.name));
    }
    const auto wider = Open([&](formats::TensorEntry& entry) {
      entry.shape.dims[0] *= entry.name == tensor.name ? 2U : 1U;
      return true;
    });
    ASSERT_FALSE(wider) << tensor.name;
    EXPECT_EQ(wider.error().kind, ErrorKind::kBadModel);
    EXPECT_THAT(wider.error().message, HasSubstr(tensor.name));
  }
}

INSTANTIATE_TEST_SUITE_P(OfEveryArchitecture, RefusedTensors, testing::ValuesIn(Cases()),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace plimsoll::tests
