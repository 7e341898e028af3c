using System.Collections.Generic;
using System.IO;
using System.Linq;
using Lowbit.Evaluation;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.TestKit;
using Lowbit.Tokenizers;
using Xunit;
using Xunit.Abstractions;

namespace Lowbit.Quantization.Tests.Golden;

/// <summary>What each paper says of its method beside the ones before it, in perplexity of a real model quantized as a whole: TinyStories-656K.</summary>
public sealed class PerplexityOrderTests(ITestOutputHelper log)
{
    // Each method is to have a lower perplexity than the next one of its line; the bits of a weight are those that the papers compare at.
    private static readonly string[][] s_orders =
    [
        ["gptq bits=3 group-size=64", "rtn bits=3 group-size=64"],
        ["gptaq bits=3 group-size=64", "rtn bits=3 group-size=64"],
        ["gptq bits=3 group-size=64 scale-search=mse", "gptq bits=3 group-size=64"],
        ["hqq bits=3 group-size=64", "rtn bits=3 group-size=64"],
        ["awq bits=3 group-size=64", "rtn bits=3 group-size=64"],
        ["omniquant bits=3 group-size=64 iterations=10", "rtn bits=3 group-size=64"],
        ["signround bits=3 group-size=64 iterations=50", "omniquant bits=3 group-size=64 iterations=10"],
        ["rtn bits=3 group-size=64 repair=eigen repair-rank=8", "rtn bits=3 group-size=64"],
        ["spqr bits=3", "owq bits=3", "gptq bits=3"],
        ["squeezellm bits=3", "rtn bits=3"],
        ["nf4", "fp4"],
        ["fp6", "sf4", "fp4"],
        ["nvfp4", "mxfp4"],
        ["mxint8", "mxfp8", "mxfp4"],
        ["mxfp6", "nvfp4"],
        ["ggml type=Q8_0", "ggml type=Q5_0", "ggml type=Q4_0"],
        ["pb-gptq salient=0.3 saliency=hessian", "pb-gptq salient=0.1 saliency=hessian", "pb-gptq salient=0.1", "pb-rtn salient=0.1", "binary"],
        ["hbllm-row", "billm saliency=hessian", "binary"],
        ["hbllm-col", "billm saliency=hessian"],
        ["arb-x", "arb", "billm saliency=hessian"],
        ["arb-rc", "arb"],
        ["pt2-llm", "ternary", "binary"],
        ["db-llm", "ternary"],
        ["waterline bits=2.7", "pb-gptq salient=0.3 saliency=hessian"],
        ["waterline bits=2", "pt2-llm"],
        ["waterline bits=3", "gptq bits=3"],
    ];

    [SharedFact]
    public void Perplexities_are_ordered_as_in_the_papers()
    {
        string source = Shared.Path("models", "TinyStories-656K");
        Tokenizer tokenizer = Tokenizer.Load(source);
        int[] calibrationIds = [.. tokenizer.EncodePlain(File.ReadAllText(Shared.Path("data", "tinystories", "stories.calib.txt")))];
        CalibrationSet calibration = CalibrationSet.Draw([calibrationIds], context: 512, samples: 8, CalibrationSampling.Sequential, seed: 0);
        ScoredText text = ScoredText.Create(File.ReadAllText(Shared.Path("data", "tinystories", "stories.eval.txt")), tokenizer, PerplexityProtocol.Gptq, context: 512, windows: 6);
        using TemporaryFolder folder = new();
        Dictionary<string, double> found = [];
        List<string> broken = [];
        double original;
        using (LanguageModel model = LanguageModel.Open(source)) original = Perplexity.Measure(model, Samples.Pool, ActivationMode.Float, text).Perplexity;

        foreach (string[] order in s_orders)
            foreach ((string better, string worse) in order.Zip(order.Skip(1)))
            {
                if (Measure(better) >= Measure(worse)) broken.Add($"{better}: {Measure(better):f2}, {worse}: {Measure(worse):f2}");
            }
        // Eight bits cost next to nothing if outliers are looked after.
        foreach (string nearly in (string[])["llm-int8", "smoothquant", "fp8"])
            if (Measure(nearly) > 1.01 * original) broken.Add($"{nearly}: {Measure(nearly):f2}, float: {original:f2}");
        Assert.Empty(broken);

        double Measure(string setting)
        {
            if (found.TryGetValue(setting, out double known)) return known;
            string[] words = setting.Split(' ');
            string output = folder.File("out");
            QuantizeOptions options = new()
            {
                Method = words[0],
                MethodOptions = MethodRegistry.Find(words[0]).Options(words[1..].ToDictionary(word => word.Split('=')[0], word => word.Split('=')[1])) with { ScalePrecision = ScalePrecision.Float16 },
                Output = output,
                Force = true,
            };
            using (LanguageModel model = LanguageModel.Open(source)) QuantizePipeline.Run(options, model, calibration, Samples.Pool, null, default);
            using LanguageModel packed = LanguageModel.Open(output);
            double perplexity = Perplexity.Measure(packed, Samples.Pool, ActivationMode.Float, text).Perplexity;
            log.WriteLine($"RESULT {setting}: {perplexity:f3}");
            return found[setting] = perplexity;
        }
    }
}
