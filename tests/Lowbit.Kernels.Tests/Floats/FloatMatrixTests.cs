using System;
using System.Collections.Immutable;
using System.Linq;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;
using Lowbit.Kernels.Floats;
using Lowbit.Kernels.Levels;
using Lowbit.Kernels.Tests.Uniform;
using Xunit;

namespace Lowbit.Kernels.Tests.Floats;

public unsafe class FloatMatrixTests
{
    private readonly WorkerPool _pool = new(2);

    [Fact]
    public void Unpacking_gives_back_what_was_packed_and_rows_equal_the_definition()
    {
        int seed = 0;
        foreach (int columns in new[] { 1, 7, 63, 64, 65, 130, 200 })
            foreach (int block in new[] { 16, 32, columns })
                foreach (SmallFloat element in SmallFloat.All)
                {
                    FloatCodes codes = Random(5, columns, element, block, (BlockScale)(seed++ % 4), seed);
                    Packed<FloatLayout> packed = FloatPacking.Pack(codes);
                    FloatMatrix matrix = Load(packed);
                    FloatCodes back = matrix.Unpack();
                    Assert.Equal(codes.Codes, back.Codes);
                    Assert.Equal(codes.Scales, back.Scales);
                    Assert.Equal(codes.MatrixScale, back.MatrixScale);
                    Assert.Equal(packed.Parts.Sum(part => part.Bytes.LongLength), matrix.Bytes);
                    Assert.All(packed.Parts, part => Assert.Equal(part.Bytes.LongLength, part.Format.ByteCount(part.Shape.Aggregate((a, b) => a * b))));
                    PackedProducts.DequantizesToTheBit(codes, matrix);
                }
    }

    [InstructionSetFact(nameof(Avx2))]
    public void Avx2_equals_the_oracle_to_the_bit()
    {
        foreach (SmallFloat element in SmallFloat.All)
        {
            FloatMatrix matrix = Load(FloatPacking.Pack(Random(3, 203, element, 40, BlockScale.F32, 1)));
            float[] want = new float[609], got = new float[609];
            fixed (float* destination = want) matrix.DequantizeRows(0, 3, destination, vectors: false);
            fixed (float* destination = got) matrix.DequantizeRows(0, 3, destination, vectors: true);
            Assert.Equal(want, got);
        }
    }

    [InstructionSetFact(nameof(Avx2))]
    public void Avx2_makes_the_levels_of_the_definition_in_registers() => RowsAgree<LevelDotAvx2>();

    [InstructionSetFact(nameof(Avx512F))]
    public void Avx512_makes_the_levels_of_the_definition_in_registers() => RowsAgree<LevelDotAvx512>();

    [Fact]
    public void A_code_that_is_no_number_makes_the_output_one_that_is_none()
    {
        foreach (SmallFloat element in new[] { SmallFloat.E4M3, SmallFloat.E5M2 })
        {
            Packed<FloatLayout> packed = FloatPacking.Pack(Random(3, 128, element, 32, BlockScale.E8M0, 1));
            byte[] bytes = (byte[])packed.Parts[0].Bytes.Clone();
            bytes[128 + 70] = 0xFF;
            FloatMatrix matrix = Load(packed with { Parts = packed.Parts.SetItem(0, packed.Parts[0] with { Bytes = bytes }) });
            using Activations activations = PackedProducts.Input(1, 128, 1, ActivationMode.Float, _pool);
            float[] got = new float[3];
            fixed (float* output = got) matrix.Multiply(_pool, activations, output);
            Assert.Equal([true, false, true], got.Select(float.IsFinite));
        }
    }

    [Theory]
    [InlineData("e2m1")]
    [InlineData("int8")]
    public void Microscaling_integers_are_computed_from_interleaved_rows(string name)
    {
        SmallFloat element = SmallFloat.All.Single(format => format.Name == name);
        foreach (int columns in new[] { 32, 70, 576 })
        {
            FloatCodes codes = Random(37, columns, element, 32, BlockScale.E8M0, columns);
            codes.Scales[0] = MathF.ScaleB(1, -127);
            PackedProducts.InterleavedRowsAgree(codes, Load(FloatPacking.Pack(codes)), _pool);
        }
    }

