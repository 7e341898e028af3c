using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.LinearAlgebra;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class LowRankRepairTests
{
    private static readonly MethodOptions s_rounding = new RtnOptions { Bits = 2, GroupSize = 16 };

    private static QuantizedMatrix Repaired(LinearLayer layer, RepairMetric metric, int rank, MethodOptions? method = null) =>
        new LowRankRepairOptions { Base = method ?? s_rounding, Metric = metric, Rank = rank }.Quantize(layer, Samples.Pool);

    private static double Squares(LinearLayer layer, QuantizedMatrix result, Func<int, double> weight) =>
        Enumerable.Range(0, result.Dequantized.Length).Sum(i => weight(i % layer.InFeatures) * Math.Pow(layer.Weight.Span[i] - result.Dequantized[i], 2));

    [Fact]
    public void Error_of_rank_one_by_hand()
    {
        // Levels −2, −1, 0, 1; each row is (−2, 1, 0, 0) plus r · (0, 0, 0.25, −0.25), which rounding loses.
        float[] weight = [-2, 1, 0.25f, -0.25f, /**/ -2, 1, -0.125f, 0.125f, /**/ -2, 1, 0, 0];
        var layer = new LinearLayer("sample", 3, 4, weight);
        QuantizedMatrix result = Repaired(layer, RepairMetric.Svd, 1, new RtnOptions { Bits = 2 });
        for (int i = 0; i < weight.Length; i++) Assert.Equal(weight[i], result.Dequantized[i], 5e-4f);
        var codes = (LowRankCodes)((CompositeCodes)result.Codes).Terms[1].Codes;
        Assert.Equal(-2, codes.Left[0] / codes.Left[1], 5e-3f);
        Assert.Equal(-1, codes.Right[2] / codes.Right[3], 5e-3f);
        Assert.Equal(2 + 16.0 * (3 + 4) / 12, result.NominalBitsPerWeight);
    }

    [Theory]
    [InlineData(20, 33)]
    [InlineData(33, 20)]
    public void Full_rank_is_exact_up_to_half_precision(int rows, int columns)
    {
        LinearLayer layer = Samples.Layer(rows, columns, 2);
        foreach (RepairMetric metric in Enum.GetValues<RepairMetric>())
        {
            QuantizedMatrix result = Repaired(layer, metric, 100);
            for (int i = 0; i < result.Dequantized.Length; i++) Assert.Equal(layer.Weight.Span[i], result.Dequantized[i], 5e-5f); // weights are about 0.02
            Assert.InRange(result.OutputError!.Value, 0, 1e-5);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Each_metric_is_best_at_its_own(int seed)
    {
        LinearLayer layer = Samples.Layer(60, 48, seed);
        var results = Enum.GetValues<RepairMetric>().ToDictionary(metric => metric, metric => Repaired(layer, metric, 6));
        QuantizedMatrix bare = s_rounding.Quantize(layer, Samples.Pool);
        Best(RepairMetric.Svd, result => Squares(layer, result, _ => 1));
        Best(RepairMetric.Activation, result => Squares(layer, result, j => Math.Pow(layer.Hessian!.MeanAbsolute(j), 2)));
        Best(RepairMetric.Eigen, result => result.OutputError!.Value);

        void Best(RepairMetric best, Func<QuantizedMatrix, double> error)
        {
            foreach (QuantizedMatrix other in results.Values.Append(bare))
                Assert.True(error(results[best]) <= 1.001 * error(other), $"{best}: {error(results[best])}, but {error(other)}");
            Assert.True(error(results[best]) < 0.9 * error(bare), $"{best}: {error(results[best])} after {error(bare)}");
        }
    }

    [Fact]
    public void Output_error_is_the_least_that_the_rank_allows()
    {
        // By Eckart and Young the rest is the sum of the smaller eigenvalues of E H Eᵀ.
        const int Rows = 24, Columns = 30, Rank = 5;
        LinearLayer layer = Samples.Layer(Rows, Columns, 4);
        float[] bare = s_rounding.Quantize(layer, Samples.Pool).Dequantized;
        var m = new float[Rows * Rows];
        for (int a = 0; a < Rows; a++)
            for (int b = 0; b < Rows; b++)
            {
                double sum = 0;
                for (int i = 0; i < Columns; i++)
                    for (int j = 0; j < Columns; j++)
                        sum += (layer.Weight.Span[a * Columns + i] - bare[a * Columns + i]) * (double)layer.Hessian!.Span[i * Columns + j] * (layer.Weight.Span[b * Columns + j] - bare[b * Columns + j]);
                m[a * Rows + b] = (float)sum;
            }
        double rest = Eigenvalues(m, Rows).Skip(Rank).Sum();
        QuantizedMatrix result = Repaired(layer, RepairMetric.Eigen, Rank);
        double lost = OutputError.Squared(Samples.Pool, layer.Weight.Span, result.Dequantized, Rows, layer.Hessian!);
        Assert.InRange(lost / rest, 0.999, 1.01);
    }

    [Fact]
    public void Directions_are_orthonormal_eigenvectors()
    {
        const int Size = 40, Count = 6;
        float[] m = Samples.SymmetricPositive(Size, 3);
        float[] vectors = LeadingDirections.Find(Size, Count, (rows, count) => Apply(m, rows, count, Size), CancellationToken.None);
        double[] expected = [.. Eigenvalues(m, Size)];
        for (int k = 0; k < Count; k++)
        {
            float[] v = vectors[(k * Size)..((k + 1) * Size)], image = [.. v];
            Apply(m, image, 1, Size);
            double value = v.Zip(image, (a, b) => (double)a * b).Sum();
            Assert.InRange(value / expected[k], 0.9999, 1.0001);
            for (int i = 0; i <= k; i++)
                Assert.Equal(i == k ? 1 : 0, v.Zip(vectors.Skip(i * Size).Take(Size), (a, b) => (double)a * b).Sum(), 1e-5);
        }
        Assert.All(LeadingDirections.Find(5, 3, (rows, _) => Array.Clear(rows), CancellationToken.None), value => Assert.True(float.IsFinite(value)));
    }

    [Fact]
    public void Any_method_is_repaired_and_sums_stay_flat()
    {
        LinearLayer layer = Samples.Layer(24, 40, 2);
        foreach (string method in MethodRegistry.All.Select(method => method.Name))
        {
            MethodOptions bare = MethodRegistry.Find(method).Options(new Dictionary<string, string>());
            MethodOptions options = MethodRegistry.Find(method).Options(new Dictionary<string, string> { ["repair"] = "eigen", ["repair-rank"] = "4" });
            QuantizedMatrix result = options.Quantize(layer, Samples.Pool);
            Check.SameBits(result);
            Assert.All(((CompositeCodes)result.Codes).Terms, term => Assert.IsNotType<CompositeCodes>(term.Codes));
            Assert.True(result.OutputError <= bare.Quantize(layer, Samples.Pool).OutputError + 1e-6, method);
        }
    }

    [Fact]
    public void Either_setting_asks_for_a_repair()
    {
        static MethodOptions Options(params (string Name, string Value)[] settings) => MethodRegistry.Find("rtn").Options(settings.ToDictionary(s => s.Name, s => s.Value));
        Assert.Equal(new RtnOptions(), Options());
        Assert.Equal(new LowRankRepairOptions { Base = new RtnOptions(), Metric = RepairMetric.Svd }, Options(("repair", "svd")));
        Assert.Equal(new LowRankRepairOptions { Base = new RtnOptions { Bits = 3 }, Rank = 7 }, Options(("repair-rank", "7"), ("bits", "3")));
        Assert.Throws<LowbitException>(() => Options(("repair", "best")));
        foreach (string rank in (string[])["-1", "0"])
            Assert.Throws<LowbitException>(() => Options(("repair-rank", rank)).Quantize(Samples.Layer(2, 4, 1), Samples.Pool));
    }

    private static void Apply(float[] matrix, float[] rows, int count, int size)
    {
        for (int k = 0; k < count; k++)
        {
            float[] row = rows[(k * size)..((k + 1) * size)];
            for (int i = 0; i < size; i++) rows[k * size + i] = (float)Enumerable.Range(0, size).Sum(j => (double)matrix[i * size + j] * row[j]);
        }
    }

    // Largest first, by power iteration and deflation: slow and obviously right.
    private static List<double> Eigenvalues(float[] matrix, int size)
    {
        double[] m = Array.ConvertAll(matrix, value => (double)value);
        List<double> values = [];
        for (int k = 0; k < size; k++)
        {
            double[] v = Array.ConvertAll(Samples.Normal(size, k + 1), x => (double)x);
            double value = 0;
            for (int i = 0; i < 3000; i++)
            {
                double[] image = [.. Enumerable.Range(0, size).Select(a => Enumerable.Range(0, size).Sum(b => m[a * size + b] * v[b]))];
                value = Math.Sqrt(image.Sum(x => x * x));
                if (value == 0) break;
                v = Array.ConvertAll(image, x => x / value);
            }
            values.Add(value);
            for (int a = 0; a < size; a++)
                for (int b = 0; b < size; b++) m[a * size + b] -= value * v[a] * v[b];
        }
        return values;
    }
}
