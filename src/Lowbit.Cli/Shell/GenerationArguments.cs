using System;
using System.Collections.Generic;
using System.CommandLine;
using Lowbit.Inference;
using Lowbit.Models;
using Lowbit.Tokenizers;

namespace Lowbit.Cli.Shell;

/// <summary>The options of every verb that generates text.</summary>
/// <param name="temperature">Default of <c>--temperature</c>.</param>
/// <param name="topP">Default of <c>--top-p</c>.</param>
internal sealed class GenerationArguments(double temperature, double topP)
{
    public Option<int> MaxTokens { get; } = Options.Integer("--max-tokens", "Most tokens to generate.", 256, minimum: 1);

    public Option<bool> IgnoreEos { get; } = Options.Flag("--ignore-eos", "Go on after the end of the text until --max-tokens.");

    public Option<double> Temperature { get; } = Options.Real("--temperature", "Randomness; 0 always takes the best token.", "T", temperature, 0, 100);

    public Option<int> TopK { get; } = Options.Integer("--top-k", "Choose among the K best tokens; 0 for all.", 0, minimum: 0);

    public Option<double> TopP { get; } = Options.Real("--top-p", "Choose among the fewest tokens that hold this probability.", "P", topP, double.Epsilon, 1);

    public Option<double> MinP { get; } = Options.Real("--min-p", "Drop tokens below this share of the best one's probability.", "P", 0, 0, 1);

    public Option<ulong?> Seed { get; } = Options.Seed("The same seed gives the same text. [default: a new one each time]");

    public IEnumerable<Symbol> All => [MaxTokens, IgnoreEos, Temperature, TopK, TopP, MinP, Seed];

    public SamplingOptions Sampling(Invocation invocation) => new()
    {
        Temperature = invocation.Get(Temperature),
        TopK = invocation.Get(TopK),
        TopP = invocation.Get(TopP),
        MinP = invocation.Get(MinP),
        Seed = invocation.Get(Seed) ?? (ulong)Random.Shared.Next(),
    };

    public GenerationOptions Ends(Invocation invocation, LanguageModel model, Tokenizer? tokenizer) => new()
    {
        MaxTokens = invocation.Get(MaxTokens),
        StopIds = invocation.Get(IgnoreEos) ? [] : EndTokens.Of(model, tokenizer),
    };
}
