using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Linq;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Integers;
using Lowbit.Kernels.Interleaved;
using Xunit;

namespace Lowbit.Kernels.Tests.Integers;

public sealed unsafe class IntegerMatrixTests : IDisposable
{
    private readonly WorkerPool _pool = new(2), _single = new(1);

    public void Dispose()
    {
        _pool.Dispose();
        _single.Dispose();
    }

    public static TheoryData<object> Tables => [TupleTable.Triples4, TupleTable.Triples5, TupleTable.Pairs4, TupleTable.Pairs5];

    [Theory]
    [MemberData(nameof(Tables))]
    public void Tables_hold_the_tuples_nearest_to_the_origin_each_once(object table)
    {
        TupleTable tuples = (TupleTable)table;
        int[][] all = [.. Enumerable.Range(0, tuples.Codes).Select(code => Enumerable.Range(0, tuples.Size).Select(place => tuples.Integer(place, code)).ToArray())];
        Assert.Equal(all.Length, all.Select(tuple => string.Join(' ', tuple)).Distinct().Count());
        Assert.All(all, tuple => Assert.All(tuple, q => Assert.InRange(q, -tuples.Reach, tuples.Reach - 1)));
        int farthest = all.Max(tuple => tuple.Sum(q => q * q)), radix = 2 * tuples.Reach;
        int[] others = new int[tuples.Size];
        for (int index = 0; index < Math.Pow(radix, tuples.Size); index++)
        {
            for (int place = 0, rest = index; place < others.Length; place++, rest /= radix) others[place] = rest % radix - tuples.Reach;
            int distance = Distance(all[tuples.Nearest[index]]);
            Assert.Equal(all.Min(Distance), distance);
            if (others.Sum(q => q * q) < farthest) Assert.Equal(0, distance);
        }

        int Distance(int[] tuple) => tuple.Zip(others, (a, b) => Math.Abs(a - b)).Sum();
    }

    [Theory]
    [InlineData(ChunkForm.Triples4)]
    [InlineData(ChunkForm.Triples5)]
    [InlineData(ChunkForm.Pairs4)]
    [InlineData(ChunkForm.Pairs5)]
    [InlineData(ChunkForm.Bits3)]
    [InlineData(ChunkForm.Bits4)]
    [InlineData(ChunkForm.Bits5)]
    [InlineData(ChunkForm.Bits8)]
    public void A_row_of_a_chunk_comes_back_with_its_entries(object form)
    {
        const int First = 300, Room = 96 * 16; // columns before the chunk, more than a jump
        ChunkForm chosen = (ChunkForm)form;
        int columns = ChunkForms.Columns(chosen), vectors = ChunkForms.Vectors(chosen);
        byte* chunk = stackalloc byte[ChunkForms.MostVectors * IBlockFormat.Vector];
        ushort* ones = stackalloc ushort[Room], larges = stackalloc ushort[Room];
        sbyte* integers = stackalloc sbyte[First + columns], got = stackalloc sbyte[columns];
        uint* words = stackalloc uint[vectors];
        Random random = new((int)chosen);
        foreach (int spread in new[] { 2, 6, 40, 256 })
        {
            for (int lane = 0; lane < 16; lane++)
            {
                for (int i = First; i < First + columns; i++) integers[i] = (sbyte)(random.Next(spread) - spread / 2);
                RowEntries entries = new(ones, larges, Room);
                ChunkForms.Pack(chosen, integers, First, words, ref entries);
                for (int v = 0; v < vectors; v++) ((uint*)chunk)[16 * v + lane] = words[v];
                ChunkForms.Unpack(chosen, chunk + 4 * lane, got);
                Assert.False(entries.Overflowed);
                if ((spread == 2 && chosen != ChunkForm.Triples4) || chosen == ChunkForm.Bits8) Assert.Equal(0, entries.Ones + entries.Larges);
                Add(ones, entries.Ones, 1);
                Add(larges, entries.Larges, 16);
                Assert.Equal(new ReadOnlySpan<sbyte>(integers + First, columns).ToArray(), new ReadOnlySpan<sbyte>(got, columns).ToArray());
            }
        }

        void Add(ushort* list, int count, int worth)
        {
            for (int i = 0, column = 0; i < count; i++)
            {
                column += list[i] & 0xFF;
                if ((list[i] & 0xFF) != 0xFF) got[column - First] += (sbyte)(list[i] >= 0x8000 ? -worth : worth);
            }
        }
    }

