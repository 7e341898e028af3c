using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Linq;
using System.Threading.Tasks;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Tests.Uniform;
using Lowbit.Kernels.Uniform;
using Xunit;

namespace Lowbit.Kernels.Tests.Composite;

public unsafe class CompositeMatrixTests
{
    private readonly WorkerPool _pool = new(2);

    public static TheoryData<int, int> Shapes => new() { { 1, 3 }, { 13, 64 }, { 40, 130 }, { 9, 200 } };

    [Theory, MemberData(nameof(Shapes))]
    public void Sparse_matrices_round_trip_and_multiply(int rows, int columns)
    {
        foreach (double share in new[] { 0, 0.1, 1 })
        {
            SparseCodes codes = Sparse(rows, columns, share, rows);
            Packed<SparseLayout> packed = SparsePacking.Pack(codes);
            SparseMatrix matrix = Load(packed);
            SparseCodes back = matrix.Unpack();
            Assert.Equal(codes.RowStarts, back.RowStarts);
            Assert.Equal(codes.ColumnIndices, back.ColumnIndices);
            Assert.Equal(codes.Values, back.Values);
            Assert.Equal(packed.Parts.Sum(part => part.Bytes.LongLength), matrix.Bytes);
            PackedProducts.DequantizesToTheBit(codes, matrix);
            foreach (int tokens in new[] { 1, 9 }) PackedProducts.AgreesWithDefinition(codes, matrix, ActivationMode.Float, tokens, _pool);
        }
    }

    [Fact]
    public void Columns_beyond_16_bits_are_stored_wide()
    {
        SparseCodes codes = new(2, 70_000, [0, 2, 3], [5, 69_999, 65_536], [1, 2, 3]);
        Packed<SparseLayout> packed = SparsePacking.Pack(codes);
        Assert.Equal(ElementFormat.U32, packed.Parts[1].Format);
        PackedProducts.DequantizesToTheBit(codes, Load(packed));
    }

    [Fact]
    public void Worked_example_of_the_documentation()
    {
        Packed<SparseLayout> packed = SparsePacking.Pack(new SparseCodes(2, 300, [0, 1, 3], [7, 0, 258], [0.5f, -1, 2]));
        Assert.Equal("000000000100000003000000", Convert.ToHexString(packed.Parts[0].Bytes));
        Assert.Equal("070000000201", Convert.ToHexString(packed.Parts[1].Bytes));
        Assert.Equal("003800BC0040", Convert.ToHexString(packed.Parts[2].Bytes));
    }

    [Fact]
    public void Sparse_matrices_out_of_order_are_refused_when_packed_and_when_loaded()
    {
        foreach ((int[] starts, int[] columns) in new (int[], int[])[]
        {
            ([1, 2, 3], [0, 1, 2]), ([0, 2, 2], [0, 1, 2]), ([0, 4, 3], [0, 1, 2]), ([0, 3, 2, 3], [0, 1, 2]),
            ([0, 2, 3], [1, 1, 2]), ([0, 2, 3], [2, 1, 2]), ([0, 2, 3], [0, 9, 2]), ([0, 2, 3], [-1, 1, 2]), ([0, -1, 3], [0, 1, 2]),
        })
        {
            Assert.Contains("method", Assert.Throws<LowbitException>(() => SparsePacking.Pack(new SparseCodes(2, 9, starts, columns, [1, 2, 3]))).Message, StringComparison.Ordinal);
            if (starts.Length != 3) continue;
            Packed<SparseLayout> good = SparsePacking.Pack(new SparseCodes(2, 9, [0, 2, 3], [0, 1, 2], [1, 2, 3]));
            byte[] startBytes = [.. starts.SelectMany(BitConverter.GetBytes)], columnBytes = [.. columns.SelectMany(column => BitConverter.GetBytes((ushort)column))];
            Packed<SparseLayout> bad = good with { Parts = [good.Parts[0] with { Bytes = startBytes }, good.Parts[1] with { Bytes = columnBytes }, good.Parts[2]] };
            Assert.Contains("blk.0", Assert.Throws<LowbitException>(() => Load(bad)).Message, StringComparison.Ordinal);
        }
        Assert.Throws<LowbitException>(() => SparsePacking.Pack(new SparseCodes(1, 9, [0, 1], [3], [0.1f])));
        Assert.Throws<LowbitException>(() => SparsePacking.Pack(new SparseCodes(1, 9, [0, 1], [3], [float.NaN])));
    }

