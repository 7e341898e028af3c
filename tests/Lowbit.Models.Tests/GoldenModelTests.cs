using System.Collections.Generic;
using System.IO;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Formats.Safetensors;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Models.Tests;

/// <summary>The real models, held against transformers: logits at chosen positions, greedy continuations token by token.</summary>
public sealed class GoldenModelTests
{
    private static string Model(string name) => name switch
    {
        "SmolLM2-135M-Instruct" => Shared.Path("models", name),
        "TinyStories-656K" => Shared.Path("models", name),
        _ => Shared.Path("models", name, name + ".bin"),
    };

    [SharedTheory]
    [InlineData("SmolLM2-135M-Instruct")]
    [InlineData("TinyStories-656K")]
    [InlineData("stories260K")]
    public void LogitsAreThoseOfTheReference(string name)
    {
        using LanguageModel model = LanguageModel.Open(Model(name));
        using SafetensorsFile expected = SafetensorsFile.Open(Shared.Path("golden", "models", name + ".logits.safetensors"));
        using WorkerPool pool = new(2);
        Golden.CheckLogits(model, pool, Golden.Integers(expected, "input_ids"), Golden.Integers(expected, "positions"), Golden.Floats(expected, "logits"));
    }

    [SharedTheory]
    [InlineData("SmolLM2-135M-Instruct")]
    [InlineData("TinyStories-656K")]
    [InlineData("stories260K")]
    public void GreedyContinuationsAreThoseOfTheReference(string name)
    {
        using LanguageModel model = LanguageModel.Open(Model(name));
        using WorkerPool pool = new(2);
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Shared.Path("golden", "models", name + ".json")));
        foreach (JsonElement entry in document.RootElement.GetProperty("cases").EnumerateArray())
        {
            int[] prompt = Integers(entry.GetProperty("prompt_ids"));
            int[] expected = Integers(entry.GetProperty("greedy_ids"));
            Assert.Equal(expected, Golden.Greedy(model, pool, prompt, expected.Length));
            // A cache of halves moves logits by some thousandths: enough to exchange two that are closer than that.
            if (entry.GetProperty("smallest_top2_gap").GetDouble() > 0.01)
                Assert.Equal(expected, Golden.Greedy(model, pool, prompt, expected.Length, ElementFormat.F16));
        }
    }

    private static int[] Integers(JsonElement array)
    {
        List<int> numbers = [];
        foreach (JsonElement item in array.EnumerateArray()) numbers.Add(item.GetInt32());
        return [.. numbers];
    }
}
