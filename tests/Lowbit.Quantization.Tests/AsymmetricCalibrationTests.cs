using System;
using System.IO;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Quantization.Tests;

/// <summary>The float model beside the quantized one on the way through the pipeline.</summary>
public sealed class AsymmetricCalibrationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly WorkerPool _pool = new(2);

    public AsymmetricCalibrationTests() => TinyLlama.Write(_folder.File("source"));

    public void Dispose()
    {
        _folder.Dispose();
        _pool.Dispose();
    }

    [Fact]
    public unsafe void The_first_block_is_that_of_gptq_and_the_second_is_not()
    {
        Quantize("gptq", new GptqOptions { Bits = 3 });
        Quantize("gptaq", new GptaqOptions { Bits = 3, Strength = 1 });
        using LanguageModel gptq = LanguageModel.Open(_folder.File("gptq")), gptaq = LanguageModel.Open(_folder.File("gptaq"));
        for (int b = 0; b < TinyLlama.Blocks; b++)
            foreach (((_, Linear expected), (_, Linear actual)) in gptq.Blocks[b].Linears().Zip(gptaq.Blocks[b].Linears()))
                Assert.Equal(b == 0, Values(expected.Weight).SequenceEqual(Values(actual.Weight)));

        static float[] Values(WeightMatrix weight)
        {
            var values = new float[weight.Rows * weight.Columns];
            fixed (float* destination = values) weight.DequantizeRows(0, weight.Rows, destination);
            return values;
        }
    }

    [Fact]
    public void Neither_an_interruption_nor_the_number_of_threads_changes_a_byte()
    {
        byte[] expected = Quantize("whole", new GptaqOptions { Bits = 3 });
        using (var pool = new WorkerPool(3)) Assert.Equal(expected, Quantize("threads", new GptaqOptions { Bits = 3 }, pool));
        foreach (int place in new[] { 9, 21 })
        {
            using var stop = new CancellationTokenSource();
            int seen = 0;
            Assert.ThrowsAny<OperationCanceledException>(() => Quantize($"out{place}", new GptaqOptions { Bits = 3 }, progress: new Reports(_ =>
            {
                if (++seen == place) stop.Cancel();
            }), cancellation: stop.Token));
            Assert.Equal(expected, Quantize($"out{place}", new GptaqOptions { Bits = 3 }));
        }
    }

    private byte[] Quantize(string output, MethodOptions method, WorkerPool? pool = null, IProgress<QuantizeProgress>? progress = null, CancellationToken cancellation = default)
    {
        using LanguageModel model = LanguageModel.Open(_folder.File("source"));
        CalibrationSet calibration = CalibrationSet.Draw([TinyLlama.Ids(400)], context: 32, samples: 4, CalibrationSampling.Sequential, seed: 0);
        string path = _folder.File(output);
        QuantizePipeline.Run(new QuantizeOptions { Method = "gptaq", MethodOptions = method, Output = path }, model, calibration, pool ?? _pool, progress, cancellation);
        return File.ReadAllBytes(Path.Combine(path, "model.safetensors"));
    }

    private sealed class Reports(Action<QuantizeProgress> action) : IProgress<QuantizeProgress>
    {
        public void Report(QuantizeProgress value) => action(value);
    }
}
