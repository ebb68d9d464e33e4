#include "kernels/team.h"

#include <array>
#include <atomic>
#include <csignal>
#include <ctime>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include "base/sanitized.h"

namespace plimsoll::kernels {
namespace {

TEST(Team, RunsEveryTaskOnceOnAKnownThread) {
  for (const size_t n_threads : {1U, 2U, 3U, 8U}) {
    Team team(n_threads);
    for (size_t n_tasks = 0; n_tasks < 200; n_tasks += 7) {
      std::vector<std::atomic<int>> runs(n_tasks);
      std::atomic<bool> thread_known = true;
      team.Run(n_tasks, [&](size_t task, size_t thread) {
        runs[task].fetch_add(1);
        thread_known = thread_known && thread < n_threads;
      });
      for (const auto& r : runs) {
        ASSERT_EQ(r.load(), 1);
      }
      ASSERT_TRUE(thread_known);
    }
  }
}

TEST(Team, AStageSeesWhatTheStageBeforeWrote) {
  Team team(3);
  std::vector<int> values(64, 0);
  for (int round = 1; round <= 2000; ++round) {
    team.Run(values.size(), [&](size_t i, size_t) { values[i] += static_cast<int>(i); });
    team.Run(1, [&](size_t, size_t) { values[0] += 1; });
  }
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), 0), 2000 * (63 * 64 / 2 + 1));
}

TEST(Team, WorkersStayOnTheirProcessorsWhenEveryCoreHasOne) {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  std::vector<uint32_t> processors;
  for (uint32_t i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &allowed)) {
      processors.push_back(i);
    }
  }
  Team team(processors.size(), processors);
  std::atomic<bool> in_place = true;
  for (int round = 0; round < 100; ++round) {
    team.Run(8 * processors.size(), [&](size_t /*task*/, size_t thread) {
      const auto at = static_cast<uint32_t>(::sched_getcpu());
      in_place = in_place && (thread == 0 || at == processors[thread]);
    });
  }
  EXPECT_TRUE(in_place);
}

// What holds the worker of the next test, as another program on its core would.
std::atomic<bool> held = false;
std::atomic<bool> may_go_on = false;
void HoldThread(int /*signal*/) {
  held = true;
  while (!may_go_on) {
  }
}

TEST(Team, AWorkerThatDoesNotGetToRunIsNotWaitedFor) {
  if (kSanitized) {
    GTEST_SKIP() << "a sanitizer may put signals off";
  }
  Team team(2);
  std::atomic<bool> known = false;
  ::pthread_t worker = {};
  team.Run(2, [&](size_t, size_t thread) {
    if (thread == 1) {
      worker = ::pthread_self();
      known = true;
    }
    while (!known) {
    }
  });
  struct sigaction action = {};
  action.sa_handler = HoldThread;
  ASSERT_EQ(::sigaction(SIGUSR1, &action, nullptr), 0);
  ASSERT_EQ(::pthread_kill(worker, SIGUSR1), 0);
  while (!held) {
  }
  int n_run = 0;
  for (int stage = 0; stage < 1000; ++stage) {
    team.Run(16, [&](size_t, size_t thread) { n_run += thread == 0 ? 1 : 0; });
  }
  EXPECT_EQ(n_run, 16'000);
  may_go_on = true;
  std::array<std::atomic<bool>, 2> took_part = {};
  while (!took_part[1]) {
    team.Run(16, [&](size_t, size_t thread) { took_part[thread] = true; });
  }
}

TEST(Team, AnIdleTeamUsesNoProcessorTime) {
  Team team(4);
  team.Run(100, [](size_t, size_t) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const double cpu = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(cpu, 0.02);
}

}  // namespace
}  // namespace plimsoll::kernels
