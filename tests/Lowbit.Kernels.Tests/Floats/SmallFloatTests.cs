using System;
using System.Linq;
using Lowbit.Kernels.Floats;
using Xunit;

namespace Lowbit.Kernels.Tests.Floats;

public class SmallFloatTests
{
    public static TheoryData<string> Formats => [.. SmallFloat.All.Select(format => format.Name)];

    [Theory, MemberData(nameof(Formats))]
    public void Every_number_is_encoded_as_itself(string name)
    {
        SmallFloat format = Find(name);
        for (int code = 0; code < 1 << format.Bits; code++)
        {
            float number = format.Decode(code);
            if (!float.IsFinite(number) || number < -format.Largest) continue;
            Assert.Equal(number == 0 ? 0 : code, format.Encode(number)); // −0 becomes 0
        }
    }

    [Theory, MemberData(nameof(Formats))]
    public void Codes_are_those_of_the_nearest_number_ties_to_even_and_large_ones_saturate(string name)
    {
        SmallFloat format = Find(name);
        (int Code, float Number)[] numbers = [.. Enumerable.Range(0, 1 << format.Bits).Select(code => (code, format.Decode(code))).Where(entry => float.IsFinite(entry.Item2) && entry.Item2 >= -format.Largest)
            .OrderBy(entry => entry.Item2).DistinctBy(entry => entry.Item2)];
        for (int i = 0; i + 1 < numbers.Length; i++)
        {
            float low = numbers[i].Number, high = numbers[i + 1].Number, middle = (low + high) / 2;
            Assert.Equal(low, format.Decode(format.Encode(MathF.BitDecrement(middle))));
            Assert.Equal(high, format.Decode(format.Encode(MathF.BitIncrement(middle))));
            Assert.Equal(0, format.Encode(middle) & 1);
        }
        Assert.Equal(format.Largest, numbers[^1].Number);
        Assert.Equal(format.Largest, format.Decode(format.Encode(1e30f)));
        Assert.Equal(-format.Largest, format.Decode(format.Encode(-1e30f)));
    }

    [Theory]
    [InlineData("e4m3", 0x7E, 448f)]
    [InlineData("e4m3", 0x08, 0.015625f)] // 2^-6, the smallest normal
    [InlineData("e4m3", 0x07, 0.013671875f)] // 7/8 · 2^-6, the largest subnormal
    [InlineData("e4m3", 0x01, 0.001953125f)] // 2^-9
    [InlineData("e4m3", 0x7F, float.NaN)]
    [InlineData("e4m3", 0xB8, -1f)]
    [InlineData("e5m2", 0x7B, 57344f)]
    [InlineData("e5m2", 0x01, 1.52587890625e-5f)] // 2^-16
    [InlineData("e5m2", 0x04, 6.103515625e-5f)] // 2^-14
    [InlineData("e5m2", 0x7C, float.PositiveInfinity)]
    [InlineData("e5m2", 0xFE, float.NaN)]
    [InlineData("e2m1", 0x7, 6f)]
    [InlineData("e2m1", 0x1, 0.5f)]
    [InlineData("e2m1", 0xA, -1f)]
    [InlineData("e2m3", 0x1F, 7.5f)]
    [InlineData("e2m3", 0x01, 0.125f)]
    [InlineData("e3m2", 0x1F, 28f)]
    [InlineData("e3m2", 0x01, 0.0625f)]
    [InlineData("e3m2", 0x24, -0.25f)]
    [InlineData("int8", 0x7F, 1.984375f)]
    [InlineData("int8", 0x80, -2f)]
    public void Numbers_are_those_of_the_specification(string name, int code, float number) => Assert.Equal(number, Find(name).Decode(code));

    [Theory]
    [InlineData("e4m3", 464f, 0x7E)] // half way to 480, which would be NaN
    [InlineData("e4m3", 0.0009765625f, 0)] // half the smallest subnormal: to even
    [InlineData("e4m3", 0.0029296875f, 2)] // one and a half: to even
    [InlineData("e2m1", 2.5f, 4)] // between 2 (code 4) and 3 (code 5)
    [InlineData("e2m1", 5f, 6)] // between 4 (code 6) and 6 (code 7)
    [InlineData("e2m1", 0.25f, 0)]
    [InlineData("e2m1", -0.75f, 0xA)]
    public void Hand_worked_roundings(string name, float value, int code) => Assert.Equal(code, Find(name).Encode(value));

    private static SmallFloat Find(string name) => SmallFloat.All.Single(format => format.Name == name);
}