    [Fact]
    public void Entries_beyond_their_room_are_noticed()
    {
        ushort* ones = stackalloc ushort[4], larges = stackalloc ushort[4];
        ones[3] = 9;
        RowEntries entries = new(ones, larges, 3);
        entries.Add(300, -18);
        Assert.False(entries.Overflowed);
        Assert.Equal([0xFF, 0x8000 | 45, 0x8000], new ReadOnlySpan<ushort>(ones, entries.Ones).ToArray());
        Assert.Equal([0xFF, 0x8000 | 45], new ReadOnlySpan<ushort>(larges, entries.Larges).ToArray());
        entries.Add(301, 0);
        entries.Add(302, 16);
        Assert.False(entries.Overflowed);
        Assert.Equal(2, larges[2]);
        entries.Add(303, 1);
        Assert.True(entries.Overflowed);
        Assert.Equal(9, ones[3]);
    }

    [Fact]
    public void Integers_that_their_classes_did_not_expect_are_kept_as_bytes()
    {
        const int Rows = 70, Columns = 130;
        IntegerCodes codes = new(Rows, Columns);
        Values(Rows, Columns, 0.5, 4).CopyTo(codes.Values, 0);
        for (int i = 0; i < 40 * Columns; i++) codes.Values[i] += 100;
        byte[] narrow = new byte[Columns]; // classes of numbers that are nearly all zero
        ImmutableArray<PackedPart> parts =
        [
            .. IntegerPacking.Pack(codes).Where(part => part.Suffix is not (IntegerPacking.Stream or IntegerPacking.Lengths or IntegerPacking.ColumnClasses)),
            new(IntegerPacking.ColumnClasses, ElementFormat.U8, [Columns], narrow),
        ];
        byte[] rows = parts.Single(part => part.Suffix == IntegerPacking.RowClasses).Bytes;
        ushort[] words = IntegerStream.Encode(codes.Values, rows, narrow);
        parts =
        [
            .. parts,
            new(IntegerPacking.Stream, ElementFormat.U8, [2 * words.Length], MemoryMarshal.AsBytes(words.AsSpan()).ToArray()),
            new(IntegerPacking.Lengths, ElementFormat.U32, [1], BitConverter.GetBytes((uint)words.Length)),
        ];
        IntegerMatrix matrix = IntegerPacking.Load("sample", Rows, Columns, IntegerPackingTests.Tensors(parts));
        Assert.Equal(new ChunkRun(ChunkForm.Bits8, 3), Assert.Single(matrix.Tiles.Columns.Runs));
        Assert.Equal(codes.Values, matrix.Unpack().Values);
    }

    [InstructionSetFact(nameof(Avx512F))]
    public void Avx512_equals_the_oracle_to_the_bit() => EqualsOracle<Lanes512, Vector512<byte>>();

    [InstructionSetFact(nameof(Avx2))]
    public void Avx2_equals_the_oracle_to_the_bit() => EqualsOracle<Lanes256, Vector256<byte>>();

    [Fact]
    public void Vectors_of_128_bits_equal_the_oracle_to_the_bit()
    {
        if (Lanes128.IsSupported) EqualsOracle<Lanes128, Vector128<byte>>();
    }

