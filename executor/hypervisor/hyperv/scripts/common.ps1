# What the scripts share: the lines (protos/vmkeep/hyperv/v1/script.proto), errors, the VM. Dot-sourced.
#
# Windows PowerShell 5.1 and later. ASCII only: 5.1 reads a script without a mark in the machine's code page. What no
# test here can confirm, for want of a Hyper-V host, is marked [open].
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# Codes are Int64 with the value of the 32 bits: a hexadecimal literal without L is a negative Int32.
$CodeAccessDenied = 0x80070005L
$CodeFailed = 0x80004005L
$CodeNoNamespace = 0x8004100EL  # WBEM_E_INVALID_NAMESPACE: no role, but its module [open: that Get-VM hands it on]
$CodeInvalidState = 32775L      # a return value of the virtualization provider

$Script:Input_ = $null  # the reader of stdin
$Script:Output = $null
$Script:NextLine = $null  # the task of the line to come; none after the end of stdin

# --- lines ------------------------------------------------------------------------------------------------------------

# Readers and writers of our own: the console's encodings are the machine's, and [Console]::In blocks.
function Open-Lines {
    $utf8 = New-Object -TypeName System.Text.UTF8Encoding -ArgumentList $false
    $Script:Input_ = New-Object -TypeName System.IO.StreamReader -ArgumentList ([Console]::OpenStandardInput()), $utf8
    $Script:Output = New-Object -TypeName System.IO.StreamWriter -ArgumentList ([Console]::OpenStandardOutput()), $utf8
    $Script:Output.AutoFlush = $true
}

function Write-Line([System.Collections.IDictionary]$Line) {
    $Script:Output.Write((ConvertTo-Json -InputObject $Line -Compress -Depth 8) + "`n")
}

# An error line as the last one. Code: see Get-WindowsCode.
function Exit-Failed([string]$Reason, [string]$Message, [int64]$Code = 0, [string[]]$Ids = @()) {
    $failure = [ordered]@{ code = $Code; reason = $Reason; message = $Message }
    if ($Ids.Count -gt 0) { $failure.ids = @($Ids) }
    Write-Line @{ error = $failure }
    exit 1
}

# What was caught, as the last line.
function Exit-Caught($Caught, [string]$Reason = 'FAILED') {
    $code = Get-WindowsCode $Caught
    if ($code -eq $CodeNoNamespace) { $Reason = 'NO_HYPERV' }
    Exit-Failed -Reason $Reason -Message (Get-Text $Caught) -Code $code
}

function Exit-Done([System.Collections.IDictionary]$Done = @{}) {
    Write-Line @{ done = $Done }
    exit 0
}

function Exit-Cancelled {
    Write-Line @{ cancelled = @{} }
    exit 1
}

# The value of a field, or the default that proto3 leaves out.
function Get-Field($Message, [string]$Name, $Default) {
    if ($Message -isnot [System.Management.Automation.PSCustomObject]) { return $Default }
    $field = $Message.PSObject.Properties[$Name]
    if ($null -eq $field -or $null -eq $field.Value) { return $Default }
    return $field.Value
}

# Says hello, reads the one request and returns what stands below its verb.
function Start-Script([string]$Name, [string]$Verb) {
    Open-Lines
    $version = ''
    $missing = ''
    $simulated = $false
    try {
        Import-Module -Name Hyper-V -ErrorAction Stop
        $module = Get-Module -Name Hyper-V | Select-Object -First 1
        $version = [string]$module.Version
        # A stand-in for the module says that it is one.
        $simulated = ($module.PrivateData -is [System.Collections.IDictionary]) -and ($module.PrivateData['Simulated'] -eq $true)
    } catch {
        $missing = Get-Text $_
    }
    Write-Line @{ hello = [ordered]@{
        protocol = 1; script = $Name; powershell = [string]$PSVersionTable.PSVersion; module = $version
        simulated = $simulated
    } }
    $text = $Script:Input_.ReadLine()
    $request = $null
    try { $request = ConvertFrom-Json -InputObject ([string]$text) } catch { $request = $null }
    $body = Get-Field $request $Verb $null
    if ($body -isnot [System.Management.Automation.PSCustomObject]) {
        Exit-Failed -Reason 'BAD_REQUEST' -Message "the first line is no $Verb request"
    }
    if ($missing) { Exit-Failed -Reason 'NO_HYPERV' -Message $missing }
    $Script:NextLine = $Script:Input_.ReadLineAsync()
    return $body
}

