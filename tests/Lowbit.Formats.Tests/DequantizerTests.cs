using System;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;
using Xunit;

namespace Lowbit.Formats.Tests;

public sealed unsafe class DequantizerTests
{
    [Fact]
    public void LayoutsHaveTheSizesOfTheirFormats()
    {
        Assert.Equal(ElementFormat.Q4_0.BlockBytes(), sizeof(BlockQ4_0));
        Assert.Equal(ElementFormat.Q4_1.BlockBytes(), sizeof(BlockQ4_1));
        Assert.Equal(ElementFormat.Q5_0.BlockBytes(), sizeof(BlockQ5_0));
        Assert.Equal(ElementFormat.Q5_1.BlockBytes(), sizeof(BlockQ5_1));
        Assert.Equal(ElementFormat.Q8_0.BlockBytes(), sizeof(BlockQ8_0));
        Assert.Equal(ElementFormat.Q2_K.BlockBytes(), sizeof(BlockQ2_K));
        Assert.Equal(ElementFormat.Q3_K.BlockBytes(), sizeof(BlockQ3_K));
        Assert.Equal(ElementFormat.Q4_K.BlockBytes(), sizeof(BlockQ4_K));
        Assert.Equal(ElementFormat.Q5_K.BlockBytes(), sizeof(BlockQ5_K));
        Assert.Equal(ElementFormat.Q6_K.BlockBytes(), sizeof(BlockQ6_K));
        Assert.Equal(ElementFormat.IQ4_NL.BlockBytes(), sizeof(BlockIQ4_NL));
        Assert.Equal(ElementFormat.MXFP4.BlockBytes(), sizeof(BlockMXFP4));
        Assert.Equal(ElementFormat.TQ1_0.BlockBytes(), sizeof(BlockTQ1_0));
        Assert.Equal(ElementFormat.TQ2_0.BlockBytes(), sizeof(BlockTQ2_0));
    }

    [Fact]
    public void EveryRealFormatIsDequantized()
    {
        foreach (ElementFormat format in Enum.GetValues<ElementFormat>())
        {
            int length = format.BlockLength();
            byte[] source = new byte[Math.Max(1, format.BlockBytes())];
            if (Dequantizer.Supports(format)) Assert.Equal(length, Run(format, source, length, vector: false).Length);
            else Assert.Throws<LowbitException>(() => Run(format, source, length, vector: true));
        }
    }

    // Random bytes have every code, NaN and infinite scales, denormals and both zeros. Which NaN comes of two is open.
    [Theory]
    [InlineData(ElementFormat.BF16)]
    [InlineData(ElementFormat.Q8_0)]
    [InlineData(ElementFormat.Q4_0)]
    [InlineData(ElementFormat.Q4_1)]
    public void VectorTwinGivesTheBitsOfTheScalarCode(ElementFormat format)
    {
        Random random = new(1);
        for (int blocks = 0; blocks < 300; blocks++)
        {
            byte[] source = new byte[blocks * format.BlockBytes() + 1];
            random.NextBytes(source);
            long elements = (long)blocks * format.BlockLength();
            AssertSame(Run(format, source, elements, vector: false), Run(format, source, elements, vector: true));
            AssertSame(Run(format, source[1..], elements, vector: false), Run(format, source, elements, vector: true, start: 1)); // at an odd address
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(15)]
    public void AllHalvesAreWidenedAsTheRuntimeDoes(int tail)
    {
        byte[] source = new byte[(65536 + tail) * 2];
        for (int i = 0; i < 65536 + tail; i++) BitConverter.TryWriteBytes(source.AsSpan(2 * i), (ushort)i);
        uint[] vector = Run(ElementFormat.F16, source, 65536 + tail, vector: true);
        Assert.Equal(Run(ElementFormat.F16, source, 65536 + tail, vector: false), vector);
        for (int i = 0; i < 65536; i++) Assert.Equal(BitConverter.SingleToUInt32Bits((float)BitConverter.UInt16BitsToHalf((ushort)i)), vector[i]);
    }

    [Fact]
    public void Q4_1ByHand()
    {
        byte[] block = new byte[20];
        BitConverter.TryWriteBytes(block, (Half)0.5f);
        BitConverter.TryWriteBytes(block.AsSpan(2), (Half)(-3f));
        block[4] = 0xF2; // weight 0 has code 2, weight 16 code 15
        uint[] w = Run(ElementFormat.Q4_1, block, 32, vector: true);
        Assert.Equal(-2f, BitConverter.UInt32BitsToSingle(w[0]));
        Assert.Equal(4.5f, BitConverter.UInt32BitsToSingle(w[16]));
        Assert.Equal(-3f, BitConverter.UInt32BitsToSingle(w[1]));
    }

    [Fact]
    public void TheSmallestScalesOfMXFP4AreDenormal()
    {
        byte[] block = new byte[17];
        block[1] = 0x01; // the smallest value, 0.5
        foreach (byte exponent in new byte[] { 0, 1, 2, 127, 254 })
        {
            block[0] = exponent;
            float w = BitConverter.UInt32BitsToSingle(Run(ElementFormat.MXFP4, block, 32, vector: true)[0]);
            Assert.Equal((float)Math.ScaleB(0.5, exponent - 127), w);
        }
    }

    [Fact]
    public void DoublesAreRoundedToNearest()
    {
        double[] values = [1 + Math.ScaleB(1, -25), Math.PI, -0.0, 1e300];
        byte[] source = new byte[values.Length * 8];
        Buffer.BlockCopy(values, 0, source, 0, source.Length);
        uint[] expected = Array.ConvertAll(values, value => BitConverter.SingleToUInt32Bits((float)value));
        Assert.Equal(expected, Run(ElementFormat.F64, source, values.Length, vector: true));
    }

    [Fact]
    public void PartsOfBlocksAreRefused() =>
        Assert.Throws<ArgumentException>(() => Run(ElementFormat.Q4_0, new byte[18], 31, vector: true));

    private static void AssertSame(uint[] expected, uint[] actual) =>
        Assert.Equal(Array.ConvertAll(expected, OneNaN), Array.ConvertAll(actual, OneNaN));

    private static uint OneNaN(uint bits) => float.IsNaN(BitConverter.UInt32BitsToSingle(bits)) ? 0x7FC0_0000 : bits;

    private static uint[] Run(ElementFormat format, byte[] source, long elements, bool vector, int start = 0)
    {
        uint[] result = new uint[elements];
        fixed (byte* from = source)
        fixed (uint* to = result)
        {
            if (vector) Dequantizer.ToFloat(format, from + start, elements, (float*)to);
            else Dequantizer.ToFloatScalar(format, from + start, elements, (float*)to);
        }
        return result;
    }
}
