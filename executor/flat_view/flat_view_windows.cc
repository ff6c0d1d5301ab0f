// A Windows host backs up exports, which are no chains of images: nothing is served there.
#include "executor/flat_view/errors.h"
#include "executor/flat_view/flat_view.h"
#include "executor/flat_view/leftovers.h"

namespace vmkeep::executor {
namespace {

absl::Status CannotServe(const Disk& disk) {
  return error::FlatViewImpossible(
      disk.source,
      "a Windows host serves no chains of images. Back up the VM as its hypervisor's export.");
}

}  // namespace

FlatView::FlatView(const Disk& disk, std::string socket)
    : source_(disk.source), socket_(std::move(socket)) {}

FlatView::~FlatView() = default;

absl::StatusOr<std::unique_ptr<FlatView>> FlatView::Open(const Disk& disk, const std::string&,
                                                         Clock&, absl::Duration,
                                                         const std::stop_token&) {
  return CannotServe(disk);
}

absl::Status FlatView::Check() { return error::FlatViewEnded(source_, "it was never started", ""); }

bool FlatView::Close() { return true; }

absl::Status CheckCanServe(const Disk& disk, const std::string&) { return CannotServe(disk); }

void EndLeftoverViews(const std::string&) {}

}  // namespace vmkeep::executor