# Waits for that long at the most and returns whether to cancel. The end of stdin is no cancel: what became of an
# executor that is gone is for the next one to settle, with end-export.ps1.
function Wait-Cancel([int]$Milliseconds) {
    $until = [DateTime]::UtcNow.AddMilliseconds($Milliseconds)
    while ($null -ne $Script:NextLine) {
        $left = [Math]::Max(0, [int]($until - [DateTime]::UtcNow).TotalMilliseconds)
        if (-not $Script:NextLine.Wait($left)) { return $false }
        $text = $Script:NextLine.Result
        if ($null -eq $text) { $Script:NextLine = $null; break }
        $Script:NextLine = $Script:Input_.ReadLineAsync()
        $line = $null
        try { $line = ConvertFrom-Json -InputObject $text } catch { $line = $null }
        if ($null -ne (Get-Field $line 'cancel' $null)) { return $true }
    }
    $left = [int]($until - [DateTime]::UtcNow).TotalMilliseconds
    if ($left -gt 0) { Start-Sleep -Milliseconds $left }
    return $false
}

# --- errors -----------------------------------------------------------------------------------------------------------

# Of a record or an exception: what it is, from the outside in.
function Get-Exceptions($Thing) {
    if ($Thing -is [System.Management.Automation.ErrorRecord]) { $Thing = $Thing.Exception }
    while ($null -ne $Thing) {
        $Thing
        $Thing = $Thing.InnerException
    }
}

function Get-Text($Thing) {
    $texts = @(Get-Exceptions $Thing | ForEach-Object { ([string]$_.Message).Trim() } | Where-Object { $_ })
    if ($texts.Count -eq 0) { return [string]$Thing }
    return (@($texts | Select-Object -Unique) -join ' / ')
}

# The codes that an exception carries, as 32 bits each: of itself, then those that Hyper-V writes into its text, which
# are the same in every language: "... on the disk. (0x80070070)." [open: in which of the two an export job's error is]
function Get-Codes($Exception) {
    ([int64]$Exception.HResult) -band 0xFFFFFFFFL
    if ($Exception -is [System.ComponentModel.Win32Exception]) {
        0x80070000L -bor (([int64]$Exception.NativeErrorCode) -band 0xFFFFL)
    }
    foreach ($match in [regex]::Matches([string]$Exception.Message, '0x([0-9A-Fa-f]{8})\b')) {
        [Convert]::ToInt64($match.Groups[1].Value, 16)
    }
    foreach ($match in [regex]::Matches([string]$Exception.Message, '\((327[67][0-9])\)')) {
        [int64]$match.Groups[1].Value
    }
}

# The code of Windows or of the virtualization provider for what was caught: the first that says something. Those of
# the .NET runtime (0x8013....) say nothing, and "unspecified failure" is better than nothing alone.
function Get-WindowsCode($Thing) {
    $unspecified = 0L
    foreach ($exception in Get-Exceptions $Thing) {
        foreach ($code in Get-Codes $exception) {
            if ($code -eq 0 -or ($code -band 0xFFFF0000L) -eq 0x80130000L) { continue }
            if ($code -ne $CodeFailed) { return $code }
            $unspecified = $code
        }
    }
    # The identifiers of the Hyper-V cmdlets are not localised: "AccessDenied,Microsoft.HyperV..." [open].
    if ($Thing -is [System.Management.Automation.ErrorRecord]) {
        $id = ([string]$Thing.FullyQualifiedErrorId).Split(',')[0]
        if ($id -eq 'AccessDenied' -or $Thing.CategoryInfo.Category -eq 'PermissionDenied') { return $CodeAccessDenied }
        if ($id -eq 'InvalidState') { return $CodeInvalidState }
    }
    return $unspecified
}

# --- the VM -----------------------------------------------------------------------------------------------------------

# Null: `Text` is no GUID in the form that has hyphens.
function ConvertTo-Guid([string]$Text) {
    $id = [guid]::Empty
    if ([guid]::TryParseExact($Text, 'D', [ref]$id)) { return $id }
    return $null
}

