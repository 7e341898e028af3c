using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Linq;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;
using Lowbit.Kernels.Levels;
using Lowbit.Kernels.Tables;
using Lowbit.Kernels.Tests.Uniform;
using Xunit;

namespace Lowbit.Kernels.Tests.Tables;

public unsafe class TableMatrixTests
{
    private readonly WorkerPool _pool = new(2);

    [Fact]
    public void Unpacking_gives_back_what_was_packed()
    {
        int seed = 0;
        foreach ((int rows, int columns) in new[] { (1, 1), (3, 7), (5, 64), (40, 130), (300, 64) })
        {
            foreach (bool nested in new[] { false, true })
            {
                TableCodes codes = Random(rows, columns, 64, nested, ++seed);
                Packed<TableLayout> packed = TablePacking.Pack(codes);
                TableMatrix matrix = Load(packed);
                TableCodes back = matrix.Unpack();
                Assert.Equal(codes.Codes, back.Codes);
                Assert.Equal(codes.Scales, back.Scales);
                Assert.Equal(codes.Table.ToArray(), back.Table.ToArray());
                Assert.Equal(codes.Nested?.Codes, back.Nested?.Codes);
                Assert.Equal(codes.Nested?.Offset, back.Nested?.Offset);
                Assert.Equal(packed.Parts.Sum(part => part.Bytes.LongLength), matrix.Bytes);
                Assert.All(packed.Parts, part => Assert.Equal(part.Bytes.LongLength, part.Format.ByteCount(part.Shape.Aggregate((a, b) => a * b))));
            }
        }
    }

    [Fact]
    public void Dequantized_rows_equal_the_definition_to_the_bit()
    {
        for (int columns = 1; columns <= 140; columns++)
        {
            TableCodes codes = Random(5, columns, columns % 3 == 0 ? 64 : 6, columns % 2 == 0, columns);
            TableMatrix matrix = Load(TablePacking.Pack(codes));
            float[] want = new float[5 * columns];
            codes.Dequantize(want);
            GuardedMemory got = new(4L * want.Length);
            matrix.DequantizeRows(0, 5, (float*)got.Pointer);
            Assert.Equal(want, new Span<float>(got.Pointer, want.Length).ToArray());
            matrix.DequantizeRows(3, 2, (float*)got.Pointer);
            Assert.Equal(want.AsSpan(3 * columns, 2 * columns).ToArray(), new Span<float>(got.Pointer, 2 * columns).ToArray());
        }
    }

    [Theory]
    [InlineData(ActivationMode.Float, 1)]
    [InlineData(ActivationMode.Float, 9)]
    [InlineData(ActivationMode.EightBit, 3)]
    [InlineData(ActivationMode.EightBit, 9)]
    public void Product_agrees_with_the_definition(ActivationMode mode, int tokens)
    {
        TableCodes codes = Random(13, 200, 64, true, 1);
        using Activations activations = new(tokens, 200, mode) { Tokens = tokens };
        Random random = new(tokens);
        for (int i = 0; i < tokens * 200; i++) activations.Values[i] = 2 * random.NextSingle() - 1;
        activations.Quantize(_pool);
        float[] got = new float[13 * tokens];
        fixed (float* output = got) Load(TablePacking.Pack(codes)).Multiply(_pool, activations, output);
        for (int t = 0; t < tokens; t++)
        {
            for (int r = 0; r < 13; r++)
            {
                double want = 0;
                for (int c = 0; c < 200; c++)
                {
                    int block = t * activations.Blocks + c / 64;
                    double x = mode == ActivationMode.EightBit ? (double)activations.Scales[block] * activations.Codes[64 * block + c % 64] : activations.Values[t * 200 + c];
                    want += codes.Dequantize(r, c) * x;
                }
                Assert.Equal(want, got[t * 13 + r], 1e-4);
            }
        }
    }

    [InstructionSetFact(nameof(Avx2))]
    public void Avx2_makes_the_levels_of_the_definition_in_registers() => RowsAgree<LevelDotAvx2>();

    [InstructionSetFact(nameof(Avx512F))]
    public void Avx512_makes_the_levels_of_the_definition_in_registers() => RowsAgree<LevelDotAvx512>();

