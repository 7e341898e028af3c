using System;
using System.Linq;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class RtnTests
{
    [Theory]
    [InlineData("rtn", "bits=4")]
    [InlineData("rtn", "bits=3", "symmetric=true", "scale-search=mse")]
    [InlineData("rtn", "bits=1", "scale-search=mse")]
    [InlineData("fp8")]
    [InlineData("fp6", "format=e3m2")]
    public void A_grid_of_the_matrix_is_that_of_its_rows_as_one(string method, params string[] settings)
    {
        const int Rows = 12, Columns = 32;
        float[] weight = Samples.Normal(Rows * Columns, 7, 0.05f);
        float[] Quantize(int rows, int groupSize)
        {
            var all = settings.Select(setting => setting.Split('=')).ToDictionary(parts => parts[0], parts => parts[1]);
            all["group-size"] = $"{groupSize}";
            return MethodRegistry.Find(method).Options(all).Quantize(new LinearLayer("sample", rows, Rows * Columns / rows, weight), Samples.Pool).Dequantized;
        }
        Assert.Equal(Quantize(1, -1), Quantize(Rows, 0));
        Assert.NotEqual(Quantize(Rows, -1), Quantize(Rows, 0));
    }

    [Fact]
    public void Four_by_six_by_hand_in_groups_of_four()
    {
        // 2 bits; every first group has the range −1 to 2 (s = 1, z = 1) times the row's factor, every second group 0 to 3 or −3 to 0 or zero
        float[] weight =
        [
            -1, 0.4f, 2, 1.2f, /**/ 3, 1.4f,
            -2, 0.8f, 4, 2.4f, /**/ -3, -1.4f,
            -0.5f, 0.2f, 1, 0.6f, /**/ 0, 0,
            0, 0, 0, 0, /**/ 0.75f, -0.75f,
        ];
        QuantizedMatrix result = new RtnOptions { Bits = 2, GroupSize = 4 }.Quantize(new LinearLayer("sample", 4, 6, weight), Samples.Pool);
        float[] expected =
        [
            -1, 0, 2, 1, /**/ 3, 1,
            -2, 0, 4, 2, /**/ -3, -1,
            -0.5f, 0, 1, 0.5f, /**/ 0, 0,
            0, 0, 0, 0, /**/ 0.5f, -1, // s = 0.5, z = round(1.5) = 2: codes 3 (cut off from 4) and 0 (−1.5 rounds to −2)
        ];
        Assert.Equal(expected, result.Dequantized);
        var codes = (UniformCodes)result.Codes;
        Assert.Equal([1f, 1, 2, 1, 0.5f, 2f / 3, 2f / 3, 0.5f], codes.Scales);
        Assert.Equal([0, 1, 3, 2, 3, 1], codes.Codes[..6]);
        Assert.Equal((2.0, null), (result.NominalBitsPerWeight, result.OutputError));
    }

    [Theory]
    [InlineData(ScalePrecision.Float32)]
    [InlineData(ScalePrecision.Float16)]
    public void Codes_give_the_dequantized_weight_to_the_last_bit(ScalePrecision precision)
    {
        float[] weight = Samples.Normal(37 * 53, 1, 0.02f);
        QuantizedMatrix result = new RtnOptions { Bits = 3, GroupSize = 16, ScalePrecision = precision }.Quantize(new LinearLayer("sample", 37, 53, weight), Samples.Pool);
        Check.SameBits(result);
        Assert.Equal(precision, result.ScalePrecision);
        if (precision == ScalePrecision.Float16) Assert.All(((UniformCodes)result.Codes).Scales, scale => Assert.Equal((float)(Half)scale, scale));
    }

    [Fact]
    public void Scales_that_a_half_cannot_hold_make_the_matrix_float32()
    {
        float[] weight = Samples.Normal(8 * 8, 1, 0.02f);
        weight[5] = 1e7f;
        QuantizedMatrix result = new RtnOptions { ScalePrecision = ScalePrecision.Float16 }.Quantize(new LinearLayer("sample", 8, 8, weight), Samples.Pool);
        Assert.Equal(ScalePrecision.Float32, result.ScalePrecision);
        Assert.Equal(1e7f / 15, ((UniformCodes)result.Codes).Scales[0], 1f);
    }

    [Fact]
    public void Group_as_wide_as_the_row_is_the_row()
    {
        var layer = new LinearLayer("sample", 5, 40, Samples.Normal(200, 3));
        float[] row = new RtnOptions { GroupSize = -1 }.Quantize(layer, Samples.Pool).Dequantized;
        Assert.Equal(row, new RtnOptions { GroupSize = 40 }.Quantize(layer, Samples.Pool).Dequantized);
        Assert.Equal(row, new RtnOptions { GroupSize = 1000 }.Quantize(layer, Samples.Pool).Dequantized);
        Assert.NotEqual(row, new RtnOptions { GroupSize = 20 }.Quantize(layer, Samples.Pool).Dequantized);
    }
}
