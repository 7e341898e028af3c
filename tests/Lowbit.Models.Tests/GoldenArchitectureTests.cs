using System;
using System.Collections.Generic;
using System.IO;
using Lowbit.Core;
using Lowbit.Formats.Safetensors;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Models.Tests;

/// <summary>Tiny models with random weights, one a family or variant, held against transformers.</summary>
public sealed class GoldenArchitectureTests
{
    public static TheoryData<string> Supported => [
        "llama", "llama-3.1-rope", "llama-attention-bias", "llama-head-dim", "llama-linear-rope", "llama-yarn",
        "mistral-sliding", "qwen2", "qwen3", "smollm3", "opt", "opt-projected", "gpt2", "gpt-neox-parallel", "gpt-neox-sequential"];

    public static TheoryData<string> Unsupported => [
        "falcon-parallel", "gemma2", "gemma3", "granite", "mixtral", "olmo2", "phi3", "qwen2-moe", "qwen3-moe", "stablelm", "starcoder2"];

    [SharedTheory]
    [MemberData(nameof(Supported))]
    public void LogitsAndGreedyTokensAreThoseOfTheReference(string name)
    {
        using LanguageModel model = LanguageModel.Open(Shared.Path("golden", "architectures", name));
        using SafetensorsFile expected = SafetensorsFile.Open(Shared.Path("golden", "architectures", name, "expected.safetensors"));
        int[] ids = Golden.Integers(expected, "input_ids");
        using WorkerPool pool = new(2);
        Golden.CheckLogits(model, pool, ids, Golden.Integers(expected, "positions"), Golden.Floats(expected, "logits"));

        int[] greedy = Golden.Integers(expected, "greedy_ids");
        Assert.Equal(greedy, Golden.Greedy(model, pool, ids, greedy.Length));
    }

    [SharedTheory]
    [MemberData(nameof(Unsupported))]
    public void OtherFamiliesAreRefusedByName(string name)
    {
        LowbitException error = Assert.Throws<LowbitFormatException>(() => LanguageModel.Open(Shared.Path("golden", "architectures", name)));
        Assert.Contains("architecture", error.Message, StringComparison.Ordinal);
        Assert.Contains("expected one of llama", error.Message, StringComparison.Ordinal);
    }

    [SharedFact]
    public void EveryGoldenArchitectureIsListedHere()
    {
        SortedSet<string> listed = [];
        foreach (string name in Supported) listed.Add(name);
        foreach (string name in Unsupported) listed.Add(name);
        SortedSet<string> there = [];
        foreach (string folder in Directory.GetDirectories(Shared.Path("golden", "architectures"))) there.Add(Path.GetFileName(folder));
        Assert.Equal(there, listed);
    }
}
