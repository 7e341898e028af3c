using System;
using System.Collections.Immutable;
using System.Linq;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Levels;
using Lowbit.Kernels.Tests.Uniform;
using Xunit;

namespace Lowbit.Kernels.Tests.Codebooks;

public unsafe class CodebookMatrixTests
{
    private readonly WorkerPool _pool = new(2);

    [Fact]
    public void Unpacking_gives_back_what_was_packed_for_all_shapes_bits_and_classes()
    {
        int seed = 0;
        foreach (int columns in new[] { 1, 7, 63, 64, 65, 130, 576 })
            foreach (int group in new[] { 10, 64, columns })
                for (int bits = 1; bits <= 4; bits++)
                {
                    CodebookCodes codes = Random(5, columns, bits, group, seed++ % 2 == 0, seed);
                    Packed<CodebookLayout> packed = CodebookPacking.Pack(codes);
                    CodebookMatrix matrix = Load(packed);
                    CodebookCodes back = matrix.Unpack();
                    Assert.Equal(codes.Codes, back.Codes);
                    Assert.Equal(codes.Levels, back.Levels);
                    Assert.Equal(codes.SecondClass, back.SecondClass);
                    Assert.Equal(packed.Parts.Sum(part => part.Bytes.LongLength), matrix.Bytes);
                    Assert.All(packed.Parts, part => Assert.Equal(part.Bytes.LongLength, part.Format.ByteCount(part.Shape.Aggregate((a, b) => a * b))));
                }
    }

    [Fact]
    public void Dequantized_rows_equal_the_definition_to_the_bit()
    {
        for (int columns = 1; columns <= 140; columns++)
        {
            CodebookCodes codes = Random(3, columns, 1 + columns % 4, columns % 3 == 0 ? 64 : 11, columns % 5 < 2, columns);
            PackedProducts.DequantizesToTheBit(codes, Load(CodebookPacking.Pack(codes)));
        }
    }

    [Theory]
    [InlineData(LevelForm.Scale, 1, 1)]
    [InlineData(LevelForm.MeanScale, 1, 2)]
    [InlineData(LevelForm.Ternary, 2, 1)]
    [InlineData(LevelForm.MeanTernary, 2, 2)]
    [InlineData(LevelForm.TwoScales, 2, 2)]
    [InlineData(LevelForm.MeanTwoScales, 2, 3)]
    [InlineData(LevelForm.Table, 1, 2)]
    [InlineData(LevelForm.Table, 2, 4)]
    [InlineData(LevelForm.Table, 3, 8)]
    [InlineData(LevelForm.Table, 4, 16)]
    public void Levels_of_a_form_are_found_and_stored_in_its_numbers(LevelForm form, int bits, int numbers)
    {
        foreach (bool twoClasses in new[] { false, true })
        {
            CodebookCodes codes = Random(6, 200, bits, 64, twoClasses, 7, form);
            Packed<CodebookLayout> packed = CodebookPacking.Pack(codes);
            Assert.Equal(form, packed.Layout.Levels);
            Assert.Equal(6 * 4 * codes.Classes * numbers * 2, packed.Parts.Single(part => part.Suffix == CodebookPacking.Levels).Bytes.Length);
            PackedProducts.DequantizesToTheBit(codes, Load(packed));
        }
    }

    [Fact]
    public void Zero_groups_do_not_break_a_form()
    {
        CodebookCodes codes = Random(2, 64, 2, 32, false, 1, LevelForm.MeanTwoScales);
        codes.Levels.AsSpan(0, 8).Clear();
        Assert.Equal(LevelForm.MeanTwoScales, CodebookPacking.Pack(codes).Layout.Levels);
        codes.Levels.AsSpan().Clear();
        Assert.Equal(LevelForm.TwoScales, CodebookPacking.Pack(codes).Layout.Levels);
    }

