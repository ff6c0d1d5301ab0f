#ifndef VMKEEP_COMMON_DIGEST_DIGEST_H_
#define VMKEEP_COMMON_DIGEST_DIGEST_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

// A file's digest is a list - one SHA-256 per 4 MiB chunk, lower-case hex, a line each - and the
// SHA-256 of that list's bytes, its root. `split -b 4M --filter=sha256sum FILE | cut -c-64` makes
// the same list. An empty file has an empty one.
namespace vmkeep::digest {

inline constexpr int64_t kChunkBytes = int64_t{4} << 20;
// A line of the list: 64 digits and '\n'.
inline constexpr int64_t kLineBytes = 65;

using Sha256 = std::array<std::byte, 32>;
using Bytes = std::span<const std::byte>;

std::string ToHex(const Sha256& digest);
// True for 64 lower-case hex digits.
bool IsHexDigest(absl::string_view text);

inline int64_t ChunkCount(int64_t file_bytes) {
  return (file_bytes + kChunkBytes - 1) / kChunkBytes;
}

// SHA-256 through OpenSSL, which picks the processor's instructions. Not thread-safe: one per
// thread.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void Update(Bytes bytes);
  // The digest of all since the last Finish(); starts anew.
  Sha256 Finish();

 private:
  friend Sha256 HashChunk(Hasher* hasher, Bytes chunk);
  struct State;
  std::unique_ptr<State> state_;
};

Sha256 Hash(Bytes bytes);
Sha256 Hash(absl::string_view text);
// The digest of `bytes` zeros, at most a chunk; that of a whole chunk costs nothing.
Sha256 HashOfZeros(int64_t bytes);
// The digest of a chunk, at most kChunkBytes; `hasher` was not updated since its last Finish().
// Zeros at the chunk's start are not hashed again: what they lead to is known.
Sha256 HashChunk(Hasher* hasher, Bytes chunk);
bool IsZero(Bytes bytes);

// What of a list is there already: its first lines, and the SHA-256 of their bytes so far.
struct ListStart {
  int64_t lines = 0;
  Hasher root;
};

// Makes the list from digests that come in any order, as several threads give them; memory grows
// only with how far they run ahead of each other. Not thread-safe.
class ListWriter {
 public:
  // Takes the text of the list, piece by piece, in order.
  using Sink = std::function<absl::Status(absl::string_view text)>;
  // Goes on after `start`, which is not given to the sink again.
  explicit ListWriter(Sink sink, ListStart start = {})
      : sink_(std::move(sink)), next_(start.lines), root_(std::move(start.root)) {}

  // Each index once. Gives what is complete to the sink, in pieces.
  absl::Status Add(int64_t index, const Sha256& digest);
  // `count` times the same digest, from `index` on.
  absl::Status AddRun(int64_t index, int64_t count, const Sha256& digest);
  // Gives to the sink what is complete.
  absl::Status Flush();
  // Gives the rest to the sink; the root as hex. FAILED_PRECONDITION when a chunk below `chunks` is
  // missing.
  absl::StatusOr<std::string> Finish(int64_t chunks);

 private:
  struct Run {
    int64_t count;
    Sha256 digest;
  };
  absl::Status Append(const Run& run);

  const Sink sink_;
  std::map<int64_t, Run> ahead_;  // by first index: what came before its turn
  int64_t next_;
  std::string text_;  // complete, not yet given to the sink
  Hasher root_;
};

}  // namespace vmkeep::digest

#endif  // VMKEEP_COMMON_DIGEST_DIGEST_H_
