#include "server/health.h"

#include <gmock/gmock.h>

namespace plimsoll::server {
namespace {

using testing::HasSubstr;

TEST(Health, TellsHowFarItIs) {
  const auto health = std::make_shared<Health>();
  health->SetProgress({.bytes_done = 5, .bytes_total = 10});
  EXPECT_EQ(health->Describe().status, 503U);
  EXPECT_THAT(health->Describe().body, HasSubstr(R"("bytes_done":5,"bytes_total":10)"));
  EXPECT_EQ(health->DescribeLife().status, 200U);
  health->SetState(Health::State::kReady);
  EXPECT_EQ(health->Describe().status, 200U);
  health->SetState(Health::State::kDraining);
  EXPECT_EQ(health->Describe().status, 503U);
  EXPECT_THAT(health->Describe().body, HasSubstr(R"("code":"stopping")"));
}

TEST(Health, IsBadWhenAStepDoesNotEnd) {
  Health health;
  double seconds = 10;
  health.Watch([&] { return seconds; }, 10);
  EXPECT_EQ(health.DescribeLife().status, 200U);
  seconds = 10.5;
  EXPECT_EQ(health.DescribeLife().status, 503U);
}

TEST(Health, IsNotReadyWhileAModelCannotBeRead) {
  Health health;
  std::optional<std::string> trouble = "m.gguf: cannot read at byte 4096";
  health.WatchDisk([&] { return trouble; });
  health.SetState(Health::State::kReady);
  EXPECT_EQ(health.Describe().status, 503U);
  EXPECT_THAT(health.Describe().body, HasSubstr("m.gguf: cannot read at byte 4096"));
  EXPECT_THAT(health.Describe().body, HasSubstr(R"("code":"disk")"));
  EXPECT_EQ(health.DescribeLife().status, 200U);
  trouble.reset();
  EXPECT_EQ(health.Describe().status, 200U);
}

TEST(LoadingRoutes, HaveAnAnswerToEverything) {
  const http::Router router = LoadingRoutes(std::make_shared<Health>());
  ASSERT_NE(router.Find("POST", "/v1/chat/completions").route, nullptr);
  ASSERT_NE(router.Find("GET", "/").route, nullptr);
  EXPECT_TRUE(router.Find("GET", "/livez").route->open);
  for (const http::Route& route : router.routes()) {
    EXPECT_EQ(route.open, route.path == "/livez") << route.path;
  }
}

}  // namespace
}  // namespace plimsoll::server