# Null: there is none. That an unknown GUID has no code of its own is why the list is asked [open].
function Get-VmById([guid]$Id) {
    try {
        return Hyper-V\Get-VM -Id $Id
    } catch {
        $caught = $_
        if (@(Hyper-V\Get-VM | Where-Object { $_.Id -eq $Id }).Count -eq 0) { return $null }
        throw $caught
    }
}

# By GUID, or by its name letter by letter. It ends the script where there is none, or several.
function Find-Vm([string]$Text) {
    $id = ConvertTo-Guid $Text
    if ($null -ne $id) {
        $vm = Get-VmById $id
        if ($null -ne $vm) { return $vm }
    }
    $named = @(Hyper-V\Get-VM | Where-Object { [string]::Equals([string]$_.Name, $Text, [StringComparison]::Ordinal) })
    if ($named.Count -eq 0) { Exit-Failed -Reason 'NOT_FOUND' -Message 'no VM has this GUID or name' }
    if ($named.Count -gt 1) {
        Exit-Failed -Reason 'AMBIGUOUS' -Message 'several VMs have this name' -Ids @($named | ForEach-Object { [string]$_.Id })
    }
    return $named[0]
}

function Get-Status($Vm) {
    return @($Vm.OperationalStatus | Where-Object { $null -ne $_ } | ForEach-Object { [string]$_ })
}

function Test-Exporting($Vm) {
    return (@(Get-Status $Vm) -contains 'ExportingVirtualMachine')
}

function Write-Vm($Vm, [object[]]$Disks = @(), [string[]]$NotIncluded = @()) {
    $body = [ordered]@{
        id = [string]$Vm.Id; name = [string]$Vm.Name; state = [string]$Vm.State; status = @(Get-Status $Vm)
        generation = [int]$Vm.Generation
    }
    if ($Disks.Count -gt 0) { $body.disks = @($Disks) }
    if ($NotIncluded.Count -gt 0) { $body.not_included = @($NotIncluded) }
    Write-Line @{ vm = $body }
}

# Asks Hyper-V itself to end its export of a VM, whoever began it, and returns how many it asked. The only use of CIM.
# [open: that VMMS takes Terminate for an export]
function Request-ExportEnd([guid]$Id) {
    $exportJob = 62    # Msvm_ConcreteJob.JobType "Export Virtual Machine"
    $firstEnded = 7    # Msvm_ConcreteJob.JobState: Completed, Terminated, Killed, Exception
    $terminate = [uint16]4
    $filter = "Name='{0}'" -f $Id.ToString('D').ToUpperInvariant()
    $systems = @(Get-CimInstance -Namespace 'root\virtualization\v2' -ClassName 'Msvm_ComputerSystem' -Filter $filter `
            -OperationTimeoutSec 30)
    $asked = 0
    foreach ($system in $systems) {
        $jobs = @(Get-CimAssociatedInstance -InputObject $system -Association 'Msvm_AffectedJobElement' `
                -ResultClassName 'Msvm_ConcreteJob' -OperationTimeoutSec 30)
        foreach ($job in $jobs) {
            if ($job.JobType -ne $exportJob -or $job.JobState -ge $firstEnded) { continue }
            $answer = Invoke-CimMethod -InputObject $job -MethodName 'RequestStateChange' `
                -Arguments @{ RequestedState = $terminate } -OperationTimeoutSec 30
            # 4096: it is under way.
            if ($answer.ReturnValue -ne 0 -and $answer.ReturnValue -ne 4096) {
                throw ('RequestStateChange: return value ({0})' -f $answer.ReturnValue)
            }
            $asked++
        }
    }
    return $asked
}

# Whether the VM is exported no more, within that long. A VM that is gone is not exported.
function Wait-ExportEnd([guid]$Id, [int]$Seconds) {
    $until = [DateTime]::UtcNow.AddSeconds($Seconds)
    while ($true) {
        $vm = Get-VmById $Id
        if ($null -eq $vm -or -not (Test-Exporting $vm)) { return $true }
        if ([DateTime]::UtcNow -ge $until) { return $false }
        Start-Sleep -Milliseconds 500
    }
}
