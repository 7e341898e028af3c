using System;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Xunit;

namespace Lowbit.Kernels.Tests.PartiallyBinarized;

public unsafe class RicePositionsTests
{
    [Fact]
    public void Decoding_gives_back_the_bitmap_for_every_parameter()
    {
        foreach ((int rows, int columns) in new[] { (1, 1), (3, 5), (7, 64), (4, 100), (2, 576) })
        {
            foreach (double share in new[] { 0, 0.02, 0.1, 0.7, 1 })
            {
                ulong[] bitmap = Bitmap(rows, columns, share);
                int best = RicePositions.BestParameter(bitmap, rows, columns), shortest = RicePositions.Encode(bitmap, rows, columns, best).Length;
                foreach (int k in new[] { 0, 1, 2, 3, 7, 13, 30 })
                {
                    byte[] code = RicePositions.Encode(bitmap, rows, columns, k);
                    Assert.True(code.Length >= shortest);
                    ulong[] decoded = new ulong[bitmap.Length];
                    fixed (ulong* target = decoded) RicePositions.Decode("t", code, rows, columns, k, target);
                    Assert.Equal(bitmap, decoded);
                }
            }
        }
    }

    [Fact]
    public void Random_bytes_are_refused_or_decode_to_something_within_the_matrix()
    {
        Random random = new(1);
        ulong[] target = new ulong[2 * 9];
        for (int round = 0; round < 20_000; round++)
        {
            byte[] code = new byte[random.Next(60)];
            random.NextBytes(code);
            if (code.Length >= 8) BitConverter.TryWriteBytes(code, (long)random.Next(40));
            if (random.Next(3) == 0) code.AsSpan(Math.Min(8, code.Length)).Fill(0xFF);
            Array.Clear(target);
            try
            {
                fixed (ulong* bitmap = target) RicePositions.Decode("blk.pb_positions", code, 2, 576, random.Next(31), bitmap);
            }
            catch (LowbitException e)
            {
                Assert.Contains("blk.pb_positions", e.Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void Code_at_one_salient_weight_in_ten_takes_less_than_half_a_bit()
    {
        ulong[] bitmap = Bitmap(400, 576, 0.1);
        double bits = 8.0 * RicePositions.Encode(bitmap, 400, 576, RicePositions.BestParameter(bitmap, 400, 576)).Length / (400 * 576);
        Assert.InRange(bits, 0.46, 0.49); // the entropy is 0.469
    }

    private static ulong[] Bitmap(int rows, int columns, double share)
    {
        Random random = new(rows * columns);
        ulong[] bitmap = new ulong[rows * ((columns + 63) / 64)];
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++)
                if (random.NextDouble() < share) bitmap[r * ((columns + 63) / 64) + c / 64] |= 1UL << c % 64;
        return bitmap;
    }
}