    [Fact]
    public void Oracle_is_the_sum_of_integers_times_rounded_inputs()
    {
        foreach ((int rows, int columns, double spread) in new[] { (1, 1, 1.0), (17, 63, 1), (5, 130, 20), (40, 600, 0.7) })
        {
            sbyte[] values = Values(rows, columns, spread, rows);
            float[] steps = Steps(columns);
            IntegerMatrix matrix = Make(values, rows, columns).Scaled(steps);
            using Activations activations = PackedProducts.Input(2, columns, 1, ActivationMode.EightBit, _single);
            float[] got = new float[2 * rows];
            fixed (float* output = got) matrix.MultiplyScalar(_single, activations, output);
            for (int t = 0; t < 2; t++)
            {
                int[] x = Rounded(new ReadOnlySpan<float>(activations.Values + t * columns, columns), steps, matrix.Tiles.Columns.Columns, Chunks(matrix), out float scale);
                for (int r = 0; r < rows; r++)
                {
                    int sum = 0;
                    for (int c = 0; c < columns; c++) sum += values[r * columns + c] * x[c];
                    Assert.Equal(scale * sum, got[t * rows + r]);
                }
            }
        }
    }

    // First column and width of each.
    private static IEnumerable<(int First, int Columns)> Chunks(IntegerMatrix matrix)
    {
        int first = 0;
        foreach (ChunkRun run in matrix.Tiles.Columns.Runs)
        {
            for (int i = 0; i < run.Count; i++)
            {
                yield return (first, ChunkForms.Columns(run.Form));
                first += ChunkForms.Columns(run.Form);
            }
        }
    }

    // By the definition: the integer of each column.
    private static int[] Rounded(ReadOnlySpan<float> values, float[] steps, ReadOnlySpan<int> order, IEnumerable<(int First, int Columns)> chunks, out float scale)
    {
        float largest = 0;
        for (int c = 0; c < values.Length; c++) largest = MathF.Max(largest, MathF.Abs(values[c] * steps[c]));
        int[] x = new int[values.Length];
        foreach ((int chunk, int count) in chunks)
        {
            int factor = 0;
            for (bool fits = false; !fits;)
            {
                factor++;
                fits = true;
                foreach (int c in order.Slice(chunk, count))
                {
                    if (c == values.Length) continue;
                    x[c] = (int)MathF.Round(values[c] * steps[c] * (8128 / largest / factor));
                    fits &= MathF.Abs(values[c] * steps[c] * (8128 / largest)) <= 127.49f * factor;
                }
            }
            foreach (int c in order.Slice(chunk, count))
                if (c < values.Length) x[c] *= factor;
        }
        scale = largest / 8128;
        return x;
    }

