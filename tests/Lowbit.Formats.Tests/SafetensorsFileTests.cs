using System;
using System.IO;
using System.Linq;
using Lowbit.Core;
using Lowbit.Formats.Safetensors;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Formats.Tests;

public sealed class SafetensorsFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ReadsTensorsInOrderOfOffsetsAndMetadata()
    {
        using SafetensorsFile file = Open("""
            {"b":{"dtype":"F32","shape":[1,2],"data_offsets":[2,10]},"__metadata__":{"format":"pt"},
             "a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]},"empty":{"dtype":"I64","shape":[0,3],"data_offsets":[2,2]},
             "scalar\n":{"dtype":"BF16","shape":[],"data_offsets":[10,12],"unknown":[{}]}}
            """, [1, 0, 0, 0, 128, 63, 0, 0, 0, 192, 128, 63]);
        Assert.Equal(["a", "empty", "b", "scalar\n"], file.Tensors.Keys);
        Assert.Equal("pt", Assert.Single(file.Metadata).Value);
        Tensor b = file.Tensors["b"];
        Assert.Equal(ElementFormat.F32, b.Format);
        Assert.Equal<long>([1, 2], b.Shape);
        Assert.Equal([0, 0, 128, 63, 0, 0, 0, 192], b.Span.ToArray());
        Assert.Equal(0, file.Tensors["empty"].Elements);
        Assert.Equal([128, 63], file.Tensors["scalar\n"].Span.ToArray());
        Assert.Equal(1, file.Tensors["scalar\n"].Elements);
    }

    [Fact]
    public void FollowsSymbolicLinks()
    {
        if (OperatingSystem.IsWindows()) return; // making one takes a privilege there
        string path = Path.Combine(_folder.Path, "blob"), link = Path.Combine(_folder.Path, "model.safetensors");
        byte[] header = """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"""u8.ToArray();
        File.WriteAllBytes(path, [.. BitConverter.GetBytes((long)header.Length), .. header, 0, 0, 128, 63]);
        File.CreateSymbolicLink(link, "blob");
        using SafetensorsFile file = SafetensorsFile.Open(link);
        Assert.Equal([0, 0, 128, 63], file.Tensors["a"].Span.ToArray());
    }

    [Theory]
    [InlineData("", "not valid JSON")]
    [InlineData("{", "not valid JSON")]
    [InlineData("{}x", "not valid JSON")]
    [InlineData("{} {}", "not valid JSON")]
    [InlineData("[]", "expected StartObject")]
    [InlineData("{\"\\ud800\":{}}", "not valid JSON")]
    [InlineData("""{"a":1}""", "expected StartObject")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1]}}""", "needs a dtype, a shape and two data_offsets")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}""", "needs a dtype")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}""", "at most 2 whole numbers")]
    [InlineData("""{"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}}""", "expected String")]
    [InlineData("""{"a":{"dtype":"Q99","shape":[1],"data_offsets":[0,4]}}""", "unknown dtype 'Q99'")]
    [InlineData("""{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", "two fields 'dtype'")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", "whole numbers from 0")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", "whole numbers from 0")]
    [InlineData("""{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}""", "expected Number")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}}""", "whole numbers from 0")]
    [InlineData("""{"a":{"dtype":"U8","shape":[4611686018427387904,4,0],"data_offsets":[0,0]}}""", "impossible shape")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4]}}""", "impossible shape")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}""", "at most 32")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,2]}}""", "must have 4 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", "must have 4 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}""", "'a' is there twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}""", "without overlap")]
    [InlineData("""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}""", "without holes")]
    [InlineData("""{"a":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}}""", "without holes")]
    [InlineData("""{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}""", "need 3 bytes after the header, but the file has 4")]
    [InlineData("""{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}""", "need 9 bytes after the header, but the file has 4")]
    [InlineData("""{"__metadata__":{"a":1}}""", "expected String")]
    [InlineData("""{"__metadata__":[]}""", "expected StartObject")]
    [InlineData("""{"__metadata__":{"a":"1","a":"2"}}""", "metadata 'a' is there twice")]
    public void RefusesWithAReason(string header, string reason)
    {
        LowbitFormatException e = Assert.Throws<LowbitFormatException>(() => Open(header, [1, 2, 3, 4]));
        Assert.Contains(reason, e.Message);
        Assert.StartsWith(_folder.Path, e.Message);
    }

    [Theory]
    [InlineData(0, "at least 8")]
    [InlineData(7, "at least 8")]
    [InlineData(9, "truncated")]
    public void RefusesAFileThatEndsTooEarly(int bytes, string reason)
    {
        string path = _folder.Write("x.safetensors", SafetensorsBytes.Of("{}").AsSpan(0, bytes));
        Assert.Contains(reason, Assert.Throws<LowbitFormatException>(() => SafetensorsFile.Open(path)).Message);
    }

    [Theory]
    [InlineData(100_000_001L)]
    [InlineData(long.MaxValue)]
    [InlineData(-1L)]
    public void RefusesAnOversizedHeader(long length)
    {
        byte[] bytes = SafetensorsBytes.Of("{}");
        BitConverter.TryWriteBytes(bytes, length);
        string path = _folder.Write("x.safetensors", bytes);
        Assert.Contains("allowed", Assert.Throws<LowbitFormatException>(() => SafetensorsFile.Open(path)).Message);
    }

    [Fact]
    public void MessagesShowHostileNamesShortAndWithoutControlCharacters()
    {
        string header = $$$"""{"\u001b[2J{{{new string('x', 10000)}}}":{"dtype":"F32","shape":[],"data_offsets":[1,5]}}""";
        string message = Assert.Throws<LowbitFormatException>(() => Open(header, [])).Message;
        Assert.DoesNotContain('\u001b', message);
        Assert.True(message.Length < 1000);
    }

    [Fact]
    public unsafe void ReadsATensorOfOverTwoGiB()
    {
        const long Bytes = (1L << 31) + 5;
        string path = _folder.Write("large.safetensors", SafetensorsBytes.Of($$$"""{"a":{"dtype":"U8","shape":[{{{Bytes}}}],"data_offsets":[0,{{{Bytes}}}]}}"""));
        using (FileStream stream = new(path, FileMode.Append)) stream.SetLength(stream.Length + Bytes); // a hole on the disk
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Tensor tensor = file.Tensors.Values.Single();
        Assert.Equal(Bytes, tensor.Bytes);
        Assert.Equal(0, tensor.Pointer[Bytes - 1]);
    }

    [Fact]
    public void AMissingFileIsNamed() =>
        Assert.Contains("no such file", Assert.Throws<LowbitException>(() => SafetensorsFile.Open(_folder.File("none"))).Message);

    [SharedFact]
    public void ReadsARealModel()
    {
        using SafetensorsFile file = SafetensorsFile.Open(Shared.Path("models", "TinyStories-656K", "model.safetensors"));
        Assert.Equal(20, file.Tensors.Count);
        Assert.Equal("lm_head.weight", file.Tensors.Keys.First());
        Assert.Equal<long>([2048, 128], file.Tensors["lm_head.weight"].Shape);
        Assert.Equal<long>([128, 384], file.Tensors["model.layers.1.mlp.down_proj.weight"].Shape);
        Assert.Equal(656_000, file.Tensors.Values.Sum(tensor => tensor.Elements));
    }

    private SafetensorsFile Open(string header, byte[] data) => SafetensorsFile.Open(_folder.Write("x.safetensors", SafetensorsBytes.Of(header, data)));
}
