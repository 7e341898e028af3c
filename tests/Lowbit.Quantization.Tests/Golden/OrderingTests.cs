using System.Collections.Generic;
using System.Linq;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;
using Lowbit.TestKit;
using Xunit;
using Xunit.Abstractions;

namespace Lowbit.Quantization.Tests.Golden;

/// <summary>Methods without an author's output for these layers, in the order in which their papers have them, on the layers of the golden cases.</summary>
public sealed class OrderingTests(ITestOutputHelper log)
{
    [SharedTheory]
    [InlineData("gptq_3bit_asym_g64_nat.safetensors")]
    [InlineData("pbllm_64x384_hessian_low90_grow_gptq.safetensors")]
    public void Errors_of_the_output_are_ordered_as_in_the_papers(string file)
    {
        var golden = new SafetensorsCase(Shared.Path("golden", file));
        int rows = golden.Shape("weight")[0], columns = golden.Shape("weight")[1];
        using Hessian hessian = Hessian.FromInputs(Samples.Pool, "golden", golden.Floats("inputs"), columns, 64);
        var layer = new LinearLayer("golden", rows, columns, golden.Floats("weight"), hessian);

        double Error(string text)
        {
            string[] words = text.Split(' ');
            Dictionary<string, string> settings = words[1..].ToDictionary(word => word.Split('=')[0], word => word.Split('=')[1]);
            QuantizedMatrix result = MethodRegistry.Find(words[0]).Options(settings).Quantize(layer, Samples.Pool);
            log.WriteLine($"RESULT {text}: {result.OutputError:g4}, {result.NominalBitsPerWeight:g4} nominal bits");
            return result.OutputError!.Value;
        }

        foreach (int bits in new[] { 3, 4 })
        {
            double rounded = Error($"rtn bits={bits} group-size=64"), row = Error($"rtn bits={bits}"), gptq = Error($"gptq bits={bits} group-size=64"), gptqRow = Error($"gptq bits={bits}");
            double awq = Error($"awq bits={bits} group-size=64"), clipped = Error($"omniquant bits={bits} group-size=64 no-scales=true");
            double omniquant = Error($"omniquant bits={bits} group-size=64"), signround = Error($"signround bits={bits} group-size=64");
            Assert.True(awq < rounded && clipped < rounded && omniquant < clipped && signround < clipped);
            double dense = Error($"squeezellm bits={bits} outliers=0"), sparse = Error($"squeezellm bits={bits}");
            Assert.True(dense < row && sparse < dense);
            double owq = Error($"owq bits={bits} outliers=0.02"), fine = Error($"gptq bits={bits} group-size=16 activation-order=true"), spqr = Error($"spqr bits={bits} damping=0.01");
            Assert.True(owq < gptqRow && spqr < fine);
            double svd = Error($"rtn bits={bits} group-size=64 repair=svd repair-rank=8"), activation = Error($"rtn bits={bits} group-size=64 repair=activation repair-rank=8");
            double eigen = Error($"rtn bits={bits} group-size=64 repair=eigen repair-rank=8"), both = Error($"gptq bits={bits} group-size=64 repair=eigen repair-rank=8");
            Assert.True(svd < rounded && activation < svd && eigen < activation && both < gptq && both < eigen);
        }
        Assert.InRange(Error("llm-int8 outliers=0.02"), 0, Error("rtn bits=8 symmetric=true"));
        Assert.InRange(Error("smoothquant"), 0, 1e-3);
    }
}
