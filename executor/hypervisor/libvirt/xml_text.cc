#include "executor/hypervisor/libvirt/xml_text.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include <sstream>
#include <utility>

namespace vmkeep::executor::libvirt {
namespace {

// Twice libvirt's own limit of a string on its wire (REMOTE_STRING_MAX, 4 MiB).
constexpr size_t kMaxBytes = size_t{8} << 20;
// Twice libxml2's own limit, and libvirt reads with libxml2. pugixml cuts a tree down by recursion:
// a deep one would overflow the stack.
constexpr int kMaxDepth = 512;
// A definition's <metadata> may hold any XML, and a restore puts it back; what is left out between
// two texts would also make one of them.
constexpr unsigned kKept = pugi::parse_default | pugi::parse_comments | pugi::parse_pi;

// Walks without recursion.
class DepthCheck final : public pugi::xml_tree_walker {
 public:
  bool for_each(pugi::xml_node&) override { return depth() < kMaxDepth; }
};

}  // namespace

absl::Status ParseXml(absl::string_view xml, const char* root, pugi::xml_document& document) {
  if (xml.size() > kMaxBytes) return absl::InvalidArgumentError("the XML is too large");
  // pugixml would take the text up to there for all of it.
  if (absl::StrContains(xml, '\0')) {
    return absl::InvalidArgumentError("the XML has a zero byte");
  }
  const pugi::xml_parse_result result =
      document.load_buffer(xml.data(), xml.size(), kKept, pugi::encoding_utf8);
  if (!result) {
    // pugixml's descriptions are fixed texts.
    return absl::InvalidArgumentError(
        absl::StrCat("the XML cannot be read: ", result.description(), " at byte ", result.offset));
  }
  if (DepthCheck check; !document.traverse(check)) {
    return absl::InvalidArgumentError("the XML is too deep");
  }
  if (absl::string_view(document.document_element().name()) != root) {
    return absl::InvalidArgumentError(absl::StrCat("the XML is no <", root, ">"));
  }
  return absl::OkStatus();
}

std::string XmlText(const pugi::xml_document& document) {
  std::ostringstream text;
  document.save(text, "  ", pugi::format_default | pugi::format_no_declaration,
                pugi::encoding_utf8);
  return std::move(text).str();
}

}  // namespace vmkeep::executor::libvirt
