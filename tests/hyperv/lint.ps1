# Reads scripts as PowerShell itself does and prints what breaks the rules for executor/hypervisor/hyperv, as
# "file:line: rule: text". Exit code 1 when there is anything. Arguments: the files, all that belong together.
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$A = 'System.Management.Automation.Language'

# Every command that a script may use, with its parameters: what is here is in Windows PowerShell 5.1 too. @: what comes
# without a parameter's name is fine.
$Known = @{
    'ConvertFrom-Json' = 'InputObject'; 'ConvertTo-Json' = 'InputObject Compress Depth'; 'ForEach-Object' = '@'
    'Get-ChildItem' = 'LiteralPath Recurse File Directory Force ErrorAction'; 'Get-Content' = 'LiteralPath'
    'Get-Item' = 'LiteralPath'; 'Get-Module' = 'Name'; 'Import-Module' = 'Name ErrorAction'; 'Join-Path' = 'Path ChildPath'
    'New-Object' = 'TypeName ArgumentList @'; 'Remove-Item' = 'LiteralPath'; 'Resolve-Path' = 'LiteralPath'
    'Select-Object' = 'First Unique'; 'Set-StrictMode' = 'Version'; 'Sort-Object' = 'Property Descending'
    'Start-Sleep' = 'Milliseconds'; 'Stop-Job' = 'Job'; 'Test-Path' = 'LiteralPath PathType'; 'Where-Object' = '@'
    'Get-SmbGlobalMapping' = '@'  # the kit's
    'Get-CimInstance' = 'Namespace ClassName Filter OperationTimeoutSec'
    'Get-CimAssociatedInstance' = 'InputObject Association ResultClassName OperationTimeoutSec'
    'Invoke-CimMethod' = 'InputObject MethodName Arguments OperationTimeoutSec'
    'Hyper-V\Export-VM' = 'VM Path CaptureLiveState AsJob'; 'Hyper-V\Get-VHD' = 'Path'; 'Hyper-V\Get-VM' = 'Id'
    'Hyper-V\Get-VMAssignableDevice' = 'VM'; 'Hyper-V\Get-VMHardDiskDrive' = 'VM'; 'Hyper-V\Get-VMSecurity' = 'VM'
}
# Members that make code of text, and some that .NET Framework does not have.
$Evaluating = 'Create', 'InvokeScript', 'ExpandString', 'NewScriptBlock', 'AddScript'
$New = 'Clamp', 'GetRelativePath', 'IsPathFullyQualified', 'TrimEndingDirectorySeparator'
$NewOperators = 'QuestionQuestion', 'QuestionQuestionEquals'

$Findings = 0
function Add-Finding([string]$File, $Extent, [string]$Rule) {
    $Script:Findings++
    '{0}:{1}: {2}: {3}' -f $File, $Extent.StartLineNumber, $Rule, ($Extent.Text -split "`n")[0].Trim()
}

function Test-Command([string]$File, $Ast, $Functions) {
    if ([string]$Ast.InvocationOperator -ne 'Unknown') {
        # The one file that is sourced, beside the script.
        if ($Ast.Extent.Text -cne ". (Join-Path -Path `$PSScriptRoot -ChildPath 'common.ps1')") {
            Add-Finding $File $Ast.Extent 'call-operator'
        }
        return
    }
    $name = $Ast.GetCommandName()
    if ($Functions -contains $name) { return }
    if ($name -match '^(Invoke-Expression|iex|Add-Type|Invoke-Command|powershell|pwsh|cmd)(\.exe)?$') {
        return Add-Finding $File $Ast.Extent 'code-from-text'
    }
    if ($name -match '^[A-Z][a-z]+-V(M|HD)') { return Add-Finding $File $Ast.Extent 'qualified' }
    if ($null -eq $name -or -not $Known.ContainsKey($name)) { return Add-Finding $File $Ast.Extent 'unknown-command' }
    $allowed = $Known[$name].Split(' ')
    $given = @($Ast.CommandElements | Select-Object -Skip 1)
    $named = @($given | Where-Object { $_ -is "$A.CommandParameterAst" } | ForEach-Object { $_.ParameterName })
    if ($allowed -contains 'LiteralPath' -and $named -notcontains 'LiteralPath') {
        return Add-Finding $File $Ast.Extent 'literal-path'
    }
    # Letter by letter: a parameter that is cut short may become another one.
    foreach ($one in $named) { if ($allowed -cnotcontains $one) { Add-Finding $File $Ast.Extent 'unknown-parameter' } }
    for ($i = 0; $i -lt $given.Count; $i++) {
        $value = $given[$i] -isnot "$A.CommandParameterAst" -and ($i -eq 0 -or $given[$i - 1] -isnot "$A.CommandParameterAst")
        if ($value -and $allowed -notcontains '@') { Add-Finding $File $Ast.Extent 'unnamed-argument' }
    }
}

