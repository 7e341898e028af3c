using System;
using System.Linq;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Formats.Llama2C;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Formats.Tests;

public sealed class Llama2CFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(11)]
    [InlineData(-11)]
    public void TensorsLieAsInTheReference(int vocabulary)
    {
        // Width 8, feed-forward 6, 2 layers, 2 heads of 4, 1 key-value head, 3 positions; the floats count up.
        using Llama2CFile file = Open(8, 6, 2, 2, 1, vocabulary, 3);
        Assert.Equal(new Llama2CHeader(8, 6, 2, 2, 1, 11, 3, vocabulary > 0), file.Header);
        Assert.Equal(4, file.Header.HeadWidth);
        Assert.Equal(4, file.Header.KeyValueWidth);
        int at = 0;
        Expect("model.embed_tokens.weight", 11, 8);
        ExpectLayers("input_layernorm", 8);
        ExpectLayers("self_attn.q_proj", 8, 8);
        ExpectLayers("self_attn.k_proj", 4, 8);
        ExpectLayers("self_attn.v_proj", 4, 8);
        ExpectLayers("self_attn.o_proj", 8, 8);
        ExpectLayers("post_attention_layernorm", 8);
        ExpectLayers("mlp.gate_proj", 6, 8);
        ExpectLayers("mlp.down_proj", 8, 6);
        ExpectLayers("mlp.up_proj", 6, 8);
        Expect("model.norm.weight", 8);
        at += 3 * 4; // cosines and sines of 3 positions, 2 of each
        if (vocabulary < 0) Expect("lm_head.weight", 11, 8);
        Assert.Equal(file.FileBytes, 28 + 4 * at);
        Assert.Equal(2 + 18 + (vocabulary < 0 ? 1 : 0), file.Tensors.Count);

        void ExpectLayers(string name, params long[] shape)
        {
            for (int layer = 0; layer < 2; layer++) Expect($"model.layers.{layer}.{name}.weight", shape);
        }

        void Expect(string name, params long[] shape)
        {
            Tensor tensor = file.Tensors[name];
            Assert.Equal<long>(shape, tensor.Shape);
            Assert.Equal(ElementFormat.F32, tensor.Format);
            float[] floats = MemoryMarshal.Cast<byte, float>(tensor.Span).ToArray();
            Assert.Equal(Enumerable.Range(at, (int)tensor.Elements).Select(i => (float)i), floats);
            at += floats.Length;
        }
    }

    [Theory]
    [InlineData(0, 6, 2, 2, 1, 11, 3)]
    [InlineData(8, 0, 2, 2, 1, 11, 3)]
    [InlineData(8, 6, -2, 2, 1, 11, 3)]
    [InlineData(8, 6, 2, 3, 1, 11, 3)]
    [InlineData(8, 6, 2, 8, 1, 11, 3)]
    [InlineData(8, 6, 2, 2, 0, 11, 3)]
    [InlineData(8, 6, 2, 4, 3, 11, 3)]
    [InlineData(8, 6, 2, 2, 1, 0, 3)]
    [InlineData(8, 6, 2, 2, 1, int.MinValue, 3)]
    [InlineData(8, 6, 2, 2, 1, 11, -3)]
    public void ImplausibleHeadersAreRefused(params int[] header)
    {
        byte[] bytes = new byte[1000];
        Buffer.BlockCopy(header, 0, bytes, 0, 28);
        Assert.Contains("no llama2.c model", Refuse(bytes));
    }

    [Fact]
    public void TheSizeMustFitExactly()
    {
        byte[] valid = Llama2CBytes.Of(8, 6, 2, 2, 1, 11, 3);
        Assert.Contains("describes a model of", Refuse(valid[..^1]));
        Assert.Contains("describes a model of", Refuse([.. valid, 0]));
        byte[] huge = new byte[28];
        Buffer.BlockCopy(new[] { 2147483646, int.MaxValue, int.MaxValue, 1, 1, int.MaxValue, int.MaxValue }, 0, huge, 0, 28);
        Assert.Contains("describes a model of", Refuse(huge));
        Assert.Contains("truncated", Refuse(valid[..27]));
    }

    [Fact]
    public void LaterVersionsAreNamed()
    {
        byte[] bytes = new byte[256];
        BitConverter.TryWriteBytes(bytes, 0x616B3432);
        Assert.Contains("version 1 or later", Refuse(bytes));
    }

    [SharedFact]
    public void ReadsARealModel()
    {
        using Llama2CFile file = Llama2CFile.Open(Shared.Path("models", "stories260K", "stories260K.bin"));
        Assert.Equal(new Llama2CHeader(64, 172, 5, 8, 4, 512, 512, true), file.Header);
        Assert.Equal(3 + 5 * 9 - 1, file.Tensors.Count);
        Assert.Equal<long>([32, 64], file.Tensors["model.layers.4.self_attn.k_proj.weight"].Shape);
        // A norm of a trained model is near 1 everywhere; one float beside it is not.
        float[] norm = MemoryMarshal.Cast<byte, float>(file.Tensors["model.norm.weight"].Span).ToArray();
        Assert.All(norm, value => Assert.InRange(value, 0.1f, 20f));
    }

    private string Refuse(byte[] bytes)
    {
        string path = _folder.Write("x.bin", bytes);
        return Assert.Throws<LowbitFormatException>(() => Llama2CFile.Open(path)).Message;
    }

    private Llama2CFile Open(params int[] header) => Llama2CFile.Open(_folder.Write("x.bin", Llama2CBytes.Of(header)));
}
