using System;
using System.IO;
using System.Linq;
using Lowbit.Core;
using Lowbit.Formats.Gguf;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Formats.Tests;

public sealed class GgufFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(2u)]
    [InlineData(3u)]
    public void ReadsEveryTypeOfMetadata(uint version)
    {
        using GgufFile file = Open(new GgufBuilder { Version = version }
            .Add("u8", (byte)255).Add("i8", (sbyte)-128).Add("u16", ushort.MaxValue).Add("i16", short.MinValue)
            .Add("u32", uint.MaxValue).Add("i32", int.MinValue).Add("u64", ulong.MaxValue).Add("i64", long.MinValue)
            .Add("f32", 1.5f).Add("f64", -2.5).Add("yes", true).Add("no", false).Add("text", "Grüße, 世界").Add("nothing", "")
            .Add("texts", new[] { "a", "", "ccc" }).Add("ints", new[] { 1, -2, 3 }).Add("floats", new[] { 0.5f, -1f }).Add("bools", new[] { true, false })
            .Add("none", Array.Empty<int>()).Add("nested", new object[] { new[] { 1, 2 }, new[] { "x" }, new object[] { new byte[] { 7 } } }).Add("last", 9u));
        Assert.Equal(version, file.Version);
        Assert.Equal(255, file.GetInt32("u8"));
        Assert.Equal(-128, file.GetInt32("i8"));
        Assert.Equal(65535u, file.GetUInt32("u16"));
        Assert.Equal(-32768, file.GetInt32("i16"));
        Assert.Equal(uint.MaxValue, file.GetUInt32("u32"));
        Assert.Equal(int.MinValue, file.GetInt32("i32"));
        Assert.Equal(ulong.MaxValue, file.GetInteger<ulong>("u64"));
        Assert.Equal(long.MinValue, file.GetInteger<long>("i64"));
        Assert.Equal(1.5f, file.GetFloat("f32"));
        Assert.Equal(-2.5f, file.GetFloat("f64"));
        Assert.Equal(255f, file.GetFloat("u8"));
        Assert.True(file.GetBool("yes"));
        Assert.False(file.GetBool("no"));
        Assert.Equal("Grüße, 世界", file.GetString("text"));
        Assert.Equal("", file.GetString("nothing"));
        Assert.Equal(["a", "", "ccc"], file.GetStringArray("texts"));
        Assert.Equal([1, -2, 3], file.GetInt32Array("ints"));
        Assert.Equal([1f, -2f, 3f], file.GetFloatArray("ints"));
        Assert.Equal([0.5f, -1f], file.GetFloatArray("floats"));
        Assert.Equal([true, false], file.Metadata["bools"].AsBools());
        Assert.Empty(file.GetInt32Array("none"));
        GgufValue[] nested = file.Metadata["nested"].AsValues();
        Assert.Equal([1, 2], nested[0].AsIntegers<int>());
        Assert.Equal(["x"], nested[1].AsStrings());
        Assert.Equal([7], nested[2].AsValues()[0].AsIntegers<byte>());
        Assert.Equal(9, file.Metadata["last"].AsInteger<int>());
        Assert.Equal("last", file.Metadata.Keys.Last());
    }

    [Fact]
    public void MissingKeysTakeTheFallbackOrAreNamed()
    {
        using GgufFile file = Open(new GgufBuilder().Add("a", 1));
        Assert.Equal("x", file.GetString("b", "x"));
        Assert.Equal(7, file.GetInt32("b", 7));
        Assert.Equal(0.5f, file.GetFloat("b", 0.5f));
        Assert.True(file.GetBool("b", true));
        Assert.Equal(1, file.GetInt32("a", 7));
        Assert.Contains("'b' is missing", Assert.Throws<LowbitFormatException>(() => file.GetString("b")).Message);
        Assert.Contains("'b' is missing", Assert.Throws<LowbitFormatException>(() => file.GetStringArray("b")).Message);
    }

    [Fact]
    public void WrongTypesAndRangesAreNamed()
    {
        using GgufFile file = Open(new GgufBuilder().Add("text", "x").Add("minus", -1).Add("big", ulong.MaxValue).Add("floats", new[] { 1f }).Add("half", 0.5f)
            .AddRaw("two", GgufType.Bool, [2]).AddRaw("bad", GgufType.String, [1, 0, 0, 0, 0, 0, 0, 0, 0xFF]));
        Throws("'text' is of type String, expected an integer", () => file.GetUInt32("text"));
        Throws("'half' is of type Float32, expected an integer", () => file.GetInt32("half"));
        Throws("'minus' is -1, out of the range of UInt32", () => file.GetUInt32("minus"));
        Throws("out of the range of Int64", () => file.GetInteger<long>("big"));
        Throws("'floats' is of type array of Float32, expected an array of texts", () => file.GetStringArray("floats"));
        Throws("'floats' is of type array of Float32, expected a text", () => file.GetString("floats"));
        Throws("'minus' is of type Int32, expected an array of numbers", () => file.GetFloatArray("minus"));
        Throws("'two' is 2, expected 0 or 1", () => file.GetBool("two"));
        Assert.Equal("\uFFFD", file.GetString("bad"));
    }

    [Fact]
    public void ShapesAreTurnedAndBytesFound()
    {
        byte[] weights = [.. Enumerable.Range(0, 2 * 3 * 4).Select(i => (byte)i)], codes = new byte[36];
        codes[35] = 9;
        using GgufFile file = Open(new GgufBuilder { Alignment = 64 }.Add("general.alignment", 64u)
            .Tensor("w", 0, [2, 3], weights).Tensor("q", 2, [2, 32], codes).Tensor("scalar", 24, [], [5]));
        Assert.Equal(64u, file.Alignment);
        Assert.Equal<long>([2, 3], file.Tensors["w"].Shape);
        Assert.Equal(ElementFormat.F32, file.Tensors["w"].Format);
        Assert.Equal(weights, file.Tensors["w"].Span.ToArray());
        Assert.Equal(ElementFormat.Q4_0, file.Tensors["q"].Format);
        Assert.Equal(codes, file.Tensors["q"].Span.ToArray());
        Assert.Equal(1, file.Tensors["scalar"].Elements);
        Assert.Equal([5], file.Tensors["scalar"].Span.ToArray());
        Assert.Equal("Q4_0", file.TypeNames["q"]);
    }

    [Fact]
    public void ATypeThatCannotBeReadIsNamedButDoesNotSpoilTheFile()
    {
        string path = _folder.Write("x.gguf", new GgufBuilder().Tensor("odd", 16, [1, 256], new byte[66]).Tensor("w", 0, [1], new byte[4]).Build());
        using Checkpoint checkpoint = Checkpoint.Open(path);
        Assert.Equal(ElementFormat.Unsupported, checkpoint.Tensors["odd"].Format);
        Assert.Equal(66, checkpoint.Tensors["odd"].Bytes);
        Assert.Equal("IQ2_XXS", checkpoint.Gguf!.TypeNames["odd"]);
        Throws("'odd' is of the ggml type IQ2_XXS", () => checkpoint.Find("odd"));
        Assert.Equal(4, checkpoint.Find("w").Bytes);
    }

    public static TheoryData<string, byte[]> Wrong => new()
    {
        { "does not begin with 'GGUF'", [] },
        { "does not begin with 'GGUF'", [1, 2, 3, 4, 5, 6, 7, 8] },
        { "version 1", new GgufBuilder { Version = 1 }.Build() },
        { "version 4", new GgufBuilder { Version = 4 }.Build() },
        { "is big-endian", new GgufBuilder { Version = 0x03000000 }.Build() },
        { "claims 9223372036854775807 tensors", Patched(new GgufBuilder().Build(), 8, long.MaxValue) },
        { "claims 18446744073709551615 metadata entries", Patched(new GgufBuilder().Build(), 16, -1) },
        { "'a' is there twice", new GgufBuilder().Add("a", 1).Add("a", 2).Build() },
        { "has 0 bytes, expected 1 to 65535", new GgufBuilder().Add("", 1).Build() },
        { "has 65536 bytes, expected 1 to 65535", new GgufBuilder().Add(new string('x', 65536), 1).Build() },
        { "unknown type 13", new GgufBuilder().AddRaw("a", (GgufType)13, [0]).Build() },
        { "unknown type 99", new GgufBuilder().AddRaw("a", GgufType.Array, [99, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]).Build() },
        { "claims 255 bytes", new GgufBuilder().AddRaw("a", GgufType.String, [255, 0, 0, 0, 0, 0, 0, 0, 65]).Build() },
        { "claims 255 elements of 'a'", new GgufBuilder().AddRaw("a", GgufType.Array, [4, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 65]).Build() },
        { "nests arrays deeper than 4", new GgufBuilder().Add("a", new object[] { new object[] { new object[] { new object[] { new[] { 1 } } } } }).Build() },
        { "reaches beyond the end", new GgufBuilder().AddRaw("a", GgufType.Int64, [1, 2]).Build() },
        { "expected a power of two", new GgufBuilder().Add("general.alignment", 0u).Build() },
        { "expected a power of two", new GgufBuilder().Add("general.alignment", 24u).Build() },
        { "expected an integer", new GgufBuilder().Add("general.alignment", "32").Build() },
        { "'w' has 5 dimensions", new GgufBuilder().Tensor("w", 0, [1, 1, 1, 1, 1], new byte[4]).Build() },
        { "number 4, which is unknown or was withdrawn", new GgufBuilder().Tensor("w", 4, [32], new byte[32]).Build() },
        { "impossible shape [31]", new GgufBuilder().Tensor("w", 2, [31], new byte[32]).Build() },
        { "impossible shape [-1]", new GgufBuilder().Tensor("w", 0, [-1], new byte[32]).Build() },
        { "impossible shape", new GgufBuilder().Tensor("w", 0, [1L << 32, 1L << 32], new byte[32]).Build() },
        { "impossible shape", new GgufBuilder().Tensor("w", 0, [1L << 61], new byte[32]).Build() },
        { "begins at 4, expected a multiple of 32", new GgufBuilder().Tensor("w", 0, [1], new byte[4], offset: 4).Build() },
        { "needs 4 bytes from 9223372036854775776 on", new GgufBuilder().Tensor("w", 0, [1], new byte[4], offset: long.MaxValue - 31).Build() },
        { "needs 8 bytes from 0 on, but the file has 4", new GgufBuilder().Tensor("w", 0, [2], new byte[4]).Build() },
        { "'w' is there twice", new GgufBuilder().Tensor("w", 0, [1], new byte[4]).Tensor("w", 0, [1], new byte[4]).Build() },
        { "'v' and 'w' overlap", new GgufBuilder().Tensor("v", 0, [16], new byte[64]).Tensor("w", 0, [1], new byte[4], offset: 32).Build() },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void RefusesWithAReason(string reason, byte[] bytes)
    {
        string path = _folder.Write("x.gguf", bytes);
        LowbitFormatException e = Assert.Throws<LowbitFormatException>(() => GgufFile.Open(path));
        Assert.Contains(reason, e.Message);
        Assert.StartsWith(path, e.Message);
    }

    [Fact]
    public void OpeningManyTokensMakesNoStrings()
    {
        string path = _folder.Write("x.gguf", new GgufBuilder().Add("tokens", Enumerable.Range(0, 150_000).Select(i => $"token {i}").ToArray()).Build());
        using (GgufFile.Open(path)) { } // what is allocated once
        long before = GC.GetAllocatedBytesForCurrentThread();
        using GgufFile file = GgufFile.Open(path);
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 100_000);
        Assert.Equal("token 149999", file.GetStringArray("tokens")[^1]);
    }

    [SharedFact]
    public void ReadsARealModel()
    {
        using GgufFile file = GgufFile.Open(Shared.Path("models", "SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"));
        Assert.Equal("llama", file.GetString("general.architecture"));
        Assert.Equal(30u, file.GetUInt32("llama.block_count"));
        Assert.Equal(100000f, file.GetFloat("llama.rope.freq_base"));
        Assert.Equal(49152, file.GetStringArray("tokenizer.ggml.tokens").Length);
        Assert.Equal(48900, file.Metadata["tokenizer.ggml.merges"].Count);
        Assert.Contains("<|im_start|>", file.GetString("tokenizer.chat_template"));
        Assert.Equal(272, file.Tensors.Count);
        Assert.Equal<long>([49152, 576], file.Tensors["token_embd.weight"].Shape);
        Assert.Equal(ElementFormat.Q8_0, file.Tensors["token_embd.weight"].Format);
        for (int layer = 0; layer < 30; layer++)
        {
            Tensor down = file.Tensors[$"blk.{layer}.ffn_down.weight"];
            Assert.Equal<long>([576, 1536], down.Shape);
            Assert.Equal(ElementFormat.Q4_1, down.Format);
            Assert.Equal<long>([192, 576], file.Tensors[$"blk.{layer}.attn_k.weight"].Shape);
            Assert.Equal(ElementFormat.F32, file.Tensors[$"blk.{layer}.attn_norm.weight"].Format);
        }
        Assert.Equal(134_515_008, file.Tensors.Values.Sum(tensor => tensor.Elements));
    }

    [SharedTheory]
    [InlineData("baichuan", "baichuan", "llama", 64000, 0)]
    [InlineData("deepseek-coder", "llama", "gpt2", 32256, 31757)]
    [InlineData("deepseek-llm", "llama", "gpt2", 102400, 99757)]
    [InlineData("gpt-2", "gpt2", "gpt2", 50257, 50000)]
    [InlineData("gpt-neox", "gptneox", "gpt2", 50432, 50009)]
    [InlineData("llama-spm", "llama", "llama", 32000, 0)]
    [InlineData("mpt", "mpt", "gpt2", 50432, 50009)]
    [InlineData("starcoder", "starcoder2", "gpt2", 49152, 48872)]
    public void ReadsVocabularies(string name, string architecture, string tokenizer, int tokens, int merges)
    {
        using GgufFile file = GgufFile.Open(Shared.Path("data", "tokenizers", "llama.cpp-vocab", $"ggml-vocab-{name}.gguf"));
        Assert.Empty(file.Tensors);
        Assert.Equal(architecture, file.GetString("general.architecture"));
        Assert.Equal(tokenizer, file.GetString("tokenizer.ggml.model"));
        string[] texts = file.GetStringArray("tokenizer.ggml.tokens");
        Assert.Equal(tokens, texts.Length);
        Assert.DoesNotContain(texts, text => text.Length == 0);
        Assert.Equal(tokens, file.GetInt32Array("tokenizer.ggml.token_type").Length);
        if (merges > 0) Assert.Equal(merges, file.GetStringArray("tokenizer.ggml.merges").Count(merge => merge.Contains(' ')));
        else Assert.Equal(tokens, file.GetFloatArray("tokenizer.ggml.scores").Length);
    }

    [SharedFact]
    public void EveryVocabularyFileIsInTheTest() =>
        Assert.Equal(8, Directory.GetFiles(Shared.Path("data", "tokenizers", "llama.cpp-vocab"), "*.gguf").Length);

    private static byte[] Patched(byte[] bytes, int at, long value)
    {
        BitConverter.TryWriteBytes(bytes.AsSpan(at), value);
        return bytes;
    }

    private static void Throws(string reason, Action action) => Assert.Contains(reason, Assert.Throws<LowbitFormatException>(action).Message);

    private static void Throws(string reason, Func<object> action) => Assert.Contains(reason, Assert.Throws<LowbitFormatException>(action).Message);

    private GgufFile Open(GgufBuilder builder) => GgufFile.Open(_folder.Write("x.gguf", builder.Build()));
}
