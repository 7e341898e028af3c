using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using Lowbit.Core;
using Lowbit.Formats.Safetensors;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Formats.Tests;

public sealed class SafetensorsWriterTests : IDisposable
{
    private static readonly Dictionary<string, string> s_none = [];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void WhatIsWrittenIsRead()
    {
        string path = _folder.File("x.safetensors");
        TensorSpec[] tensors =
        [
            new("first \"quoted\" é", ElementFormat.F32, [2, 3]), new("empty", ElementFormat.U8, [4, 0]),
            new("scalar", ElementFormat.F64, []), new("flags", ElementFormat.Bool, [3]),
        ];
        byte[] data = new byte[24 + 8 + 3];
        new Random(1).NextBytes(data);
        using (SafetensorsWriter writer = new(path, tensors, new Dictionary<string, string> { ["by"] = "test <&>" }))
        {
            writer.Write(tensors[0].Name, data.AsSpan(0, 5)); // pieces need not be whole elements
            writer.Write(tensors[0].Name, data.AsSpan(5, 19));
            writer.Write("scalar", data.AsSpan(24, 8));
            writer.Write("flags", data.AsSpan(32));
            Assert.False(File.Exists(path));
            writer.Commit();
        }
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.Equal("test <&>", file.Metadata["by"]);
        Assert.Equal(tensors.Select(tensor => tensor.Name).Order(), file.Tensors.Keys.Order());
        Assert.Equal<long>([2, 3], file.Tensors[tensors[0].Name].Shape);
        Assert.Equal(data, file.Tensors.Values.SelectMany(tensor => tensor.Span.ToArray()));
        Assert.Equal(0, BitConverter.ToInt64(File.ReadAllBytes(path)) % 8);
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void EveryFormatOfSafetensorsGoesRound()
    {
        string path = _folder.File("x.safetensors");
        TensorSpec[] tensors = [.. Enum.GetValues<ElementFormat>()
            .Where(format => format.BlockLength() == 1 && format != ElementFormat.Unsupported)
            .Select(format => new TensorSpec($"t.{format}", format, [3]))];
        Assert.Equal(15, tensors.Length);
        using (SafetensorsWriter writer = new(path, tensors, s_none))
        {
            foreach (TensorSpec tensor in tensors) writer.Write(tensor.Name, new byte[tensor.Bytes]);
            writer.Commit();
        }
        using SafetensorsFile file = SafetensorsFile.Open(path);
        foreach (TensorSpec tensor in tensors) Assert.Equal(tensor.Format, file.Tensors[tensor.Name].Format);
    }

    [Fact]
    public void PromisesAreChecked()
    {
        TensorSpec[] tensors = [new("a", ElementFormat.U8, [4]), new("b", ElementFormat.U8, [2])];
        using (SafetensorsWriter writer = new(_folder.File("x.safetensors"), tensors, s_none))
        {
            Assert.Throws<InvalidOperationException>(() => writer.Write("b", [1]));
            Assert.Throws<InvalidOperationException>(() => writer.Write("a", new byte[5]));
            writer.Write("a", new byte[4]);
            Assert.Throws<InvalidOperationException>(() => writer.Write("a", [1]));
            Assert.Throws<InvalidOperationException>(writer.Commit);
            writer.Write("b", new byte[1]);
            Assert.Throws<InvalidOperationException>(writer.Commit);
        }
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void RefusesWhatTheFormatCannotHold()
    {
        string path = _folder.File("x.safetensors");
        Assert.Throws<LowbitException>(() => new SafetensorsWriter(path, [new("a", ElementFormat.Q4_0, [32])], s_none));
        Assert.Throws<LowbitException>(() => new SafetensorsWriter(path, [new("a", ElementFormat.U8, [-1])], s_none));
        Assert.Throws<LowbitException>(() => new SafetensorsWriter(path, [new("a", ElementFormat.F64, [1L << 61])], s_none));
        Assert.Throws<LowbitException>(() => new SafetensorsWriter(path, [new("a", ElementFormat.U8, [1]), new("a", ElementFormat.U8, [1])], s_none));
        Assert.Throws<LowbitException>(() => new SafetensorsWriter(path, [new("__metadata__", ElementFormat.U8, [1])], s_none));
        Assert.Throws<LowbitException>(() => new SafetensorsWriter(_folder.File("no/such/folder"), [], s_none));
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Theory]
    [InlineData(1000, "model.safetensors")]
    [InlineData(40, "model-00001-of-00002.safetensors,model-00002-of-00002.safetensors,model.safetensors.index.json")]
    [InlineData(1, "model-00001-of-00003.safetensors,model-00002-of-00003.safetensors,model-00003-of-00003.safetensors,model.safetensors.index.json")]
    public void ShardsHoldAtMostWhatIsAsked(long maxShardBytes, string files)
    {
        TensorSpec[] tensors = [new("a", ElementFormat.U8, [30]), new("b", ElementFormat.U8, [10]), new("c", ElementFormat.U8, [20])];
        using (ShardedSafetensorsWriter writer = new(_folder.Path, tensors, s_none, maxShardBytes))
        {
            foreach (TensorSpec tensor in tensors) writer.Write(tensor.Name, Content(tensor));
            Assert.DoesNotContain(Directory.GetFiles(_folder.Path), name => name.EndsWith(".safetensors", StringComparison.Ordinal));
            writer.Commit();
        }
        Assert.Equal(files.Split(','), Directory.GetFiles(_folder.Path).Select(Path.GetFileName).Order());
        _folder.Write("config.json", "{}");
        using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
        Assert.Equal(["a", "b", "c"], checkpoint.Tensors.Keys);
        foreach (TensorSpec tensor in tensors) Assert.Equal(Content(tensor), checkpoint.Find(tensor.Name).Span.ToArray());
    }

    [Fact]
    public void ShardsLeaveNothingBehindWithoutACommit()
    {
        TensorSpec[] tensors = [new("a", ElementFormat.U8, [3]), new("b", ElementFormat.U8, [3])];
        using (ShardedSafetensorsWriter writer = new(_folder.Path, tensors, s_none, 3))
        {
            writer.Write("a", new byte[3]);
            writer.Write("b", new byte[2]);
            Assert.Throws<InvalidOperationException>(() => writer.Write("c", new byte[2]));
            Assert.Throws<InvalidOperationException>(writer.Commit);
        }
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    private static byte[] Content(TensorSpec tensor) => [.. Enumerable.Range(0, (int)tensor.Bytes).Select(i => (byte)(tensor.Name[0] + i))];
}