    [Fact]
    public void Worked_example_of_the_documentation()
    {
        TableCodes codes = new(1, 5, [.. Enumerable.Range(0, 16).Select(k => k / 15f)], 4);
        new byte[] { 1, 2, 15, 0, 7 }.CopyTo(codes.Codes, 0);
        codes.Scales[0] = 1;
        codes.Scales[1] = 2;
        Packed<TableLayout> packed = TablePacking.Pack(codes);
        Assert.Equal("12F070", Convert.ToHexString(packed.Parts[0].Bytes));
        Assert.Equal("0000803F00000040", Convert.ToHexString(packed.Parts[2].Bytes));
    }

    [Fact]
    public void Damaged_parts_and_impossible_layouts_are_refused_by_name()
    {
        Packed<TableLayout> packed = TablePacking.Pack(Random(3, 70, 64, true, 1));
        foreach (PackedPart part in packed.Parts)
        {
            Refused(part.Suffix, packed.Parts.Remove(part));
            Refused(part.Suffix, packed.Parts.Replace(part, part with { Bytes = part.Bytes[1..] }));
            Refused(part.Suffix, packed.Parts.Replace(part, part with { Format = ElementFormat.I8 }));
            if (part.Format == ElementFormat.F32)
                Refused(part.Suffix, packed.Parts.Replace(part, part with { Bytes = [0, 0, 0xC0, 0x7F, .. part.Bytes[4..]] }));
        }
        foreach (TableLayout layout in new[]
        {
            packed.Layout with { Rows = 0 }, packed.Layout with { Rows = 1 << 30, Columns = 1 << 30 }, packed.Layout with { Columns = 69 }, packed.Layout with { BlockSize = 3 },
            packed.Layout with { BlockSize = 0 }, packed.Layout with { BlockSize = 32 }, packed.Layout with { NestedScales = false },
        })
        {
            Assert.Contains("blk.0", Assert.Throws<LowbitException>(() => Load(packed with { Layout = layout })).Message, StringComparison.Ordinal);
        }

        void Refused(string suffix, ImmutableArray<PackedPart> parts) =>
            Assert.Contains($"blk.0.{suffix}", Assert.Throws<LowbitException>(() => Load(packed with { Parts = parts })).Message, StringComparison.Ordinal);
    }

    private static void RowsAgree<TDot>() where TDot : struct, ILevelDot
    {
        int seed = 0;
        foreach (int columns in new[] { 64, 128, 384 })
            foreach (int block in new[] { 64, 128 })
                foreach (bool nested in new[] { false, true })
                {
                    if (columns % block != 0) continue;
                    TableCodes codes = Random(5, columns, block, nested, ++seed);
                    PackedProducts.RowsAgreeWithDefinition<TDot>(codes, Load(TablePacking.Pack(codes)), (ActivationMode)(seed % 2), 1 + seed % 2);
                }
    }

    private static TableMatrix Load(Packed<TableLayout> packed) => new("blk.0", packed.Layout, UniformMatrices.Tensors(packed.Parts));

    private static TableCodes Random(int rows, int columns, int blockSize, bool nested, int seed)
    {
        Random random = new(seed);
        ImmutableArray<float> table = [.. Values(16)];
        TableCodes codes = new(rows, columns, table, blockSize);
        if (nested)
        {
            byte[] scaleCodes = new byte[codes.Blocks];
            random.NextBytes(scaleCodes);
            codes = new(rows, columns, table, blockSize) { Nested = new([.. Values(256)], scaleCodes, [.. Values((codes.Blocks + 255) / 256)], 0.25f) };
        }
        for (int b = 0; b < codes.Blocks; b++) codes.Scales[b] = codes.Nested?.Decode(b) ?? random.NextSingle();
        for (int i = 0; i < codes.Codes.Length; i++) codes.Codes[i] = (byte)random.Next(16);
        return codes;

        IEnumerable<float> Values(int count)
        {
            for (int i = 0; i < count; i++) yield return 2 * random.NextSingle() - 1;
        }
    }
}