    [Theory]
    [InlineData(1)]
    [InlineData(64)]
    [InlineData(200)]
    public void Tokens_are_rounded_to_eight_bits_with_a_factor_for_each_chunk(int columns)
    {
        sbyte[] values = Values(20, columns, 1.5, columns);
        IntegerMatrix matrix = Make(values, 20, columns).Scaled(Steps(columns));
        using Activations activations = PackedProducts.Input(2, columns, 1, ActivationMode.EightBit, _single);
        ScaledTokens tokens = ScaledTokens.Make(_single, matrix, activations, 0, 2);
        int padded = matrix.Tiles.Columns.Padded;
        for (int t = 0; t < 2; t++)
        {
            ScaledToken token = tokens.Token(t);
            int largest = 0;
            int chunk = 0;
            foreach ((int first, int count) in Chunks(matrix))
            {
                int factor = token.Factors[chunk] >> 16, largestOf = 0;
                Assert.Equal(token.Factors[chunk++] & ushort.MaxValue, factor);
                Assert.InRange(factor, 1, 64);
                for (int i = first; i < first + count; i++)
                {
                    Assert.Equal(token.Values[i], factor * token.Codes[i]);
                    Assert.InRange(token.Codes[i], -127, 127);
                    if (matrix.Tiles.Columns.Columns[i] == columns) Assert.Equal(0, token.Values[i]);
                    largestOf = Math.Max(largestOf, Math.Abs((int)token.Codes[i]));
                    largest = Math.Max(largest, Math.Abs((int)token.Values[i]));
                }
                Assert.True(factor == 1 || largestOf * factor > 127 * (factor - 1));
            }
            Assert.Equal(8128, largest);
            for (int i = padded; i < padded + 64; i++) Assert.Equal(0, token.Values[i]);
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(0)]
    public void Values_that_are_not_finite_or_all_zero_show_in_every_output(float value)
    {
        IntegerMatrix matrix = Make(Values(5, 130, 1, 1), 5, 130);
        foreach (int tokens in new[] { 1, 6 })
        {
            using Activations activations = new(tokens, 130, ActivationMode.EightBit) { Tokens = tokens };
            for (int t = 0; t < tokens; t++) activations.Values[130 * t + 129] = value;
            activations.Quantize(_pool);
            float[] got = new float[5 * tokens];
            fixed (float* output = got) matrix.Multiply(_pool, activations, output);
            Assert.All(got, y => Assert.Equal(value == 0 ? 0 : float.NaN, y));
        }
    }

    [Theory]
    [InlineData(ActivationMode.EightBit, 1)]
    [InlineData(ActivationMode.EightBit, 3)]
    [InlineData(ActivationMode.EightBit, 150)]
    [InlineData(ActivationMode.Float, 1)]
    [InlineData(ActivationMode.Float, 9)]
    public void Product_of_a_sum_agrees_with_the_definition_whatever_the_threads_and_allocates_nothing(ActivationMode mode, int tokens)
    {
        const int Rows = 53, Columns = 300;
        IntegerCodes codes = new(Rows, Columns);
        Values(Rows, Columns, 1.4, 2).CopyTo(codes.Values, 0);
        ScaledInput steps = new(Steps(Columns));
        CompositeCodes sum = new(Rows, Columns, [new(steps, codes)]);
        CompositeMatrix matrix = new("sample", Rows, Columns, [new(steps, Make(codes.Values, Rows, Columns), 2 * Columns)]);
        PackedProducts.DequantizesToTheBit(sum, matrix);
        PackedProducts.AgreesWithDefinition(sum, matrix, mode, tokens, _pool, mode == ActivationMode.Float ? 1e-6 : 4e-3);
        PackedProducts.DoesNotDependOnThreads(matrix, mode, tokens);
        PackedProducts.SecondProductAllocatesNothing(matrix, mode, tokens);
    }

    [Fact]
    public void Products_of_an_input_with_several_sums_are_those_of_each()
    {
        const int Columns = 130;
        CompositeMatrix[] matrices = [.. new[] { 40, 16, 33 }.Select(rows => new CompositeMatrix("sample", rows, Columns, [new(new ScaledInput(Steps(Columns, rows)), Make(Values(rows, Columns, 1, rows), rows, Columns), 0)]))];
        using Activations activations = PackedProducts.Input(1, Columns, 1, ActivationMode.EightBit, _pool);
        float[][] alone = [.. matrices.Select(matrix => new float[matrix.Rows])], together = [.. matrices.Select(matrix => new float[matrix.Rows])];
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(Lanes128.IsSupported ? (matrices[i].Rows + 15) / 16 : 0, matrices[i].PrepareTiles(_pool, activations));
            fixed (float* output = alone[i]) matrices[i].Multiply(_pool, activations, output);
        }
        fixed (float* first = together[0], second = together[1], third = together[2])
            Products.Multiply(_pool, activations, new(matrices[0], first), new(matrices[1], second), new(matrices[2], third));
        Assert.Equal(alone, together);
    }

