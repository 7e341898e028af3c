using System;
using System.Collections.Immutable;
using System.Linq;
using System.Runtime.Intrinsics;
using Lowbit.Core;
using Lowbit.Kernels.Packing;
using Lowbit.Kernels.Uniform;
using Xunit;

namespace Lowbit.Kernels.Tests.Uniform;

public unsafe class PackingTests
{
    [Fact]
    public void Unpacking_gives_back_what_was_packed_for_all_shapes_and_bits()
    {
        int seed = 0;
        foreach (int columns in new[] { 1, 7, 63, 64, 65, 130, 576 })
        {
            for (int bits = 2; bits <= 8; bits++)
            {
                foreach (int group in new[] { 10, 64, columns })
                {
                    UniformCodes codes = UniformMatrices.Random(5, columns, bits, group, ++seed, realZeros: seed % 3 == 0);
                    Packed<UniformLayout> packed = UniformPacking.Pack(codes, seed % 2 == 0 ? ElementFormat.F16 : ElementFormat.F32);
                    UniformMatrix matrix = Assert.IsType<UniformMatrix>(UniformMatrices.Load(packed));
                    UniformCodes back = matrix.Unpack();
                    Assert.Equal(codes.Codes, back.Codes);
                    Assert.Equal(codes.Scales, back.Scales);
                    Assert.Equal(codes.Zeros, back.Zeros);
                    Assert.Equal(codes.RealZeros, back.RealZeros);
                    Assert.Equal(packed.Parts.Sum(part => part.Bytes.LongLength), matrix.Bytes);
                    Assert.All(packed.Parts, part => Assert.Equal(part.Bytes.LongLength, part.Format.ByteCount(part.Shape.Aggregate((a, b) => a * b))));
                }
            }
        }
    }

    [Fact]
    public void Nested_scales_come_back_as_they_were_decoded()
    {
        int seed = 0;
        foreach (int rows in new[] { 1, 16, 17, 40 })
        {
            foreach (ElementFormat format in new[] { ElementFormat.F16, ElementFormat.F32 })
            {
                const int Columns = 77, Group = 10;
                Random random = new(++seed);
                UniformCodes plain = UniformMatrices.Random(rows, Columns, 2 + seed % 7, Group, seed, realZeros: false);
                NestedScales nested = new(rows, plain.Groups);
                UniformCodes codes = new(rows, Columns, plain.Bits, Group) { Nested = nested };
                plain.Codes.CopyTo(codes.Codes, 0);
                plain.Zeros.CopyTo(codes.Zeros, 0);
                for (int i = 0; i < nested.Grids.Length; i++) nested.Grids[i] = (float)(Half)(0.01 + random.NextDouble());
                for (int i = 0; i < nested.Codes.Length; i++)
                {
                    nested.Codes[i] = (byte)random.Next(NestedScales.MaxCode + 1);
                    int grid = (i / plain.Groups / 16 * plain.Groups + i % plain.Groups) * 2;
                    codes.Scales[i] = NestedScales.Decode(nested.Grids[grid], nested.Grids[grid + 1], nested.Codes[i], format);
                }
                Packed<UniformLayout> packed = UniformPacking.Pack(codes, format);
                UniformMatrix matrix = Assert.IsType<UniformMatrix>(UniformMatrices.Load(packed));
                Assert.Equal(codes.Scales, matrix.Unpack().Scales);
                Assert.Equal(codes.Zeros, matrix.Unpack().Zeros);
                Assert.Equal(codes.Codes, matrix.Unpack().Codes);
                Assert.Equal(packed.Parts.Sum(part => part.Bytes.LongLength), matrix.Bytes);
                Assert.All(packed.Parts, part => Assert.Equal(part.Bytes.LongLength, part.Format.ByteCount(part.Shape.Aggregate((a, b) => a * b))));
            }
        }
    }