    [Theory]
    [InlineData(ActivationMode.Float)]
    [InlineData(ActivationMode.EightBit)]
    public void Product_agrees_with_the_definition_for_few_and_many_tokens(ActivationMode mode)
    {
        int seed = 0;
        foreach (int columns in new[] { 3, 64, 200 })
            foreach (int tokens in new[] { 1, 7, 8, 19 })
            {
                CodebookCodes codes = Random(13, columns, 1 + seed % 4, seed % 3 == 0 ? 64 : 24, seed % 2 == 0, ++seed);
                PackedProducts.AgreesWithDefinition(codes, Load(CodebookPacking.Pack(codes)), mode, tokens, _pool);
            }
    }

    [Theory]
    [InlineData(ActivationMode.Float, 1)]
    [InlineData(ActivationMode.EightBit, 9)]
    public void Results_do_not_depend_on_the_number_of_threads(ActivationMode mode, int tokens) =>
        PackedProducts.DoesNotDependOnThreads(Load(CodebookPacking.Pack(Random(203, 300, 3, 64, true, 1))), mode, tokens);

    [Fact]
    public void Second_product_allocates_nothing() =>
        PackedProducts.SecondProductAllocatesNothing(Load(CodebookPacking.Pack(Random(20, 300, 2, 64, true, 1))), ActivationMode.EightBit, 2);

    [InstructionSetFact(nameof(Avx2))]
    public void Avx2_equals_the_oracle_to_the_bit() => EqualsOracle<LevelLookupAvx2>();

    [InstructionSetFact(nameof(Avx512F))]
    public void Avx512_equals_the_oracle_to_the_bit() => EqualsOracle<LevelLookupAvx512>();

    [InstructionSetFact(nameof(Avx2))]
    public void Avx2_makes_the_levels_of_the_definition_in_registers() => RowsAgree<LevelDotAvx2>();

    [InstructionSetFact(nameof(Avx512F))]
    public void Avx512_makes_the_levels_of_the_definition_in_registers() => RowsAgree<LevelDotAvx512>();

    [Theory]
    [InlineData(LevelForm.Scale, 1)]
    [InlineData(LevelForm.MeanScale, 1)]
    [InlineData(LevelForm.Table, 1)]
    [InlineData(LevelForm.Ternary, 2)]
    [InlineData(LevelForm.MeanTernary, 2)]
    public void Evenly_spaced_levels_are_computed_from_interleaved_rows(LevelForm form, int bits)
    {
        foreach ((int columns, int group) in new[] { (50, 64), (128, 64), (200, 200), (576, 128), (900, 256), (330, 192) })
        {
            CodebookCodes codes = Random(37, columns, bits, group, false, columns, form);
            PackedProducts.InterleavedRowsAgree(codes, Load(CodebookPacking.Pack(codes)), _pool);
        }
    }

    [Theory]
    [InlineData(LevelForm.TwoScales, false)]
    [InlineData(LevelForm.TwoScales, true)]
    [InlineData(LevelForm.MeanTwoScales, false)]
    [InlineData(LevelForm.MeanTwoScales, true)]
    [InlineData(LevelForm.Table, false)]
    [InlineData(LevelForm.Table, true)]
    public void Codes_of_two_bits_are_computed_from_interleaved_rows(LevelForm form, bool twoClasses)
    {
        foreach ((int rows, int columns, int group) in new[] { (1, 1, 64), (37, 50, 64), (16, 128, 64), (33, 200, 200), (17, 576, 128), (5, 330, 192), (35, 95, 19), (16, 230, 46), (3, 100, 8), (20, 33, 1), (20, 70, 5), (18, 300, 90) })
        {
            CodebookCodes codes = Random(rows, columns, 2, group, twoClasses, columns, form);
            PackedProducts.InterleavedRowsAgree(codes, Load(CodebookPacking.Pack(codes)), _pool);
        }
    }