    [Fact]
    public void Nvfp4_is_computed_from_interleaved_rows()
    {
        foreach (int columns in new[] { 1, 16, 70, 576 })
        {
            FloatCodes codes = Random(37, columns, SmallFloat.E2M1, 16, BlockScale.E4M3, columns);
            codes.Scales[0] = SmallFloat.E4M3.Decode(1); // subnormal
            codes.Scales[^1] = -448;
            PackedProducts.InterleavedRowsAgree(codes, Load(FloatPacking.Pack(codes)), _pool);
        }
    }

    [Theory]
    [InlineData(ActivationMode.Float)]
    [InlineData(ActivationMode.EightBit)]
    public void Product_agrees_with_the_definition_for_few_and_many_tokens(ActivationMode mode)
    {
        foreach (SmallFloat element in SmallFloat.All)
            foreach (int tokens in new[] { 1, 7, 9 })
            {
                FloatCodes codes = Random(13, 100, element, 32, BlockScale.E8M0, tokens);
                PackedProducts.AgreesWithDefinition(codes, Load(FloatPacking.Pack(codes)), mode, tokens, _pool);
            }
        FloatMatrix matrix = Load(FloatPacking.Pack(Random(203, 100, SmallFloat.E2M1, 16, BlockScale.E4M3, 1)));
        PackedProducts.DoesNotDependOnThreads(matrix, mode, 1);
        PackedProducts.SecondProductAllocatesNothing(matrix, mode, 2);
    }

    // Scales 2^-127 (code 0) and 2^-126, of which ggml writes the first two as denormals, up to the largest.
    [Fact]
    public void Mxfp4_equals_the_ggml_blocks_of_the_same_codes()
    {
        int[] exponents = [0, 1, 2, 100, 127, 130, 254];
        FloatCodes codes = new(1, 32 * exponents.Length, SmallFloat.E2M1, 32, BlockScale.E8M0);
        byte[] blocks = new byte[17 * exponents.Length];
        Random random = new(1);
        for (int b = 0; b < exponents.Length; b++)
        {
            codes.Scales[b] = MathF.ScaleB(1, exponents[b] - 127);
            blocks[17 * b] = (byte)exponents[b];
            for (int i = 0; i < 32; i++)
            {
                int code = random.Next(16);
                if (exponents[b] == 254 && (code & 7) > 3) code &= 0xB; // 2^127 · 2 and more are no floats
                codes.Codes[32 * b + i] = (byte)code;
                blocks[17 * b + 1 + i % 16] |= (byte)(code << i / 16 * 4);
            }
        }
        float[] want = new float[codes.Columns], got = new float[codes.Columns];
        fixed (byte* source = blocks)
        fixed (float* destination = want) Dequantizer.ToFloat(ElementFormat.MXFP4, source, want.Length, destination);
        fixed (float* destination = got) Load(FloatPacking.Pack(codes)).DequantizeRows(0, 1, destination);
        Assert.Equal(want, got);
    }

    [Fact]
    public void Worked_example_of_the_documentation()
    {
        FloatCodes codes = new(1, 64, SmallFloat.E2M1, 32, BlockScale.E8M0);
        codes.Codes[0] = 7;
        codes.Codes[32] = 0xA;
        codes.Scales[0] = 0.5f;
        codes.Scales[1] = 1;
        Packed<FloatLayout> packed = FloatPacking.Pack(codes);
        Assert.Equal("A7" + new string('0', 62), Convert.ToHexString(packed.Parts[0].Bytes));
        Assert.Equal("7E7F", Convert.ToHexString(packed.Parts[1].Bytes));
        Assert.Equal(3, codes.Dequantize(0, 0));
        Assert.Equal(-1, codes.Dequantize(0, 32));
    }

    [Fact]
    public void Codes_and_scales_that_cannot_be_packed_are_refused()
    {
        Refused(SmallFloat.E2M1, BlockScale.F32, codes => codes.Codes[9] = 16);
        Refused(SmallFloat.E4M3, BlockScale.F32, codes => codes.Codes[9] = 0x7F);
        Refused(SmallFloat.E5M2, BlockScale.F32, codes => codes.Codes[9] = 0xFC);
        Refused(SmallFloat.E2M1, BlockScale.F32, codes => codes.Scales[1] = float.NaN);
        Refused(SmallFloat.E2M1, BlockScale.F16, codes => codes.Scales[1] = 0.1f);
        foreach (float scale in new[] { 3f, 0, -1, float.NaN, float.PositiveInfinity }) Refused(SmallFloat.E2M1, BlockScale.E8M0, codes => codes.Scales[1] = scale);
        foreach (float scale in new[] { 0.3f, 500, float.NaN }) Refused(SmallFloat.E2M1, BlockScale.E4M3, codes => codes.Scales[1] = scale);

        static void Refused(SmallFloat element, BlockScale scale, Action<FloatCodes> damage)
        {
            FloatCodes codes = Random(2, 8, element, 4, scale, 1);
            damage(codes);
            Assert.Throws<LowbitException>(() => FloatPacking.Pack(codes));
        }
    }

