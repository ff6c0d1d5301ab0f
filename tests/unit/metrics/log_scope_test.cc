#include "common/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace vmkeep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// What a line looks like now, on this thread.
std::string Line(log::Fields fields) {
  ::testing::internal::CaptureStderr();
  log::Info("event", fields);
  return ::testing::internal::GetCapturedStderr();
}

class LogScopeTest : public ::testing::Test {
 protected:
  LogScopeTest() { log::Init("test", log::Level::kInfo); }
};

TEST_F(LogScopeTest, ItsFieldsAreInEveryLineWhileItLives) {
  {
    const log::Scope scope({{"backup", "b-1"}, {"host", "h-1"}});
    EXPECT_THAT(Line({{"step", "copy"}}), HasSubstr("event step=copy backup=b-1 host=h-1\n"));
  }
  EXPECT_THAT(Line({}), Not(HasSubstr("b-1")));
}

TEST_F(LogScopeTest, WhatTheLineSaysItselfIsNotSaidTwice) {
  const log::Scope outer({{"backup", "b-1"}, {"host", "h-1"}});
  const log::Scope inner({{"backup", "b-2"}});
  EXPECT_THAT(Line({{"host", "h-2"}}), HasSubstr("event host=h-2 backup=b-2\n"));
}

TEST_F(LogScopeTest, IsOfItsThreadAlone) {
  const log::Scope scope({{"backup", "b-1"}});
  std::string other;
  std::thread([&other] { other = Line({}); }).join();
  EXPECT_THAT(other, AllOf(HasSubstr("event"), Not(HasSubstr("b-1"))));
}

}  // namespace
}  // namespace vmkeep
