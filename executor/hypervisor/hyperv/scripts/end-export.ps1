# Makes sure that no export of a VM runs, also one that a script began which is gone.
. (Join-Path -Path $PSScriptRoot -ChildPath 'common.ps1')
try {
    $request = Start-Script -Name 'end-export' -Verb 'end_export'
    $id = ConvertTo-Guid ([string](Get-Field $request 'vm_id' ''))
    $seconds = [int](Get-Field $request 'wait_seconds' 0)
    if ($null -eq $id -or $seconds -lt 0) { Exit-Failed -Reason 'BAD_REQUEST' -Message 'vm_id or wait_seconds is wrong' }
    $vm = Get-VmById $id
    if ($null -eq $vm -or -not (Test-Exporting $vm)) { Exit-Done @{ was_exporting = $false } }
    # When it cannot be asked it may still end by itself.
    $why = 'it was asked to end, and has not'
    $code = 0L
    try {
        if ((Request-ExportEnd $id) -eq 0) { $why = 'it has no export job that can be asked to end' }
    } catch {
        $why = Get-Text $_
        $code = Get-WindowsCode $_
    }
    if (Wait-ExportEnd $id $seconds) { Exit-Done @{ was_exporting = $true } }
    Exit-Failed -Reason 'STILL_EXPORTING' -Message $why -Code $code
} catch {
    Exit-Caught $_
}
