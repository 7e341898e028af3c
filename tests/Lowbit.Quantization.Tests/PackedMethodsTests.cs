using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Quantization.Tests;

/// <summary>The folder that each calibrated method gives computes what its dequantized weights compute.</summary>
public sealed class PackedMethodsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly WorkerPool _pool = new(2);

    public void Dispose()
    {
        _folder.Dispose();
        _pool.Dispose();
    }

    [Theory]
    [InlineData("gptaq bits=3")]
    [InlineData("awq bits=3 group-size=32")]
    [InlineData("smoothquant")]
    [InlineData("omniquant bits=3 group-size=32 iterations=10")]
    [InlineData("signround bits=3 group-size=32 iterations=10")]
    [InlineData("llm-int8 outlier-threshold=2")]
    [InlineData("owq bits=3 outliers=0.05")]
    [InlineData("spqr")]
    [InlineData("squeezellm bits=3 outliers=0.01")]
    [InlineData("gptq bits=3 repair=eigen repair-rank=4")]
    [InlineData("awq bits=3 group-size=32 repair=svd repair-rank=4")]
    [InlineData("spqr repair=activation repair-rank=4")]
    public unsafe void Packed_models_compute_what_their_dequantized_weights_compute(string settings)
    {
        TinyLlama.Write(_folder.File("source"));
        string[] words = settings.Split(' ');
        MethodOptions method = MethodRegistry.Find(words[0]).Options(words[1..].ToDictionary(word => word.Split('=')[0], word => word.Split('=')[1]));
        var options = new QuantizeOptions { Method = words[0], MethodOptions = method with { ScalePrecision = ScalePrecision.Float16 }, Output = _folder.File("out") };
        CalibrationSet calibration = CalibrationSet.Draw([TinyLlama.Ids(400)], context: 32, samples: 4, CalibrationSampling.Sequential, seed: 0);
        using (LanguageModel source = LanguageModel.Open(_folder.File("source")))
            QuantizePipeline.Run(options, source, calibration, _pool, null, CancellationToken.None);

        using LanguageModel packed = LanguageModel.Open(_folder.File("out"));
        Dictionary<string, float[]> values = [];
        foreach ((_, Linear linear) in packed.Blocks.SelectMany(block => block.Linears()))
        {
            var weight = new float[linear.Weight.Rows * linear.Weight.Columns];
            fixed (float* destination = weight) linear.Weight.DequantizeRows(0, linear.Weight.Rows, destination);
            values[linear.Name + ".weight"] = weight;
        }
        TinyLlama.Write(_folder.File("dense"), (name, original) => values.GetValueOrDefault(name, original));
        using LanguageModel dense = LanguageModel.Open(_folder.File("dense"));
        float[] expected = Logits(dense), actual = Logits(packed);
        for (int i = 0; i < expected.Length; i++) Assert.InRange(actual[i], expected[i] - 2e-4f, expected[i] + 2e-4f);
    }

    private float[] Logits(LanguageModel model)
    {
        using Session session = new(model, _pool, 64, ActivationMode.Float);
        var logits = new float[TinyLlama.Vocabulary];
        session.Forward(TinyLlama.Ids(30), logits);
        return logits;
    }
}
