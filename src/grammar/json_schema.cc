#include "grammar/json_schema.h"

#include "grammar/schema_compiler.h"

namespace plimsoll::grammar {

Result<Symbol> AddJsonSchema(GrammarBuilder& builder, std::string_view schema,
                             const GrammarLimits& limits) {
  Budget budget(limits);
  const auto tree = JsonTree::Parse(schema, "the schema", limits);
  if (!tree) return tl::unexpected(tree.error());
  return SchemaCompiler(builder, *tree, limits, budget).Compile();
}

Result<Grammar> CompileJsonSchema(std::string_view schema, const GrammarLimits& limits) {
  GrammarBuilder builder(limits);
  const RuleId root = builder.Declare();
  const auto symbol = AddJsonSchema(builder, schema, limits);
  if (!symbol) return tl::unexpected(symbol.error());
  builder.Add(root, {*symbol});
  return builder.Finish(root);
}

Symbol AddJsonObject(GrammarBuilder& builder) { return JsonGrammar(builder).Object(); }

Result<Grammar> CompileJsonObject() {
  GrammarBuilder builder{{}};
  const RuleId root = builder.Declare();
  builder.Add(root, {AddJsonObject(builder)});
  return builder.Finish(root);
}

}  // namespace plimsoll::grammar
