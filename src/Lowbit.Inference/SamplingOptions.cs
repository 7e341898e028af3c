namespace Lowbit.Inference;

/// <summary>How the next token is drawn. The steps are taken in the order of the properties.</summary>
public sealed record SamplingOptions
{
    /// <summary>Divides the logits; 0 always takes the best token, and what follows here has no effect.</summary>
    public double Temperature { get; init; }

    /// <summary>Keeps this many of the most probable tokens; 0 keeps all.</summary>
    public int TopK { get; init; }

    /// <summary>Keeps the fewest tokens whose probabilities, after <see cref="TopK"/>, sum to this share; 1 keeps all.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Drops tokens whose probability is below this share of the best one's; 0 drops none.</summary>
    public double MinP { get; init; }

    /// <summary>Start of the random numbers: the same seed draws the same tokens from the same logits.</summary>
    public ulong Seed { get; init; }
}
