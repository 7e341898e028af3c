using System;
using System.IO;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Formats.Tests;

public sealed class JsonFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("", "not valid JSON")]
    [InlineData("{", "not valid JSON")]
    [InlineData("{\"a\":\"\\ud800\"}", "not valid JSON")]
    [InlineData("{\"\\ud800\":1}", "not valid JSON")]
    [InlineData("[]", "of kind Array, expected an object")]
    [InlineData("null", "of kind Null, expected an object")]
    public void WhatIsNoObjectIsRefused(string content, string expected)
    {
        string path = _folder.Write("x.json", content);
        string error = Assert.Throws<LowbitFormatException>(() => JsonFile.ReadObject(path)).Message;
        Assert.StartsWith(path, error, StringComparison.Ordinal);
        Assert.Contains(expected, error, StringComparison.Ordinal);
    }

    [Fact]
    public void BytesThatAreNoTextAreRefused()
    {
        string path = _folder.Write("x.json", [(byte)'{', (byte)'"', 0xC3, (byte)'"', (byte)':', (byte)'1', (byte)'}']);
        Assert.Contains("UTF-8", Assert.Throws<LowbitFormatException>(() => JsonFile.Read(path, 100)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnElementOutlivesItsFile()
    {
        string path = _folder.Write("x.json", "{\"a\":\"\\u00e9\"}");
        JsonElement root = JsonFile.ReadObject(path);
        File.Delete(path);
        Assert.Equal("é", root.GetProperty("a").GetString());
        Assert.Contains("no such file", Assert.Throws<LowbitException>(() => JsonFile.ReadObject(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ALinkIsAsLargeAsItsFile()
    {
        if (OperatingSystem.IsWindows()) return; // links need a privilege there
        string link = _folder.File("link");
        File.CreateSymbolicLink(link, _folder.Write("x", new string(' ', 1000) + "{}"));
        Assert.Equal(1002, WholeFile.Read(link, 1002).Length);
        Assert.Contains("1002 bytes, expected at most 1001", Assert.Throws<LowbitFormatException>(() => WholeFile.Read(link, 1001)).Message, StringComparison.Ordinal);
        Assert.Contains("1002 bytes, expected at most 1001", Assert.Throws<LowbitFormatException>(() => JsonFile.Read(link, 1001)).Message, StringComparison.Ordinal);
    }
}
