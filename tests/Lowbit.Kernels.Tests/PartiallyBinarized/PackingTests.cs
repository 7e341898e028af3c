using System;
using System.Collections.Immutable;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Xunit;

namespace Lowbit.Kernels.Tests.PartiallyBinarized;

public unsafe class PackingTests
{
    [Fact]
    public void Unpacking_gives_back_what_was_packed_for_all_shapes_and_bits()
    {
        int seed = 0;
        foreach (int columns in new[] { 1, 7, 8, 63, 64, 65, 130, 200, 576 })
        {
            for (int lowBits = 0; lowBits <= 2; lowBits++)
            {
                for (int highBits = 2; highBits <= 8; highBits++)
                {
                    foreach (double salient in new[] { 0, 0.1, 0.5, 1 })
                    {
                        PartiallyBinarizedCodes codes = PackedMatrices.Random(5, columns, salient, lowBits, highBits, 64, 1 + columns / 2, ++seed);
                        ElementFormat scales = seed % 2 == 0 ? ElementFormat.F16 : ElementFormat.F32;
                        PositionsForm positions = seed % 3 == 0 ? PositionsForm.Coded : PositionsForm.Bitmap;
                        Equal(codes, PackedMatrices.Load(PartiallyBinarizedPacking.Pack(codes, scales, positions)).Unpack());
                    }
                }
            }
        }
    }

    [Fact]
    public void Dequantized_rows_equal_the_definition_to_the_bit()
    {
        int seed = 0;
        for (int columns = 1; columns <= 300; columns++)
        {
            foreach ((int lowBits, int highBits, int group) in new[] { (1, 8, columns), (2, 4, 64), (0, 8, 24), (1, 2, 10), (2, 2, columns) })
            {
                PartiallyBinarizedCodes codes = PackedMatrices.Random(3, columns, (seed % 7) / 6.0, lowBits, highBits, group, group, ++seed);
                PartiallyBinarizedMatrix matrix = PackedMatrices.Load(PartiallyBinarizedPacking.Pack(codes, ElementFormat.F16, PositionsForm.Bitmap));
                float[] want = new float[3 * columns];
                codes.Dequantize(want);
                GuardedMemory got = new(4L * want.Length);
                matrix.DequantizeRows(0, 3, (float*)got.Pointer);
                Assert.Equal(want, new Span<float>(got.Pointer, want.Length).ToArray());
                matrix.DequantizeRows(1, 1, (float*)got.Pointer);
                Assert.Equal(want.AsSpan(columns, columns).ToArray(), new Span<float>(got.Pointer, columns).ToArray());
            }
        }
    }

    // The example of docs/formats/partially-binarized.md.
    [Fact]
    public void Worked_example_of_the_documentation()
    {
        PartiallyBinarizedCodes codes = new(2, 8, 1, 8, 8, 8);
        new byte[] { 1, 0, 200, 1, 1, 0, 7, 0, 0, 1, 1, 0, 255, 1, 0, 1 }.CopyTo(codes.Codes, 0);
        codes.Salient[2] = codes.Salient[6] = codes.Salient[12] = true;
        (codes.LowScale[0], codes.LowScale[1], codes.LowMean[0], codes.LowMean[1]) = (0.5f, 0.25f, 0, 0.125f);
        (codes.HighScale[0], codes.HighScale[1], codes.HighZero[0], codes.HighZero[1]) = (0.0625f, 0.03125f, 128, 100);
        Packed<PartiallyBinarizedLayout> packed = PartiallyBinarizedPacking.Pack(codes, ElementFormat.F16, PositionsForm.Bitmap);
        Assert.Equal("44000000000000001000000000000000", Hex(packed, "pb_positions"));
        Assert.Equal("1D00000000000000B600000000000000", Hex(packed, "pb_low"));
        Assert.Equal("C8037F", Hex(packed, "pb_high"));
        Assert.Equal("00380034", Hex(packed, "pb_low_scale"));
        Assert.Equal("00000030", Hex(packed, "pb_low_mean"));
        Assert.Equal("002C0028", Hex(packed, "pb_high_scale"));
        Assert.Equal("8064", Hex(packed, "pb_high_zero"));
        PartiallyBinarizedMatrix matrix = PackedMatrices.Load(packed);
        float* row = stackalloc float[8];
        matrix.DequantizeRows(0, 1, row);
        Assert.Equal(new[] { 0.5f, -0.5f, 4.5f, 0.5f, 0.5f, -0.5f, -7.5625f, -0.5f }, new Span<float>(row, 8).ToArray());
        packed = PartiallyBinarizedPacking.Pack(codes, ElementFormat.F16, PositionsForm.Coded);
        Assert.Equal(1, packed.Layout.RiceParameter);
        Assert.Equal("0300000000000000" + "E902", Hex(packed, "pb_positions"));
    }

