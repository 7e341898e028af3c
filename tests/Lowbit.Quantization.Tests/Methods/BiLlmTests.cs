using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class BiLlmTests
{
    [Theory]
    [InlineData(SaliencyMetric.Hessian, 16)]
    [InlineData(SaliencyMetric.Magnitude, 16)]
    [InlineData(SaliencyMetric.Hessian, 60)]
    [InlineData(SaliencyMetric.Magnitude, 128)]
    public void Agrees_with_the_textbook(SaliencyMetric saliency, int blockSize)
    {
        LinearLayer layer = Samples.Layer(21, 70, 3);
        QuantizedMatrix result = new BiLlmOptions { Saliency = saliency, BlockSize = blockSize }.Quantize(layer, Samples.Pool);
        Check.SameBits(result);
        Check.Agree(Textbook(layer, saliency, Math.Min(blockSize, 70)), result.Dequantized, 1, 1e-5);
    }

    [Theory]
    // m = 0, α = 2, residuals −1 1 0 0, their m = 0 and α = 1/2
    [InlineData(new float[] { 1, 3, -2, -2 }, new float[] { 1.5f, 2.5f, -2, -2 })]
    // α = 4, residuals −1 0 1 −1 −1 2, their α = 1: with sign(0) = 0 there were five levels, so it is 1
    [InlineData(new float[] { -5, -4, -3, 3, 3, 6 }, new float[] { -5, -3, -3, 3, 3, 5 })]
    public void A_salient_weight_on_its_mean_stays_there_if_there_are_levels_enough(float[] salient, float[] expected)
    {
        const int Rows = 12;
        int columns = salient.Length + 8;
        var weight = new float[Rows * columns];
        var hessian = new float[columns * columns]; // of inputs that do not depend on each other
        for (int j = 0; j < columns; j++) hessian[j * columns + j] = 1;
        int Turned(int row, int i) => (i + row) % salient.Length; // so that all salient columns weigh the same
        for (int r = 0; r < Rows; r++)
            for (int j = 0; j < columns; j++)
                weight[r * columns + j] = j < salient.Length ? salient[Turned(r, j)] : (r + j) % 2 == 0 ? 0.125f : -0.125f;
        QuantizedMatrix result = new BiLlmOptions { Saliency = SaliencyMetric.Hessian }.Quantize(
            new LinearLayer("sample", Rows, columns, weight, Hessian.FromMatrix("sample", hessian, columns)), Samples.Pool);
        Check.SameBits(result);
        Assert.Equal(salient.Length, ((CodebookCodes)result.Codes).SecondClass!.Count(x => x));
        for (int r = 0; r < Rows; r++)
            for (int j = 0; j < salient.Length; j++) Assert.Equal(expected[Turned(r, j)], result.Dequantized[r * columns + j], 1e-6f);
    }

    [Fact]
    public void Compensation_and_salient_columns_help()
    {
        LinearLayer layer = Samples.Layer(32, 128, 3, editWeight: weight =>
        {
            for (int r = 0; r < 32; r++) weight[r * 128 + 17] *= 10;
        });
        QuantizedMatrix result = new BiLlmOptions { BlockSize = 32 }.Quantize(layer, Samples.Pool);
        Assert.True(((CodebookCodes)result.Codes).SecondClass![17]);
        Assert.True(result.OutputError < new PbLlmOptions { SalientShare = 0, GroupSize = 32 }.Quantize(layer, Samples.Pool).OutputError);
        Assert.InRange(result.NominalBitsPerWeight, 1.01, 2);
    }

    [Fact]
    public void Number_of_threads_changes_no_bit_and_half_precision_is_what_signs_were_chosen_with()
    {
        LinearLayer layer = Samples.Layer(75, 64, 9);
        MethodOptions options = new BiLlmOptions { BlockSize = 24, ScalePrecision = ScalePrecision.Float16 };
        using WorkerPool one = new(1), four = new(4);
        QuantizedMatrix result = options.Quantize(layer, one);
        Check.SameBits(result);
        Check.SameBits(result.Dequantized, options.Quantize(layer, four).Dequantized);
        Assert.All(((CodebookCodes)result.Codes).Levels, value => Assert.Equal((float)(Half)value, value));
    }

    [Fact]
    public void Zero_and_constant_rows_dead_inputs_and_one_column_are_no_special_case()
    {
        LinearLayer layer = Samples.Layer(6, 20, 2,
            editInputs: inputs =>
            {
                for (int t = 0; t < 256; t++) inputs[t * 20 + 3] = 0;
            },
            editWeight: weight =>
            {
                weight.AsSpan(0, 20).Clear();
                weight.AsSpan(20, 20).Fill(0.25f);
            });
        QuantizedMatrix result = new BiLlmOptions { BlockSize = 8 }.Quantize(layer, Samples.Pool);
        Check.SameBits(result);
        Assert.All(result.Dequantized, value => Assert.True(float.IsFinite(value)));
        Assert.All(result.Dequantized.AsSpan(0, 20).ToArray(), value => Assert.Equal(0, value));
        Assert.Equal(Samples.Layer(5, 1, 1).Weight.ToArray(), new BiLlmOptions().Quantize(Samples.Layer(5, 1, 1), Samples.Pool).Dequantized);
    }

    [Fact]
    public void Without_hessian_it_says_so_and_cancellation_stops_it()
    {
        Assert.Contains("billm", Assert.Throws<LowbitException>(() => new BiLlmOptions().Quantize(new LinearLayer("sample", 2, 4, new float[8]), Samples.Pool)).Message, StringComparison.Ordinal);
        Assert.Throws<OperationCanceledException>(() => new BiLlmOptions().Quantize(Samples.Layer(2, 4, 1), Samples.Pool, new CancellationToken(true)));
    }

    // The algorithm in its plainest form, in double precision, with the factor of the product.
    private static float[] Textbook(LinearLayer layer, SaliencyMetric saliency, int blockSize)
    {
        int rows = layer.OutFeatures, columns = layer.InFeatures;
        InverseFactor u = layer.Hessian!.Factor(Samples.Pool, 0.01, false, CancellationToken.None);
        double[,] w = new double[rows, columns];
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < columns; j++) w[r, j] = layer.Weight.Span[r * columns + j];
        for (int start = 0; start < columns; start += blockSize)
        {
            int width = Math.Min(blockSize, columns - start);
            double[,] block = new double[rows, width], score = new double[rows, width];
            for (int r = 0; r < rows; r++)
                for (int j = 0; j < width; j++)
                {
                    block[r, j] = w[r, start + j];
                    score[r, j] = saliency == SaliencyMetric.Magnitude ? block[r, j] : Math.Pow(block[r, j] / u[start + j, start + j], 2);
                }
            int[] ranked = [.. Enumerable.Range(0, width).OrderByDescending(j => Enumerable.Range(0, rows).Sum(r => Math.Abs(score[r, j])))];
            int salientCount = Enumerable.Range(1, Math.Min(49, width - 1)).MinBy(n =>
                SquaredError(score, Binarized(score, 2, (_, j) => ranked.Take(n).Contains(j)), Binarized(score, 2, (_, j) => !ranked.Take(n).Contains(j))));
            HashSet<int> salient = [.. ranked.Take(salientCount)];
            double[,] salientScore = Binarized(score, 2, (_, j) => salient.Contains(j));
            double[] sizes = [.. Enumerable.Range(0, rows * width).Select(i => salient.Contains(i % width) ? 0 : Math.Abs(score[i / width, i % width])).Order()];
            double breakPoint = Enumerable.Range(10, 81).Select(percent => Quantile(sizes, percent / 100.0)).MinBy(p => SquaredError(
                score, salientScore,
                Binarized(score, 1, (r, j) => !salient.Contains(j) && Math.Abs(score[r, j]) < p), Binarized(score, 1, (r, j) => !salient.Contains(j) && Math.Abs(score[r, j]) >= p)));
            double[,] q = Sum(
                Binarized(block, 2, (_, j) => salient.Contains(j)),
                Binarized(block, 1, (r, j) => !salient.Contains(j) && Math.Abs(score[r, j]) < breakPoint),
                Binarized(block, 1, (r, j) => !salient.Contains(j) && Math.Abs(score[r, j]) >= breakPoint));
            for (int r = 0; r < rows; r++)
            {
                for (int k = start + width; k < columns; k++)
                    for (int j = 0; j < width; j++) w[r, k] -= (block[r, j] - q[r, j]) / u[start + j, start + j] * u[start + j, k];
                for (int j = 0; j < width; j++) w[r, start + j] = q[r, j];
            }
        }
        return [.. w.Cast<double>().Select(value => (float)value)];
    }

    private static double[,] Binarized(double[,] x, int order, Func<int, int, bool> member)
    {
        int rows = x.GetLength(0), width = x.GetLength(1);
        double[,] sum = new double[rows, width];
        for (int r = 0; r < rows; r++)
        {
            int[] members = [.. Enumerable.Range(0, width).Where(j => member(r, j))];
            for (int o = 0; o < order && members.Length > 0; o++)
            {
                double mean = members.Average(j => x[r, j] - sum[r, j]), scale = members.Average(j => Math.Abs(x[r, j] - sum[r, j] - mean));
                foreach (int j in members) sum[r, j] += mean + (x[r, j] - sum[r, j] >= mean ? scale : -scale);
            }
        }
        return sum;
    }

    private static double Quantile(double[] sorted, double q)
    {
        double place = q * (sorted.Length - 1);
        int below = (int)place;
        return sorted[below] + (place - below) * (sorted[Math.Min(below + 1, sorted.Length - 1)] - sorted[below]);
    }

    private static double[,] Sum(params double[][,] parts)
    {
        var sum = (double[,])parts[0].Clone();
        foreach (double[,] part in parts.Skip(1))
            for (int r = 0; r < sum.GetLength(0); r++)
                for (int j = 0; j < sum.GetLength(1); j++) sum[r, j] += part[r, j];
        return sum;
    }

    private static double SquaredError(double[,] x, params double[][,] parts) => x.Cast<double>().Zip(Sum(parts).Cast<double>(), (a, b) => (a - b) * (a - b)).Sum();
}
