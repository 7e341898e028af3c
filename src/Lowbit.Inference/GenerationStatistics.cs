using System;

namespace Lowbit.Inference;

/// <summary>Why generation ended.</summary>
public enum StopReason
{
    /// <summary>It has not.</summary>
    None,
    /// <summary>The model said that the text is complete.</summary>
    EndOfText,
    /// <summary>As many tokens as asked for are there.</summary>
    MaxTokens,
    /// <summary>The context is full.</summary>
    ContextFull,
}

/// <summary>What one generation did and how fast.</summary>
/// <param name="PromptTokens">Tokens read.</param>
/// <param name="GeneratedTokens">Tokens generated.</param>
/// <param name="Prefill">Time to read the prompt, which also gives the first token.</param>
/// <param name="Decode">Time for all other tokens.</param>
/// <param name="StopReason">Why it ended.</param>
public sealed record GenerationStatistics(int PromptTokens, int GeneratedTokens, TimeSpan Prefill, TimeSpan Decode, StopReason StopReason)
{
    /// <summary>Tokens of the prompt read in a second.</summary>
    public double PrefillTokensPerSecond => Rate(PromptTokens, Prefill);

    /// <summary>Tokens generated in a second, without the first, which the prompt pays for.</summary>
    public double DecodeTokensPerSecond => Rate(GeneratedTokens - 1, Decode);

    private static double Rate(int tokens, TimeSpan time) => tokens > 0 && time > TimeSpan.Zero ? tokens / time.TotalSeconds : 0;
}
