#include "cli/pack.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/verify.h"
#include "cli/verify_report.h"

namespace plimsoll::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

engine::PackedModel Packed() {
  engine::PackedModel packed;
  packed.path = "/m/a\x1b.plimsoll";
  packed.n_layers = 2;
  packed.n_experts = 16;
  packed.outcome = {.file_bytes = 2048, .read_bytes = 4096, .n_matrices = 48};
  return packed;
}

TEST(PackReport, SaysWhatWasMade) {
  engine::PackedModel packed = Packed();
  EXPECT_EQ(PackText(packed, 1.25),
            "/m/a\xef\xbf\xbd.plimsoll: 16 experts of 2 layers, 2.00 KiB, in 1.2 s\n");
  packed.outcome.n_matrices_kept = 40;
  EXPECT_THAT(PackText(packed, 1), HasSubstr("; 40 of 48 matrices were there from an earlier run"));
  EXPECT_EQ(PackJson(packed, 1.5),
            R"({"packed":"/m/a\u001b.plimsoll","was_there":false,"layers":2,"experts":16,)"
            R"("bytes":2048,"bytes_read":4096,"matrices":48,"matrices_kept":40,"seconds":1.5})"
            "\n");
  packed.was_there = true;
  EXPECT_THAT(PackText(packed, 1), HasSubstr("packed already. --force packs anew"));
}

TEST(VerifyReport, APackedFile) {
  PackedReport report;
  report.path = "m.gguf.plimsoll";
  report.bytes = 4096;
  report.n_experts = 3;
  report.model = "m.gguf";
  EXPECT_EQ(VerifyText(report),
            "m.gguf.plimsoll: 3 experts, 4.00 KiB: all checksums are right\n"
            "m.gguf is not there: whether it is of that model was not looked at\n");
  EXPECT_TRUE(Verdict(report));
  report.model_is_there = true;
  EXPECT_THAT(VerifyText(report), HasSubstr("\nit belongs to m.gguf\n"));
  for (uint32_t expert = 0; expert < 30; ++expert) {
    report.damaged.push_back({.layer = 1, .expert = expert, .projection = 2, .offset = 77});
  }
  report.damaged.back().projection = 3;
  EXPECT_THAT(VerifyText(report), HasSubstr("layer 1, expert 19: down is damaged (at byte 77)\n"
                                            "and 10 more"));
  EXPECT_THAT(VerifyText(report), Not(HasSubstr("all checksums are right")));
  EXPECT_EQ(Verdict(report).error().kind, ErrorKind::kBadModel);
  EXPECT_THAT(Verdict(report).error().message, HasSubstr("30 parts of it are damaged"));
  EXPECT_THAT(VerifyJson(report),
              HasSubstr(R"({"layer":1,"expert":29,"part":"padding","offset":77}],)"));
  EXPECT_THAT(VerifyJson(report), HasSubstr(R"("ok":false)"));
  report.damaged.clear();
  report.mismatch = "it does not belong";
  EXPECT_EQ(Verdict(report).error().message, "it does not belong");
  EXPECT_THAT(VerifyJson(report), HasSubstr(R"("mismatch":"it does not belong")"));
}

TEST(VerifyReport, AModel) {
  ModelReport report;
  report.files = {{"m.gguf", 2048, "00ff", ""}};
  report.packed = "m.gguf.plimsoll";
  EXPECT_EQ(VerifyText(report),
            "00ff  m.gguf  2.00 KiB\n"
            "XXH3-128, as xxhsum -H2 has it; there is no m.gguf.plimsoll to compare with\n");
  EXPECT_TRUE(Verdict(report));
  report.wanted_xxh128 = "00ff";
  EXPECT_THAT(VerifyText(report), HasSubstr("the hash is the one that was given\n"));
  EXPECT_TRUE(Verdict(report));
  report.wanted_xxh128 = "00fe";
  EXPECT_THAT(VerifyText(report), Not(HasSubstr("that was given")));
  EXPECT_EQ(Verdict(report).error().message,
            "m.gguf has the XXH3-128 00ff, not 00fe; fetch it again");
  report.wanted_xxh128.reset();
  report.files.front().sha256 = "11ff";
  report.wanted_sha256 = "11fe";
  EXPECT_EQ(Verdict(report).error().message,
            "m.gguf has the SHA-256 11ff, not 11fe; fetch it again");
  EXPECT_THAT(VerifyJson(report), HasSubstr(R"("xxh128":"00ff","sha256":"11ff")"));
  report.wanted_sha256 = "11ff";
  EXPECT_TRUE(Verdict(report));
  report.wanted_sha256.reset();
  report.packed_is_there = true;
  EXPECT_THAT(VerifyText(report),
              HasSubstr("every byte is what m.gguf.plimsoll was packed from\n"));
  report.damaged = {{0, 16, 16, {"a", "b", "c", "d", "e", "f"}}};
  EXPECT_THAT(VerifyText(report),
              HasSubstr("m.gguf: bytes 16 to 32 differ: a, b, c, d and 2 more tensors\n"));
  EXPECT_THAT(Verdict(report).error().message,
              HasSubstr("m.gguf is not what m.gguf.plimsoll was packed from"));
  EXPECT_THAT(VerifyJson(report), HasSubstr(R"("offset":16,"bytes":16,"tensors":["a","b",)"));
  report.files.push_back({"n.gguf", 1, "11", ""});
  report.wanted_xxh128 = "00ff";
  EXPECT_EQ(Verdict(report).error().kind, ErrorKind::kUsage);
}

TEST(PackCommands, WrongUsageIsNamed) {
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  const Console console = {.in = in, .out = out, .err = err};
  const CommandContext context = {.console = console, .load = {}, .open_terminal = {}};
  const auto error = [&](CommandFn command, std::vector<std::string> args) {
    return command(std::move(args), context).error();
  };
  EXPECT_THAT(error(PackCommand, {}).message, HasSubstr("which model?"));
  EXPECT_THAT(error(VerifyCommand, {}).message, HasSubstr("which file?"));
  EXPECT_EQ(error(VerifyCommand, {"/nowhere"}).kind, ErrorKind::kIo);
  const auto hex = error(VerifyCommand, {"x", "--xxh128", "12"});
  EXPECT_EQ(hex.kind, ErrorKind::kUsage);
  EXPECT_THAT(hex.message, HasSubstr("\"12\" is not 32 hexadecimal digits"));
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace plimsoll::cli
