@echo off
rem Builds Lowbit if its sources changed, then runs it.
setlocal
set "root=%~dp0"
set "log=%TEMP%\lowbit.build.log"
where dotnet >nul 2>nul
if errorlevel 1 (
    echo lowbit: there is no dotnet command; install the .NET 10 SDK from https://dotnet.microsoft.com/download and try again. 1>&2
    exit /b 1
)
call :compile
if errorlevel 1 (
    type "%log%" 1>&2
    echo lowbit: the build failed; the messages above say why. 1>&2
    exit /b 1
)
dotnet "%root%artifacts\bin\Lowbit.Cli\release\lowbit.dll" %*
exit /b %ERRORLEVEL%

:compile
dotnet build "%root%src\Lowbit.Cli" -c Release --nologo -v quiet %* >"%log%" 2>&1 <nul
exit /b
