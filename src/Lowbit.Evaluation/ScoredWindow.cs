namespace Lowbit.Evaluation;

/// <summary>A window of text and the part of it that counts.</summary>
/// <param name="Tokens">What the model reads, from an empty cache.</param>
/// <param name="FirstScored">Index of the first token whose probability counts; all after it count too.</param>
public sealed record ScoredWindow(int[] Tokens, int FirstScored)
{
    /// <summary>Number of tokens whose probability counts.</summary>
    public int ScoredTokens => Tokens.Length - FirstScored;
}
