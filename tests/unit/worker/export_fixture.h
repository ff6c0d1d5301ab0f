#ifndef VMKEEP_TESTS_UNIT_WORKER_EXPORT_FIXTURE_H_
#define VMKEEP_TESTS_UNIT_WORKER_EXPORT_FIXTURE_H_

#include "common/process/process.h"
#include "tests/unit/worker/worker_fixture.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include <filesystem>
#include <functional>
#include <string>

namespace vmkeep::worker {

inline constexpr char kConfiguration[] =
    "Virtual Machines/2B5D0F3A-0C1B-4B35-9C1D-1D0B0C0D0E0F.vmcx";
inline constexpr char kDisks[] = "Virtual Hard Disks/";

// A hypervisor's export as this project expects it [open: seen on no Windows host yet]: one VM with
// a VHDX that has a parent and a checkpoint, and a VHD.
class ExportTest : public WorkerTest {
 protected:
  static std::string Vhdx(size_t bytes, uint32_t seed) {
    std::string text = RandomBytes(bytes, seed);
    text.replace(0, 8, "vhdxfile");
    return text;
  }
  static std::string Vhd(size_t bytes, uint32_t seed) {
    std::string text = RandomBytes(bytes, seed);
    text.replace(bytes - 512, 8, "conectix");
    return text;
  }

  static void Put(const std::string& path, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    ASSERT_TRUE(test::WriteFile(path, content)) << path;
  }

  std::string Staged(const std::string& below = "", const std::string& vm = "web") const {
    return Incoming(".export/" + vm + (below.empty() ? "" : "/" + below));
  }
  std::string Sealed(const std::string& below = "") const {
    return Incoming(below.empty() ? "export" : "export/" + below);
  }

  v1::Request PrepareRequest() const {
    v1::Request request;
    *request.mutable_prepare_export()->mutable_repository() = Repository();
    request.mutable_prepare_export()->set_incoming(kIncoming);
    return request;
  }

  // What the hypervisor writes into the folder that PrepareExport made.
  void Export(const std::string& vm = "web") {
    const absl::StatusOr<v1::Result> prepared = Run(PrepareRequest());
    ASSERT_THAT(prepared, test::IsOk());
    const std::string at = prepared->prepare_export().folder() + "/" + vm + "/";
    ASSERT_EQ(at, Staged("", vm) + "/");
    Put(at + kConfiguration, RandomBytes(54'321, 1));
    Put(at + "Virtual Machines/2B5D0F3A-0C1B-4B35-9C1D-1D0B0C0D0E0F.VMRS", RandomBytes(4096, 2));
    Put(at + "Virtual Machines/empty.vmgs", "");
    Put(at + "Snapshots/0A0B0C0D-0000-4000-8000-000000000001.vmcx", RandomBytes(5000, 3));
    Put(at + kDisks + "web.vhdx", Vhdx(9'000'001, 4));
    Put(at + kDisks + "gold image.VHDX", Vhdx(5'000'000, 5));
    Put(at + kDisks + "web_1234.avhdx", Vhdx(1'000'000, 6));
    Put(at + kDisks + "data.vhd", Vhd(4'194'304 + 512, 7));
    std::filesystem::create_directories(at + "Empty folder");
  }

  v1::Request SealRequest() const {
    v1::Request request;
    v1::SealExport* seal = request.mutable_seal_export();
    *seal->mutable_repository() = Repository();
    seal->set_incoming(kIncoming);
    v1::ExportedDisk* disk = seal->add_disks();
    disk->set_target("scsi0x1");
    disk->set_file("data.vhd");
    disk = seal->add_disks();
    disk->set_target("scsi0x0");
    disk->set_file("WEB.vhdx");  // as somebody typed it
    disk->add_parents("Gold Image.vhdx");
    return request;
  }

  // A manifest of what was sealed.
  v1::Request PublishExport(const v1::SealExportResult& sealed) const {
    v1::Request request = PublishRequest({});
    v1::Publish* publish = request.mutable_publish();
    manifest::v1::Manifest* manifest = publish->mutable_manifest();
    manifest->set_hypervisor("hyperv");
    manifest->clear_disks();
    publish->clear_small_files();
    for (const v1::SealedDisk& from : sealed.disks()) {
      manifest::v1::Disk* disk = manifest->add_disks();
      disk->set_target(from.target());
      disk->set_file(from.file());
      disk->set_format(from.file().ends_with("vhd") ? "vhd" : "vhdx");
      disk->set_file_bytes(from.copy().file_bytes());
      disk->set_data_bytes(from.copy().data_bytes());
      *disk->mutable_digest() = from.copy().digest();
    }
    *publish->mutable_sealed_files() = sealed.files();
    return request;
  }

  absl::StatusOr<v1::SealExportResult> SealWatched(
      const v1::Request& request,
      const std::function<void(JobContext*, const v1::Progress&)>& watch) {
    RestlessClock clock;
    JobContext* context_of_sink = nullptr;
    JobContext context(&clock,
                       [&](const v1::Progress& progress) { watch(context_of_sink, progress); });
    context_of_sink = &context;
    const absl::StatusOr<v1::Result> result = RunJob(request, &context);
    if (!result.ok()) return result.status();
    return result->seal_export();
  }

  // As sha256sum says it.
  static std::string Sha256(const std::string& path) {
    const auto ran = process::RunToEnd({"sha256sum", "--", path}, absl::Seconds(30));
    EXPECT_TRUE(ran.ok() && ran->exit_status.ok()) << path;
    // A backslash in front says that the name has one, or a line's end.
    return ran->out.substr(ran->out[0] == '\\' ? 1 : 0, 64);
  }
  // As split -b 4M --filter=sha256sum prints it, first column.
  static std::string ListBySplit(const std::string& path) {
    const auto ran =
        process::RunToEnd({"split", "-b", "4M", "--filter=sha256sum", path}, absl::Seconds(30));
    EXPECT_TRUE(ran.ok() && ran->exit_status.ok()) << path;
    std::string list;
    for (size_t at = 0; at < ran->out.size(); at = ran->out.find('\n', at) + 1)
      list += ran->out.substr(at, 64) + "\n";
    return list;
  }
};

}  // namespace vmkeep::worker

#endif  // VMKEEP_TESTS_UNIT_WORKER_EXPORT_FIXTURE_H_
