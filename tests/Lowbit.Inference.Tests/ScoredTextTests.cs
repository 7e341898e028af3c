using System.Linq;
using Lowbit.Core;
using Lowbit.Evaluation;
using Xunit;

namespace Lowbit.Inference.Tests;

public class ScoredTextTests
{
    private static readonly int[] s_tokens = [.. Enumerable.Range(100, 23)];

    [Fact]
    public void GptqScoresAllButTheFirstOfEveryWindowAndDropsTheRest()
    {
        ScoredText text = ScoredText.Cut(s_tokens, PerplexityProtocol.Gptq, context: 5, windows: 0, begin: 1);
        Assert.Equal(4, text.Windows.Length);
        Assert.Equal(23, text.Tokens);
        Assert.Equal(16, text.ScoredTokens);
        Assert.Equal([105, 106, 107, 108, 109], text.Windows[1].Tokens);
        Assert.Equal(1, text.Windows[1].FirstScored);
    }

    [Theory]
    [InlineData(6, 2)] // 6 − 6/2 − 1
    [InlineData(5, 2)] // 5 − 5/2 − 1
    public void LlamaCppScoresTheSecondHalfAfterABeginToken(int context, int scoredInAWindow)
    {
        ScoredText text = ScoredText.Cut(s_tokens, PerplexityProtocol.LlamaCpp, context, windows: 2, begin: 1);
        Assert.Equal(2, text.Windows.Length);
        Assert.Equal(2 * scoredInAWindow, text.ScoredTokens);
        Assert.Equal(context / 2 + 1, text.Windows[0].FirstScored);
        Assert.Equal([1, .. Enumerable.Range(100 + context + 1, context - 1)], text.Windows[1].Tokens);
    }

    [Fact]
    public void LlamaCppKeepsTheFirstTokenWhereTheModelAddsNone() =>
        Assert.Equal(106, ScoredText.Cut(s_tokens, PerplexityProtocol.LlamaCpp, 6, 0, begin: null).Windows[1].Tokens[0]);

    [Fact]
    public void ATextShorterThanAWindowIsRefused()
    {
        var error = Assert.Throws<LowbitException>(() => ScoredText.Cut(s_tokens, PerplexityProtocol.Gptq, 24, 0, null));
        Assert.Contains("23 tokens", error.Message);
    }

    [Fact]
    public void AContextThatScoresNothingIsRefused()
    {
        Assert.Throws<LowbitException>(() => ScoredText.Cut(s_tokens, PerplexityProtocol.Gptq, 1, 0, null));
        Assert.Throws<LowbitException>(() => ScoredText.Cut(s_tokens, PerplexityProtocol.LlamaCpp, 2, 0, null));
    }
}
