# Exports one VM into a folder with a job of Hyper-V's.
#
# VMMS writes the files, not this process, and goes on when this process is killed: then end-export.ps1 ends it.
. (Join-Path -Path $PSScriptRoot -ChildPath 'common.ps1')

$PollMilliseconds = 1000
$SilentSeconds = 4        # a line at least every 5 s, with a second's room
$StopSeconds = 10         # for Stop-Job to be felt
$TerminateSeconds = 60    # for Hyper-V's own job to end

$CaptureNames = @{ DATA_CONSISTENT = 'CaptureDataConsistentState'; CRASH_CONSISTENT = 'CaptureCrashConsistentState' }

# VMOperationalStatus of a VM that something is done with: its disks may change under the export.
$BusyStatus = @('ApplyingSnapshot', 'CreatingSnapshot', 'DeletingSnapshot', 'WaitingToStart', 'MergingDisks',
    'ExportingVirtualMachine', 'MigratingVirtualMachine', 'BackingUpVirtualMachine', 'ModifyingUpVirtualMachine',
    'StorageMigrationPhaseOne', 'StorageMigrationPhaseTwo', 'MigratingPlannedVm', 'CheckingCompatibility')
$LiveStates = @('Running', 'Paused')
$StillStates = @('Off', 'Saved')

function Assert-Free($Vm) {
    foreach ($status in @(Get-Status $Vm)) {
        if ($BusyStatus -contains $status) { Exit-Failed -Reason 'BUSY' -Message $status }
    }
    if (($LiveStates + $StillStates) -notcontains [string]$Vm.State) { Exit-Failed -Reason 'BUSY' -Message ([string]$Vm.State) }
}

function Assert-Folder([string]$Folder) {
    if (-not (Test-Path -LiteralPath $Folder -PathType Container)) {
        Exit-Failed -Reason 'NOT_A_FOLDER' -Message "not a folder: $Folder"
    }
    if (@(Get-ChildItem -LiteralPath $Folder -Force | Select-Object -First 1).Count -gt 0) {
        Exit-Failed -Reason 'FAILED' -Message "not empty: $Folder"
    }
}

# How many files there are by now, and their bytes. A file that vanishes meanwhile is left out.
function Measure-Folder([string]$Folder) {
    $size = [ordered]@{ files = 0; bytes = 0L }
    $files = @()
    # Thrown all the same when the folder goes in the middle of it: what the job says of that decides.
    try { $files = @(Get-ChildItem -LiteralPath $Folder -Recurse -File -Force -ErrorAction SilentlyContinue) } catch { $null = $_ }
    foreach ($file in $files) {
        $size.files++
        try { $size.bytes += [int64]$file.Length } catch { $null = $_ }
    }
    return $size
}

function Get-Percent($Job) {
    if ($Job.Progress.Count -eq 0) { return 0 }
    return [Math]::Max(0, [Math]::Min(100, [int]$Job.Progress[$Job.Progress.Count - 1].PercentComplete))
}

# Why a job failed: whatever it or a child of it says; a text when none says anything.
function Get-JobFailure($Job) {
    foreach ($one in @($Job) + @($Job.ChildJobs)) {
        if ($null -ne $one.JobStateInfo.Reason) { return $one.JobStateInfo.Reason }
        if ($one.Error.Count -gt 0) { return $one.Error[0] }
    }
    return $null
}

# Whether a failure says that the guest cannot be captured this way, so that the next capture may be tried: nothing was
# written yet, and the code is one of VSS (0x800423..), "not supported" of Windows or of the provider, or no code at
# all, as "cannot create an application-consistent checkpoint" has been seen to come without one. Anything with another
# code - no space, no rights, a wrong state, a share that is gone - is that. [open: the codes that real guests give]
function Test-GuestCannot([int64]$Code, [int]$Files) {
    if ($Files -gt 0) { return $false }
    if (($Code -band 0xFFFFFF00L) -eq 0x80042300L) { return $true }
    return (@(0L, $CodeFailed, 0x80070032L, 32770L) -contains $Code)
}

# Removes the folders that a failed try left behind, which Hyper-V would refuse; never a file.
function Remove-EmptyFolders([string]$Folder) {
    $below = @(Get-ChildItem -LiteralPath $Folder -Recurse -Directory -Force)
    foreach ($one in @($below | Sort-Object -Property { $_.FullName.Length } -Descending)) {
        [System.IO.Directory]::Delete($one.FullName)
    }
}

