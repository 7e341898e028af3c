using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Quantization.Pipeline;
using Xunit;

namespace Lowbit.Quantization.Tests;

public sealed class CalibrationSetTests
{
    private static readonly int[] s_document = [.. Enumerable.Range(0, 100)];

    [Fact]
    public void SequentialTakesTheFirstWindowsWithoutOverlap()
    {
        CalibrationSet set = CalibrationSet.Draw([s_document], 30, 2, CalibrationSampling.Sequential, 0);
        Assert.Equal([.. Enumerable.Range(0, 30)], set.Windows[0]);
        Assert.Equal([.. Enumerable.Range(30, 30)], set.Windows[1]);
        Assert.Equal(3, CalibrationSet.Draw([s_document], 30, null, CalibrationSampling.Sequential, 0).Windows.Count);
    }

    [Fact]
    public void RandomWindowsLieInOneDocumentAndFollowTheSeed()
    {
        int[] other = [.. Enumerable.Range(1000, 40)];
        CalibrationSet set = CalibrationSet.Draw([s_document, other, [1, 2]], 30, 50, CalibrationSampling.Random, 5);
        Assert.Equal(50, set.Windows.Count);
        Assert.All(set.Windows, window => Assert.Equal(Enumerable.Range(window[0], 30), window));
        Assert.Contains(set.Windows, window => window[0] >= 1000);
        Assert.Equal(set.Fingerprint, CalibrationSet.Draw([s_document, other, [1, 2]], 30, 50, CalibrationSampling.Random, 5).Fingerprint);
        Assert.NotEqual(set.Fingerprint, CalibrationSet.Draw([s_document, other, [1, 2]], 30, 50, CalibrationSampling.Random, 6).Fingerprint);
    }

    [Theory]
    [InlineData(CalibrationSampling.Random)]
    [InlineData(CalibrationSampling.Sequential)]
    public void TooLittleTextIsAClearError(CalibrationSampling sampling)
    {
        LowbitException error = Assert.Throws<LowbitException>(() => CalibrationSet.Draw([s_document], 101, null, sampling, 0));
        Assert.Contains("100 tokens", error.Message, StringComparison.Ordinal);
        Assert.Contains("101", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FewerWindowsThanAskedForAreAClearError()
    {
        LowbitException error = Assert.Throws<LowbitException>(() => CalibrationSet.Draw([s_document], 30, 4, CalibrationSampling.Sequential, 0));
        Assert.Contains("only 3 windows", error.Message, StringComparison.Ordinal);
    }
}
