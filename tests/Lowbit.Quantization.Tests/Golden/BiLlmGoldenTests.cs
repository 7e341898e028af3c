using System;
using System.Globalization;
using System.Linq;
using Lowbit.Core;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Tests.Methods;
using Lowbit.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Lowbit.Quantization.Tests.Golden;

/// <summary>One linear layer quantized by the authors' own code.</summary>
public sealed class BiLlmGoldenTests(ITestOutputHelper log)
{
    private static readonly WorkerPool s_pool = new(2);

    public static TheoryData<string> Cases() => GoldenTests.Cases("billm");

    [SharedTheory, MemberData(nameof(Cases))]
    public void BiLlm_reproduces_the_repository(string file)
    {
        var golden = new SafetensorsCase(Shared.Path("golden", file));
        int rows = golden.Shape("weight")[0], columns = golden.Shape("weight")[1];
        float[] weight = golden.Floats("weight"), inputs = golden.Floats("inputs"), expected = golden.Floats("expected");
        var options = new BiLlmOptions
        {
            Saliency = Enum.Parse<SaliencyMetric>(golden.Metadata["salient_metric"], ignoreCase: true),
            Damping = double.Parse(golden.Metadata["percdamp"], CultureInfo.InvariantCulture),
            BlockSize = int.Parse(golden.Metadata["block_size"], CultureInfo.InvariantCulture),
        };
        using Hessian hessian = Hessian.FromInputs(s_pool, "golden", inputs, columns, int.Parse(golden.Metadata["calibration_chunk_tokens"], CultureInfo.InvariantCulture));
        QuantizedMatrix result = options.Quantize(new LinearLayer("golden", rows, columns, weight, hessian), s_pool);
        Check.SameBits(result);
        int agree = 0;
        for (int r = 0; r < rows; r++)
        {
            float largest = weight.AsSpan(r * columns, columns).ToArray().Max(MathF.Abs);
            for (int i = r * columns; i < (r + 1) * columns; i++)
                if (MathF.Abs(result.Dequantized[i] - expected[i]) <= 1e-5f * largest) agree++;
        }
        double error = Samples.OutputError(weight, result.Dequantized, rows, inputs);
        double reference = double.Parse(golden.Metadata["output_error"], CultureInfo.InvariantCulture);
        log.WriteLine($"RESULT {file} agree {agree} of {weight.Length} ({100.0 * agree / weight.Length:f3} %) error {error:g6} reference {reference:g6} off {100 * (error / reference - 1):f5} % nominal {result.NominalBitsPerWeight:f3}");
        Assert.True(agree >= 0.998 * weight.Length, $"{agree} of {weight.Length} elements agree");
        Assert.InRange(error / reference, 0.999, 1.001);
    }
}