    [Fact]
    public void Dequantized_rows_equal_the_definition_to_the_bit()
    {
        for (int columns = 1; columns <= 200; columns++)
        {
            foreach (int group in new[] { columns, 64, 24, 10 })
            {
                bool scattered = group == 24;
                UniformCodes codes = UniformMatrices.Random(3, columns, 2 + columns % 7, group, columns, realZeros: group == 10, scattered);
                WeightMatrix matrix = UniformMatrices.Load(UniformPacking.Pack(codes, ElementFormat.F16));
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

    [Fact]
    public void Vector_forms_of_unpacking_equal_the_oracle()
    {
        byte* codes = stackalloc byte[64], want = stackalloc byte[64], got = stackalloc byte[64];
        for (int bits = 2; bits <= 8; bits++)
        {
            GuardedMemory block = new(8 * bits);
            new Random(bits).NextBytes(block.Span);
            CodeBlock.UnpackScalar(block.Pointer, bits, want);
            CodeBlock.Unpack(block.Pointer, bits, got);
            Assert.Equal(new Span<byte>(want, 64).ToArray(), new Span<byte>(got, 64).ToArray());
            if (UniformProductAvx512.IsSupported)
            {
                CodeBlock.UnpackAvx512(block.Pointer, bits).Store(got);
                Assert.Equal(new Span<byte>(want, 64).ToArray(), new Span<byte>(got, 64).ToArray());
            }
            byte[] again = new byte[8 * bits];
            fixed (byte* target = again) CodeBlock.Pack(want, bits, target);
            Assert.Equal(block.Span.ToArray(), again);
        }
    }

    // The example of docs/formats/uniform.md: codes 0 to 4 at columns 0, 1, 16, 32 and 63 of a row with 64.
    [Theory]
    [InlineData(2, "64 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00")]
    [InlineData(4, "30 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 40")]
    public void Worked_example_of_the_documentation(int bits, string bytes)
    {
        UniformCodes codes = new(1, 64, bits, 64);
        codes.Codes[1] = 1;
        codes.Codes[16] = (byte)(bits == 2 ? 1 : 2);
        codes.Codes[32] = (byte)(bits == 2 ? 2 : 3);
        codes.Codes[48] = (byte)(bits == 2 ? 1 : 0);
        codes.Codes[63] = (byte)(bits == 2 ? 0 : 4);
        codes.Scales[0] = 0.5f;
        codes.Zeros[0] = 2;
        Packed<UniformLayout> packed = UniformPacking.Pack(codes, ElementFormat.F16);
        Assert.Equal(bytes, string.Join(' ', packed.Parts[0].Bytes.Select(b => b.ToString("x2", null))));
        Assert.Equal("0038", Convert.ToHexString(packed.Parts[1].Bytes));
        Assert.Equal("02", Convert.ToHexString(packed.Parts[2].Bytes));
    }

    [Fact]
    public void Damaged_parts_are_refused_by_name()
    {
        Packed<UniformLayout> packed = UniformPacking.Pack(UniformMatrices.Random(3, 70, 4, 32, 1, scattered: true), ElementFormat.F16);
        Refused("u_codes", part => part with { Bytes = part.Bytes[1..] });
        Refused("u_codes", part => part with { Format = ElementFormat.I8 });
        Refused("u_scale", part => part with { Bytes = [0, 0x7E, .. part.Bytes[2..]] });
        Refused("u_scale", part => part with { Format = ElementFormat.F32 });
        Refused("u_zero", part => part with { Bytes = [16, .. part.Bytes[1..]] });
        Refused("u_zero", part => part with { Bytes = [.. part.Bytes, 0] });
        Refused("u_order", part => part with { Bytes = [70, 0, 0, 0, .. part.Bytes[4..]] });
        Refused("u_order", part => part with { Bytes = [.. part.Bytes[4..8], .. part.Bytes[4..]] });
        Refused("u_order", part => part with { Bytes = part.Bytes[4..] });
        foreach (PackedPart missing in packed.Parts)
            Assert.Contains(missing.Suffix, Assert.Throws<LowbitException>(() => UniformMatrices.Load(packed.Layout, packed.Parts.Remove(missing))).Message, StringComparison.Ordinal);

        void Refused(string suffix, Func<PackedPart, PackedPart> damage)
        {
            ImmutableArray<PackedPart> parts = [.. packed.Parts.Select(part => part.Suffix == suffix ? damage(part) : part)];
            Assert.Contains($"blk.0.{suffix}", Assert.Throws<LowbitException>(() => UniformMatrices.Load(packed.Layout, parts)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Impossible_layouts_are_refused()
    {
        Packed<UniformLayout> packed = UniformPacking.Pack(UniformMatrices.Random(3, 70, 4, 32, 1), ElementFormat.F16);
        foreach (UniformLayout layout in new[]
        {
            packed.Layout with { Rows = 0 }, packed.Layout with { Rows = int.MaxValue }, packed.Layout with { Rows = 4 }, packed.Layout with { Columns = -1 },
            packed.Layout with { Columns = 129 }, packed.Layout with { Bits = 1 }, packed.Layout with { Bits = 9 }, packed.Layout with { Bits = 5 },
            packed.Layout with { GroupSize = 0 }, packed.Layout with { GroupSize = 16 }, packed.Layout with { ScaleFormat = ElementFormat.BF16 },
            packed.Layout with { RealZeros = true }, packed.Layout with { Reordered = true },
        })
        {
            Assert.Contains("blk.0", Assert.Throws<LowbitException>(() => UniformMatrices.Load(layout, packed.Parts)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Codes_that_cannot_be_packed_are_refused()
    {
        UniformCodes codes = UniformMatrices.Random(2, 8, 3, 4, 1);
        codes.Codes[9] = 8;
        Assert.Contains("[1, 1]", Assert.Throws<LowbitException>(() => UniformPacking.Pack(codes, ElementFormat.F32)).Message, StringComparison.Ordinal);
        codes.Codes[9] = 7;
        codes.Zeros[0] = 8;
        Assert.Throws<LowbitException>(() => UniformPacking.Pack(codes, ElementFormat.F32));
        codes.Zeros[0] = 7;
        codes.Scales[3] = 1e6f;
        Assert.Contains("F16", Assert.Throws<LowbitException>(() => UniformPacking.Pack(codes, ElementFormat.F16)).Message, StringComparison.Ordinal);
        Assert.NotNull(UniformPacking.Pack(codes, ElementFormat.F32));
        Assert.Throws<LowbitException>(() => UniformPacking.Pack(new UniformCodes(1, 4, 2, 2, [0, 0, 0, 1]), ElementFormat.F32));
    }
}
