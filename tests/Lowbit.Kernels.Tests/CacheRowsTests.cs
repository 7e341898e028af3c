using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;
using Xunit;

namespace Lowbit.Kernels.Tests;

public unsafe class CacheRowsTests
{
    private static readonly float[] s_hard =
        [0, -0f, 1, float.Epsilon, 1e-40f, -1e-9f, 6e-8f, 9e-8f, -3e-5f, 1e-5f, 0.1f, -127, 8.5f, 2048.5f, 65504, 65520, -1e9f, 3e38f, float.PositiveInfinity, float.NegativeInfinity, float.NaN];

    public static TheoryData<ElementFormat, int, int, int, int, int> Shapes
    {
        get
        {
            TheoryData<ElementFormat, int, int, int, int, int> data = [];
            foreach (ElementFormat format in (ElementFormat[])[ElementFormat.F16, ElementFormat.Q8_0, ElementFormat.Q4_0])
            {
                data.Add(format, 8, 2, 64, 1, 300);
                data.Add(format, 9, 3, 32, 3, 127);
                data.Add(format, 8, 4, 16, 2, 40);
                data.Add(format, 4, 4, 24, 1, 150); // heads begin and end within blocks
                data.Add(format, 8, 2, 64, 150, 20);
                data.Add(format, 8, 4, 16, 70, 3);
                data.Add(format, 4, 4, 24, 60, 130);
            }
            return data;
        }
    }

    [Fact]
    public void Halves_are_the_nearest()
    {
        List<float> values = [.. s_hard];
        for (int bits = 0; bits <= 0x7C00; bits++)
        {
            // Every half, and what lies about the middle between it and the next.
            float half = (float)BitConverter.UInt16BitsToHalf((ushort)bits), next = bits < 0x7C00 ? (float)BitConverter.UInt16BitsToHalf((ushort)(bits + 1)) : half;
            float middle = float.IsFinite(next) ? (half + next) / 2 : 65520;
            values.AddRange([half, -half, middle, -middle, MathF.BitIncrement(middle), MathF.BitDecrement(middle)]);
        }
        Random random = new(1);
        while (values.Count % 8 != 0 || values.Count < 300_000) values.Add(BitConverter.Int32BitsToSingle(random.Next()));
        ushort* got = stackalloc ushort[8];
        fixed (float* source = values.ToArray())
        {
            for (int i = 0; i < values.Count; i++)
            {
                if (i % 8 == 0) CacheEncoding.Halves(source + i, got);
                Half want = (Half)values[i], found = BitConverter.UInt16BitsToHalf(got[i % 8]);
                Assert.True(Half.IsNaN(want) ? Half.IsNaN(found) : BitConverter.HalfToUInt16Bits(want) == got[i % 8], $"{values[i]:R}: {found}, expected {want}");
            }
        }
    }

    [Fact]
    public void Blocks_are_those_of_the_scalar_code()
    {
        Random random = new(2);
        float* x = stackalloc float[32];
        for (int round = 0; round < 5000; round++)
        {
            float scale = MathF.Pow(10, random.Next(-9, 9));
            for (int i = 0; i < 32; i++) x[i] = round % 3 == 0 ? scale * random.Next(-8, 9) / 16 : scale * (2 * random.NextSingle() - 1);
            if (round % 7 == 0) x[random.Next(32)] = s_hard[random.Next(s_hard.Length)];
            if (round == 1) new Span<float>(x, 32).Clear();
            BlockQ8_0 eight, eightScalar;
            BlockQ4_0 four, fourScalar;
            CacheEncoding.Q8_0(x, &eight);
            CacheEncoding.Q8_0Scalar(x, &eightScalar);
            CacheEncoding.Q4_0(x, &four);
            CacheEncoding.Q4_0Scalar(x, &fourScalar);
            Assert.True(new ReadOnlySpan<byte>(&eight, sizeof(BlockQ8_0)).SequenceEqual(new ReadOnlySpan<byte>(&eightScalar, sizeof(BlockQ8_0))), $"Q8_0, round {round}");
            Assert.True(new ReadOnlySpan<byte>(&four, sizeof(BlockQ4_0)).SequenceEqual(new ReadOnlySpan<byte>(&fourScalar, sizeof(BlockQ4_0))), $"Q4_0, round {round}");
        }
    }

