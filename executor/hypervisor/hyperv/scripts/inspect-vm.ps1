# One VM with its disks: a `vm` line.
. (Join-Path -Path $PSScriptRoot -ChildPath 'common.ps1')

# Adds what the files of a virtual disk say: its sizes, and its parents, nearest first.
function Add-Chain([System.Collections.IDictionary]$Disk) {
    $parents = @()
    $bytes = 0L
    $path = $Disk.path
    while ($path) {
        if ($parents -contains $path -or $parents.Count -gt 1024) { throw "the chain of $($Disk.path) has no end" }
        if ($path -ne $Disk.path) { $parents += $path }
        $image = Hyper-V\Get-VHD -Path $path
        if ($path -eq $Disk.path) { $Disk.virtual_bytes = [int64]$image.Size }
        $bytes += [int64]$image.FileSize
        $path = [string]$image.ParentPath
    }
    $Disk.file_bytes = $bytes
    if ($parents.Count -gt 0) { $Disk.parents = @($parents) }
}

function Get-Disk($Drive) {
    # A number is a physical disk's; Path is then Hyper-V's name for it [open].
    $passThrough = $null -ne $Drive.DiskNumber
    $disk = [ordered]@{
        controller = ([string]$Drive.ControllerType).ToLowerInvariant()
        controller_number = [int]$Drive.ControllerNumber
        controller_location = [int]$Drive.ControllerLocation
        path = [string]$Drive.Path
        pass_through = $passThrough
        shared = ($Drive.SupportPersistentReservations -eq $true) -or
            ([System.IO.Path]::GetExtension([string]$Drive.Path) -eq '.vhds')
    }
    # Another host may hold a shared one, and it is not exported anyway.
    if (-not $passThrough -and -not $disk.shared) { Add-Chain $disk }
    return $disk
}

# What belongs to the VM and an export does not hold, in words.
function Get-NotIncluded($Vm, [object[]]$Disks) {
    foreach ($disk in $Disks) {
        if ($disk.pass_through) { "pass-through disk $($disk.path)" }
        if ($disk.shared) { "shared disk $($disk.path)" }
    }
    foreach ($drive in @($Vm.DVDDrives | Where-Object { $null -ne $_ -and $_.Path })) { "DVD image $($drive.Path)" }
    if (@($Vm.FibreChannelHostBusAdapters | Where-Object { $null -ne $_ }).Count -gt 0) {
        'disks behind a virtual Fibre Channel adapter'
    }
    foreach ($device in @(Hyper-V\Get-VMAssignableDevice -VM $Vm)) { "assigned device $($device.LocationPath)" }
    if ([int]$Vm.Generation -ge 2 -and (Hyper-V\Get-VMSecurity -VM $Vm).TpmEnabled) {
        "the key of the virtual TPM: without the host's guardian certificates the VM starts on no other host"
    }
}

try {
    $request = Start-Script -Name 'inspect-vm' -Verb 'inspect_vm'
    $text = [string](Get-Field $request 'vm' '')
    if (-not $text) { Exit-Failed -Reason 'BAD_REQUEST' -Message 'vm is empty' }
    $vm = Find-Vm $text
    # A drive without a path has no disk in it.
    $drives = @(Hyper-V\Get-VMHardDiskDrive -VM $vm | Where-Object { $_.Path })
    $disks = @($drives | ForEach-Object { Get-Disk $_ })
    Write-Vm -Vm $vm -Disks $disks -NotIncluded @(Get-NotIncluded $vm $disks)
    Exit-Done
} catch {
    Exit-Caught $_
}
