using System;
using System.IO;
using System.Text.Json;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Cli.Tests;

public sealed class ConvertTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void RandomModelsRunAndConvert()
    {
        string path = _folder.File("random.gguf"), converted = _folder.File("converted.gguf");
        JsonElement json = LowbitProcess.Json("convert", "--random", "tiny", "-o", path, "--type", "Q4_0");
        Assert.Equal(new FileInfo(path).Length, json.GetProperty("bytes").GetInt64());
        Assert.InRange(json.GetProperty("bits_per_weight").GetDouble(), 4.5, 5);
        LowbitProcess.Json("convert", path, "-o", converted, "--to", "gguf", "--type", "q8_0");
        Assert.Equal(3, LowbitProcess.Json("run", converted, "--prompt-ids", "1,70,80", "--max-tokens", "3", "--ignore-eos").GetProperty("token_ids").GetArrayLength());
    }

    [Fact]
    public void WrongRequestsAreUsageErrors()
    {
        string path = _folder.File("x.gguf");
        Assert.Equal(2, LowbitProcess.Run("convert", "-o", path, "--type", "F16").ExitCode);
        Assert.Equal(2, LowbitProcess.Run("convert", "--random", "tiny", "-o", path).ExitCode);
        Assert.Equal(1, LowbitProcess.Run("convert", "--random", "tiny", "-o", path, "--type", "Q99").ExitCode);
        Assert.Equal(2, LowbitProcess.Run("bench").ExitCode);
    }

    [Fact]
    public void WhatIsThereAlreadyIsKept()
    {
        string path = _folder.File("x.gguf");
        File.WriteAllText(path, "mine");
        Assert.Equal(1, LowbitProcess.Run("convert", "--random", "tiny", "-o", path, "--type", "F16").ExitCode);
        Assert.Equal("mine", File.ReadAllText(path));
    }
}