    [Theory]
    [InlineData(LevelForm.TwoScales, -0.625f)]
    [InlineData(LevelForm.Table, -0.5f)]
    public void Codes_of_two_bits_with_all_columns_in_one_class_and_with_the_largest_sums(LevelForm form, float level)
    {
        foreach (bool second in new[] { false, true })
        {
            CodebookCodes codes = new(17, 192, 2, 128, [.. Enumerable.Repeat(second, 192)]);
            Array.Fill(codes.Codes, (byte)3);
            for (int i = 0; i < codes.Levels.Length; i += 4) new[] { -1.375f, level, 0.625f, 1.375f }.CopyTo(codes.Levels, i);
            CodebookMatrix matrix = Load(CodebookPacking.Pack(codes));
            Assert.Equal(form, matrix.Layout.Levels);
            using Activations activations = new(1, 192, ActivationMode.EightBit) { Tokens = 1 };
            new Span<float>(activations.Values, 192).Fill(-127);
            activations.Quantize(_pool);
            float[] got = new float[17];
            fixed (float* output = got) matrix.Multiply(_pool, activations, output);
            Assert.All(got, value => Assert.Equal(-127 * 1.375f * 192, value));
        }
    }

    [Theory]
    [InlineData(LevelForm.TwoScales)]
    [InlineData(LevelForm.Table)]
    public void Codes_of_two_bits_whose_numbers_cannot_be_enlarged_are_computed_with(LevelForm form)
    {
        CodebookCodes codes = Random(17, 128, 2, 128, true, 5, form);
        new[] { -1001f, -999f, 999f, 1001f }.CopyTo(codes.Levels, 0);
        PackedProducts.AgreesWithDefinition(codes, Load(CodebookPacking.Pack(codes)), ActivationMode.EightBit, 1, _pool);
    }

    // The example of docs/formats/codebook.md: codes 0, 3, 1, 2 and zeros of a row with 64 columns, levels 0.5 ± 1 ± 0.25.
    [Fact]
    public void Worked_example_of_the_documentation()
    {
        CodebookCodes codes = new(1, 64, 2, 64);
        new byte[] { 0, 3, 1, 2 }.CopyTo(codes.Codes, 0);
        new[] { -0.75f, -0.25f, 1.25f, 1.75f }.CopyTo(codes.Levels, 0);
        Packed<CodebookLayout> packed = CodebookPacking.Pack(codes);
        Assert.Equal(LevelForm.MeanTwoScales, packed.Layout.Levels);
        Assert.Equal("00030102000000000000000000000000", Convert.ToHexString(packed.Parts[0].Bytes));
        Assert.Equal("0038003C0034", Convert.ToHexString(packed.Parts[1].Bytes));
    }

    [Theory]
    [InlineData(LevelForm.MeanScale, 1)]
    [InlineData(LevelForm.MeanTernary, 2)]
    [InlineData(LevelForm.Table, 3)]
    public void Levels_that_half_precision_does_not_hold_are_stored_as_floats(LevelForm form, int bits)
    {
        CodebookCodes codes = Random(5, 100, bits, 64, true, 3, form);
        for (int i = 0; i < codes.Levels.Length; i++) codes.Levels[i] *= 1 << 20;
        Packed<CodebookLayout> packed = CodebookPacking.Pack(codes);
        Assert.Equal((form, ElementFormat.F32), (packed.Layout.Levels, packed.Layout.ScaleFormat));
        PackedProducts.DequantizesToTheBit(codes, Load(packed));
    }

    [Fact]
    public void Ternary_codes_lie_five_to_a_byte()
    {
        CodebookCodes codes = new(1, 64, 2, 64);
        (codes.Levels[0], codes.Levels[1], codes.Levels[2]) = (-1, 0, 1);
        new byte[] { 2, 0, 1, 0, 2 }.CopyTo(codes.Codes, 0); // 2 + 9 + 2 · 81
        codes.Codes[63] = 1; // the fourth digit of the last byte
        Packed<CodebookLayout> packed = CodebookPacking.Pack(codes);
        Assert.Equal("AD00000000000000000000001B", Convert.ToHexString(packed.Parts[0].Bytes));
        PackedProducts.DequantizesToTheBit(codes, Load(packed));
    }

