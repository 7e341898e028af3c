using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Tests.Methods;
using Lowbit.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Lowbit.Quantization.Tests.Golden;

/// <summary>One linear layer quantized by the libraries of the methods that need no calibration.</summary>
public sealed class DataFreeGoldenTests(ITestOutputHelper log)
{
    private static readonly WorkerPool s_pool = new(2);

    public static TheoryData<string> Cases(string prefix) => GoldenTests.Cases(prefix);

    [SharedTheory, MemberData(nameof(Cases), "hqq")]
    public void Hqq_reproduces_the_library(string file)
    {
        var golden = new SafetensorsCase(Shared.Path("golden", file));
        Compare(golden, "hqq", 0.98, ("bits", golden.Metadata["bits"]), ("group-size", golden.Metadata["group_size"]));
    }

    [SharedTheory, MemberData(nameof(Cases), "nf4")]
    public void Nf4_reproduces_the_library(string file) => Table("nf4", file);

    [SharedTheory, MemberData(nameof(Cases), "fp4")]
    public void Fp4_reproduces_the_library(string file) => Table("fp4", file);

    private void Table(string method, string file)
    {
        var golden = new SafetensorsCase(Shared.Path("golden", file));
        // With double quantization one of the 384 scales lies 8e-7 from the border of two levels, and the library took the other.
        bool isDouble = golden.Metadata["double_quantization"] == "True";
        Compare(golden, method, isDouble ? 383.0 / 384 : 1, ("group-size", golden.Metadata["block_size"]), ("double-quantization", golden.Metadata["double_quantization"].ToLowerInvariant()));
    }

    private void Compare(SafetensorsCase golden, string method, double share, params (string Name, string Value)[] settings)
    {
        int rows = golden.Shape("weight")[0], columns = golden.Shape("weight")[1];
        float[] weight = golden.Floats("weight"), expected = golden.Floats("expected");
        MethodOptions options = MethodRegistry.Find(method).Options(settings.ToDictionary(setting => setting.Name, setting => setting.Value));
        QuantizedMatrix result = options.Quantize(new LinearLayer("golden", rows, columns, weight), s_pool);
        Check.SameBits(result);
        int agree = 0, equal = 0;
        for (int r = 0; r < rows; r++)
        {
            float largest = weight.AsSpan(r * columns, columns).ToArray().Max(MathF.Abs);
            for (int i = r * columns; i < (r + 1) * columns; i++)
            {
                if (MathF.Abs(result.Dequantized[i] - expected[i]) <= 1e-5f * largest) agree++;
                if (result.Dequantized[i] == expected[i]) equal++;
            }
        }
        log.WriteLine($"RESULT {string.Join(' ', settings)} agree {agree} of {weight.Length} ({100.0 * agree / weight.Length:f3} %), to the last bit {equal}");
        Assert.True(agree >= share * weight.Length, $"{agree} of {weight.Length} elements agree");
    }
}