    [Theory]
    [InlineData(ElementFormat.F16, 5e-4)]
    [InlineData(ElementFormat.Q8_0, 0.503 / 127)]
    [InlineData(ElementFormat.Q4_0, 1.001 / 8)]
    public void What_is_read_is_what_was_written_but_for_rounding(ElementFormat format, double bound)
    {
        const int Columns = 96, Rows = 7;
        using NativeBuffer source = TestValues.Random(Columns * Rows, 3, 5), room = new(Rows * CacheRows.Room(Columns) * 4), memory = new(10 * format.ByteCount(Columns));
        CacheRows rows = new((nint)memory.Pointer, format, Columns);
        rows.Write(2, source.Floats, Rows);
        float* got = rows.Read(2, Rows, 0, Columns, room.Floats, out long stride);
        for (int r = 0; r < Rows; r++)
            for (int c = 0; c < Columns; c++)
                Assert.True(Math.Abs(got[r * stride + c] - source.Floats[r * Columns + c]) <= 5 * bound, $"[{r}, {c}]: {got[r * stride + c]}, written {source.Floats[r * Columns + c]}");
        source.Floats[Columns + 40] = float.NaN;
        rows.Write(2, source.Floats, Rows);
        Assert.True(float.IsNaN(rows.Read(3, 1, 40, 1, room.Floats, out _)[0]));
        Assert.False(float.IsNaN(rows.Read(3, 1, 64, 1, room.Floats, out _)[0]));
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Attention_is_that_over_the_expanded_rows(ElementFormat format, int heads, int keyValueHeads, int headDim, int tokens, int firstPosition)
    {
        int positions = firstPosition + tokens, columns = keyValueHeads * headDim;
        AttentionShape shape = new(heads, keyValueHeads, headDim, 1 / MathF.Sqrt(headDim));
        using WorkerPool pool = new(3), single = new(1);
        using Attention attention = new(positions, heads * headDim, heads);
        using NativeBuffer q = TestValues.Random((long)tokens * heads * headDim, 1, 6), k = TestValues.Random((long)positions * columns, 2), v = TestValues.Random((long)positions * columns, 3),
            want = new((long)tokens * heads * headDim * 4), got = new(want.Bytes), alone = new(want.Bytes);
        GuardedMemory keyMemory = new(positions * format.ByteCount(columns)), valueMemory = new(keyMemory.Length);
        CacheRows keys = new((nint)keyMemory.Pointer, format, columns), values = new((nint)valueMemory.Pointer, format, columns);
        keys.Write(0, k.Floats, positions);
        values.Write(0, v.Floats, positions);
        attention.Compute(pool, shape, q.Floats, keys, values, tokens, firstPosition, got.Floats);
        attention.Compute(single, shape, q.Floats, keys, values, tokens, firstPosition, alone.Floats);
        Dequantizer.ToFloatScalar(format, keyMemory.Pointer, (long)positions * columns, k.Floats);
        Dequantizer.ToFloatScalar(format, valueMemory.Pointer, (long)positions * columns, v.Floats);
        attention.Compute(pool, shape, q.Floats, new(k.Floats, columns), new(v.Floats, columns), tokens, firstPosition, want.Floats);
        int count = tokens * heads * headDim;
        Assert.True(new ReadOnlySpan<float>(want.Floats, count).SequenceEqual(new(got.Floats, count)));
        Assert.True(new ReadOnlySpan<float>(got.Floats, count).SequenceEqual(new(alone.Floats, count)));
        GC.KeepAlive(keyMemory);
        GC.KeepAlive(valueMemory);
    }
}