# [open: that Stop-Job ends VMMS's own work; where it does not, its job is asked as end-export.ps1 does]
function Stop-Export($Job, [guid]$Id) {
    try { Stop-Job -Job $Job } catch { $null = $_ }  # it may have ended meanwhile; the VM's status decides
    if (-not (Wait-ExportEnd $Id $StopSeconds)) {
        $null = Request-ExportEnd $Id
        if (-not (Wait-ExportEnd $Id $TerminateSeconds)) {
            Exit-Failed -Reason 'STILL_EXPORTING' -Message 'the export was asked to end, and has not'
        }
    }
    Exit-Cancelled
}

# One try; returns when the job has ended. `started` is said when nothing can follow but this capture: at once for the
# last one, else with the first file. Until then `vm` lines show that the script lives.
function Watch-Job($Job, $Vm, [string]$Folder, [System.Collections.IDictionary]$Started, [bool]$Last) {
    $said = $false
    $shown = ''
    $lastLine = [DateTime]::UtcNow
    while ($true) {
        # The state before the files: what a job has written that has ended is counted whole.
        $ended = @('Completed', 'Failed', 'Stopped') -contains [string]$Job.State
        $size = Measure-Folder $Folder
        if (-not $said -and ($Last -or $size.files -gt 0 -or [string]$Job.State -eq 'Completed')) {
            Write-Line @{ started = $Started }
            $said = $true
        }
        $progress = [ordered]@{ percent = (Get-Percent $Job); bytes_done = $size.bytes }
        $now = '{0} {1}' -f $progress.percent, $progress.bytes_done
        $silent = ([DateTime]::UtcNow - $lastLine).TotalSeconds -ge $SilentSeconds
        if ($said -and ($silent -or $now -ne $shown)) {
            Write-Line @{ progress = $progress }
            $shown = $now
            $lastLine = [DateTime]::UtcNow
        } elseif (-not $said -and $silent) {
            Write-Vm (Get-VmById $Vm.Id)
            $lastLine = [DateTime]::UtcNow
        }
        if ($ended) { return $size.files }
        if (Wait-Cancel $PollMilliseconds) { Stop-Export $Job $Vm.Id }
    }
}

# Begins the export of a VM; Capture is empty for one that is off. The job, or the error of a cmdlet that refused.
function Start-Export($Vm, [string]$Folder, [string]$Capture) {
    try {
        if (-not $Capture) { return (Hyper-V\Export-VM -VM $Vm -Path $Folder -AsJob) }
        return (Hyper-V\Export-VM -VM $Vm -Path $Folder -CaptureLiveState $CaptureNames[$Capture] -AsJob)
    } catch {
        return $_
    }
}

# Returns when there is another capture to try, and nothing runs. An error while a job is watched ends the script.
function Invoke-Export($Vm, [string]$Folder, [string]$Capture, [bool]$Last) {
    $files = 0
    $reason = 'FAILED'
    $started = @{ off = $true }
    if ($Capture) { $started = @{ capture = $Capture } }
    $failure = Start-Export $Vm $Folder $Capture
    if ($failure -is [System.Management.Automation.Job]) {
        $job = $failure
        $files = Watch-Job $job $Vm $Folder $started $Last
        $reason = 'JOB_FAILED'
        $failure = Get-JobFailure $job
        if ($null -eq $failure) {
            if ([string]$job.State -eq 'Completed') { Exit-Done }
            $failure = New-Object -TypeName Exception -ArgumentList "the job ended as $($job.State)"
        }
    }
    if ($Last -or -not (Test-GuestCannot (Get-WindowsCode $failure) $files)) { Exit-Caught $failure $reason }
    Remove-EmptyFolders $Folder
}

try {
    $request = Start-Script -Name 'export-vm' -Verb 'export_vm'
    $id = ConvertTo-Guid ([string](Get-Field $request 'vm_id' ''))
    $folder = [string](Get-Field $request 'folder' '')
    $captures = @(Get-Field $request 'captures' @())
    $unknown = @($captures | Where-Object { -not $CaptureNames.ContainsKey([string]$_) })
    if ($null -eq $id -or -not [System.IO.Path]::IsPathRooted($folder) -or $captures.Count -eq 0 -or $unknown.Count -gt 0) {
        Exit-Failed -Reason 'BAD_REQUEST' -Message 'vm_id, folder or captures is wrong'
    }
    $vm = Get-VmById $id
    if ($null -eq $vm) { Exit-Failed -Reason 'NOT_FOUND' -Message 'no VM has this GUID' }
    Write-Vm $vm
    Assert-Free $vm
    Assert-Folder $folder
    if ($StillStates -contains [string]$vm.State) { $captures = @('') }
    for ($i = 0; $i -lt $captures.Count; $i++) {
        if (Wait-Cancel 0) { Exit-Cancelled }
        Invoke-Export $vm $folder ([string]$captures[$i]) ($i -eq $captures.Count - 1)
    }
} catch {
    Exit-Caught $_
}
