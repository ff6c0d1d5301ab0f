# All VMs of this host: `vm` lines without disks.
. (Join-Path -Path $PSScriptRoot -ChildPath 'common.ps1')
try {
    $null = Start-Script -Name 'list-vms' -Verb 'list_vms'
    foreach ($vm in @(Hyper-V\Get-VM)) { Write-Vm $vm }
    Exit-Done
} catch {
    Exit-Caught $_
}