    [Fact]
    public void Rows_whose_sums_do_not_fit_are_multiplied_as_floats()
    {
        const int Columns = 2090;
        sbyte[] values = new sbyte[2 * Columns];
        Array.Fill(values, (sbyte)-128);
        IntegerMatrix matrix = Make(values, 2, Columns);
        using Activations activations = new(1, Columns, ActivationMode.EightBit) { Tokens = 1 };
        new Span<float>(activations.Values, Columns).Fill(1);
        activations.Quantize(_pool);
        float* output = stackalloc float[2];
        matrix.Multiply(_pool, activations, output);
        Assert.Equal(-128f * Columns, output[0]);
        Assert.False(matrix.UsesIntegers(activations));
        Array.Fill(values, (sbyte)-126);
        matrix = Make(values, 2, Columns);
        Assert.True(matrix.UsesIntegers(activations));
        matrix.Multiply(_pool, activations, output);
        Assert.Equal(-126f * Columns, output[1], 1e-6f * 126 * Columns);
    }

    [Fact]
    public void Columns_of_normal_numbers_take_few_bits_more_than_their_entropy()
    {
        const int Rows = 512, Columns = 1024;
        foreach ((double spread, double most) in new[] { (0.6, 1.85), (1.1, 2.7), (1.6, 3.35), (3, 4.4) })
        {
            IntegerMatrix matrix = Make(Values(Rows, Columns, spread, 3), Rows, Columns);
            Assert.InRange(8.0 * matrix.Tiles.Bytes / Rows / Columns, 1.5, most);
        }
    }

    // Every array ends at a page that cannot be read; all forms and entries occur.
    private void EqualsOracle<TLanes, TVector>() where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        for (int columns = 1; columns <= 200; columns += columns < 70 ? 1 : 13) Compare(1 + columns % 37, columns, columns % 3 + 0.5);
        foreach (double spread in new[] { 0.1, 0.3, 0.5, 0.7, 1.1, 1.5, 2.5, 6, 20, 80 }) Compare(35, 700, spread);
        Compare(16, 1536, 0);
        Compare(30, 2048, -1);
        Compare(3, 33000, 0.5);

        void Compare(int rows, int columns, double spread)
        {
            sbyte[] values = Values(rows, columns, spread, rows + columns);
            IntegerMatrix matrix = Make(values, rows, columns).Scaled(Steps(columns));
            foreach (int tokens in new[] { 1, 3, 7 })
            {
                using Activations activations = PackedProducts.Input(tokens, columns, tokens, ActivationMode.EightBit, _single);
                float[] want = new float[tokens * rows];
                fixed (float* output = want) matrix.MultiplyScalar(_single, activations, output);
                GuardedMemory one = new(4L * want.Length), many = new(4L * want.Length);
                matrix.MultiplyTiles<TLanes, TVector>(activations, (float*)one.Pointer, 0, matrix.Tiles.Count);
                matrix.MultiplyPanels<TLanes, TVector>(_single, activations, (float*)many.Pointer);
                Assert.Equal(want, new Span<float>(one.Pointer, want.Length).ToArray());
                Assert.Equal(want, new Span<float>(many.Pointer, want.Length).ToArray());
            }
        }
    }

    private static IntegerMatrix Make(sbyte[] values, int rows, int columns)
    {
        IntegerCodes codes = new(rows, columns);
        values.CopyTo(codes.Values, 0);
        return IntegerPacking.Load("sample", rows, columns, IntegerPackingTests.Tensors(IntegerPacking.Pack(codes)));
    }

    private static float[] Steps(int columns, int seed = 5)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, columns).Select(_ => (float)(Half)(0.01f + random.NextSingle()))];
    }

    // Normal numbers, columns spreading differently; with a spread below zero the largest integers everywhere.
    private static sbyte[] Values(int rows, int columns, double spread, int seed)
    {
        Random random = new(seed);
        double[] ofColumn = [.. Enumerable.Range(0, columns).Select(_ => spread * Math.Pow(2, random.NextDouble() - 0.5))];
        sbyte[] values = new sbyte[rows * columns];
        for (int i = 0; i < values.Length; i++)
        {
            double normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
            values[i] = spread < 0 ? (sbyte)(random.Next(2) == 0 ? -128 : 127) : (sbyte)Math.Clamp(Math.Round(ofColumn[i % columns] * normal), -128, 127);
        }
        return values;
    }
}
