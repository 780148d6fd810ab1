#include "resilience/system_probe.hpp"

#include <gtest/gtest.h>

#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <string>

namespace resilience {
namespace {

namespace fs = std::filesystem;

// A made-up /proc and /sys/fs/cgroup.
class SystemProbeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("probe-" + std::to_string(::getpid()) + "-" +
                                         ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    const fs::path file = root_ / path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void process(int id, const std::string& name, int ticks, int threads, int pages,
               const std::string& children) {
    const std::string folder = "proc/" + std::to_string(id);
    write(folder + "/stat", std::to_string(id) + " (" + name + ") S 1 1 1 0 -1 0 0 0 0 0 " +
                                std::to_string(ticks) + " 0 0 0 20 0 " + std::to_string(threads) +
                                " 0 5 1000 " + std::to_string(pages) + " 0");
    write(folder + "/task/" + std::to_string(id) + "/children", children);
    write(folder + "/fd/0", "");
    write(folder + "/fd/1", "");
  }
  [[nodiscard]] SystemProbe probe(int id) const {
    return SystemProbe(id, (root_ / "proc").string(), (root_ / "cgroup").string());
  }
  fs::path root_;
};

TEST_F(SystemProbeTest, SumsTheProcessAndItsChildrenOfAnyDepth) {
  process(10, "server", 100, 3, 50, "11 12 ");
  process(11, "odd ) name (", 100, 1, 25, "13");
  process(13, "grandchild", 100, 1, 25, "");
  auto machine = probe(10);  // 12 has ended since it was listed
  const auto first = machine.read(0);
  EXPECT_EQ(first.cpu_cores, std::nullopt);
  EXPECT_EQ(first.children, 2);
  EXPECT_EQ(first.threads, 5);
  EXPECT_EQ(first.open_files, 6);
  EXPECT_DOUBLE_EQ(*first.memory_bytes, 100.0 * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  process(11, "odd ) name (", 100 + static_cast<int>(::sysconf(_SC_CLK_TCK)), 1, 25, "13");
  EXPECT_NEAR(*machine.read(2 * kNanosPerSecond).cpu_cores, 0.5, 1e-9);
}

TEST_F(SystemProbeTest, TakesTheTightestLimitOfCgroupV2) {
  process(10, "server", 0, 1, 1, "");
  write("proc/10/cgroup", "0::/pod/app\n");
  write("cgroup/pod/app/memory.max", "max\n");
  write("cgroup/pod/memory.max", "1000\n");
  write("cgroup/pod/memory.current", "250\n");
  write("cgroup/pod/app/cpu.max", "150000 100000\n");
  write("cgroup/pod/cpu.max", "max 100000\n");
  write("cgroup/pod/app/cpu.stat", "usage_usec 5\nnr_periods 100\nnr_throttled 10\n");
  auto machine = probe(10);
  const auto reading = machine.read(0);
  EXPECT_EQ(reading.memory_limit, 1000.0);
  EXPECT_EQ(reading.memory_fraction, 0.25);
  EXPECT_EQ(reading.cpu_limit, 1.5);
  EXPECT_EQ(reading.throttled_share, std::nullopt);
  write("cgroup/pod/app/cpu.stat", "usage_usec 5\nnr_periods 120\nnr_throttled 15\n");
  EXPECT_EQ(machine.read(1).throttled_share, 0.25);
}

TEST_F(SystemProbeTest, TakesTheTightestLimitOfCgroupV1) {
  process(10, "server", 0, 1, 1, "");
  write("proc/10/cgroup", "5:memory:/app\n4:cpu,cpuacct:/app\n1:name=systemd:/\n");
  write("cgroup/memory/app/memory.limit_in_bytes", "2000\n");
  write("cgroup/memory/app/memory.usage_in_bytes", "500\n");
  write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("cgroup/cpu/app/cpu.cfs_quota_us", "50000\n");
  write("cgroup/cpu/app/cpu.cfs_period_us", "100000\n");
  write("cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  auto machine = probe(10);
  const auto reading = machine.read(0);
  EXPECT_EQ(reading.memory_limit, 2000.0);
  EXPECT_EQ(reading.memory_fraction, 0.25);
  EXPECT_EQ(reading.cpu_limit, 0.5);
}

TEST_F(SystemProbeTest, WithoutACgroupLimitTheMachineCounts) {
  process(10, "server", 0, 1, 1, "");
  write("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n");
  write("proc/loadavg", "1.25 0.5 0.1 1/100 7\n");
  auto machine = probe(10);
  const auto reading = machine.read(0);
  EXPECT_EQ(reading.memory_limit, 1024000.0);
  EXPECT_NEAR(*reading.memory_fraction, 0.6, 1e-9);
  EXPECT_EQ(reading.load_1m, 1.25);
}

TEST_F(SystemProbeTest, LeavesOutWhatCannotBeRead) {
  auto machine = probe(10);
  const auto reading = machine.read(0);
  EXPECT_EQ(reading.memory_bytes, std::nullopt);
  EXPECT_EQ(reading.memory_limit, std::nullopt);
  EXPECT_EQ(reading.load_1m, std::nullopt);
}

TEST(SystemProbe, ReadsThisProcess) {
  if (!SystemProbe::supported()) {
    GTEST_SKIP();
  }
  SystemProbe probe;
  const auto reading = probe.read(0);
  EXPECT_GT(*reading.memory_bytes, 1e6);
  EXPECT_GE(*reading.threads, 1);
  EXPECT_GE(*reading.open_files, 3);
  EXPECT_GT(*reading.memory_limit, 1e6);
}

}  // namespace
}  // namespace resilience
