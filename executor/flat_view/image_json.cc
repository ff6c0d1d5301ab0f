#include "executor/flat_view/image_json.h"

#include "common/status_macros.h"
#include "executor/flat_view/errors.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace vmkeep::executor {
namespace {

// As many as libvirt itself takes; keeps the text below the kernel's limit of one argument.
constexpr size_t kMaxLayers = 200;

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(&quoted, "\\u%04x", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string FileJson(const std::string& path, const IsDevice& is_device) {
  // Locks or an error, never silently none: what is served must not be written to.
  return absl::StrCat(R"({"driver":")", is_device(path) ? "host_device" : "file",
                      R"(","filename":)", Quoted(path), R"(,"locking":"on"})");
}

// From the top layer down.
std::vector<ImageLayer> LayersOf(const Disk& disk) {
  std::vector<ImageLayer> layers = {{disk.source, disk.format, disk.data_file}};
  layers.insert(layers.end(), disk.backing.begin(), disk.backing.end());
  return layers;
}

absl::Status CheckLayer(const ImageLayer& layer, bool last) {
  if (layer.file.empty() || layer.file[0] != '/')
    return error::FlatViewImpossible(layer.file, "its path is not absolute");
  if (layer.format != "raw" && layer.format != "qcow2")
    return error::FlatViewImpossible(
        layer.file, absl::StrCat("its format \"", layer.format,
                                 "\" is none that vmkeep knows: raw and qcow2 are copied"));
  if (layer.format == "raw" && !(last && layer.data_file.empty()))
    return error::FlatViewImpossible(layer.file, "it is raw, and nothing can be below a raw image");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ImageJson(const Disk& disk, const IsDevice& is_device) {
  const std::vector<ImageLayer> layers = LayersOf(disk);
  if (layers.size() > kMaxLayers) {
    return error::FlatViewImpossible(
        disk.source, absl::StrCat("its chain has more than ", kMaxLayers, " images"));
  }
  std::string json;
  for (size_t i = layers.size(); i-- > 0;) {
    const ImageLayer& layer = layers[i];
    VMKEEP_RETURN_IF_ERROR(CheckLayer(layer, i + 1 == layers.size()));
    std::string node = absl::StrCat(R"({"driver":")", layer.format, R"(","file":)",
                                    FileJson(layer.file, is_device));
    if (!layer.data_file.empty())
      absl::StrAppend(&node, R"(,"data-file":)", FileJson(layer.data_file, is_device));
    if (layer.format == "qcow2")
      absl::StrAppend(&node, R"(,"backing":)", json.empty() ? "null" : json);
    json = node + "}";
  }
  return absl::StrCat("json:", json);
}

std::vector<std::string> FilesOf(const Disk& disk) {
  std::vector<std::string> files;
  for (const ImageLayer& layer : LayersOf(disk)) {
    files.push_back(layer.file);
    if (!layer.data_file.empty()) files.push_back(layer.data_file);
  }
  return files;
}

}  // namespace vmkeep::executor
