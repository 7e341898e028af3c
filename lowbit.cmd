@echo off
rem Builds Lowbit if its sources changed, then runs it.
setlocal
set "root=%~dp0"
set "log=%TEMP%\lowbit.build.log"
pushd "%root%"
dotnet --version >nul 2>nul
if errorlevel 1 (
    echo lowbit: the .NET 10 SDK is not installed or there is no dotnet command; get it from https://dotnet.microsoft.com/download and try again. 1>&2
    exit /b 1
)
dotnet build src\Lowbit.Cli -c Release --nologo -v quiet >"%log%" 2>&1 <nul
if errorlevel 1 (
    type "%log%" 1>&2
    echo lowbit: the build failed; the messages above say why. 1>&2
    exit /b 1
)
popd
dotnet "%root%artifacts\bin\Lowbit.Cli\release\lowbit.dll" %*
exit /b %ERRORLEVEL%
