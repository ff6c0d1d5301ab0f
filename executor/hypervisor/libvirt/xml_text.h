#ifndef VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_XML_TEXT_H_
#define VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_XML_TEXT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include <pugixml.hpp>

#include <string>

// Text to pugixml's tree and back, as domain_xml.cc needs it.
namespace vmkeep::executor::libvirt {

// kInvalidArgument when the text is not one XML element `root`, or larger or deeper than anything
// libvirt sends.
absl::Status ParseXml(absl::string_view xml, const char* root, pugi::xml_document& document);

// Indented by two blanks, without a declaration, as libvirt writes.
std::string XmlText(const pugi::xml_document& document);

}  // namespace vmkeep::executor::libvirt

#endif  // VMKEEP_EXECUTOR_HYPERVISOR_LIBVIRT_XML_TEXT_H_