    [Fact]
    public void Codes_that_cannot_be_packed_are_refused()
    {
        CodebookCodes codes = Random(2, 8, 3, 4, false, 1);
        codes.Codes[9] = 8;
        Assert.Contains("[1, 1]", Assert.Throws<LowbitException>(() => CodebookPacking.Pack(codes)).Message, StringComparison.Ordinal);
        foreach (float level in new[] { float.NaN, float.PositiveInfinity })
        {
            codes = Random(2, 8, 3, 4, false, 1);
            codes.Levels[5] = level;
            Assert.Contains("level 5", Assert.Throws<LowbitException>(() => CodebookPacking.Pack(codes)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Damaged_parts_and_impossible_layouts_are_refused_by_name()
    {
        Packed<CodebookLayout> packed = CodebookPacking.Pack(Random(3, 70, 2, 32, true, 1));
        foreach (PackedPart part in packed.Parts)
        {
            Refused(part.Suffix, packed.Parts.Remove(part));
            Refused(part.Suffix, packed.Parts.Replace(part, part with { Bytes = part.Bytes[1..] }));
            Refused(part.Suffix, packed.Parts.Replace(part, part with { Format = ElementFormat.I8 }));
        }
        PackedPart levels = packed.Parts[1];
        Refused(levels.Suffix, packed.Parts.Replace(levels, levels with { Bytes = [0, 0x7C, .. levels.Bytes[2..]] }));
        foreach (CodebookLayout layout in new[]
        {
            packed.Layout with { Rows = 0 }, packed.Layout with { Rows = int.MaxValue }, packed.Layout with { Columns = 129 }, packed.Layout with { Columns = -5 },
            packed.Layout with { Bits = 0 }, packed.Layout with { Bits = 5 }, packed.Layout with { Bits = 3 }, packed.Layout with { GroupSize = 0 }, packed.Layout with { GroupSize = 16 },
            packed.Layout with { Levels = LevelForm.Scale }, packed.Layout with { Levels = LevelForm.Ternary }, packed.Layout with { Levels = (LevelForm)99 },
            packed.Layout with { Classes = 1 }, packed.Layout with { Classes = 3 }, packed.Layout with { ScaleFormat = ElementFormat.F32 }, packed.Layout with { ScaleFormat = ElementFormat.BF16 },
        })
        {
            Assert.Contains("blk.0", Assert.Throws<LowbitException>(() => Load(packed with { Layout = layout })).Message, StringComparison.Ordinal);
        }

        void Refused(string suffix, ImmutableArray<PackedPart> parts) =>
            Assert.Contains($"blk.0.{suffix}", Assert.Throws<LowbitException>(() => Load(packed with { Parts = parts })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Any_codes_of_a_damaged_file_give_levels_of_the_codebook()
    {
        Packed<CodebookLayout> packed = CodebookPacking.Pack(Random(3, 70, 2, 32, true, 1, LevelForm.MeanTernary));
        byte[] noise = new byte[packed.Parts[0].Bytes.Length];
        Array.Fill(noise, (byte)0xFF);
        CodebookMatrix matrix = Load(packed with { Parts = packed.Parts.SetItem(0, packed.Parts[0] with { Bytes = noise }) });
        CodebookCodes codes = matrix.Unpack();
        Assert.All(codes.Codes, code => Assert.InRange(code, 0, 2));
        PackedProducts.DequantizesToTheBit(codes, matrix);
    }

    private static void EqualsOracle<TLookup>() where TLookup : struct, ILevelLookup
    {
        int seed = 0;
        foreach (int columns in new[] { 1, 15, 16, 64, 100, 300 })
            for (int bits = 1; bits <= 4; bits++)
                foreach (bool twoClasses in new[] { false, true })
                {
                    CodebookMatrix matrix = Load(CodebookPacking.Pack(Random(4, columns, bits, 40, twoClasses, ++seed)));
                    GuardedMemory want = new(16L * columns), got = new(16L * columns);
                    matrix.DequantizeRows<LevelLookupScalar>(0, 4, (float*)want.Pointer);
                    matrix.DequantizeRows<TLookup>(0, 4, (float*)got.Pointer);
                    Assert.Equal(want.Span.ToArray(), got.Span.ToArray());
                }
    }

    private static void RowsAgree<TDot>() where TDot : struct, ILevelDot
    {
        int seed = 0;
        foreach (int columns in new[] { 1, 63, 64, 200, 384 })
            foreach (int group in new[] { 64, 128, columns })
                foreach ((LevelForm form, int bits) in new[]
                {
                    (LevelForm.Scale, 1), (LevelForm.MeanScale, 1), (LevelForm.Ternary, 2), (LevelForm.MeanTernary, 2), (LevelForm.TwoScales, 2),
                    (LevelForm.MeanTwoScales, 2), (LevelForm.Table, 1), (LevelForm.Table, 2), (LevelForm.Table, 3), (LevelForm.Table, 4),
                })
                    foreach (bool twoClasses in new[] { false, true })
                    {
                        if (bits == 4 && twoClasses) continue;
                        CodebookCodes codes = Random(4, columns, bits, group, twoClasses, ++seed, form);
                        if (seed % 7 == 0)
                        {
                            for (int i = 0; i < codes.Levels.Length; i++) codes.Levels[i] *= 1 << 20; // more than halves hold
                        }
                        PackedProducts.RowsAgreeWithDefinition<TDot>(codes, Load(CodebookPacking.Pack(codes)), (ActivationMode)(seed % 2), 1 + seed % 3 / 2);
                    }
    }

    private static CodebookMatrix Load(Packed<CodebookLayout> packed) => new("blk.0", packed.Layout, UniformMatrices.Tensors(packed.Parts));

    private static CodebookCodes Random(int rows, int columns, int bits, int group, bool twoClasses, int seed, LevelForm form = LevelForm.Table)
    {
        Random random = new(seed);
        bool[]? secondClass = twoClasses ? [.. Enumerable.Range(0, columns).Select(_ => random.Next(3) == 0)] : null;
        CodebookCodes codes = new(rows, columns, bits, group, secondClass);
        int used = (1 << bits) - (form is LevelForm.Ternary or LevelForm.MeanTernary ? 1 : 0);
        for (int i = 0; i < codes.Codes.Length; i++) codes.Codes[i] = (byte)random.Next(used);
        for (int i = 0; i < codes.Levels.Length; i += 1 << bits)
        {
            Span<float> levels = codes.Levels.AsSpan(i, 1 << bits);
            float m = Half(0.02f), a = Half(0.1f), b = Half(0.05f);
            switch (form)
            {
                case LevelForm.Scale: (levels[0], levels[1]) = (-a, a); break;
                case LevelForm.MeanScale: (levels[0], levels[1]) = (m - a, m + a); break;
                case LevelForm.Ternary: (levels[0], levels[2], levels[3]) = (-a, a, 17); break;
                case LevelForm.MeanTernary: (levels[0], levels[1], levels[2]) = (m - a, m, m + a); break;
                case LevelForm.TwoScales: (levels[0], levels[1], levels[2], levels[3]) = (-a - b, -a + b, a - b, a + b); break;
                case LevelForm.MeanTwoScales: (levels[0], levels[1], levels[2], levels[3]) = (m - a - b, m - a + b, m + a - b, m + a + b); break;
                default:
                    for (int k = 0; k < levels.Length; k++) levels[k] = Half(1);
                    if (bits == 1) levels[0] = (float)(System.Half)1e-7f * (1 + 2 * random.Next(3)); // with a mean, half precision would not hold it
                    break;
            }
        }
        return codes;

        float Half(float size) => (float)(System.Half)(size * (2 * random.NextSingle() - 1));
    }
}
