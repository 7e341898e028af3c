using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Quantization.Tests;

/// <summary>A whole model through the pipeline: what is written opens, computes the same numbers, survives interruptions.</summary>
public sealed class PipelineTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly WorkerPool _pool = new(2);

    public void Dispose()
    {
        _folder.Dispose();
        _pool.Dispose();
    }

    [Theory]
    [InlineData(PositionsForm.Bitmap, ScalePrecision.Float16)]
    [InlineData(PositionsForm.Coded, ScalePrecision.Float32)]
    public void ThePackedModelComputesWhatTheMethodGave(PositionsForm positions, ScalePrecision scales)
    {
        string source = Source(), output = _folder.File("out");
        using LanguageModel quantized = LanguageModel.Open(source);
        QuantizeReport report = Run(quantized, output, Options(output, positions: positions, scales: scales));
        using LanguageModel packed = LanguageModel.Open(output);
        Assert.Equal(14, report.Layers.Count);
        Assert.All(packed.Blocks.SelectMany(block => block.Linears()), entry => Assert.IsType<PartiallyBinarizedMatrix>(entry.Linear.Weight));

        // The same weights as plain floats: dequantize the packed matrices into a copy of the model.
        string dense = _folder.File("dense");
        Dictionary<string, float[]> values = packed.Blocks.SelectMany(block => block.Linears()).ToDictionary(entry => entry.Linear.Name + ".weight", entry => Dequantize(entry.Linear.Weight));
        TinyLlama.Write(dense, (name, original) => values.GetValueOrDefault(name, original));
        using LanguageModel reference = LanguageModel.Open(dense);
        float[] expected = Logits(reference), actual = Logits(packed);
        for (int i = 0; i < expected.Length; i++) Assert.InRange(actual[i], expected[i] - 1e-4f, expected[i] + 1e-4f);
    }

    [Fact]
    public void TheModelIsAsBeforeAfterARun()
    {
        string whole = _folder.File("whole"), stopped = _folder.File("stopped");
        using LanguageModel model = LanguageModel.Open(Source());
        WeightMatrix[] weights = Weights();
        float[] logits = Logits(model);
        Run(model, whole, Options(whole));
        Assert.Equal(weights, Weights());
        Assert.Equal(logits, Logits(model));

        using CancellationTokenSource stop = new();
        Reports reports = new(progress =>
        {
            if (progress.Fraction >= 0.3) stop.Cancel(); // all of the first block is packed
        });
        Assert.ThrowsAny<OperationCanceledException>(() => QuantizePipeline.Run(Options(stopped), model, Calibration(), _pool, reports, stop.Token));
        Assert.Equal(weights, Weights());
        Assert.Equal(logits, Logits(model));

        WeightMatrix[] Weights() => [.. model.Blocks.SelectMany(block => block.Linears()).Select(entry => entry.Linear.Weight)];
    }

    [Fact]
    public void ItemsAddUpToTheFile()
    {
        string output = _folder.File("out");
        using LanguageModel model = LanguageModel.Open(Source());
        QuantizeReport report = Run(model, output, Options(output));
        long file = new FileInfo(Path.Combine(output, "model.safetensors")).Length;
        Assert.Equal(file, report.FileBytes);
        Assert.Equal(file, report.Items.Sum(item => item.Bytes));
        Assert.Equal(report.WeightBytes, file - report.Items.Single(item => item.Part == "header").Bytes);
        Assert.Equal(report.WeightBytes * 8.0 / report.Parameters, report.BitsPerWeight);
    }

    [Fact]
    public void TheEstimateOfTheBytesIsClose()
    {
        string output = _folder.File("out");
        using LanguageModel model = LanguageModel.Open(Source());
        QuantizeOptions options = Options(output);
        QuantizePlan plan = QuantizePlan.Make(options, model, Calibration(), _pool);
        QuantizeReport report = Run(model, output, options);
        Assert.InRange(plan.WeightBytes, 0.95 * report.WeightBytes, 1.05 * report.WeightBytes);
        Assert.False(Directory.Exists(_folder.File("none")));
    }

    [Fact]
    public void AnInterruptedRunGoesOnAndGivesTheSameBytes()
    {
        string source = Source(), whole = _folder.File("whole");
        using (LanguageModel model = LanguageModel.Open(source)) Run(model, whole, Options(whole));
        byte[] expected = File.ReadAllBytes(Path.Combine(whole, "model.safetensors"));
        // The place of the interruption: after so many reports of progress.
        foreach (int place in (int[])[1, 4, 9, 14, 21, 26])
        {
            string output = _folder.File($"out{place}");
            using (CancellationTokenSource stop = new())
            using (LanguageModel model = LanguageModel.Open(source))
            {
                int seen = 0;
                Assert.ThrowsAny<OperationCanceledException>(() => QuantizePipeline.Run(Options(output), model, Calibration(), _pool, new Reports(_ =>
                {
                    if (++seen == place) stop.Cancel();
                }), stop.Token));
            }
            Assert.False(Directory.Exists(output));
            Assert.True(Directory.Exists(output + ".partial"));
            using LanguageModel again = LanguageModel.Open(source);
            QuantizeReport report = Run(again, output, Options(output));
            Assert.Equal(expected, File.ReadAllBytes(Path.Combine(output, "model.safetensors")));
            Assert.Equal(14, report.Layers.Count);
            Assert.False(Directory.Exists(output + ".partial"));
            if (place >= 14) Assert.True(report.ResumedLayers > 0, "nothing was kept");
        }
    }

    [Fact]
    public void TheWorkOfAnotherRunIsNotContinued()
    {
        string source = Source(), output = _folder.File("out");
        using (CancellationTokenSource stop = new())
        using (LanguageModel model = LanguageModel.Open(source))
        {
            int seen = 0;
            Assert.ThrowsAny<OperationCanceledException>(() => QuantizePipeline.Run(Options(output), model, Calibration(), _pool, new Reports(_ =>
            {
                if (++seen == 12) stop.Cancel();
            }), stop.Token));
        }
        using LanguageModel again = LanguageModel.Open(source);
        LowbitException error = Assert.Throws<LowbitException>(() => Run(again, output, Options(output, share: 0.3)));
        Assert.Contains("other options", error.Message, StringComparison.Ordinal);
        QuantizeReport report = Run(again, output, Options(output, share: 0.3) with { Force = true });
        Assert.Equal(0, report.ResumedLayers);
    }

    [Fact]
    public void ARecipeDecidesLinearByLinear()
    {
        string output = _folder.File("out");
        using LanguageModel model = LanguageModel.Open(Source());
        QuantizeOptions options = Options(output) with
        {
            Recipe = Recipe.Parse("recipe", """{ "rules": [ { "match": "*.v_proj", "method": "keep" }, { "match": "*.layers.1.*", "method": "rtn", "options": { "bits": 4 } } ] }"""u8.ToArray(), ScalePrecision.Float16),
        };
        QuantizePlan plan = QuantizePlan.Make(options, model, Calibration(), _pool);
        QuantizeReport report = Run(model, output, options);
        Assert.Equal(12, report.Layers.Count);
        Assert.Equal(12, plan.Layers);
        Assert.All(report.Layers, layer => Assert.Equal(layer.Name.Contains("layers.1.", StringComparison.Ordinal) ? "rtn" : "pb-gptq", layer.Method));
        Assert.Equal(["keep", "keep"], plan.Assignments.Where(layer => layer.Name.EndsWith("v_proj", StringComparison.Ordinal)).Select(layer => layer.Method));
        Assert.InRange(plan.WeightBytes, 0.95 * report.WeightBytes, 1.05 * report.WeightBytes);
        using LanguageModel packed = LanguageModel.Open(output), original = LanguageModel.Open(Source());
        Assert.Equal(Dequantize(original.Blocks[0].Value!.Weight), Dequantize(packed.Blocks[0].Value!.Weight));
        Assert.NotEqual(Dequantize(original.Blocks[0].Key!.Weight), Dequantize(packed.Blocks[0].Key!.Weight));
    }

    [Fact]
    public void ARecipeThatKeepsEverythingIsRefused()
    {
        string output = _folder.File("out");
        using LanguageModel model = LanguageModel.Open(Source());
        Recipe keep = Recipe.Parse("recipe", """{ "rules": [ { "match": "*", "method": "keep" } ] }"""u8.ToArray(), ScalePrecision.Float16);
        Assert.Contains("--recipe", Assert.Throws<LowbitException>(() => Run(model, output, Options(output) with { Recipe = keep })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ASizeIsMetAndASearchGoesOnAfterAnInterruption()
    {
        string source = Source(), whole = _folder.File("whole");
        QuantizeOptions Searched(string output) => Options(output) with { Method = "gptq", MethodOptions = new GptqOptions { ScalePrecision = ScalePrecision.Float16 }, Target = BitTarget.Create(4.5, "gptq", new Dictionary<string, string>(), ScalePrecision.Float16) };
        QuantizeReport report;
        using (LanguageModel model = LanguageModel.Open(source)) report = Run(model, whole, Searched(whole));
        Assert.True(report.LinearBitsPerWeight <= 4.5, $"{report.LinearBitsPerWeight} bits");
        Assert.True(report.LinearBitsPerWeight > 4.2, $"{report.LinearBitsPerWeight} bits");
        Assert.True(report.Allocation!.Select(layer => layer.Settings["bits"]).Distinct().Count() > 1, "all alike");
        Assert.All(report.Allocation!.Zip(report.Layers), pair => Assert.Equal(pair.First.BitsPerWeight, pair.Second.BitsPerWeight, 9));

        foreach (int place in (int[])[2, 3, 8])
        {
            string output = _folder.File($"out{place}");
            using (CancellationTokenSource stop = new())
            using (LanguageModel model = LanguageModel.Open(source))
            {
                int seen = 0;
                Assert.ThrowsAny<OperationCanceledException>(() => QuantizePipeline.Run(Searched(output), model, Calibration(), _pool, new Reports(_ =>
                {
                    if (++seen == place) stop.Cancel();
                }), stop.Token));
            }
            using LanguageModel again = LanguageModel.Open(source);
            Run(again, output, Searched(output));
            Assert.Equal(File.ReadAllBytes(Path.Combine(whole, "model.safetensors")), File.ReadAllBytes(Path.Combine(output, "model.safetensors")));
        }
    }

    [Fact]
    public void TheReportTellsWhatTheTextReached()
    {
        string source = _folder.File("dead"), output = _folder.File("out");
        // Nothing comes out of the first value projection, so its output projection gets zeros.
        TinyLlama.Write(source, (name, values) =>
        {
            if (name == "model.layers.0.self_attn.v_proj.weight") Array.Clear(values);
            return values;
        });
        using LanguageModel model = LanguageModel.Open(source);
        QuantizeReport report = Run(model, output, Options(output));
        Assert.Equal(4 * 32, report.Coverage!.Tokens);
        Assert.Equal(Calibration().Windows.SelectMany(window => window).Distinct().Count(), report.Coverage.DistinctTokens);
        DeadInputs dead = Assert.Single(report.Coverage.DeadInputs);
        Assert.Equal("model.layers.0.self_attn.o_proj", dead.Name);
        Assert.Equal(TinyLlama.ModelDim, dead.Inputs);
        Assert.True(report.CalibrationPerplexity > 1 && report.CalibrationPerplexityBefore > 1);
    }

    [Fact]
    public void TheNumberOfThreadsChangesNothing()
    {
        string source = Source();
        byte[]? first = null;
        foreach (int threads in (int[])[1, 2, 3])
        {
            string output = _folder.File($"threads{threads}");
            using WorkerPool pool = new(threads);
            using LanguageModel model = LanguageModel.Open(source);
            QuantizePipeline.Run(Options(output), model, Calibration(), pool, null, CancellationToken.None);
            byte[] bytes = File.ReadAllBytes(Path.Combine(output, "model.safetensors"));
            Assert.Equal(first ??= bytes, bytes);
        }
    }

    [Fact]
    public void AFolderThatIsThereIsNotReplacedUnasked()
    {
        string output = _folder.File("out");
        Directory.CreateDirectory(output);
        File.WriteAllText(Path.Combine(output, "precious"), "");
        using LanguageModel model = LanguageModel.Open(Source());
        LowbitException error = Assert.Throws<LowbitException>(() => Run(model, output, Options(output)));
        Assert.Contains("not empty", error.Message, StringComparison.Ordinal);
        Run(model, output, Options(output) with { Force = true });
        Assert.False(File.Exists(Path.Combine(output, "precious")));
    }

    [Fact]
    public void NaNInAWeightIsRefusedByName()
    {
        string source = _folder.File("bad"), output = _folder.File("out");
        TinyLlama.Write(source, (name, values) =>
        {
            if (name == "model.layers.1.mlp.down_proj.weight") values[7] = float.NaN;
            return values;
        });
        using LanguageModel model = LanguageModel.Open(source);
        LowbitException error = Assert.Throws<LowbitException>(() => Run(model, output, Options(output)));
        Assert.Contains("model.layers.1.mlp.down_proj", error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    [Fact]
    public void AQuantizedModelIsNotQuantizedAgain()
    {
        string output = _folder.File("out");
        using (LanguageModel model = LanguageModel.Open(Source())) Run(model, output, Options(output));
        using LanguageModel packed = LanguageModel.Open(output);
        LowbitException error = Assert.Throws<LowbitException>(() => Run(packed, _folder.File("twice"), Options(_folder.File("twice"))));
        Assert.Contains("quantized already", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AQuantizationConfigOfNullIsNone()
    {
        string source = _folder.File("null"), output = _folder.File("out");
        TinyLlama.Write(source, config: TinyLlama.Config.Replace("\"model_type\"", "\"quantization_config\": null, \"model_type\"", StringComparison.Ordinal));
        using LanguageModel model = LanguageModel.Open(source);
        Run(model, output, Options(output));
        using LanguageModel packed = LanguageModel.Open(output);
        Assert.IsType<PartiallyBinarizedMatrix>(packed.Blocks[0].Up.Weight);
    }

    [Theory]
    [InlineData(EmbeddingFormat.F16, 2.0)]
    [InlineData(EmbeddingFormat.Q8_0, 34.0 / 32)]
    public void EmbeddingsAreStoredAsAsked(EmbeddingFormat format, double bytesPerWeight)
    {
        string output = _folder.File("out");
        using LanguageModel model = LanguageModel.Open(Source());
        float[] original = Logits(model);
        QuantizeReport report = Run(model, output, Options(output, share: 1) with { Embeddings = format });
        Assert.Equal(bytesPerWeight * TinyLlama.Vocabulary * TinyLlama.ModelDim, report.Items.Single(item => item.Part == "embeddings").Bytes);
        using LanguageModel packed = LanguageModel.Open(output);
        float[] logits = Logits(packed); // every weight salient at 8 bits: all but the same model
        for (int i = 0; i < original.Length; i++) Assert.InRange(logits[i], original[i] - 0.1f, original[i] + 0.1f);
    }

    [Fact]
    public void DamagedPackedFoldersOpenOrFailClearly()
    {
        string output = _folder.File("out");
        using (LanguageModel model = LanguageModel.Open(Source())) Run(model, output, Options(output, positions: PositionsForm.Coded));
        string weights = Path.Combine(output, "model.safetensors"), config = Path.Combine(output, "config.json");
        int refused = 0;
        foreach (string path in (string[])[weights, config])
        {
            byte[] valid = File.ReadAllBytes(path);
            // Every length of a truncation and some thousand flips would take minutes; a sample of them shows the same.
            foreach (byte[] mutation in Mutations.Of(valid, seed: 3, count: 3000).Where((_, i) => i % 101 == 0))
            {
                File.WriteAllBytes(path, mutation);
                try
                {
                    using LanguageModel model = LanguageModel.Open(output);
                    Logits(model);
                }
                catch (LowbitException)
                {
                    refused++;
                }
            }
            File.WriteAllBytes(path, valid);
        }
        Assert.True(refused > 50, $"{refused} refused");
    }

    private static QuantizeOptions Options(string output, double share = 0.1, PositionsForm positions = PositionsForm.Bitmap, ScalePrecision scales = ScalePrecision.Float16) => new()
    {
        Method = "pb-gptq",
        MethodOptions = new PbLlmOptions { SalientShare = share, Saliency = SaliencyMetric.Hessian, ScalePrecision = scales },
        Output = output,
        Positions = positions,
    };

    private static CalibrationSet Calibration() => CalibrationSet.Draw([TinyLlama.Ids(400)], context: 32, samples: 4, CalibrationSampling.Sequential, seed: 0);

    private QuantizeReport Run(LanguageModel model, string output, QuantizeOptions options)
    {
        Assert.Equal(output, options.Output);
        return QuantizePipeline.Run(options, model, Calibration(), _pool, null, CancellationToken.None);
    }

    private float[] Logits(LanguageModel model)
    {
        using Session session = new(model, _pool, 64, ActivationMode.Float);
        float[] logits = new float[TinyLlama.Vocabulary];
        session.Forward(TinyLlama.Ids(30), logits);
        return logits;
    }

    private static unsafe float[] Dequantize(WeightMatrix weight)
    {
        float[] values = new float[weight.Rows * weight.Columns];
        fixed (float* destination = values) weight.DequantizeRows(0, weight.Rows, destination);
        return values;
    }

    private string Source()
    {
        string source = _folder.File("source");
        if (!Directory.Exists(source)) TinyLlama.Write(source);
        return source;
    }

    private sealed class Reports(Action<QuantizeProgress> action) : IProgress<QuantizeProgress>
    {
        public void Report(QuantizeProgress value) => action(value);
    }
}
