using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;
using Lowbit.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Lowbit.Quantization.Tests.Golden;

/// <summary>One linear layer quantized by the authors' own code.</summary>
public sealed class GoldenTests(ITestOutputHelper log)
{
    private static readonly WorkerPool s_pool = new(2);

    public static TheoryData<string> Cases(string prefix)
    {
        var data = new TheoryData<string>();
        if (!Shared.Exists) return data;
        foreach (string file in Directory.EnumerateFiles(Shared.Path("golden"), prefix + "_*.safetensors").Order(StringComparer.Ordinal))
            data.Add(Path.GetFileName(file));
        return data;
    }

    [SharedTheory, MemberData(nameof(Cases), "rtn")]
    public void Rtn_reproduces_the_repository(string file)
    {
        var golden = new SafetensorsCase(Shared.Path("golden", file));
        Check(golden, Options("rtn", golden, ("bits", "bits"), ("symmetric", "symmetric"), ("group_size", "group-size")), 1.0);
    }

    [SharedTheory, MemberData(nameof(Cases), "gptq")]
    public void Gptq_reproduces_the_repository(string file)
    {
        var golden = new SafetensorsCase(Shared.Path("golden", file));
        Check(golden, Options("gptq", golden, ("bits", "bits"), ("symmetric", "symmetric"), ("group_size", "group-size"),
            ("act_order", "activation-order"), ("percdamp", "damping"), ("block_size", "block-size")), 0.998);
    }

    [SharedTheory, MemberData(nameof(Cases), "pbllm")]
    public void PbLlm_reproduces_the_repository(string file)
    {
        var golden = new SafetensorsCase(Shared.Path("golden", file));
        double binaryFraction = double.Parse(golden.Metadata["binary_fraction"], CultureInfo.InvariantCulture);
        golden.Metadata["salient"] = (1 - binaryFraction).ToString("R", CultureInfo.InvariantCulture);
        golden.Metadata["scale-rule"] = "repository";
        MethodOptions options = Options(golden.Metadata["algorithm"], golden, ("salient", "salient"), ("salient_metric", "saliency"),
            ("salient_bits", "salient-bits"), ("scale-rule", "scale-rule"), ("group_size", "group-size"), ("percdamp", "damping"), ("block_size", "block-size"));
        QuantizedMatrix result = Check(golden, options, 0.998);

        bool[] salient = ((PartiallyBinarizedCodes)result.Codes).Salient, binary = golden.Flags("binary_mask");
        Assert.DoesNotContain(true, binary.Zip(salient, (isBinary, isSalient) => isBinary == isSalient));
    }

    private static MethodOptions Options(string method, SafetensorsCase golden, params (string Key, string Option)[] names)
    {
        var settings = new Dictionary<string, string>();
        foreach ((string key, string option) in names)
            settings[option] = golden.Metadata[key] is "True" or "False" ? golden.Metadata[key].ToLowerInvariant() : golden.Metadata[key];
        return MethodRegistry.Find(method).Options(settings);
    }

    private QuantizedMatrix Check(SafetensorsCase golden, MethodOptions options, double share)
    {
        int rows = golden.Shape("weight")[0], columns = golden.Shape("weight")[1];
        float[] weight = golden.Floats("weight"), inputs = golden.Floats("inputs"), expected = golden.Floats("expected");
        int chunk = golden.Metadata.TryGetValue("calibration_chunk_tokens", out string? tokens) ? int.Parse(tokens, CultureInfo.InvariantCulture) : 64;
        using Hessian hessian = Hessian.FromInputs(s_pool, "golden", inputs, columns, chunk);
        QuantizedMatrix result = options.Quantize(new LinearLayer("golden", rows, columns, weight, hessian), s_pool);

        int agree = 0;
        for (int r = 0; r < rows; r++)
        {
            float largest = weight.AsSpan(r * columns, columns).ToArray().Max(MathF.Abs);
            for (int c = 0; c < columns; c++)
                if (MathF.Abs(result.Dequantized[r * columns + c] - expected[r * columns + c]) <= 1e-5f * largest) agree++;
        }
        double direct = Samples.OutputError(weight, result.Dequantized, rows, inputs);
        double reference = golden.Metadata.TryGetValue("output_error", out string? text)
            ? double.Parse(text, CultureInfo.InvariantCulture) : Samples.OutputError(weight, expected, rows, inputs);
        int dead = Enumerable.Range(0, columns).Count(hessian.IsDead);
        log.WriteLine($"RESULT {options.GetType().Name} agree {agree} of {rows * columns} ({100.0 * agree / (rows * columns):f3} %) " +
            $"error {direct:g6} reference {reference:g6} off {100 * (direct / reference - 1):f5} %; by Hessian {result.OutputError:g6} off {100 * (result.OutputError!.Value / direct - 1):f5} %; dead {dead}");
        Assert.True(agree >= share * rows * columns, $"{agree} of {rows * columns} elements agree");
        Assert.InRange(direct / reference, 0.999, 1.001);
        Assert.InRange(result.OutputError.Value / direct, 1 - 1e-5, 1 + 1e-5);
        return result;
    }
}
