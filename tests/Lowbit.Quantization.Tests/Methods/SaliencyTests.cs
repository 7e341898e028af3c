using System;
using System.Linq;
using Lowbit.Quantization.LinearAlgebra;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class SaliencyTests
{
    [Fact]
    public void Rank_selection_equals_a_sort()
    {
        float[] values = Array.ConvertAll(Samples.Normal(1000, 4), MathF.Abs);
        values[17] = 0;
        values[18] = values[19] = values[500];
        values[20] = float.PositiveInfinity;
        values[21] = 1e-42f;
        float[] sorted = [.. values.Order()];
        foreach (int rank in new[] { 0, 1, 2, 499, 500, 501, 900, 998, 999 }) Assert.Equal(sorted[rank], Saliency.Smallest(values, rank));
    }

    [Theory]
    [InlineData(0.1)]
    [InlineData(0.5)]
    [InlineData(0.9)]
    public void Threshold_itself_is_not_salient(double share)
    {
        const int Rows = 7, Columns = 30;
        float[] weight = Samples.Normal(Rows * Columns, 9);
        var salient = new bool[Rows * Columns];
        Saliency.Mark(weight, Rows, Columns, Columns, share, null, salient);
        int low = (int)(Rows * Columns * (1 - share)) + 1;
        Assert.Equal(Rows * Columns - low, salient.Count(flag => flag));
        float largestLow = weight.Where((_, i) => !salient[i]).Max(MathF.Abs), smallestHigh = weight.Where((_, i) => salient[i]).Min(MathF.Abs);
        Assert.True(largestLow < smallestHigh);
    }

    [Fact]
    public void Share_holds_in_every_group_of_columns()
    {
        const int Rows = 8, Columns = 50, Group = 20; // groups of 20, 20 and 10
        float[] weight = Samples.Normal(Rows * Columns, 2);
        for (int r = 0; r < Rows; r++)
            for (int c = 0; c < Group; c++) weight[r * Columns + c] *= 100; // by the whole matrix all would come from here
        var salient = new bool[Rows * Columns];
        Saliency.Mark(weight, Rows, Columns, Group, 0.25, null, salient);
        int[] counts = [.. Enumerable.Range(0, 3).Select(g => Enumerable.Range(0, Rows * Columns).Count(i => salient[i] && i % Columns / Group == g))];
        Assert.Equal([39, 39, 19], counts);
    }

    [Fact]
    public void Equal_weights_are_all_low()
    {
        var salient = new bool[12];
        Saliency.Mark([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 3, 4, 4, 0.5, null, salient);
        Assert.DoesNotContain(true, salient);
    }

    [Theory]
    [InlineData(0.0, 0)]
    [InlineData(1.0, 12)]
    public void None_and_all(double share, int expected)
    {
        var salient = new bool[12];
        Saliency.Mark(Samples.Normal(12, 1), 3, 4, 4, share, null, salient);
        Assert.Equal(expected, salient.Count(flag => flag));
    }

    [Fact]
    public void Hessian_metric_divides_by_the_squared_diagonal_of_the_factor()
    {
        // H = diag(16, 1): U = diag(1/4, 1), so |w| counts four times as much in column 0
        using InverseFactor u = InverseFactor.Create(Samples.Pool, [16, 0, 0, 1], [16.0, 1.0], [], "sample", default);
        var salient = new bool[4];
        Saliency.Mark([1, 3, 0.5f, 2.5f], 2, 2, 2, 0.6, u, salient); // scores 16, 9, 4, 6.25
        Assert.Equal([true, true, false, false], salient);
        Saliency.Mark([1, 3, 0.5f, 2.5f], 2, 2, 2, 0.6, null, salient);
        Assert.Equal([false, true, false, true], salient);
    }
}
