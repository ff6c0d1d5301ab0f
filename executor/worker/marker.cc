#include "executor/worker/marker.h"

#include "common/uuid.h"
#include "executor/worker/errors.h"

#include "absl/strings/str_cat.h"
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

namespace vmkeep::worker {

std::string MarkerText(absl::string_view id, absl::Time created) {
  return absl::StrCat("{\"format_version\":1,\"id\":\"", id, "\",\"created\":\"",
                      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", created, absl::UTCTimeZone()),
                      "\"}\n");
}

absl::StatusOr<std::string> ParseMarker(absl::string_view text, absl::string_view root) {
  if (text.size() > kMaxMarkerBytes) return error::RepositoryMarkerInvalid(root, "it is too long");
  google::protobuf::Struct object;
  const google::protobuf::StringPiece piece(text.data(), text.size());
  if (!google::protobuf::util::JsonStringToMessage(piece, &object).ok()) {
    return error::RepositoryMarkerInvalid(root, "it is not JSON");
  }
  const auto& fields = object.fields();
  const auto version = fields.find("format_version");
  const auto id = fields.find("id");
  if (version == fields.end() || version->second.number_value() != 1) {
    return error::RepositoryMarkerInvalid(
        root, "its format_version is not 1, which is all this build knows");
  }
  if (id == fields.end() || !IsUuid(id->second.string_value())) {
    return error::RepositoryMarkerInvalid(root, "its id is no UUID");
  }
  return id->second.string_value();
}

}  // namespace vmkeep::worker