    [Theory]
    [InlineData(576, PositionsForm.Bitmap, 2.72)]
    [InlineData(1536, PositionsForm.Bitmap, 2.72)]
    [InlineData(576, PositionsForm.Coded, 2.20)]
    [InlineData(1536, PositionsForm.Coded, 2.20)]
    public void True_bits_at_one_salient_weight_in_ten(int columns, PositionsForm positions, double most)
    {
        PartiallyBinarizedCodes codes = PackedMatrices.Random(200, columns, 0.1, 1, 8, columns, columns);
        PartiallyBinarizedBytes parts = PackedMatrices.Load(PartiallyBinarizedPacking.Pack(codes, ElementFormat.F16, positions)).Parts;
        double bits = 8.0 * (parts.Stored - parts.Scales) / (200.0 * columns);
        Assert.InRange(bits, most - 0.06, most);
        Assert.Equal(7 * 200, parts.Scales);
    }

    [Fact]
    public void Damaged_parts_are_refused_by_name_or_change_nothing_but_values()
    {
        foreach (PositionsForm form in new[] { PositionsForm.Bitmap, PositionsForm.Coded })
        {
            PartiallyBinarizedCodes codes = PackedMatrices.Random(6, 100, 0.2, 1, 5, 32, 100);
            Packed<PartiallyBinarizedLayout> packed = PartiallyBinarizedPacking.Pack(codes, ElementFormat.F16, form);
            Random random = new(3);
            int refused = 0;
            for (int round = 0; round < 1500; round++)
            {
                PackedPart victim = packed.Parts[random.Next(packed.Parts.Length)];
                byte[] bytes = (byte[])victim.Bytes.Clone();
                switch (random.Next(4))
                {
                    case 0: bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8)); break;
                    case 1: bytes[random.Next(bytes.Length)] = 0xFF; break;
                    case 2: bytes = bytes[..random.Next(bytes.Length)]; break;
                    default: bytes = [.. bytes, (byte)random.Next(256)]; break;
                }
                try
                {
                    PartiallyBinarizedMatrix matrix = PackedMatrices.Load(packed.Layout, packed.Parts.Replace(victim, victim with { Bytes = bytes }));
                    Multiply(matrix);
                }
                catch (LowbitException e)
                {
                    Assert.Contains("blk.0", e.Message, StringComparison.Ordinal);
                    refused++;
                }
            }
            Assert.InRange(refused, 700, 1499);
        }
    }

    [Fact]
    public void Missing_parts_and_wrong_formats_are_refused_by_name()
    {
        Packed<PartiallyBinarizedLayout> packed = PartiallyBinarizedPacking.Pack(PackedMatrices.Random(6, 100, 0.2, 1, 5, 32, 100), ElementFormat.F32, PositionsForm.Bitmap);
        foreach (PackedPart part in packed.Parts)
        {
            Assert.Contains($"blk.0.{part.Suffix}", Assert.Throws<LowbitException>(() => PackedMatrices.Load(packed.Layout, packed.Parts.Remove(part))).Message, StringComparison.Ordinal);
            ImmutableArray<PackedPart> wrong = packed.Parts.Replace(part, part with { Format = ElementFormat.I64 });
            Assert.Contains($"blk.0.{part.Suffix}", Assert.Throws<LowbitException>(() => PackedMatrices.Load(packed.Layout, wrong)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Impossible_layouts_are_refused()
    {
        PartiallyBinarizedLayout good = new(4, 8, 1, 8, 8, 8, ElementFormat.F16);
        good.Check("m");
        foreach (PartiallyBinarizedLayout bad in new[]
        {
            good with { Rows = 0 }, good with { Rows = int.MaxValue }, good with { Columns = -1 }, good with { LowBits = 3 }, good with { LowBits = -1 },
            good with { HighBits = 1 }, good with { HighBits = 9 }, good with { LowGroupSize = 0 }, good with { HighGroupSize = -5 },
            good with { ScaleFormat = ElementFormat.I8 }, good with { Positions = (PositionsForm)7 }, good with { RiceParameter = 31 },
        })
        {
            Assert.Throws<LowbitException>(() => bad.Check("m"));
        }
    }

    [Fact]
    public void Codes_and_scales_out_of_range_are_not_packed()
    {
        Refused(codes => codes.Codes[3] = 2);
        Refused(codes => (codes.Salient[3], codes.Codes[3]) = (true, 32));
        Refused(codes => codes.HighZero[0] = 32);
        Refused(codes => codes.LowMean[0] = float.NaN);
        Refused(codes => codes.HighScale[0] = 1e6f); // too large for a half

        static void Refused(Action<PartiallyBinarizedCodes> damage)
        {
            PartiallyBinarizedCodes codes = PackedMatrices.Random(2, 10, 0, 1, 5, 10, 10);
            damage(codes);
            Assert.Throws<LowbitException>(() => PartiallyBinarizedPacking.Pack(codes, ElementFormat.F16, PositionsForm.Bitmap));
        }
    }

    [Fact]
    public void Code_streams_of_every_width_and_length()
    {
        for (int bits = 1; bits <= 8; bits++)
        {
            for (int count = 0; count <= 100; count++)
            {
                Random random = new(count);
                GuardedMemory stream = new(CodeStream.Bytes(count, bits)), codes = new((count + 15) / 16 * 16);
                byte[] want = new byte[count];
                for (int i = 0; i < count; i++) CodeStream.Write(stream.Span, i, bits, want[i] = (byte)random.Next(1 << bits));
                CodeStream.Unpack(stream.Pointer, stream.Pointer + stream.Length, count, bits, codes.Pointer);
                Assert.Equal(want, codes.Span[..count].ToArray());
            }
        }
    }

    private static string Hex(Packed<PartiallyBinarizedLayout> packed, string suffix) => Convert.ToHexString(packed.Parts.Single(p => p.Suffix == suffix).Bytes);

    private static void Multiply(PartiallyBinarizedMatrix matrix)
    {
        using WorkerPool pool = new(1);
        using Activations activations = new(1, matrix.Columns, ActivationMode.EightBit) { Tokens = 1 };
        activations.Quantize(pool);
        float[] output = new float[matrix.Rows];
        fixed (float* p = output) matrix.Multiply(pool, activations, p);
        matrix.Unpack();
    }

    private static void Equal(PartiallyBinarizedCodes want, PartiallyBinarizedCodes got)
    {
        Assert.Equal(want.Salient, got.Salient);
        Assert.Equal(want.Codes, got.Codes);
        Assert.Equal(want.LowScale, got.LowScale);
        Assert.Equal(want.LowMean, got.LowMean);
        Assert.Equal(want.HighScale, got.HighScale);
        Assert.Equal(want.HighZero, got.HighZero);
    }
}