function Test-Node([string]$File, $Ast, $Functions) {
    switch ($Ast.GetType().Name) {
        'CommandAst' { Test-Command $File $Ast $Functions }
        'TernaryExpressionAst' { Add-Finding $File $Ast.Extent 'after-5.1' }
        'PipelineChainAst' { Add-Finding $File $Ast.Extent 'after-5.1' }
        'PipelineAst' { if ($Ast.Background) { Add-Finding $File $Ast.Extent 'after-5.1' } }
        'BinaryExpressionAst' { if ($NewOperators -contains [string]$Ast.Operator) { Add-Finding $File $Ast.Extent 'after-5.1' } }
        'AssignmentStatementAst' { if ($NewOperators -contains [string]$Ast.Operator) { Add-Finding $File $Ast.Extent 'after-5.1' } }
        'NamedBlockAst' { if ([string]$Ast.BlockKind -eq 'Clean') { Add-Finding $File $Ast.Extent 'after-5.1' } }
        'IndexExpressionAst' { if ($Ast.NullConditional) { Add-Finding $File $Ast.Extent 'after-5.1' } }
        'UsingStatementAst' { Add-Finding $File $Ast.Extent 'using' }
        { $_ -in 'MemberExpressionAst', 'InvokeMemberExpressionAst' } {
            if ($Ast.NullConditional) { Add-Finding $File $Ast.Extent 'after-5.1' }
            if ($Ast.Member -isnot "$A.StringConstantExpressionAst") { Add-Finding $File $Ast.Extent 'code-from-text' }
            elseif ($Evaluating -contains $Ast.Member.Value) { Add-Finding $File $Ast.Extent 'code-from-text' }
            elseif ($New -contains $Ast.Member.Value) { Add-Finding $File $Ast.Extent 'after-5.1' }
        }
    }
}

$trees = [ordered]@{}
foreach ($file in $args) {
    $errors = $null
    $tokens = $null
    $trees[$file] = [System.Management.Automation.Language.Parser]::ParseFile($file, [ref]$tokens, [ref]$errors)
    foreach ($one in $errors) { Add-Finding $file $one.Extent 'parse' }
    $lines = [System.IO.File]::ReadAllLines($file)
    for ($i = 0; $i -lt $lines.Count; $i++) {
        if ($lines[$i] -match '[^\x20-\x7e\t]') {
            Add-Finding $file ([pscustomobject]@{ StartLineNumber = $i + 1; Text = $lines[$i] }) 'ascii'
        }
    }
}
$functions = @($trees.Values | ForEach-Object {
        $_.FindAll({ param($Node) $Node.GetType().Name -eq 'FunctionDefinitionAst' }, $true) | ForEach-Object { $_.Name }
    })
foreach ($file in $trees.Keys) {
    foreach ($node in $trees[$file].FindAll({ $true }, $true)) { Test-Node $file $node $functions }
}
"read $($trees.Count) scripts with $($functions.Count) functions: $Findings findings"
exit [int]($Findings -gt 0)
