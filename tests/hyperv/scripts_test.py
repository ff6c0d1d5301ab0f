"""list-vms.ps1 and inspect-vm.ps1, and what every script does with its request."""

import host
from host import disk, vm

ODD = "it's; $(calc) \u00e9"
LONG = ("[db-*] " * 15)[:100]


class Inventory(host.HostTest):
    def test_lists_all_vms(self):
        site = self.host(vm(1, "web"), vm(2, ODD, state="Off", generation=1), vm(3, "old", status=["Ok", "MergingDisks"]))
        run = site.run("list-vms", {"list_vms": {}})
        self.assertEqual([(v.name, v.state, list(v.status), v.generation) for v in run.get("vm")],
                         [("web", "Running", ["Ok"], 2), (ODD, "Off", ["Ok"], 1), ("old", "Running", ["Ok", "MergingDisks"], 2)])
        self.assertEqual(run.get("vm")[0].id, vm(1, "")["id"])
        self.assertEqual((run.lines[0].hello.module, run.lines[0].hello.simulated), ("2.0.0.0", True))

    def test_a_host_without_vms(self):
        self.assertEqual(self.host().run("list-vms", {"list_vms": {}}).kinds(), ["hello", "done"])

    def test_without_rights(self):
        # The cmdlets tell this by the identifier of the error alone.
        fails = {"message": "No permission.", "id": "AccessDenied", "category": "PermissionDenied"}
        self.assert_error(self.host(vm(1, "web"), get_vm_fails=fails).run("list-vms", {"list_vms": {}}), "FAILED", 0x80070005)

    def test_with_the_module_but_without_the_role(self):
        fails = {"message": "Invalid namespace (0x8004100E).", "id": "ObjectNotFound", "category": "ObjectNotFound"}
        self.assert_error(self.host(get_vm_fails=fails).run("list-vms", {"list_vms": {}}), "NO_HYPERV", 0x8004100E)

    def test_without_the_module(self):
        run = self.host(modules="/nonexistent").run("list-vms", {"list_vms": {}})
        self.assertEqual(run.lines[0].hello.module, "")
        self.assert_error(run, "NO_HYPERV")

    def test_inspects_a_chain_by_guid(self):
        drives = [disk("C:\\a.avhdx", location=1), disk("D:\\b.vhdx", type="IDE", number=1)]
        images = {"C:\\a.avhdx": {"size": 1 << 42, "file_size": 7, "parent": "C:\\p.avhdx"},
                  "C:\\p.avhdx": {"size": 1 << 42, "file_size": 1 << 41, "parent": "C:\\a.vhdx"},
                  "C:\\a.vhdx": {"size": 1 << 42, "file_size": 5, "parent": None},
                  "D:\\b.vhdx": {"size": 9, "file_size": 8, "parent": ""}}
        one = vm(1, "web", disks=drives)
        run = self.host(one, images=images).run("inspect-vm", {"inspect_vm": {"vm": one["id"].upper()}})
        (found,) = run.get("vm")
        a, b = found.disks
        self.assertEqual((a.controller, a.controller_number, a.controller_location, a.path), ("scsi", 0, 1, "C:\\a.avhdx"))
        self.assertEqual((a.virtual_bytes, a.file_bytes, list(a.parents)), (1 << 42, (1 << 41) + 12, ["C:\\p.avhdx", "C:\\a.vhdx"]))
        self.assertEqual((b.controller, b.controller_number, b.file_bytes, list(b.parents)), ("ide", 1, 8, []))
        self.assertEqual(list(found.not_included), [])

    def test_says_what_an_export_does_not_hold(self):
        drives = [disk("Disk 2 1.00 GB Bus 0 Lun 0 Target 0", disk_number=2), disk("C:\\s.vhds"),
                  disk("C:\\r.vhdx", persistent_reservations=True), disk("")]
        one = vm(1, "web", disks=drives, tpm=True, dvd=["C:\\setup.iso"], devices=["PCIROOT(0)#PCI(0300)"])
        (found,) = self.host(one).run("inspect-vm", {"inspect_vm": {"vm": "web"}}).get("vm")
        self.assertEqual([(d.pass_through, d.shared) for d in found.disks], [(True, False), (False, True), (False, True)])
        words = list(found.not_included)
        self.assertEqual(len(words), 6, words)
        for part in ("pass-through disk Disk 2", "shared disk C:\\s.vhds", "shared disk C:\\r.vhdx", "setup.iso", "PCIROOT", "TPM"):
            self.assertTrue(any(part in word for word in words), (part, words))

    def test_a_disk_whose_file_is_gone(self):
        self.assert_error(self.host(vm(1, "web")).run("inspect-vm", {"inspect_vm": {"vm": "web"}}), "FAILED", 0x80070002)

    def test_a_chain_that_bites_its_tail(self):
        images = {"C:\\VMs\\1.vhdx": {"size": 9, "file_size": 9, "parent": "C:\\p.vhdx"},
                  "C:\\p.vhdx": {"size": 9, "file_size": 9, "parent": "C:\\p.vhdx"}}
        self.assert_error(self.host(vm(1, "web"), images=images).run("inspect-vm", {"inspect_vm": {"vm": "web"}}), "FAILED")


class Names(host.HostTest):
    def inspect(self, name, *vms):
        return self.host(*vms).run("inspect-vm", {"inspect_vm": {"vm": name}})

    def test_a_name_of_several_is_refused_with_their_guids(self):
        vms = [vm(1, "web", disks=[]), vm(2, "db"), vm(3, "web", disks=[])]
        error = self.assert_error(self.inspect("web", *vms), "AMBIGUOUS")
        self.assertEqual(list(error.ids), [vms[0]["id"], vms[2]["id"]])

    def test_odd_names_are_data(self):
        for number, name in enumerate((ODD, LONG)):
            (found,) = self.inspect(name, vm(number, name, disks=[]), vm(9, "db-1")).get("vm")
            self.assertEqual((found.name, found.id), (name, vm(number, "")["id"]))

    def test_no_wildcards_and_letter_by_letter(self):
        for name in ("we*", "WEB", "web "):
            self.assert_error(self.inspect(name, vm(1, "web", disks=[])), "NOT_FOUND")

    def test_a_guid_that_is_not_there(self):
        self.assert_error(self.inspect(vm(7, "")["id"], vm(1, "web")), "NOT_FOUND")


class Requests(host.HostTest):
    def test_what_is_no_request(self):
        for line in ("garbage \u00e9 {", '{"inspect_vm":{"vm":"web"}}', "[]", '"list_vms"', ""):
            self.assert_error(self.host(vm(1, "web")).run("list-vms", line), "BAD_REQUEST")

    def test_no_request_at_all(self):
        site = self.host(vm(1, "web"))
        run = site.start("list-vms")
        run.hang_up()
        run.finish()
        self.assert_error(run, "BAD_REQUEST")

    def test_fields_that_are_wrong(self):
        export = {"vm_id": vm(1, "")["id"], "folder": "Z:\\tmp", "captures": ["CRASH_CONSISTENT"]}
        for wrong in ({"vm_id": "web"}, {"folder": "tmp"}, {"captures": []}, {"captures": ["CaptureSavedState"]}):
            self.assert_error(self.host(vm(1, "web")).run("export-vm", {"export_vm": {**export, **wrong}}), "BAD_REQUEST")


if __name__ == "__main__":
    host.main()
