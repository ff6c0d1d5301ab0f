#include "common/digest/digest.h"

#include "common/process/process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace vmkeep::digest {
namespace {

using test::HasReason;
using test::IsOk;
using test::TempDir;

// FIPS 180-4: of nothing, and of "abc".
constexpr char kOfNothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr char kOfAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

std::string Random(size_t bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text(bytes, '\0');
  std::generate(text.begin(), text.end(), [&] { return static_cast<char>(random()); });
  return text;
}

Bytes AsBytes(absl::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

struct List {
  std::string text;
  std::string root;
};

List ListOf(absl::string_view content) {
  List list;
  ListWriter writer([&](absl::string_view text) {
    list.text += std::string(text);
    return absl::OkStatus();
  });
  Hasher hasher;
  const auto bytes = static_cast<int64_t>(content.size());
  for (int64_t i = 0; i < ChunkCount(bytes); ++i) {
    const absl::string_view chunk =
        content.substr(static_cast<size_t>(i * kChunkBytes), kChunkBytes);
    EXPECT_THAT(writer.Add(i, HashChunk(&hasher, AsBytes(chunk))), IsOk());
  }
  list.root = writer.Finish(ChunkCount(bytes)).value();
  return list;
}

// What `split -b 4M --filter=sha256sum` prints, first column; the tools themselves, by argv.
std::string ListByCoreutils(const TempDir& temp, const std::string& path) {
  const std::string prefix = temp.path("chunk.");
  const auto split =
      process::RunToEnd({"split", "-a", "4", "-b", "4M", path, prefix}, absl::Seconds(30));
  EXPECT_TRUE(split.ok() && split->exit_status.ok());
  std::vector<std::string> chunks;
  for (const auto& entry : std::filesystem::directory_iterator(temp.path())) {
    if (entry.path().string().starts_with(prefix)) chunks.push_back(entry.path());
  }
  std::sort(chunks.begin(), chunks.end());
  std::string list;
  for (const std::string& chunk : chunks) {
    const auto sum = process::RunToEnd({"sha256sum", chunk}, absl::Seconds(30));
    EXPECT_TRUE(sum.ok() && sum->exit_status.ok());
    list += sum->out.substr(0, 64) + "\n";
    std::filesystem::remove(chunk);
  }
  return list;
}

TEST(DigestTest, KnownAnswers) {
  EXPECT_EQ(ToHex(Hash("")), kOfNothing);
  EXPECT_EQ(ToHex(Hash("abc")), kOfAbc);
  Hasher hasher;
  hasher.Update(AsBytes("a"));
  hasher.Update(AsBytes("bc"));
  EXPECT_EQ(ToHex(hasher.Finish()), kOfAbc);
  EXPECT_EQ(ToHex(hasher.Finish()), kOfNothing);
}

TEST(DigestTest, TheListIsWhatCoreutilsPrint) {
  const std::string mixed = Random(5'000'000, 1) + std::string(8'000'000, '\0') + Random(300, 2);
  for (const std::string& content :
       {std::string(), std::string("x"), std::string(kChunkBytes, '\0'),
        std::string(kChunkBytes + 1, '\0'), Random(kChunkBytes - 1, 3), Random(2 * kChunkBytes, 4),
        mixed}) {
    TempDir temp;
    ASSERT_TRUE(test::WriteFile(temp.path("file"), content));
    const List list = ListOf(content);
    EXPECT_EQ(list.text, ListByCoreutils(temp, temp.path("file"))) << content.size() << " bytes";
    EXPECT_EQ(list.root, ToHex(Hash(list.text)));
    EXPECT_EQ(static_cast<int64_t>(list.text.size()),
              kLineBytes * ChunkCount(static_cast<int64_t>(content.size())));
  }
}

// The command that the documentation gives to people.
TEST(DigestTest, TheListIsWhatSplitWithAFilterPrints) {
  TempDir temp;
  const std::string content = Random(2 * kChunkBytes + 77, 5);
  ASSERT_TRUE(test::WriteFile(temp.path("file"), content));
  VMKEEP_ASSERT_OK_AND_ASSIGN(
      const process::RunResult split,
      process::RunToEnd({"split", "-b", "4M", "--filter=sha256sum", temp.path("file")},
                        absl::Seconds(30)));
  std::string list;
  for (size_t at = 0; at < split.out.size(); at = split.out.find('\n', at) + 1) {
    list += split.out.substr(at, 64) + "\n";
  }
  EXPECT_EQ(ListOf(content).text, list);
}

TEST(DigestTest, AnEmptyFileHasAnEmptyList) {
  const List list = ListOf("");
  EXPECT_EQ(list.text, "");
  EXPECT_EQ(list.root, kOfNothing);
}

TEST(DigestTest, TheFastWayForZerosGivesTheSameDigest) {
  for (const int64_t size : {int64_t{0}, int64_t{1}, int64_t{4096}, kChunkBytes - 1, kChunkBytes}) {
    const std::string zeros(static_cast<size_t>(size), '\0');
    Hasher hasher;
    EXPECT_EQ(HashOfZeros(size), Hash(zeros)) << size;
    EXPECT_EQ(HashChunk(&hasher, AsBytes(zeros)), Hash(zeros)) << size;
  }
}

// One hasher for all: what one chunk began with says nothing of the next.
TEST(DigestTest, ZerosAtAChunksStartAreHashedToo) {
  Hasher hasher;
  constexpr size_t kStep = 64 << 10;
  for (const size_t size : {size_t{1}, kStep, kStep + 1, 5 * kStep, size_t{kChunkBytes}}) {
    for (const size_t zeros : {size_t{0}, size_t{1}, kStep - 1, kStep, kStep + 1, 3 * kStep,
                               size_t{kChunkBytes} - kStep, size_t{kChunkBytes} - 1}) {
      if (zeros >= size) continue;
      std::string chunk(size, '\0');
      chunk[zeros] = 'x';
      EXPECT_EQ(HashChunk(&hasher, AsBytes(chunk)), Hash(chunk)) << zeros << " of " << size;
    }
  }
}

TEST(DigestTest, OneBitAnywhereIsNotZero) {
  EXPECT_TRUE(IsZero({}));
  for (const size_t size : {1, 15, 16, 17, 32, 4096, 65536}) {
    std::string text(size, '\0');
    EXPECT_TRUE(IsZero(AsBytes(text))) << size;
    for (const size_t at : {size_t{0}, size / 2, size - 1}) {
      text[at] = '\x01';
      EXPECT_FALSE(IsZero(AsBytes(text))) << size << " at " << at;
      text[at] = '\0';
    }
  }
}

TEST(ListWriterTest, AnyOrderGivesTheSameList) {
  std::string in_order;
  std::vector<int64_t> order(5000);
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = static_cast<int64_t>(i);
    in_order += ToHex(Hash(std::to_string(i))) + "\n";
  }
  std::shuffle(order.begin(), order.end(), std::mt19937(6));
  std::string text;
  ListWriter writer([&](absl::string_view piece) {
    text += std::string(piece);
    return absl::OkStatus();
  });
  for (const int64_t i : order) ASSERT_THAT(writer.Add(i, Hash(std::to_string(i))), IsOk());
  VMKEEP_ASSERT_OK_AND_ASSIGN(const std::string root, writer.Finish(5000));
  EXPECT_EQ(text, in_order);
  EXPECT_EQ(root, ToHex(Hash(in_order)));
}

TEST(ListWriterTest, ARunIsThatManyLines) {
  std::string text;
  ListWriter writer([&](absl::string_view piece) {
    text += std::string(piece);
    return absl::OkStatus();
  });
  ASSERT_THAT(writer.Add(3, Hash("end")), IsOk());
  ASSERT_THAT(writer.AddRun(0, 3, Hash("run")), IsOk());
  ASSERT_THAT(writer.Finish(4), IsOk());
  const std::string run = ToHex(Hash("run")) + "\n";
  EXPECT_EQ(text, run + run + run + ToHex(Hash("end")) + "\n");
}

TEST(ListWriterTest, AMissingChunkIsNeverPassedOver) {
  ListWriter writer([](absl::string_view) { return absl::OkStatus(); });
  ASSERT_THAT(writer.Add(0, Hash("a")), IsOk());
  ASSERT_THAT(writer.Add(2, Hash("c")), IsOk());
  EXPECT_THAT(writer.Finish(3), HasReason("DIGEST_LIST_INCOMPLETE"));
  ListWriter short_one([](absl::string_view) { return absl::OkStatus(); });
  EXPECT_THAT(short_one.Finish(1), HasReason("DIGEST_LIST_INCOMPLETE"));
}

TEST(ListWriterTest, AnErrorOfTheSinkIsTheErrorOfTheList) {
  ListWriter writer([](absl::string_view) { return absl::ResourceExhaustedError("full"); });
  ASSERT_THAT(writer.Add(0, Hash("a")), IsOk());
  EXPECT_EQ(writer.Finish(1).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace vmkeep::digest
