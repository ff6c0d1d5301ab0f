"""lint.ps1 over our scripts, and over one bad script a rule."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import host

# What each rule must find, a line each.
BAD = {
    "parse": ["if ($true) {", "'open"],
    "ascii": ["$x = 'caf\u00e9'"],
    "after-5.1": ["$x = $y ?? 1", "$x ??= 1", "$x = $y ? 1 : 2", "Get-Module -Name a && Get-Module -Name b", "$x = ${y}?.Length", "$x = ${y}?[0]",
                  "Get-Module -Name a &", "function f { clean { 1 } }", "$x = [Math]::Clamp(1, 2, 3)"],
    "literal-path": [f"{name} 'C:\\[x]'" for name in
                     ("Test-Path", "Get-ChildItem", "Get-Item", "Remove-Item", "Resolve-Path", "Get-Content -Path")],
    "code-from-text": ["Invoke-Expression $x", "iex $x", "Add-Type -TypeDefinition $x", "[scriptblock]::Create($x)", "powershell.exe -Command $x",
                       "$ExecutionContext.InvokeCommand.InvokeScript($x)", "$x.$y()"],
    "qualified": ["Get-VM", "Export-VM -VM $x -Path $y", "$x = Get-VHD -Path $y", "Stop-VM -VM $x"],
    "call-operator": ['& "$x"', "& $x", "& { 1 }", '. "$PSScriptRoot\\common.ps1"'],
    "unknown-command": ["Start-ThreadJob { 1 }", "Test-Json $x", "Hyper-V\\Remove-VM -VM $x", "ls"],
    "unknown-parameter": ["ConvertFrom-Json -InputObject $x -AsHashtable", "Hyper-V\\Export-VM -Name $x -Path $y",
                          "Get-ChildItem -LiteralPath $x -FollowSymlink", "Join-Path -Path a -ChildPath b -AdditionalChildPath c"],
    "unnamed-argument": ["Hyper-V\\Get-VM $x"],
    "using": ["using namespace System.IO"],
}


def lint(*files):
    done = subprocess.run([host.HERE / "powershell", "-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File",
                           host.HERE / "lint.ps1", *files],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace",
                          timeout=host.SECONDS)
    return done.returncode, done.stdout.splitlines()


class Lint(unittest.TestCase):
    def test_our_scripts(self):
        files = sorted(host.SCRIPTS.glob("*.ps1"))
        code, said = lint(*files)
        self.assertEqual(code, 0, "\n".join(said))
        self.assertRegex(said[-1], f"^read {len(files)} scripts with [1-9][0-9]* functions: 0 findings$")
        self.assertGreaterEqual(len(files), 5)

    def test_the_kit(self):
        code, said = lint(*host.SCRIPTS.parent.glob("host-kit/*.ps1"))
        self.assertEqual(code, 0, "\n".join(said))
        self.assertRegex(said[-1], "^read 1 scripts with [1-9][0-9]* functions: 0 findings$")

    def test_each_rule_finds_what_is_bad(self):
        with tempfile.TemporaryDirectory() as folder:
            wanted = {}
            for rule, scripts in BAD.items():
                for number, script in enumerate(scripts):
                    name = f"{re.sub('[^a-z]', '', rule)}{number}.ps1"
                    wanted[name] = rule
                    (pathlib.Path(folder) / name).write_text(script + "\n", encoding="utf-8")
            code, said = lint(*sorted(pathlib.Path(folder).iterdir()))
            found = {}
            for line in said:
                if match := re.match(r".*\\([a-z0-9]+\.ps1):\d+: ([a-z0-9.-]+): ", line):
                    found.setdefault(match[1], set()).add(match[2])
            self.assertEqual(code, 1)
            missed = {name: (rule, found.get(name)) for name, rule in wanted.items() if rule not in found.get(name, ())}
            self.assertEqual(missed, {}, "\n".join(said))


if __name__ == "__main__":
    host.main()