    [Fact]
    public void Damaged_parts_are_refused_by_name()
    {
        Packed<SparseLayout> sparse = SparsePacking.Pack(Sparse(5, 40, 0.3, 1));
        foreach (PackedPart part in sparse.Parts)
        {
            Refused(part.Suffix, () => Load(sparse with { Parts = sparse.Parts.Remove(part) }));
            Refused(part.Suffix, () => Load(sparse with { Parts = sparse.Parts.Replace(part, part with { Bytes = part.Bytes[2..] }) }));
        }
        foreach (SparseLayout layout in new[] { sparse.Layout with { Elements = -1 }, sparse.Layout with { Rows = 0 }, sparse.Layout with { Rows = int.MaxValue }, sparse.Layout with { Elements = 1 } })
            Assert.Throws<LowbitException>(() => Load(sparse with { Layout = layout }));
        LowRankCodes lowRank = LowRank(7, 9, 3, 1);
        ImmutableArray<PackedPart> parts = LowRankPacking.Pack(lowRank);
        foreach (PackedPart part in parts)
        {
            Refused(part.Suffix, () => Load(lowRank, 3, parts.Remove(part)));
            Refused(part.Suffix, () => Load(lowRank, 3, parts.Replace(part, part with { Bytes = [0, 0x7E, .. part.Bytes[2..]] })));
        }
        foreach (int rank in new[] { 0, -1, 2, 8, int.MaxValue }) Refused("", () => Load(lowRank, rank, parts));

        static void Refused(string suffix, Func<object> load) =>
            Assert.Contains(suffix.Length == 0 ? "blk.0" : $"blk.0.{suffix}", Assert.Throws<LowbitException>(load).Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Low_rank_matrices_round_trip_and_multiply(int rows, int columns)
    {
        LowRankCodes codes = LowRank(rows, columns, Math.Min(rows, 5), rows);
        WeightMatrix matrix = Load(codes);
        Assert.Equal(2 * codes.Rank * (rows + columns), matrix.Bytes);
        if (codes.Rank <= Math.Min(rows, columns)) PackedProducts.DequantizesToTheBit(codes, matrix);
        foreach (int tokens in new[] { 1, 9 }) PackedProducts.AgreesWithDefinition(codes, matrix, ActivationMode.Float, tokens, _pool, 1e-5);
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Sums_are_rebuilt_as_the_definition_says(int rows, int columns)
    {
        (CompositeCodes codes, CompositeMatrix matrix) = Sum(rows, columns, 1);
        PackedProducts.DequantizesToTheBit(codes, matrix);
    }

    [Theory]
    [InlineData(ActivationMode.Float, 1e-5)]
    [InlineData(ActivationMode.EightBit, 0.02)] // each term rounds its own inputs
    public void Products_of_sums_agree_with_the_definition(ActivationMode mode, double slack)
    {
        foreach ((int rows, int columns) in new[] { (5, 3), (13, 64), (9, 200) })
            foreach (int tokens in new[] { 1, 7, 8, 19, 2 })
            {
                (CompositeCodes codes, CompositeMatrix matrix) = Sum(rows, columns, tokens);
                PackedProducts.AgreesWithDefinition(codes, matrix, mode, tokens, _pool, slack);
            }
    }

    [Theory]
    [InlineData(ActivationMode.Float, 1)]
    [InlineData(ActivationMode.EightBit, 9)]
    public void Results_do_not_depend_on_the_number_of_threads(ActivationMode mode, int tokens) =>
        PackedProducts.DoesNotDependOnThreads(Sum(203, 200, 1).Matrix, mode, tokens);

    [Theory]
    [InlineData(ActivationMode.Float, 1)]
    [InlineData(ActivationMode.EightBit, 1)]
    [InlineData(ActivationMode.EightBit, 12)]
    public void Second_product_allocates_nothing(ActivationMode mode, int tokens) =>
        PackedProducts.SecondProductAllocatesNothing(Sum(20, 200, 1).Matrix, mode, tokens);

    [Fact]
    public void Threads_that_share_a_matrix_do_not_disturb_each_other()
    {
        CompositeMatrix matrix = Sum(50, 200, 1).Matrix;
        float[][] alone = [.. Enumerable.Range(0, 4).Select(Product)];
        float[][] together = new float[400][];
        Parallel.For(0, together.Length, i => together[i] = Product(i % 4));
        for (int i = 0; i < together.Length; i++) Assert.Equal(alone[i % 4], together[i]);

        float[] Product(int seed)
        {
            using WorkerPool pool = new(1);
            int tokens = 1 + seed * 3;
            using Activations activations = PackedProducts.Input(tokens, 200, seed, ActivationMode.EightBit, pool);
            float[] result = new float[50 * tokens];
            fixed (float* output = result) matrix.Multiply(pool, activations, output);
            return result;
        }
    }

    [Fact]
    public void Terms_of_other_shapes_are_refused()
    {
        WeightMatrix weight = Load(LowRank(7, 9, 3, 1));
        Assert.Throws<LowbitException>(() => new CompositeMatrix("blk.0", 7, 9, []));
        Assert.Throws<LowbitException>(() => new CompositeMatrix("blk.0", 8, 9, [new(new WholeInput(), weight, 0)]));
        Assert.Throws<LowbitException>(() => new CompositeMatrix("blk.0", 7, 10, [new(new WholeInput(), weight, 0)]));
        Assert.Throws<LowbitException>(() => new CompositeMatrix("blk.0", 7, 9, [new(new SelectedInput([1, 2]), weight, 0)]));
    }

    [Fact]
    public void Inputs_round_trip_and_impossible_ones_are_refused()
    {
        ScaledInput scaled = new([0.5f, -2, 3]);
        Assert.Equal(scaled.Factors, Assert.IsType<ScaledInput>(Again(scaled, 3)).Factors);
        SelectedInput selected = new([1, 4, 8]);
        Assert.Equal(selected.Columns, Assert.IsType<SelectedInput>(Again(selected, 9)).Columns);
        SelectedScaledInput both = Assert.IsType<SelectedScaledInput>(Again(new SelectedScaledInput([1, 4], [0.5f, 3]), 9));
        Assert.Equal([1, 4], both.Columns);
        Assert.Equal([0.5f, 3], both.Factors);
        Assert.IsType<WholeInput>(Again(new WholeInput(), 9));
        Assert.IsType<HaarInput>(Again(new HaarInput(), 9));
        foreach (InputTransform input in new InputTransform[]
        {
            new ScaledInput([1, 2]), new ScaledInput([1, 2, 0.1f]), new ScaledInput([1, 2, float.NaN]),
            new SelectedInput([0, 3]), new SelectedInput([1, 1]), new SelectedInput([-1]), new SelectedInput([2, 1]), new SelectedScaledInput([0, 1], [1]), new SelectedScaledInput([0, 3], [1, 1]),
        })
        {
            Assert.Throws<LowbitException>(() => InputPacking.Pack(input, 3));
        }
        ImmutableArray<PackedPart> parts = InputPacking.Pack(selected, 9);
        Assert.Throws<LowbitException>(() => InputPacking.Load("blk.0", "selected", 8, 3, UniformMatrices.Tensors(parts)));
        Assert.Throws<LowbitException>(() => InputPacking.Load("blk.0", "selected", 9, 2, UniformMatrices.Tensors(parts)));
        Assert.Throws<LowbitException>(() => InputPacking.Load("blk.0", "scaled", 9, 9, UniformMatrices.Tensors(parts)));
        Assert.Null(InputPacking.Load("blk.0", "other", 9, 9, UniformMatrices.Tensors(parts)));

        static InputTransform? Again(InputTransform input, int columns) =>
            InputPacking.Load("blk.0", InputPacking.Kind(input), columns, input.Features(columns), UniformMatrices.Tensors(InputPacking.Pack(input, columns)));
    }

    // Scaled 2-bit codes on scattered groups, a binary term, some columns in half precision, twice, elements, and a repair of rank 2.
    private static (CompositeCodes Codes, CompositeMatrix Matrix) Sum(int rows, int columns, int seed)
    {
        Random random = new(seed);
        UniformCodes uniform = UniformMatrices.Random(rows, columns, 2, Math.Min(columns, 32), seed, scattered: columns > 32);
        CodebookCodes binary = new(rows, columns, 1, columns);
        random.NextBytes(binary.Codes);
        for (int i = 0; i < binary.Codes.Length; i++) binary.Codes[i] &= 1;
        for (int r = 0; r < rows; r++) (binary.Levels[2 * r], binary.Levels[2 * r + 1]) = (-0.25f, 0.25f);
        int[] selected = [.. Enumerable.Range(0, columns).Where(c => c % 3 == 1)];
        float[] factors = Halves(selected.Length);
        PlainCodes plain = new(rows, selected.Length, Halves(rows * selected.Length));
        SparseCodes sparse = Sparse(rows, columns, 0.05, seed);
        LowRankCodes lowRank = LowRank(rows, columns, Math.Min(2, Math.Min(rows, columns)), seed);
        ScaledInput scaled = new(Halves(columns)), other = new(Halves(columns));
        CompositeCodes codes = new(rows, columns, [new(scaled, uniform, true), new(other, binary, true), new(new SelectedInput(selected), plain), new(new SelectedScaledInput(selected, factors), plain), new(new HaarInput(), sparse, true), new(new WholeInput(), lowRank)]);
        Packed<CodebookLayout> packed = CodebookPacking.Pack(binary);
        Dictionary<string, Tensor> values = UniformMatrices.Tensors([HalfPart.Of(HalfMatrix.Values, plain.Values, [rows, selected.Length])]);
        CompositeMatrix matrix = new("blk.0", rows, columns,
        [
            new(scaled, UniformMatrices.Load(UniformPacking.Pack(uniform, ElementFormat.F16)), 2 * columns, true),
            new(other, new CodebookMatrix("blk.0", packed.Layout, UniformMatrices.Tensors(packed.Parts)), 2 * columns, true),
            new(new SelectedInput(selected), HalfMatrix.Load("blk.0", HalfMatrix.Values, rows, selected.Length, values), 4 * selected.Length),
            new(new SelectedScaledInput(selected, factors), HalfMatrix.Load("blk.0", HalfMatrix.Values, rows, selected.Length, values), 6 * selected.Length),
            new(new HaarInput(), Load(SparsePacking.Pack(sparse)), 0, true),
            new(new WholeInput(), Load(lowRank), 0),
        ]);
        return (codes, matrix);

        float[] Halves(int count) => [.. Enumerable.Range(0, count).Select(_ => (float)(Half)(2 * random.NextSingle() - 1))];
    }

    private static SparseCodes Sparse(int rows, int columns, double share, int seed)
    {
        Random random = new(seed);
        int[] starts = new int[rows + 1];
        List<int> indices = [];
        for (int r = 0; r < rows; r++)
        {
            indices.AddRange(Enumerable.Range(0, columns).Where(_ => random.NextDouble() < share));
            starts[r + 1] = indices.Count;
        }
        return new SparseCodes(rows, columns, starts, [.. indices], [.. indices.Select(_ => (float)(Half)(2 * random.NextSingle() - 1))]);
    }

    private static LowRankCodes LowRank(int rows, int columns, int rank, int seed)
    {
        Random random = new(seed);
        LowRankCodes codes = new(rows, columns, Math.Min(rank, columns));
        for (int i = 0; i < codes.Left.Length; i++) codes.Left[i] = (float)(Half)(2 * random.NextSingle() - 1);
        for (int i = 0; i < codes.Right.Length; i++) codes.Right[i] = (float)(Half)(2 * random.NextSingle() - 1);
        return codes;
    }

    private static SparseMatrix Load(Packed<SparseLayout> packed) => new("blk.0", packed.Layout, UniformMatrices.Tensors(packed.Parts));

    private static LowRankMatrix Load(LowRankCodes codes) => Load(codes, codes.Rank, LowRankPacking.Pack(codes));

    private static LowRankMatrix Load(LowRankCodes codes, int rank, ImmutableArray<PackedPart> parts) => new("blk.0", codes.Rows, codes.Columns, rank, UniformMatrices.Tensors(parts));
}
