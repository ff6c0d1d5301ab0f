@{
    RootModule = 'Hyper-V.psm1'
    ModuleVersion = '2.0.0.0'
    GUID = '7b0d0a0e-5d6c-4f52-9a43-2f1b3f6f6c11'
    Description = 'A stand-in for the Hyper-V module: tests only'
    FunctionsToExport = @('Get-VM', 'Get-VHD', 'Get-VMHardDiskDrive', 'Get-VMSecurity', 'Get-VMAssignableDevice', 'Export-VM',
        'Get-CimInstance', 'Get-CimAssociatedInstance', 'Invoke-CimMethod')
    CmdletsToExport = @()
    VariablesToExport = @()
    AliasesToExport = @()
    PrivateData = @{ Simulated = $true }
}
