using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Kernels.Blocks;
using Lowbit.Models.Conversion;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Models.Tests;

public sealed unsafe class GgufConversionTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly WorkerPool _pool = new(2);

    public void Dispose()
    {
        _pool.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData(ElementFormat.F32, 0)]
    [InlineData(ElementFormat.F16, 1e-3)]
    [InlineData(ElementFormat.Q8_0, 1e-2)]
    public void WeightsStayWhatTheyWere(ElementFormat type, double tolerance)
    {
        string path = _folder.File("source.gguf"), converted = _folder.File("converted.gguf");
        RandomModel.Write(path, "tiny", "Q4_K_M", 1, CancellationToken.None);
        using Checkpoint source = Checkpoint.Open(path);
        GgufConversion.Write(_pool, source, converted, type, null, CancellationToken.None);
        using Checkpoint result = Checkpoint.Open(converted);
        Assert.Equal(source.Tensors.Keys, result.Tensors.Keys);
        Assert.Equal(source.Gguf!.Metadata.Keys, result.Gguf!.Metadata.Keys);
        foreach (Tensor tensor in source.Tensors.Values)
        {
            Tensor other = result.Tensors[tensor.Name];
            Assert.Equal(tensor.Shape.Length > 1 ? type : ElementFormat.F32, other.Format);
            float[] expected = Floats(tensor), actual = Floats(other);
            float largest = expected.Max(MathF.Abs);
            for (int i = 0; i < expected.Length; i++) Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance * largest);
        }
    }

    [Fact]
    public void WithoutATypeEveryTensorIsCarriedOver()
    {
        string path = _folder.File("source.gguf"), converted = _folder.File("converted.gguf");
        RandomModel.Write(path, "tiny", "TQ2_0", 1, CancellationToken.None);
        using Checkpoint source = Checkpoint.Open(path);
        GgufConversion.Write(_pool, source, converted, null, null, CancellationToken.None);
        using Checkpoint result = Checkpoint.Open(converted);
        foreach (Tensor tensor in source.Tensors.Values) Assert.True(tensor.Span.SequenceEqual(result.Tensors[tensor.Name].Span));
    }

    [Theory]
    [InlineData(ElementFormat.Q4_K)]
    [InlineData(ElementFormat.MXFP4)]
    public void TheFileDoesNotDependOnTheThreadsAndTheShareWrittenGrowsToOne(ElementFormat type)
    {
        string path = _folder.File("source.gguf");
        RandomModel.Write(path, "tiny", "F16", 1, CancellationToken.None);
        using Checkpoint source = Checkpoint.Open(path);
        byte[]? first = null;
        foreach (int threads in (int[])[1, 2, 3])
        {
            using WorkerPool pool = new(threads);
            string converted = _folder.File($"{threads}.gguf");
            List<double> shares = [];
            GgufConversion.Write(pool, source, converted, type, shares.Add, CancellationToken.None);
            byte[] bytes = File.ReadAllBytes(converted);
            Assert.Equal(first ??= bytes, bytes);
            Assert.Equal(shares.Order(), shares);
            Assert.Equal(1, shares[^1]);
        }
    }

    [Fact]
    public void OnlyGgufFilesAreTaken()
    {
        TinyLlama.Write(_folder.File("model"));
        using Checkpoint source = Checkpoint.Open(_folder.File("model"));
        Assert.Throws<LowbitException>(() => GgufConversion.Write(_pool, source, _folder.File("x.gguf"), ElementFormat.F16, null, CancellationToken.None));
    }

    private static float[] Floats(Tensor tensor)
    {
        float[] values = new float[tensor.Elements];
        fixed (float* pointer = values) Dequantizer.ToFloat(tensor.Format, tensor.Pointer, values.Length, pointer);
        return values;
    }
}
