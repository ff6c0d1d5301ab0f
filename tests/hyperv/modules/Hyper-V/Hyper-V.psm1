# A stand-in for the Hyper-V module, and for the CIM cmdlets, which hang under wine.
#
# Parameters, their sets and their types are those of Microsoft's reference, so that a call the real cmdlets would refuse is
# refused here. What the host has stands in the scenario, a JSON file named by VMKEEP_HYPERV_SCENARIO:
#   vms            id, name, state, status, generation, tpm, dvd, devices,
#                  disks: type, number, location, path, disk_number, persistent_reservations
#   images         by path: size, file_size, parent
#   get_vm_fails   message, id, category
#   export         how an export goes: see vmms.py, which plays the service; of this module:
#                  stop_ignored, and the_job_says: "reason" or "error"
# Beside it: requests/ to the service and jobs/ from it, one file an export.
$Folder = [System.IO.Path]::GetDirectoryName($env:VMKEEP_HYPERV_SCENARIO)
$Scenario = [System.IO.File]::ReadAllText($env:VMKEEP_HYPERV_SCENARIO) | ConvertFrom-Json -AsHashtable

enum CaptureLiveState { CaptureCrashConsistentState; CaptureSavedState; CaptureDataConsistentState }
enum ControllerType { IDE; SCSI; PMEM }

class VirtualMachine {
    [guid]$Id
    [string]$Name
    [string]$State
    [string[]]$OperationalStatus
    [int]$Generation
    [object[]]$DVDDrives
    [object[]]$FibreChannelHostBusAdapters
}

# As a cmdlet's own error: it ends the caller where the caller says Stop, which a function of a module does not see.
function Write-CmdletError($Cmdlet, [string]$Message, [string]$Id, [string]$Category) {
    $name = "$Id,Microsoft.HyperV.PowerShell.Commands." + $Cmdlet.MyInvocation.MyCommand.Name.Replace('-', '')
    $record = [System.Management.Automation.ErrorRecord]::new([System.Exception]::new($Message), $name, $Category, $null)
    if ($Cmdlet.SessionState.PSVariable.GetValue('ErrorActionPreference') -eq 'Stop') { $Cmdlet.ThrowTerminatingError($record) }
    $Cmdlet.WriteError($record)
}

# Null: no export of the VM has been begun.
function Read-Job([guid]$VmId) {
    $file = [System.IO.Path]::Combine($Folder, 'jobs', "$VmId.json")
    if (-not [System.IO.File]::Exists($file)) { return $null }
    return [System.IO.File]::ReadAllText($file) | ConvertFrom-Json -AsHashtable
}

function Send-Request([hashtable]$Request) {
    $name = [guid]::NewGuid().ToString()
    $file = [System.IO.Path]::Combine($Folder, 'requests', $name)
    [System.IO.File]::WriteAllText("$file.part", ($Request | ConvertTo-Json -Compress))
    [System.IO.File]::Move("$file.part", "$file.json")
    return $name
}

function ConvertTo-Vm([System.Collections.IDictionary]$From) {
    $vm = [VirtualMachine]@{
        Id = $From.id; Name = $From.name; State = $From.state; Generation = $From.generation ?? 2
        OperationalStatus = @($From.status ?? 'Ok')
        DVDDrives = @($From.dvd | ForEach-Object { [pscustomobject]@{ Path = $_ } }); FibreChannelHostBusAdapters = @()
    }
    $job = Read-Job $vm.Id
    if ($null -ne $job -and $job.state -eq 'Running') { $vm.OperationalStatus += 'ExportingVirtualMachine' }
    return $vm
}

function Get-ScenarioVm([guid]$Id) { return $Scenario.vms | Where-Object { [guid]$_.id -eq $Id } }

function Get-VM {
    [CmdletBinding(DefaultParameterSetName = 'Name')]
    param(
        [Parameter(ParameterSetName = 'Name', Position = 0, ValueFromPipeline)][Alias('VMName')][string[]]$Name,
        [Parameter(ParameterSetName = 'Id', Position = 0, ValueFromPipeline, ValueFromPipelineByPropertyName)][guid]$Id,
        [Parameter(ParameterSetName = 'ClusterObject', Position = 0, Mandatory, ValueFromPipeline)][psobject]$ClusterObject,
        [Parameter(ParameterSetName = 'Name')][Parameter(ParameterSetName = 'Id')][object[]]$CimSession,
        [Parameter(ParameterSetName = 'Name')][Parameter(ParameterSetName = 'Id')][string[]]$ComputerName,
        [Parameter(ParameterSetName = 'Name')][Parameter(ParameterSetName = 'Id')][pscredential[]]$Credential
    )
    $fails = $Scenario.get_vm_fails
    if ($fails) { return Write-CmdletError $PSCmdlet $fails.message $fails.id $fails.category }
    $found = @($Scenario.vms | Where-Object {
            $vm = $_
            if ($PSCmdlet.ParameterSetName -eq 'Id') { return [guid]$vm.id -eq $Id }
            return -not $Name -or @($Name | Where-Object { $vm.name -like $_ }).Count -gt 0
        })
    if ($found.Count -eq 0 -and $PSBoundParameters.Count -gt 0) {
        return Write-CmdletError $PSCmdlet 'Hyper-V was unable to find such a virtual machine.' 'InvalidParameter' 'InvalidArgument'
    }
    $found | ForEach-Object { ConvertTo-Vm $_ }
}

