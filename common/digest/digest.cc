#include "common/digest/digest.h"

#include "common/error.h"
#include "common/status_macros.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include <openssl/evp.h>

#include <cstdlib>
#include <cstring>
#include <vector>

namespace vmkeep::digest {
namespace {

constexpr size_t kFlushBytes = 64 << 10;
// Zeros at a chunk's start are counted in steps of this size.
constexpr size_t kZeroStep = 64 << 10;

Bytes AsBytes(absl::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

// OpenSSL fails here only without memory or with a broken provider: no digest could be trusted
// then.
void Must(int ok) {
  if (ok != 1) std::abort();
}

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

// Fetched once: EVP_sha256() makes OpenSSL 3 look the provider up at each use.
const EVP_MD* Algorithm() {
  static const EVP_MD* const kAlgorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return kAlgorithm;
}

Context NewContext() {
  Context context(EVP_MD_CTX_new());
  Must(EVP_DigestInit_ex2(context.get(), Algorithm(), nullptr));
  return context;
}

// For each number of steps, up to a whole chunk: what SHA-256 is in after so many zeros. Made at
// the first use, by hashing one chunk; only read afterwards.
const EVP_MD_CTX* AfterZeros(size_t steps) {
  static const std::vector<Context> kContexts = [] {
    const std::vector<std::byte> zeros(kZeroStep);
    std::vector<Context> made;
    made.push_back(NewContext());
    while (made.size() <= kChunkBytes / kZeroStep) {
      Context next(EVP_MD_CTX_new());
      Must(EVP_MD_CTX_copy_ex(next.get(), made.back().get()));
      Must(EVP_DigestUpdate(next.get(), zeros.data(), zeros.size()));
      made.push_back(std::move(next));
    }
    return made;
  }();
  return kContexts[steps].get();
}

}  // namespace

struct Hasher::State {
  Context context = NewContext();
};

Hasher::Hasher() : state_(std::make_unique<State>()) {}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::Update(Bytes bytes) {
  Must(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
}

Sha256 Hasher::Finish() {
  Sha256 digest;
  Must(EVP_DigestFinal_ex(state_->context.get(), reinterpret_cast<unsigned char*>(digest.data()),
                          nullptr));
  Must(EVP_DigestInit_ex2(state_->context.get(), Algorithm(), nullptr));
  return digest;
}

std::string ToHex(const Sha256& digest) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

bool IsHexDigest(absl::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

Sha256 Hash(Bytes bytes) {
  Hasher hasher;
  hasher.Update(bytes);
  return hasher.Finish();
}

Sha256 Hash(absl::string_view text) { return Hash(AsBytes(text)); }

Sha256 HashOfZeros(int64_t bytes) {
  static const Sha256 kChunk = Hash(std::vector<std::byte>(kChunkBytes));
  return bytes == kChunkBytes ? kChunk : Hash(std::vector<std::byte>(static_cast<size_t>(bytes)));
}

Sha256 HashChunk(Hasher* hasher, Bytes chunk) {
  size_t steps = 0;
  while (chunk.size() >= kZeroStep && IsZero(chunk.first(kZeroStep))) {
    chunk = chunk.subspan(kZeroStep);
    ++steps;
  }
  if (steps > 0) Must(EVP_MD_CTX_copy_ex(hasher->state_->context.get(), AfterZeros(steps)));
  hasher->Update(chunk);
  return hasher->Finish();
}

bool IsZero(Bytes bytes) {
  // Compared with itself, a few bytes on: memcmp() is the fastest loop there is, and most data
  // differs at its start.
  constexpr size_t kHead = 16;
  for (size_t i = 0; i < bytes.size() && i < kHead; ++i) {
    if (bytes[i] != std::byte{0}) return false;
  }
  return bytes.size() <= kHead ||
         std::memcmp(bytes.data(), bytes.data() + kHead, bytes.size() - kHead) == 0;
}

absl::Status ListWriter::Add(int64_t index, const Sha256& digest) {
  return AddRun(index, 1, digest);
}

absl::Status ListWriter::AddRun(int64_t index, int64_t count, const Sha256& digest) {
  ahead_.emplace(index, Run{count, digest});
  for (auto first = ahead_.begin(); first != ahead_.end() && first->first == next_;
       first = ahead_.erase(first)) {
    VMKEEP_RETURN_IF_ERROR(Append(first->second));
    next_ += first->second.count;
  }
  return absl::OkStatus();
}

absl::Status ListWriter::Append(const Run& run) {
  const std::string line = ToHex(run.digest) + "\n";
  for (int64_t i = 0; i < run.count; ++i) {
    text_ += line;
    if (text_.size() >= kFlushBytes) VMKEEP_RETURN_IF_ERROR(Flush());
  }
  return absl::OkStatus();
}

absl::Status ListWriter::Flush() {
  if (text_.empty()) return absl::OkStatus();
  root_.Update(AsBytes(text_));
  VMKEEP_RETURN_IF_ERROR(sink_(text_));
  text_.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::string> ListWriter::Finish(int64_t chunks) {
  if (next_ != chunks || !ahead_.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "DIGEST_LIST_INCOMPLETE",
                     absl::StrCat("the digest of chunk ", next_, " of ", chunks, " is missing"));
  }
  VMKEEP_RETURN_IF_ERROR(Flush());
  return ToHex(root_.Finish());
}

}  // namespace vmkeep::digest
