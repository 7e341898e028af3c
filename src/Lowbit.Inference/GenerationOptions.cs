using System.Collections.Immutable;

namespace Lowbit.Inference;

/// <summary>When generation ends.</summary>
public sealed record GenerationOptions
{
    /// <summary>Most tokens to generate.</summary>
    public int MaxTokens { get; init; } = 256;

    /// <summary>Tokens that end the text; the one that does is the last that is generated.</summary>
    public ImmutableArray<int> StopIds { get; init; } = [];
}
