using System;
using System.IO;
using System.Linq;
using Lowbit.Core;
using Lowbit.Formats.Gguf;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Formats.Tests;

public sealed class GgufWriterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void EveryTypeOfMetadataGoesRound()
    {
        GgufMetadata metadata = new();
        metadata.Set("u8", (byte)255);
        metadata.Set("i8", (sbyte)-128);
        metadata.Set("u16", ushort.MaxValue);
        metadata.Set("i16", short.MinValue);
        metadata.Set("u32", uint.MaxValue);
        metadata.Set("i32", int.MinValue);
        metadata.Set("u64", ulong.MaxValue);
        metadata.Set("i64", long.MinValue);
        metadata.Set("f32", 1.5f);
        metadata.Set("f64", -2.5);
        metadata.Set("yes", true);
        metadata.Set("text", "Grüße, 世界");
        metadata.SetArray("texts", ["a", "", "é"]);
        metadata.SetArray<float>("floats", [0.5f, -1f]);
        metadata.SetArray<bool>("bools", [true, false]);
        metadata.SetArray<short>("none", []);
        metadata.Set("u8", (byte)7); // the last one counts, in the first one's place
        using GgufFile file = Write("x.gguf", metadata);
        Assert.Equal(16, file.Metadata.Count);
        Assert.Equal("u8", file.Metadata.First().Key);
        GgufType[] types = [.. file.Metadata.Values.Select(value => value.Type)];
        Assert.Equal([GgufType.UInt8, GgufType.Int8, GgufType.UInt16, GgufType.Int16, GgufType.UInt32, GgufType.Int32, GgufType.UInt64, GgufType.Int64, GgufType.Float32, GgufType.Float64, GgufType.Bool, GgufType.String], types[..12]);
        Assert.Equal(7, file.GetInt32("u8"));
        Assert.Equal(-128, file.GetInt32("i8"));
        Assert.Equal(ulong.MaxValue, file.GetInteger<ulong>("u64"));
        Assert.Equal(long.MinValue, file.GetInteger<long>("i64"));
        Assert.Equal(-2.5f, file.GetFloat("f64"));
        Assert.True(file.GetBool("yes"));
        Assert.Equal("Grüße, 世界", file.GetString("text"));
        Assert.Equal(["a", "", "é"], file.GetStringArray("texts"));
        Assert.Equal([0.5f, -1f], file.GetFloatArray("floats"));
        Assert.Equal([true, false], file.Metadata["bools"].AsBools());
        Assert.Empty(file.GetInt32Array("none"));
    }

    [Fact]
    public void MetadataOfAnotherFileAreTakenOverByteForByte()
    {
        string source = _folder.Write("source.gguf", new GgufBuilder()
            .Add("number", -5L).Add("text", "é").Add("texts", new[] { "a", "bb" }).Add("bools", new[] { true })
            .Add("nested", new object[] { new[] { 1, 2 }, new[] { "x" } }).Build());
        using GgufFile original = GgufFile.Open(source);
        GgufMetadata metadata = new();
        foreach ((string key, GgufValue value) in original.Metadata) metadata.Set(key, value);
        Write("copy.gguf", metadata).Dispose();
        byte[] expected = File.ReadAllBytes(source), actual = File.ReadAllBytes(_folder.File("copy.gguf"));
        Assert.Equal(expected, actual[..expected.Length]);
        Assert.All(actual[expected.Length..], padding => Assert.Equal(0, padding));
    }

    [Fact]
    public void TensorsAreAlignedAndComeInPieces()
    {
        GgufTensorSpec[] tensors = [new("a", ElementFormat.F32, [3]), new("b.weight", ElementFormat.Q4_0, [2, 64]), new("empty", ElementFormat.F16, [0]), new("carried", "IQ2_XXS", [1, 256]), new("c", ElementFormat.F16, [2, 1, 3])];
        byte[] data = new byte[12 + 72 + 66 + 12];
        new Random(1).NextBytes(data);
        string path = _folder.File("x.gguf");
        using (GgufWriter writer = new(path, new GgufMetadata(), tensors))
        {
            writer.Write("a", data.AsSpan(0, 5)); // pieces need not be whole elements
            writer.Write("a", data.AsSpan(5, 7));
            writer.Write("b.weight", data.AsSpan(12, 72));
            writer.Write("carried", data.AsSpan(84, 66));
            writer.Write("c", data.AsSpan(150));
            Assert.False(File.Exists(path));
            writer.Commit();
        }
        using GgufFile file = GgufFile.Open(path);
        Assert.Equal(tensors.Select(tensor => tensor.Name), file.Tensors.Keys);
        Assert.Equal(tensors.Select(tensor => tensor.TypeName), file.TypeNames.Values);
        Assert.Equal<long>([2, 64], file.Tensors["b.weight"].Shape);
        Assert.Equal<long>([2, 1, 3], file.Tensors["c"].Shape);
        Assert.Equal(data, file.Tensors.Values.SelectMany(tensor => tensor.Span.ToArray()));
        Assert.Equal(0, new FileInfo(path).Length % 32);
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void EveryTypeWithANumberCanBeWritten()
    {
        GgufTensorSpec[] tensors = [.. Enumerable.Range(0, 64).Select(id => GgmlType.Find((uint)id)).OfType<GgmlType>().Select(type => new GgufTensorSpec(type.Name, type.Name, [2, 512]))];
        Assert.Equal(34, tensors.Length);
        using (GgufWriter writer = new(_folder.File("x.gguf"), new GgufMetadata(), tensors))
        {
            foreach (GgufTensorSpec tensor in tensors) writer.Write(tensor.Name, new byte[tensor.Bytes]);
            writer.Commit();
        }
        using GgufFile file = GgufFile.Open(_folder.File("x.gguf"));
        Assert.All(file.TypeNames, entry => Assert.Equal(entry.Key, entry.Value));
        Assert.All(tensors, tensor => Assert.Equal(tensor.Bytes, file.Tensors[tensor.Name].Bytes));
    }

    [Fact]
    public void BrokenPromisesLeaveNothingBehind()
    {
        GgufTensorSpec[] tensors = [new("a", ElementFormat.F32, [2]), new("b", ElementFormat.F32, [1])];
        using (GgufWriter writer = new(_folder.File("x.gguf"), new GgufMetadata(), tensors))
        {
            Assert.Throws<InvalidOperationException>(() => writer.Write("b", new byte[4]));
            Assert.Throws<InvalidOperationException>(() => writer.Write("a", new byte[12]));
            writer.Write("a", new byte[8]);
            Assert.Throws<InvalidOperationException>(writer.Commit);
        }
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Theory]
    [InlineData("F32", new long[] { })]
    [InlineData("F32", new long[] { 1, 1, 1, 1, 1 })]
    [InlineData("Q4_0", new long[] { 4, 33 })]
    [InlineData("F32", new long[] { -1 })]
    [InlineData("F32", new long[] { long.MaxValue, 2 })]
    [InlineData("BF8", new long[] { 4 })]
    public void WhatHasNoPlaceInTheFormatIsRefused(string type, long[] shape)
    {
        LowbitException e = Assert.Throws<LowbitException>(() => new GgufWriter(_folder.File("x.gguf"), new GgufMetadata(), [new GgufTensorSpec("a.weight", type, [.. shape])]));
        Assert.Contains("a.weight", e.Message);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void NamesMustDiffer() =>
        Assert.Throws<LowbitException>(() => new GgufWriter(_folder.File("x.gguf"), new GgufMetadata(), [new GgufTensorSpec("a", ElementFormat.F32, [1]), new GgufTensorSpec("a", ElementFormat.F32, [1])]));

    private GgufFile Write(string name, GgufMetadata metadata)
    {
        using (GgufWriter writer = new(_folder.File(name), metadata, [])) writer.Commit();
        return GgufFile.Open(_folder.File(name));
    }
}