function Get-VHD {
    [CmdletBinding(DefaultParameterSetName = 'Path')]
    param(
        [Parameter(ParameterSetName = 'Path', Position = 0, Mandatory, ValueFromPipeline, ValueFromPipelineByPropertyName)]
        [Alias('FullName')][string[]]$Path,
        [Parameter(ParameterSetName = 'Disk', Position = 0, Mandatory)][Alias('Number')][uint32]$DiskNumber,
        [Parameter(ParameterSetName = 'VMId', Position = 0, Mandatory, ValueFromPipelineByPropertyName)]
        [Alias('Id')][guid[]]$VMId,
        [object[]]$CimSession, [string[]]$ComputerName, [pscredential[]]$Credential
    )
    foreach ($one in $Path) {
        if (-not $Scenario.images.ContainsKey($one)) {
            Write-CmdletError $PSCmdlet "Getting the mounted storage instance for the path '$one' failed. (0x80070002)." `
                'ObjectNotFound' 'ObjectNotFound'
            continue
        }
        $image = $Scenario.images[$one]
        [pscustomobject]@{ Path = $one; Size = [uint64]$image.size; FileSize = [uint64]$image.file_size; ParentPath = $image.parent }
    }
}

function Get-VMHardDiskDrive {
    [CmdletBinding(DefaultParameterSetName = 'VMName')]
    param(
        [Parameter(ParameterSetName = 'VMName', Position = 0, Mandatory, ValueFromPipeline)][string[]]$VMName,
        [Parameter(ParameterSetName = 'VMObject', Position = 0, Mandatory, ValueFromPipeline)][VirtualMachine[]]$VM,
        [Parameter(ParameterSetName = 'VMName')][object[]]$CimSession,
        [Parameter(ParameterSetName = 'VMName')][string[]]$ComputerName,
        [Parameter(ParameterSetName = 'VMName')][pscredential[]]$Credential,
        [int]$ControllerLocation, [int]$ControllerNumber, [ControllerType]$ControllerType
    )
    foreach ($one in $VM) {
        foreach ($disk in (Get-ScenarioVm $one.Id).disks) {
            [pscustomobject]@{
                ControllerType = [ControllerType]$disk.type; ControllerNumber = $disk.number; ControllerLocation = $disk.location
                Path = $disk.path; DiskNumber = $disk.disk_number; SupportPersistentReservations = $disk.persistent_reservations
            }
        }
    }
}

function Get-VMSecurity {
    [CmdletBinding(DefaultParameterSetName = 'VMName')]
    param(
        [Parameter(ParameterSetName = 'VMName', Position = 0, Mandatory, ValueFromPipeline)][string[]]$VMName,
        [Parameter(ParameterSetName = 'VMObject', Position = 0, Mandatory, ValueFromPipeline)][VirtualMachine[]]$VM,
        [Parameter(ParameterSetName = 'VMName')][object[]]$CimSession,
        [Parameter(ParameterSetName = 'VMName')][string[]]$ComputerName,
        [Parameter(ParameterSetName = 'VMName')][pscredential[]]$Credential
    )
    foreach ($one in $VM) { [pscustomobject]@{ TpmEnabled = [bool](Get-ScenarioVm $one.Id).tpm } }
}

function Get-VMAssignableDevice {
    [CmdletBinding(DefaultParameterSetName = 'VMName')]
    param(
        [Parameter(ParameterSetName = 'VMName', Position = 0, Mandatory, ValueFromPipeline)][string[]]$VMName,
        [Parameter(ParameterSetName = 'VMObject', Position = 0, Mandatory, ValueFromPipeline)][VirtualMachine[]]$VM,
        [Parameter(ParameterSetName = 'VMName')][object[]]$CimSession,
        [Parameter(ParameterSetName = 'VMName')][string[]]$ComputerName,
        [Parameter(ParameterSetName = 'VMName')][pscredential[]]$Credential,
        [string]$InstancePath, [string]$LocationPath
    )
    foreach ($one in $VM) {
        (Get-ScenarioVm $one.Id).devices | Where-Object { $_ } | ForEach-Object { [pscustomobject]@{ LocationPath = $_ } }
    }
}

# The job that a script sees: it follows the service's own one, which does not need it.
$Follow = {
    param([string]$JobFile, [string]$Request, [string]$StopFile, [string]$StopText, [bool]$AsError)
    $followed = $false
    try {
        while ($true) {
            $job = $null
            if ([System.IO.File]::Exists($JobFile)) { $job = [System.IO.File]::ReadAllText($JobFile) | ConvertFrom-Json }
            if ($null -ne $job -and $job.request -eq $Request) {
                Write-Progress -Activity 'Exporting' -Status 'Export' -PercentComplete $job.percent
                if ($job.state -ne 'Running') { $followed = $true; break }
            }
            Start-Sleep -Milliseconds 100
        }
        if ($job.state -eq 'Completed') { return }
        if ($AsError) { Write-Error -Message $job.message; return }
        throw [System.InvalidOperationException]::new($job.message)
    } finally {
        if (-not $followed -and $StopText) {
            [System.IO.File]::WriteAllText("$StopFile.part", $StopText)
            [System.IO.File]::Move("$StopFile.part", "$StopFile.json")
        }
    }
}

function Export-VM {
    [CmdletBinding(DefaultParameterSetName = 'Name', SupportsShouldProcess)]
    param(
        [Parameter(ParameterSetName = 'Name', Position = 0, Mandatory, ValueFromPipeline)][Alias('VMName')][string[]]$Name,
        [Parameter(ParameterSetName = 'VMObject', Position = 0, Mandatory, ValueFromPipeline)][VirtualMachine[]]$VM,
        [Parameter(Position = 1, Mandatory)][string]$Path,
        [Parameter(ParameterSetName = 'Name')][object[]]$CimSession,
        [Parameter(ParameterSetName = 'Name')][string[]]$ComputerName,
        [Parameter(ParameterSetName = 'Name')][pscredential[]]$Credential,
        [switch]$AsJob, [switch]$Passthru, [System.Nullable[CaptureLiveState]]$CaptureLiveState
    )
    if (-not $AsJob -or $VM.Count -ne 1) { throw 'the stand-in knows -VM with one VM and -AsJob alone' }
    $id = $VM[0].Id
    $request = Send-Request @{
        verb = 'export'; vm_id = "$id"; name = $VM[0].Name; path = $Path; capture = "$CaptureLiveState"; state = $VM[0].State
    }
    $stop = ''
    $goes = $Scenario.export ?? @{}
    if (-not $goes.stop_ignored) { $stop = @{ verb = 'terminate'; vm_id = "$id" } | ConvertTo-Json -Compress }
    $files = [System.IO.Path]::Combine($Folder, 'jobs', "$id.json"), [System.IO.Path]::Combine($Folder, 'requests', "stop-$request")
    Start-ThreadJob -ScriptBlock $Follow -ArgumentList $files[0], $request, $files[1], $stop, ($goes.the_job_says -eq 'error')
}

# CIM, as far as common.ps1 uses it: the VM, its jobs, one method.

function Get-CimInstance {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)][string]$ClassName, [string]$Namespace, [string]$Filter, [uint32]$OperationTimeoutSec
    )
    if ($Namespace -ne 'root\virtualization\v2' -or $ClassName -ne 'Msvm_ComputerSystem' -or
        $Filter -cnotmatch "^Name='([0-9A-F-]{36})'$") { throw "not in the stand-in: $Namespace $ClassName $Filter" }
    Get-ScenarioVm $Matches[1] | ForEach-Object { [pscustomobject]@{ Name = $Matches[1] } }
}

function Get-CimAssociatedInstance {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline)][object]$InputObject,
        [string]$Association, [string]$ResultClassName, [uint32]$OperationTimeoutSec
    )
    if ($Association -ne 'Msvm_AffectedJobElement' -or $ResultClassName -ne 'Msvm_ConcreteJob') { throw 'not in the stand-in' }
    $job = Read-Job $InputObject.Name
    # Another job of the VM's, which is not to be touched; then the export's.
    [pscustomobject]@{ VmId = $InputObject.Name; JobType = 50; JobState = 4 }
    if ($null -ne $job) {
        [pscustomobject]@{ VmId = $InputObject.Name; JobType = 62; JobState = ($job.state -eq 'Running') ? 4 : 7 }
    }
}

function Invoke-CimMethod {
    [CmdletBinding()]
    param(
        [Parameter(Mandatory, Position = 0, ValueFromPipeline)][object]$InputObject,
        [Parameter(Mandatory, Position = 1)][string]$MethodName,
        [Parameter(Position = 2)][System.Collections.IDictionary]$Arguments, [uint32]$OperationTimeoutSec
    )
    if ($MethodName -ne 'RequestStateChange' -or $Arguments.RequestedState -isnot [uint16] -or
        $Arguments.RequestedState -ne 4 -or $InputObject.JobType -ne 62) { throw 'not what is to be asked' }
    $null = Send-Request @{ verb = 'terminate'; vm_id = "$($InputObject.VmId)" }
    return [pscustomobject]@{ ReturnValue = [uint32]4096 }
}