    [Fact]
    public void Damaged_parts_and_impossible_layouts_are_refused_by_name()
    {
        foreach (BlockScale scale in Enum.GetValues<BlockScale>())
        {
            Packed<FloatLayout> packed = FloatPacking.Pack(Random(3, 70, SmallFloat.E2M3, 32, scale, 1));
            foreach (PackedPart part in packed.Parts)
            {
                Refused(part.Suffix, packed.Parts.Remove(part));
                Refused(part.Suffix, packed.Parts.Replace(part, part with { Bytes = part.Bytes[1..] }));
                Refused(part.Suffix, packed.Parts.Replace(part, part with { Format = ElementFormat.I8 }));
                if (part.Suffix != FloatPacking.Codes) Refused(part.Suffix, packed.Parts.Replace(part, part with { Bytes = [.. part.Bytes.Select(_ => (byte)255)] }));
            }
            foreach (FloatLayout layout in new[]
            {
                packed.Layout with { Rows = 0 }, packed.Layout with { Rows = int.MaxValue }, packed.Layout with { Columns = 129 }, packed.Layout with { Columns = -5 },
                packed.Layout with { Element = SmallFloat.E4M3 }, packed.Layout with { BlockSize = 0 }, packed.Layout with { BlockSize = 16 }, packed.Layout with { ScaleFormat = (BlockScale)9 },
            })
            {
                Assert.Contains("blk.0", Assert.Throws<LowbitException>(() => Load(packed with { Layout = layout })).Message, StringComparison.Ordinal);
            }

            void Refused(string suffix, ImmutableArray<PackedPart> parts) =>
                Assert.Contains($"blk.0.{suffix}", Assert.Throws<LowbitException>(() => Load(packed with { Parts = parts })).Message, StringComparison.Ordinal);
        }
    }

    private static void RowsAgree<TDot>() where TDot : struct, ILevelDot
    {
        int seed = 0;
        foreach (SmallFloat element in SmallFloat.All)
            foreach (int columns in new[] { 1, 63, 64, 200, 384 })
                foreach (int block in new[] { 16, 32, 64, 128, columns })
                {
                    FloatCodes codes = Random(3, columns, element, block, (BlockScale)(++seed % 4), seed);
                    for (int i = 0; i < codes.Codes.Length; i += 5) codes.Codes[i] = (byte)(i % 3); // subnormal numbers and zeros
                    PackedProducts.RowsAgreeWithDefinition<TDot>(codes, Load(FloatPacking.Pack(codes)), (ActivationMode)(seed % 2), 1 + seed % 2);
                }
    }

    private static FloatMatrix Load(Packed<FloatLayout> packed) => new("blk.0", packed.Layout, UniformMatrices.Tensors(packed.Parts));

    private static FloatCodes Random(int rows, int columns, SmallFloat element, int block, BlockScale scale, int seed)
    {
        Random random = new(seed);
        FloatCodes codes = new(rows, columns, element, block, scale) { MatrixScale = scale == BlockScale.E4M3 ? 0.013f : 1 };
        for (int i = 0; i < codes.Codes.Length; i++) codes.Codes[i] = (byte)element.Encode((2 * random.NextSingle() - 1) * element.Largest);
        for (int i = 0; i < codes.Scales.Length; i++)
        {
            float value = 0.01f + random.NextSingle();
            codes.Scales[i] = scale switch
            {
                BlockScale.F16 => (float)(Half)value,
                BlockScale.E8M0 => MathF.ScaleB(1, random.Next(-3, 4)),
                BlockScale.E4M3 => SmallFloat.E4M3.Decode(SmallFloat.E4M3.Encode(value)),
                _ => value,
            };
        }
        return codes;
    }
}
