using System;
using System.Linq;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class HbllmTests
{
    [Theory]
    [InlineData(8)]
    [InlineData(7)]
    public void The_transform_keeps_lengths_and_is_its_own_inverse(int size)
    {
        float[] identity = new float[size * size];
        for (int i = 0; i < size; i++) identity[i * size + i] = 1;
        var codes = new PlainCodes(size, size, identity);
        var once = new float[size * size];
        new CompositeCodes(size, size, [new CompositeTerm(new HaarInput(), codes)]).Dequantize(once);
        var twice = new float[size * size];
        new CompositeCodes(size, size, [new CompositeTerm(new HaarInput(), new PlainCodes(size, size, once))]).Dequantize(twice);
        var rows = new float[size * size];
        new CompositeCodes(size, size, [new CompositeTerm(new WholeInput(), codes, HaarOutput: true)]).Dequantize(rows);
        for (int i = 0; i < identity.Length; i++)
        {
            Assert.Equal(identity[i], twice[i], 1e-6f);
            Assert.Equal(once[i], rows[i], 1e-6f);
            double product = Enumerable.Range(0, size).Sum(k => once[i / size * size + k] * once[i % size * size + k]);
            Assert.Equal(identity[i], product, 1e-6);
        }
        Assert.Equal(0.70710678f, once[0], 1e-7f);
        Assert.Equal(-0.70710678f, once[size + 1], 1e-7f);
        if (size % 2 == 1) Assert.Equal(1, once[^1]);
    }

    [Fact]
    public void Splits_as_computed_by_hand()
    {
        // Small: 1 and −1 lose nothing around 0 with α = 1; large: 10, 14 around 12 with α = 2.
        var split = new SplitBinarization(4, new ScaleRounding(ScalePrecision.Float32));
        var levels = new float[4];
        double error = split.Fit([1, 10, -1, 14], [0, 1, 2, 3], levels);
        Assert.Equal(0, error, 1e-9);
        Assert.Equal([-1f, 1, 10, 14], levels);
        Assert.Equal([1, 2, 0, 3], split.Codes);
        // 10, 10, 13 around 11: α is the root of the mean square, √2, not the mean of the distances, 4/3.
        split = new SplitBinarization(5, new ScaleRounding(ScalePrecision.Float32));
        split.Fit([1, 10, -1, 10, 13], [0, 1, 2, 3, 4], levels);
        Assert.Equal([-1, 1, 11 - MathF.Sqrt(2), 11 + MathF.Sqrt(2)], levels, (a, b) => MathF.Abs(a - b) < 1e-5f);
    }

    [Fact]
    public void Quantizes_a_block_as_computed_by_hand()
    {
        // hbllm-col, two rows: 3 3 −3 3 −3 | 20   With H = 1 scores are squares; one salient column, the last, leaves
        //                      1 1 −1 −1 1 | −10  the others equal in every row, so no more are taken.
        // Sums        4 4 −4 2 −2 | 10  over √2, by size:
        //   4 4 −4    m = 4/3, distances 8/3 8/3 16/3, α = √(128/9) = 8√2/3
        //   2 −2      m = 0, α = 2
        // Differences 2 2 −2 4 −4 | 30  over √2:
        //   2 2 −2    half of the above, m = 2/3, α = 4√2/3
        //   4 −4      m = 0, α = 4
        // Salient     10 and 30 alone, α = 0: kept.
        // No split loses more: sums are 0.8 ± 3.25 then, squared error 6.8 against 2 (8√2/3 − 8/3)² + (16/3 − 8√2/3)² = 4.9.
        // Back, half of sum and difference: (4/3 ± 8√2/3 + 2/3 ± 4√2/3) / 2 = 1 ± 2√2 above and a third of it below.
        float[] weight = [3, 3, -3, 3, -3, 20, 1, 1, -1, -1, 1, -10], identity = new float[36];
        for (int j = 0; j < 6; j++) identity[7 * j] = 1;
        using Hessian hessian = Hessian.FromMatrix("sample", identity, 6);
        var options = new HbllmOptions { AcrossRows = true, BlockSize = 6, Damping = 0 };
        QuantizedMatrix result = options.Quantize(new LinearLayer("sample", 2, 6, weight, hessian), Samples.Pool);
        float high = 1 + 2 * MathF.Sqrt(2), low = 1 - 2 * MathF.Sqrt(2);
        Assert.Equal([high, high, low, 3, -3, 20, high / 3, high / 3, low / 3, -1, 1, -10], result.Dequantized, (a, b) => MathF.Abs(a - b) < 1e-5f);
        // Small side 0 and 1, large side 2 and 3.
        Assert.Equal([3, 3, 2, 1, 0], ((CodebookCodes)((CompositeCodes)result.Codes).Terms[0].Codes).Codes[..5]);
        Assert.Equal([1, 1, 0, 3, 2], ((CodebookCodes)((CompositeCodes)result.Codes).Terms[0].Codes).Codes[6..11]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Weights_made_of_few_sums_and_differences_lose_less_than_in_billm(bool acrossRows)
    {
        // Sums of neighbours are ±2 or ±6 times 1/√2, differences ±1 or ±3.
        const int Rows = 16, Columns = 32;
        float[] random = Samples.Normal(Rows * Columns, 5);
        LinearLayer layer = Samples.Layer(Rows, Columns, 7, editWeight: weight =>
        {
            for (int r = 0; r < Rows; r += acrossRows ? 2 : 1)
                for (int c = 0; c < Columns; c += acrossRows ? 1 : 2)
                {
                    int next = acrossRows ? Columns : 1, i = r * Columns + c;
                    float sum = MathF.CopySign(MathF.Abs(random[i]) > 0.7f ? 6 : 2, random[i]), difference = MathF.CopySign(MathF.Abs(random[i + next]) > 0.7f ? 3 : 1, random[i + next]);
                    (weight[i], weight[i + next]) = ((sum + difference) / 2, (sum - difference) / 2);
                }
        });
        var options = new HbllmOptions { AcrossRows = acrossRows, BlockSize = Columns };
        double error = options.Quantize(layer, Samples.Pool).OutputError!.Value, billm = new BiLlmOptions { BlockSize = Columns }.Quantize(layer, Samples.Pool).OutputError!.Value;
        Assert.True(error < billm, $"{error} {billm}");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Weights_that_its_levels_can_make_are_kept(bool acrossRows)
    {
        // Two blocks of 12 columns. All weights of a row have one size, those of its two or four salient columns ten times that:
        // so the search finds these columns.
        //   across columns: pairs are −− −− +− −+ ++ and the salient one, which takes its neighbours' mean, ++. Sums are ±2 and 0,
        //   differences 0 and ±2, as many of one sign as of the other. What the salient two lack are two values a row.
        //   across rows: all four combinations of signs, twice, and once in the salient columns. With sizes p and q of two
        //   rows sums and differences are ±(p + q) and ±(p − q).
        float[][] signs = acrossRows
            ? [[1, 1, -1, -1, 1, 1, -1, -1, 10, 10, -10, -10], [1, -1, 1, -1, 1, -1, 1, -1, 10, -10, 10, -10]]
            : [[-1, -1, -1, -1, 1, -1, -1, 1, 1, 1, 10, -10]];
        const int Rows = 6, Columns = 24, Width = 12;
        var weight = new float[Rows * Columns];
        for (int i = 0; i < weight.Length; i++)
        {
            int row = i / Columns;
            weight[i] = (1 + row * row) * signs[row % signs.Length][i % Width];
        }
        var identity = new float[Columns * Columns];
        for (int j = 0; j < Columns; j++) identity[j * (Columns + 1)] = 1;
        using Hessian hessian = Hessian.FromMatrix("sample", identity, Columns);
        QuantizedMatrix result = new HbllmOptions { AcrossRows = acrossRows, BlockSize = Width }.Quantize(new LinearLayer("sample", Rows, Columns, weight, hessian), Samples.Pool);
        for (int i = 0; i < weight.Length; i++) Assert.Equal(weight[i], result.Dequantized[i], 2e-6f * MathF.Abs(weight[i / Columns * Columns + 10]));
    }

    [Fact]
    public void Bits_are_those_of_the_paper()
    {
        LinearLayer layer = Samples.Layer(32, 128, 3);
        QuantizedMatrix row = new HbllmOptions().Quantize(layer, Samples.Pool), column = new HbllmOptions { AcrossRows = true }.Quantize(layer, Samples.Pool);
        int salient = ((SelectedScaledInput)((CompositeCodes)row.Codes).Terms[1].Input).Columns.Length;
        Assert.Equal(1 + salient / 128.0, row.NominalBitsPerWeight, 1e-12);
        Assert.Equal(1, column.NominalBitsPerWeight);
    }
}
