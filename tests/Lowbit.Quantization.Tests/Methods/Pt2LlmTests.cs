using System;
using System.Linq;
using System.Threading;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed unsafe class Pt2LlmTests
{
    [Fact]
    public void Fits_as_computed_by_hand()
    {
        // μ = 2, |w − μ| = 2 1 1 1 1 6, Δ = 1.5: t = − 0 0 0 0 +, α = 4, which is the best grid for this t. Nearest: 0 is as near to 2
        // as to −2 (half goes to even, 0): t = 0 0 0 0 0 +, whose best grid is α = 8 − 0.8, μ = 4 / 5.
        var t = new sbyte[6];
        Assert.Equal((4, 2), Rounded(TernaryFit.Fit([0, 1, 1, 1, 1, 8], t, rounds: 0)));
        Assert.Equal([-1, 0, 0, 0, 0, 1], t);
        Assert.Equal((7.2, 0.8), Rounded(TernaryFit.Fit([0, 1, 1, 1, 1, 8], t)));
        Assert.Equal([0, 0, 0, 0, 0, 1], t);
        // Three levels are met exactly, also with a shift.
        Assert.Equal((2, 5), Rounded(TernaryFit.Fit([3, 5, 7, 7, 5, 3, 3, 5], new sbyte[8])));
        // With the inputs' moments diag(1, 3): t = (1, −1) of w = (1, 0) is met exactly by α = μ = 1/2; t = (1, 1) is one level, the weighted mean.
        Assert.Equal((0.5, 0.5), Rounded(TernaryFit.Align([1, 0], [1, -1], [1, 0, 0, 3], 1, 0)));
        Assert.Equal((1, -0.75), Rounded(TernaryFit.Align([1, 0], [1, 1], [1, 0, 0, 3], 1, 0)));
    }

    [Fact]
    public void A_round_never_raises_the_error_and_three_levels_lose_less_than_two()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            float[] weights = Samples.Normal(64, seed);
            double before = double.PositiveInfinity;
            for (int rounds = 0; rounds <= 12; rounds++)
            {
                double error = Error(weights, rounds);
                Assert.InRange(error, 0, before * (1 + 1e-9));
                before = error;
            }
            // The best two levels: all splits of the sorted weights.
            float[] sorted = [.. weights.Order()];
            double binary = Enumerable.Range(1, 63).Min(k => Spread(sorted[..k]) + Spread(sorted[k..]));
            Assert.True(before < binary);
        }

        static double Spread(float[] part) => part.Sum(w => Math.Pow(w - part.Average(), 2));
    }

    [Fact]
    public void Alignment_lowers_the_error_of_the_output()
    {
        const int Width = 32;
        using Hessian hessian = Samples.HessianOf(Samples.Inputs(200, Width, 3), Width);
        for (int seed = 0; seed < 10; seed++)
        {
            float[] weights = Samples.Normal(Width, seed);
            var t = new sbyte[Width];
            (double Alpha, double Mean) fitted = TernaryFit.Fit(weights, t), aligned = TernaryFit.Align(weights, t, hessian.Span, fitted.Alpha, fitted.Mean);
            Assert.True(Output(aligned) < Output(fitted));
            foreach (double step in new[] { -1e-3, 1e-3 })
            {
                Assert.True(Output(aligned) <= Output((aligned.Alpha + step, aligned.Mean)));
                Assert.True(Output(aligned) <= Output((aligned.Alpha, aligned.Mean + step)));
            }

            double Output((double Alpha, double Mean) grid)
            {
                double[] lost = [.. weights.Zip(t).Select(pair => pair.First - grid.Alpha * pair.Second - grid.Mean)];
                return Enumerable.Range(0, Width * Width).Sum(i => lost[i / Width] * hessian.Span[i] * lost[i % Width]);
            }
        }
    }

    [Fact]
    public void The_columns_left_take_the_errors_in_the_best_way()
    {
        // With the block fixed, the gradient by every column left is zero: H_RB (Ŵ_B − W_B) + H_RR (W_R' − W_R) = 0.
        const int Rows = 3, Columns = 20;
        LinearLayer layer = Samples.Layer(Rows, Columns, 8);
        using var copy = new WorkingCopy(Samples.Pool, layer.Weight.Span, Rows, Columns, null);
        using var rest = new RemainingColumns(Samples.Pool, copy, layer.Hessian!, 0.01, CancellationToken.None);
        double ridge = 0.01 * Enumerable.Range(0, Columns).Average(j => (double)layer.Hessian!.Diagonal(j));
        var change = new double[Columns, Rows];
        foreach (int[] block in new int[][] { [3, 5, 11], [0, 19] })
        {
            rest.Bring(block);
            var errors = new float[block.Length * copy.Stride];
            for (int i = 0; i < block.Length; i++)
                for (int r = 0; r < Rows; r++)
                {
                    errors[i * copy.Stride + r] = 0.01f * (i + r + 1);
                    change[block[i], r] = rest.Weights[(long)i * copy.Stride + r] - errors[i * copy.Stride + r] - layer.Weight.Span[r * Columns + block[i]];
                }
            fixed (float* e = errors) rest.Compensate(block.Length, e);
            for (int i = 0; i < rest.Count; i++)
                for (int r = 0; r < Rows; r++) change[rest.Column(i), r] = rest.Weights[(long)i * copy.Stride + r] - layer.Weight.Span[r * Columns + rest.Column(i)];
            for (int i = 0; i < rest.Count; i++)
                for (int r = 0; r < Rows; r++)
                {
                    int k = rest.Column(i);
                    double gradient = ridge * change[k, r], size = 0;
                    for (int j = 0; j < Columns; j++)
                    {
                        double term = layer.Hessian!.Span[k * Columns + j] * change[j, r];
                        gradient += term;
                        size += Math.Abs(term);
                    }
                    Assert.InRange(Math.Abs(gradient), 0, 1e-3 * size);
                }
        }
        Assert.Equal(15, rest.Count);
    }

    [Fact]
    public void Similar_columns_share_a_block()
    {
        // Odd columns point one way, even ones another; the mean is with the odd, which are larger.
        float[] up = Samples.Normal(32, 1), other = Samples.Normal(32, 2), noise = Samples.Normal(32 * 16, 3);
        LinearLayer layer = Samples.Layer(32, 16, 5, editWeight: weight =>
        {
            for (int i = 0; i < weight.Length; i++) weight[i] = (i % 2 == 1 ? 5 * up[i / 16] : other[i / 16]) + 0.1f * noise[i];
        });
        var reordered = (CompositeCodes)new Pt2LlmOptions { BlockSize = 8 }.Quantize(layer, Samples.Pool).Codes;
        Assert.Equal([1, 3, 5, 7, 9, 11, 13, 15], ((SelectedInput)reordered.Terms[0].Input).Columns);
        QuantizedMatrix similar = new Pt2LlmOptions { BlockSize = 8 }.Quantize(layer, Samples.Pool), neighbours = new Pt2LlmOptions { BlockSize = 8, Reorder = false }.Quantize(layer, Samples.Pool);
        Assert.True(similar.OutputError < neighbours.OutputError);
    }

    private static double Error(float[] weights, int rounds)
    {
        var t = new sbyte[weights.Length];
        (double alpha, double mean) = TernaryFit.Fit(weights, t, rounds);
        return weights.Zip(t).Sum(pair => Math.Pow(pair.First - alpha * pair.Second - mean, 2));
    }

    private static (double, double) Rounded((double Alpha, double Mean) grid) => (Math.Round(grid.Alpha, 4), Math.Round(grid.Mean, 4));
}
