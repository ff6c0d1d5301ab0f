# Asks a real Hyper-V host what no test here can show; docs/hyperv-host-kit.md is for the person who runs it.
#
# Without -Run it looks, and writes nothing but its report. With -Run it exports the VM, whose name must begin with
# vmkeep-test, several times into a folder of its own below Target, cancels, kills its own scripts, and removes what it made.
# It changes no VM, no setting and no account, and deletes nothing that it has not made.
#
# Windows PowerShell 5.1 and later. ASCII only.
param(
    [Parameter(Mandatory = $true)][string]$VmId,
    [Parameter(Mandatory = $true)][string]$Target,
    [Parameter(Mandatory = $true)][string]$Out,
    [switch]$Run,
    [string]$FullTarget = '',
    [string[]]$Skip = @(),
    [string]$Scripts = '',
    [string]$Interpreter = '',
    [int]$ScriptSeconds = 3600
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$NamePrefix = 'vmkeep-test'
$DirectSeconds = 120  # for Hyper-V to refuse an export that cannot be
$Utf8 = New-Object -TypeName System.Text.UTF8Encoding -ArgumentList $false
$Endings = @('done', 'error', 'cancelled')
$Skip = @($Skip | ForEach-Object { ([string]$_).Split(',') })  # powershell -File hands a list through as one text
if (-not $Scripts) { $Scripts = [System.IO.Path]::GetFullPath((Join-Path -Path $PSScriptRoot -ChildPath '..\scripts')) }
if (-not $Interpreter) {
    $Interpreter = Join-Path -Path ([Environment]::SystemDirectory) -ChildPath 'WindowsPowerShell\v1.0\powershell.exe'
}

$Script:Steps = New-Object -TypeName System.Collections.ArrayList
$Script:Vm = $null      # what inspect-vm says of it
$Script:Home_ = ''      # the folder that we make below Target
$Script:Simulated = $false

# --- what a step is ---------------------------------------------------------------------------------------------------

# PASS: as vmkeep's design believes. FAIL: not so. OPEN: could not be found out.
function New-Seen([string]$Result, [string]$Text, [System.Collections.IDictionary]$Facts = @{}) {
    return [ordered]@{ result = $Result; seen = $Text; facts = $Facts }
}

function Get-Field($Message, [string]$Name, $Default) {
    if ($Message -isnot [System.Management.Automation.PSCustomObject]) { return $Default }
    $field = $Message.PSObject.Properties[$Name]
    if ($null -eq $field -or $null -eq $field.Value) { return $Default }
    return $field.Value
}

function Invoke-Step([string]$Name, [scriptblock]$Body) {
    if ($Skip -contains $Name) {
        $seen = New-Seen 'OPEN' 'skipped on request'
    } else {
        $clock = [System.Diagnostics.Stopwatch]::StartNew()
        try { $seen = $Body.Invoke() | Select-Object -First 1 } catch { $seen = New-Seen 'FAIL' ([string]$_.Exception.Message) }
        if ($null -eq $seen) { $seen = New-Seen 'FAIL' 'the step said nothing' }
        $seen.seconds = [Math]::Round($clock.Elapsed.TotalSeconds, 1)
    }
    $seen.name = $Name
    $seen.seen = ([string]$seen.seen -replace '\s+', ' ').Trim()
    $null = $Script:Steps.Add($seen)
    [Console]::Out.WriteLine(('{0,-5} {1,-22} {2}' -f $seen.result, $Name, $seen.seen))
    Write-Report
}

# After each step, so that what was seen is kept whatever comes.
function Write-Report {
    $report = [ordered]@{
        kit = 1; simulated = $Script:Simulated; run = [bool]$Run; vm_id = $VmId; target = $Target; full_target = $FullTarget
        finished = [DateTime]::UtcNow.ToString('o'); steps = @($Script:Steps)
    }
    $json = ConvertTo-Json -InputObject $report -Depth 8
    [System.IO.File]::WriteAllText((Join-Path -Path $Out -ChildPath 'report.json'), $json + "`n", $Utf8)
    $text = New-Object -TypeName System.Text.StringBuilder
    if ($Script:Simulated) { $null = $text.AppendLine('!!! SIMULATED: there is no Hyper-V behind this') }
    foreach ($step in $Script:Steps) {
        $null = $text.AppendLine(('{0,-5} {1,-22} {2}' -f $step.result, $step.name, $step.seen))
    }
    [System.IO.File]::WriteAllText((Join-Path -Path $Out -ChildPath 'summary.txt'), $text.ToString(), $Utf8)
}

# --- the product's own scripts, as the executor runs them -------------------------------------------------------------

function Start-Interpreter([string]$Script_) {
    $info = New-Object -TypeName System.Diagnostics.ProcessStartInfo
    $info.FileName = $Interpreter
    $file = Join-Path -Path $Scripts -ChildPath ($Script_ + '.ps1')
    $info.Arguments = '-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "{0}"' -f $file
    $info.UseShellExecute = $false
    $info.CreateNoWindow = $true
    $info.RedirectStandardInput = $true
    $info.RedirectStandardOutput = $true
    $info.RedirectStandardError = $true
    $info.StandardOutputEncoding = $Utf8
    $info.StandardErrorEncoding = $Utf8
    return [System.Diagnostics.Process]::Start($info)
}

function Get-Kind($Line) {
    if ($Line -isnot [System.Management.Automation.PSCustomObject]) { return '' }
    return [string]@($Line.PSObject.Properties)[0].Name
}

# One script to its end. AtProgress: 'cancel' or 'kill', done at the first progress that shows something. The transcript has
# the form of tests/fixtures/hyperv.
function Invoke-Script([string]$Script_, [System.Collections.IDictionary]$Request, [string]$Transcript, [string]$AtProgress = '') {
    $process = Start-Interpreter $Script_
    $writer = New-Object -TypeName System.IO.StreamWriter -ArgumentList $process.StandardInput.BaseStream, $Utf8
    $writer.AutoFlush = $true
    $errors = $process.StandardError.ReadToEndAsync()
    $run = @{ lines = @(); acted = $false; late = $false; exit = -1; err = ''; seconds = 0.0; after_act = 0.0 }
    $kept = New-Object -TypeName System.Text.StringBuilder
    $clock = [System.Diagnostics.Stopwatch]::StartNew()
    $last = 0.0
    $actedAt = 0.0
    $writer.Write((ConvertTo-Json -InputObject $Request -Compress -Depth 8) + "`n")
    while ($true) {
        $next = $process.StandardOutput.ReadLineAsync()
        $left = [int][Math]::Max(0, 1000 * ($ScriptSeconds - $clock.Elapsed.TotalSeconds))
        if (-not $next.Wait($left)) { $run.late = $true; $process.Kill(); break }
        $text = $next.Result
        if ($null -eq $text) { break }
        $now = $clock.Elapsed.TotalSeconds
        # The first seconds are PowerShell's start, and no part of a transcript.
        if ($run.lines.Count -gt 1 -and $now - $last -ge 0.1) {
            $seconds = ([Math]::Round($now - $last, 1)).ToString([Globalization.CultureInfo]::InvariantCulture)
            $null = $kept.Append('{"fake":"delay","seconds":' + $seconds + '}' + "`n")
        }
        $last = $now
        $line = $null
        try { $line = ConvertFrom-Json -InputObject $text } catch { $line = $null }
        $run.lines += $line
        $null = $kept.Append($text + "`n")
        if ($run.lines.Count -eq 1) { $null = $kept.Append('{"fake":"await_request"}' + "`n") }
        $kind = Get-Kind $line
        if ($kind -eq 'hello' -and (Get-Field $line.hello 'simulated' $false)) { $Script:Simulated = $true }
        if ($Endings -contains $kind) { $writer.Close() }
        if ($AtProgress -and -not $run.acted -and $kind -eq 'progress' -and
            ((Get-Field $line.progress 'percent' 0) -gt 0 -or (Get-Field $line.progress 'bytes_done' 0) -gt 0)) {
            $run.acted = $true
            $actedAt = $now
            if ($AtProgress -eq 'kill') {
                $null = $kept.Append('{"fake":"crash"}' + "`n")
                $process.Kill()
            } else {
                $null = $kept.Append('{"fake":"await_cancel"}' + "`n")
                $writer.Write('{"cancel":{}}' + "`n")
            }
        }
    }
    if (-not $process.WaitForExit(30000)) { $process.Kill(); $run.late = $true; $null = $process.WaitForExit(30000) }
    $run.exit = [int]$process.ExitCode
    if ($errors.Wait(5000)) { $run.err = [string]$errors.Result }
    $run.seconds = [Math]::Round($clock.Elapsed.TotalSeconds, 1)
    if ($run.acted) { $run.after_act = [Math]::Round($clock.Elapsed.TotalSeconds - $actedAt, 1) }
    if ($run.exit -ne 0 -and $AtProgress -ne 'kill') { $null = $kept.Append('{"fake":"exit","code":' + $run.exit + '}' + "`n") }
    [System.IO.File]::WriteAllText((Join-Path -Path $Out -ChildPath "transcripts\$Transcript.jsonl"), $kept.ToString(), $Utf8)
    if ($run.err) {
        [System.IO.File]::WriteAllText((Join-Path -Path $Out -ChildPath "transcripts\$Transcript.stderr.txt"), $run.err, $Utf8)
    }
    return $run
}

function Get-Last($Run_, [string]$Kind) {
    $found = @($Run_.lines | Where-Object { (Get-Kind $_) -eq $Kind })
    if ($found.Count -eq 0) { return $null }
    return $found[$found.Count - 1].PSObject.Properties[$Kind].Value
}

# How a script ended, in words and as facts.
function Get-Ending($Run_) {
    $kinds = @($Run_.lines | ForEach-Object { Get-Kind $_ } | Where-Object { $Endings -contains $_ })
    $facts = [ordered]@{ ending = ($kinds -join ' '); exit = $Run_.exit; seconds = $Run_.seconds; late = $Run_.late }
    $failure = Get-Last $Run_ 'error'
    if ($null -ne $failure) {
        $facts.reason = [string](Get-Field $failure 'reason' '')
        $facts.code = '0x{0:X8}' -f [int64](Get-Field $failure 'code' 0)
        $facts.message = [string](Get-Field $failure 'message' '')
    }
    return $facts
}

function Get-EndingText($Facts) {
    $text = 'ended with "{0}", exit code {1}' -f $Facts.ending, $Facts.exit
    if ($Facts.Contains('reason')) { $text += ', {0} {1}: {2}' -f $Facts.reason, $Facts.code, $Facts.message }
    if ($Facts.late) { $text += ', and had to be killed' }
    return $text
}

# --- looking ----------------------------------------------------------------------------------------------------------

function Get-HostFacts {
    $key = 'HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
    $facts = [ordered]@{ powershell = [string]$PSVersionTable.PSVersion; os = [string][Environment]::OSVersion.Version }
    foreach ($name in @('ProductName', 'CurrentBuildNumber', 'UBR')) {
        $facts[$name] = [string][Microsoft.Win32.Registry]::GetValue($key, $name, '')
    }
    $identity = [System.Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object -TypeName System.Security.Principal.WindowsPrincipal -ArgumentList $identity
    $facts.user = [string]$identity.Name
    $facts.elevated = $principal.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)
    $result = 'PASS'
    if (-not $facts.elevated) { $result = 'OPEN' }
    return New-Seen $result ('build {0}.{1}, PowerShell {2}, elevated: {3}' -f $facts.CurrentBuildNumber, $facts.UBR,
        $facts.powershell, $facts.elevated) $facts
}

function Test-List {
    $run = Invoke-Script 'list-vms' ([ordered]@{ list_vms = @{} }) 'list-vms'
    $facts = Get-Ending $run
    $hello = Get-Last $run 'hello'
    $facts.module = [string](Get-Field $hello 'module' '')
    $facts.vms = @($run.lines | Where-Object { (Get-Kind $_) -eq 'vm' }).Count
    if ($facts.ending -ne 'done' -or $facts.exit -ne 0) { return New-Seen 'FAIL' (Get-EndingText $facts) $facts }
    return New-Seen 'PASS' ('{0} VMs, module {1}' -f $facts.vms, $facts.module) $facts
}

function Test-Inspect {
    $run = Invoke-Script 'inspect-vm' ([ordered]@{ inspect_vm = [ordered]@{ vm = $VmId } }) 'inspect-vm'
    $facts = Get-Ending $run
    if ($facts.ending -ne 'done' -or $facts.exit -ne 0) { return New-Seen 'FAIL' (Get-EndingText $facts) $facts }
    $Script:Vm = Get-Last $run 'vm'
    $facts.vm = $Script:Vm
    return New-Seen 'PASS' ('"{0}", {1}, generation {2}, {3} disks' -f $Script:Vm.name, $Script:Vm.state, $Script:Vm.generation,
        @(Get-Field $Script:Vm 'disks' @()).Count) $facts
}

function Get-TargetFacts {
    $facts = [ordered]@{ exists = (Test-Path -LiteralPath $Target -PathType Container); root = [System.IO.Path]::GetPathRoot($Target) }
    if ($Target.Length -ge 2 -and $Target[1] -eq ':') {
        $drive = New-Object -TypeName System.IO.DriveInfo -ArgumentList $Target.Substring(0, 1)
        $facts.type = [string]$drive.DriveType
        if ($drive.IsReady) { $facts.format = [string]$drive.DriveFormat; $facts.free = [int64]$drive.AvailableFreeSpace }
        $facts.session_mapping = [string][Microsoft.Win32.Registry]::GetValue(
            'HKEY_CURRENT_USER\Network\' + $Target.Substring(0, 1), 'RemotePath', '')
        $facts.global_mapping = ''
        try {
            $mapped = @(Get-SmbGlobalMapping | Where-Object { [string]$_.LocalPath -eq $Target.Substring(0, 2) })
            if ($mapped.Count -gt 0) { $facts.global_mapping = [string]$mapped[0].RemotePath }
        } catch {
            $facts.global_mapping = 'cannot be asked: ' + [string]$_.Exception.Message
        }
    }
    if (-not $facts.exists) { return New-Seen 'FAIL' 'the target is no folder for this account' $facts }
    $text = @($facts.Keys | ForEach-Object { '{0}={1}' -f $_, $facts[$_] }) -join ', '
    return New-Seen 'PASS' $text $facts
}

# --- doing ------------------------------------------------------------------------------------------------------------

# Our own account: write, flush, rename, delete. Whether VMMS can is what the exports show.
function Test-Probe {
    $null = [System.IO.Directory]::CreateDirectory($Script:Home_)
    $file = Join-Path -Path $Script:Home_ -ChildPath 'probe'
    $stream = New-Object -TypeName System.IO.FileStream -ArgumentList $file, ([System.IO.FileMode]::CreateNew)
    try { $stream.WriteByte(1); $stream.Flush($true) } finally { $stream.Dispose() }
    [System.IO.File]::Move($file, $file + '2')
    [System.IO.File]::Delete($file + '2')
    return New-Seen 'PASS' 'written, flushed, renamed, deleted by this account'
}

function New-Folder([string]$Name) {
    $folder = Join-Path -Path $Script:Home_ -ChildPath $Name
    $null = [System.IO.Directory]::CreateDirectory($folder)
    return $folder
}

function New-ExportRequest([string]$Folder, [string[]]$Captures) {
    return [ordered]@{ export_vm = [ordered]@{ vm_id = $VmId; folder = $Folder; captures = @($Captures) } }
}

# Every file with its size, and the first bytes of what should be a disk.
function Get-Tree([string]$Folder) {
    foreach ($file in @(Get-ChildItem -LiteralPath $Folder -Recurse -File -Force)) {
        $one = [ordered]@{ path = $file.FullName.Substring($Folder.Length + 1); bytes = [int64]$file.Length; magic = '' }
        if ($file.Extension -eq '.vhdx' -or $file.Extension -eq '.avhdx') {
            $stream = [System.IO.File]::OpenRead($file.FullName)
            $head = New-Object -TypeName 'byte[]' -ArgumentList 8
            try { $null = $stream.Read($head, 0, 8) } finally { $stream.Dispose() }
            $one.magic = [System.Text.Encoding]::ASCII.GetString($head)
        }
        $one
    }
}

# A whole export with these captures; what it took, how coarse percent is, and what lies there.
function Test-Export([string]$Name, [string[]]$Captures) {
    $folder = New-Folder $Name
    $run = Invoke-Script 'export-vm' (New-ExportRequest $folder $Captures) $Name
    $facts = Get-Ending $run
    $facts.started = Get-Last $run 'started'
    $progress = @($run.lines | Where-Object { (Get-Kind $_) -eq 'progress' } | ForEach-Object { $_.progress })
    $facts.percents = @($progress | ForEach-Object { [int](Get-Field $_ 'percent' 0) } | Select-Object -Unique)
    $facts.byte_steps = @($progress | ForEach-Object { [int64](Get-Field $_ 'bytes_done' 0) } | Select-Object -Unique).Count
    $facts.files = @(Get-Tree $folder)
    if ($facts.ending -ne 'done' -or $facts.exit -ne 0) { return New-Seen 'FAIL' (Get-EndingText $facts) $facts }
    $configs = @($facts.files | Where-Object { [System.IO.Path]::GetExtension($_.path) -eq '.vmcx' }).Count
    $bad = @($facts.files | Where-Object { $_.magic -and $_.magic -cne 'vhdxfile' }).Count
    $images = @($facts.files | Where-Object { $_.magic }).Count
    $wanted = @(Get-Field $Script:Vm 'disks' @()).Count
    $text = '{0} s, capture {1}, {2} different percents, {3} different sizes, {4} .vmcx, {5} disks of {6}' -f $run.seconds,
        [string](Get-Field $facts.started 'capture' 'none (off)'), $facts.percents.Count, $facts.byte_steps, $configs, $images, $wanted
    if ($configs -ne 1 -or $bad -ne 0 -or $images -lt $wanted) { return New-Seen 'FAIL' $text $facts }
    return New-Seen 'PASS' $text $facts
}

# How the VM is now, and what end-export says, which must hold after whatever happened.
function Add-Aftermath([System.Collections.IDictionary]$Facts, [string]$Name, [string]$Folder) {
    $look = Invoke-Script 'inspect-vm' ([ordered]@{ inspect_vm = [ordered]@{ vm = $VmId } }) ($Name + '-inspect')
    $Facts.status_after = @(Get-Field (Get-Last $look 'vm') 'status' @())
    $end = Invoke-Script 'end-export' ([ordered]@{ end_export = [ordered]@{ vm_id = $VmId; wait_seconds = 120 } }) ($Name + '-end')
    $Facts.end_export = Get-Ending $end
    $Facts.was_exporting = [bool](Get-Field (Get-Last $end 'done') 'was_exporting' $false)
    $Facts.files_left = @(Get-Tree $Folder)
}

function Test-Cancel {
    $folder = New-Folder 'cancelled'
    $run = Invoke-Script 'export-vm' (New-ExportRequest $folder @('DATA_CONSISTENT', 'CRASH_CONSISTENT')) 'cancelled' 'cancel'
    $facts = Get-Ending $run
    $facts.seconds_to_cancel = $run.after_act
    Add-Aftermath $facts 'cancelled' $folder
    $text = '{0}; {1} s after the cancel; still exporting: {2}; {3} files left' -f (Get-EndingText $facts), $run.after_act,
        $facts.was_exporting, $facts.files_left.Count
    if (-not $run.acted) { return New-Seen 'OPEN' "the export was over before it could be cancelled: take a bigger disk; $text" $facts }
    if ($facts.ending -ne 'cancelled' -or $facts.was_exporting) { return New-Seen 'FAIL' $text $facts }
    return New-Seen 'PASS' $text $facts
}

# The script is killed as a crash would; Hyper-V goes on; end-export.ps1 must end it.
function Test-Killed {
    $folder = New-Folder 'killed'
    $run = Invoke-Script 'export-vm' (New-ExportRequest $folder @('DATA_CONSISTENT', 'CRASH_CONSISTENT')) 'killed' 'kill'
    $facts = [ordered]@{ killed = $run.acted }
    Add-Aftermath $facts 'killed' $folder
    $text = 'status after the kill: {0}; end-export {1}, was exporting: {2}; {3} files left' -f ($facts.status_after -join ' '),
        (Get-EndingText $facts.end_export), $facts.was_exporting, $facts.files_left.Count
    if (-not $run.acted) { return New-Seen 'OPEN' "the export was over before its script could be killed: take a bigger disk; $text" $facts }
    if ($facts.end_export.ending -ne 'done') { return New-Seen 'FAIL' $text $facts }
    if (-not $facts.was_exporting) { return New-Seen 'OPEN' "Hyper-V did not go on with the export; $text" $facts }
    return New-Seen 'PASS' $text $facts
}

# What one error carries: where a code stands in it decides how vmkeep reads it.
function Get-ErrorFacts($Caught) {
    $facts = [ordered]@{ id = ''; category = ''; exceptions = @() }
    $exception = $Caught
    if ($Caught -is [System.Management.Automation.ErrorRecord]) {
        $facts.id = [string]$Caught.FullyQualifiedErrorId
        $facts.category = [string]$Caught.CategoryInfo.Category
        $exception = $Caught.Exception
    }
    while ($exception -is [System.Exception]) {
        $facts.exceptions += [ordered]@{
            type = $exception.GetType().FullName; hresult = '0x{0:X8}' -f $exception.HResult; message = [string]$exception.Message
        }
        $exception = $exception.InnerException
    }
    return $facts
}

# Hyper-V's own answer, without the checks of export-vm.ps1. It has to refuse.
function Test-Direct([string]$Path) {
    $facts = [ordered]@{ path = $Path; state = ''; errors = @() }
    $job = $null
    try {
        $machine = Hyper-V\Get-VM -Id ([guid]$VmId)
        $job = Hyper-V\Export-VM -VM $machine -Path $Path -AsJob
        $until = [DateTime]::UtcNow.AddSeconds($DirectSeconds)
        while (@('Completed', 'Failed', 'Stopped') -notcontains [string]$job.State -and [DateTime]::UtcNow -lt $until) {
            Start-Sleep -Milliseconds 500
        }
        $facts.state = [string]$job.State
        foreach ($one in @($job) + @($job.ChildJobs)) {
            if ($null -ne $one.JobStateInfo.Reason) { $facts.errors += (Get-ErrorFacts $one.JobStateInfo.Reason) }
            foreach ($record in @($one.Error)) { $facts.errors += (Get-ErrorFacts $record) }
        }
    } catch {
        $facts.state = 'refused at once'
        $facts.errors += (Get-ErrorFacts $_)
    }
    if (@('Failed', 'refused at once') -notcontains $facts.state) {
        if ($null -ne $job) { try { Stop-Job -Job $job } catch { $null = $_ } }
        $end = Invoke-Script 'end-export' ([ordered]@{ end_export = [ordered]@{ vm_id = $VmId; wait_seconds = 120 } }) 'direct-end'
        $facts.end_export = Get-Ending $end
        return New-Seen 'FAIL' ('Hyper-V did not refuse it: job {0}' -f $facts.state) $facts
    }
    $codes = @($facts.errors | ForEach-Object { $_.exceptions } | ForEach-Object { $_.hresult } | Select-Object -Unique) -join ' '
    return New-Seen 'PASS' ('{0}: {1}' -f $facts.state, $codes) $facts
}

# Hyper-V refuses a folder that has one with the VM's name.
function Test-ExistingTarget {
    $folder = New-Folder 'exists'
    $null = [System.IO.Directory]::CreateDirectory((Join-Path -Path $folder -ChildPath ([string]$Script:Vm.name)))
    return Test-Direct $folder
}

function Test-NoShare {
    return Test-Direct ('\\localhost\vmkeep-no-share-{0}\x' -f [guid]::NewGuid().ToString('N'))
}

function Test-Full {
    $folder = Join-Path -Path $FullTarget -ChildPath ('vmkeep-host-kit-' + [guid]::NewGuid().ToString('N'))
    $null = [System.IO.Directory]::CreateDirectory($folder)
    try {
        $run = Invoke-Script 'export-vm' (New-ExportRequest $folder @('CRASH_CONSISTENT')) 'full'
        $facts = Get-Ending $run
    } finally {
        [System.IO.Directory]::Delete($folder, $true)
    }
    if ($facts.ending -ne 'error') { return New-Seen 'FAIL' ('it should be full: ' + (Get-EndingText $facts)) $facts }
    if (@('0x80070070', '0x80070027') -notcontains $facts.code) { return New-Seen 'FAIL' (Get-EndingText $facts) $facts }
    return New-Seen 'PASS' (Get-EndingText $facts) $facts
}

# Only the folder that this run made.
function Remove-Home {
    if (-not [System.IO.Directory]::Exists($Script:Home_)) { return New-Seen 'PASS' 'nothing was made' }
    $text = ''
    try { [System.IO.Directory]::Delete($Script:Home_, $true) } catch { $text = [string]$_.Exception.Message }
    if (-not [System.IO.Directory]::Exists($Script:Home_)) { return New-Seen 'PASS' "removed $Script:Home_" }
    $left = @(Get-Tree $Script:Home_)
    return New-Seen 'FAIL' ('please remove {0} yourself, {1} files: {2}' -f $Script:Home_, $left.Count, $text) @{ left = $left }
}

# --- all of it --------------------------------------------------------------------------------------------------------

function Invoke-Looks {
    Invoke-Step 'host' { Get-HostFacts }
    Invoke-Step 'list' { Test-List }
    Invoke-Step 'inspect' { Test-Inspect }
    Invoke-Step 'target' { Get-TargetFacts }
}

# Why nothing may be done; empty: it may.
function Get-Refusal {
    if ($null -eq $Script:Vm) { return 'the VM could not be inspected' }
    if (-not ([string]$Script:Vm.name).StartsWith($NamePrefix, [StringComparison]::Ordinal)) {
        return "the VM's name does not begin with $NamePrefix, so it was not made for this"
    }
    if (-not (Test-Path -LiteralPath $Target -PathType Container)) { return 'the target is no folder' }
    return ''
}

function Invoke-Runs {
    $Script:Home_ = Join-Path -Path $Target -ChildPath ('vmkeep-host-kit-' + [guid]::NewGuid().ToString('N'))
    try {
        Invoke-Step 'probe' { Test-Probe }
        Invoke-Step 'export' { Test-Export 'export' @('DATA_CONSISTENT', 'CRASH_CONSISTENT') }
        Invoke-Step 'capture-data' { Test-Export 'capture-data' @('DATA_CONSISTENT') }
        Invoke-Step 'capture-crash' { Test-Export 'capture-crash' @('CRASH_CONSISTENT') }
        Invoke-Step 'cancel' { Test-Cancel }
        Invoke-Step 'killed' { Test-Killed }
        Invoke-Step 'existing-target' { Test-ExistingTarget }
        Invoke-Step 'no-share' { Test-NoShare }
        if ($FullTarget) { Invoke-Step 'full' { Test-Full } }
    } finally {
        Invoke-Step 'remove' { Remove-Home }
    }
}

if ([System.IO.Directory]::Exists($Out) -and @(Get-ChildItem -LiteralPath $Out -Force | Select-Object -First 1).Count -gt 0) {
    [Console]::Error.WriteLine("-Out must be a folder that is empty or not there: $Out")
    exit 2
}
$null = [System.IO.Directory]::CreateDirectory((Join-Path -Path $Out -ChildPath 'transcripts'))
Invoke-Looks
if ($Run) {
    $why = Get-Refusal
    if ($why) { Invoke-Step 'refused' { New-Seen 'FAIL' "nothing was done: $why" } } else { Invoke-Runs }
}
$failed = @($Script:Steps | Where-Object { $_.result -eq 'FAIL' }).Count
[Console]::Out.WriteLine(('{0} steps, {1} failed; send us the folder {2}' -f $Script:Steps.Count, $failed, $Out))
exit [int]($failed -gt 0)
