using System;
using System.IO;
using System.Text.Json.Nodes;
using Lowbit.Core;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Formats.Tests;

public sealed class AtomicFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void JsonIsIndentedAndReplacesWhatWasThere()
    {
        string path = _folder.Write("x.json", "before");
        AtomicFile.WriteJson(path, new JsonObject { ["a"] = 1 });
        Assert.Equal("{\n  \"a\": 1\n}", File.ReadAllText(path).ReplaceLineEndings("\n"));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Theory]
    [InlineData(10)]
    [InlineData(3 << 20)] // more than the buffer of the file
    public void AFullDiskIsAnErrorThatNamesTheFileAndLeavesNothing(int length)
    {
        if (!OperatingSystem.IsLinux()) return; // nowhere else is there a device that is always full
        string path = _folder.File("x.json");
        File.CreateSymbolicLink($"{path}.{Environment.ProcessId}.partial", "/dev/full");
        LowbitException e = Assert.Throws<LowbitException>(() => AtomicFile.WriteJson(path, new JsonObject { ["a"] = new string('a', length) }));
        Assert.StartsWith(path + ": the file cannot be written", e.Message);
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }
}
