using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels.Integers;
using Xunit;

namespace Lowbit.Kernels.Tests.Integers;

public sealed unsafe class IntegerPackingTests
{
    private readonly WorkerPool _pool = new(2);

    [Theory]
    [InlineData(1, 1)]
    [InlineData(37, 200)]
    [InlineData(130, 65)]
    public void Classes_of_columns_take_the_fewest_bits_beside_those_of_rows(int rows, int columns)
    {
        Random random = new(rows);
        sbyte[] values = new sbyte[rows * columns];
        for (int i = 0; i < values.Length; i++)
        {
            double spread = Math.Pow(2, i / columns % 5 + i % columns % 3 - 2.0);
            values[i] = (sbyte)Math.Clamp(Math.Round(spread * (random.NextDouble() + random.NextDouble() - random.NextDouble() - random.NextDouble())), -128, 127);
        }
        SpreadModel model = SpreadModel.Fit(values, rows, columns, out double bits);
        double sum = 0;
        for (int c = 0; c < columns; c++)
        {
            double least = Enumerable.Range(0, SpreadTables.Classes).Min(Cost);
            Assert.Equal(least, Cost(model.ColumnClasses[c]), 1e-3);
            sum += least;

            double Cost(int columnClass)
            {
                double cost = 0;
                for (int r = 0; r < rows; r++)
                {
                    int spread = SpreadModel.Cross(model.RowClasses[r], columnClass), symbol = values[r * columns + c] + 128;
                    uint share = SpreadTables.Share(spread, symbol);
                    cost += share > 0 ? 12 - Math.Log2(share) : 20 - Math.Log2(SpreadTables.Share(spread, SpreadTables.Escape));
                }
                return cost;
            }
        }
        Assert.Equal(sum, bits, 1e-4 + 1e-5 * sum);
    }

    [Fact]
    public void No_share_lies_so_near_a_half_that_another_machine_could_round_it_otherwise()
    {
        for (int k = 0; k < SpreadTables.Classes; k++)
            for (int value = -128; value < 128; value++)
            {
                double share = SpreadTables.ExactShare(k, value);
                Assert.True(Math.Abs(share - Math.Floor(share) - 0.5) > 1e-7, $"class {k}, integer {value}: {share}");
            }
    }

    [Fact]
    public void Shares_of_a_class_fill_the_table_and_spread_wider_from_class_to_class()
    {
        uint zeros = 1u << SpreadTables.ShareBits;
        SpreadTables.MakeSlots([24], [.. Enumerable.Range(0, SpreadTables.Classes).Select(k => (byte)k)]);
        for (int k = 0; k < SpreadTables.Classes; k++)
        {
            uint next = 0;
            for (int symbol = 0; symbol <= SpreadTables.Escape; symbol++)
            {
                Assert.Equal(next, SpreadTables.Start(k, symbol));
                for (uint i = 0; i < SpreadTables.Share(k, symbol); i++)
                {
                    uint slot = SpreadTables.Slots[(k + 24 << SpreadTables.ShareBits) + next + i];
                    Assert.Equal(symbol == SpreadTables.Escape ? 0 : (byte)(symbol - 128) | SpreadTables.Share(k, symbol) << 8, slot & 0xFFFFF);
                    Assert.Equal(i, slot >> 20);
                }
                next += SpreadTables.Share(k, symbol);
            }
            Assert.Equal(1u << SpreadTables.ShareBits, next);
            Assert.True(SpreadTables.Share(k, SpreadTables.Escape) > 0);
            Assert.True(SpreadTables.Share(k, 128) <= zeros);
            zeros = SpreadTables.Share(k, 128);
        }
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(3, 7, 100)]
    [InlineData(5, 64, 0.01)]
    [InlineData(33, 130, 1.3)]
    [InlineData(300, 576, 0.9)] // two chunks
    [InlineData(1100, 512, 0.7)] // five, the first four side by side
    [InlineData(1021, 512, 0.7)] // four, of which the last is shorter
    [InlineData(9, 70000, 4)]   // eight rows longer than a chunk
    public void Packing_and_unpacking_gives_the_integers_back(int rows, int columns, double spread)
    {
        IntegerCodes codes = Random(rows, columns, spread);
        ImmutableArray<PackedPart> parts = IntegerPacking.Pack(codes);
        Assert.Equal(codes.Values, IntegerPacking.Unpack("sample", rows, columns, Tensors(parts)).Values);
        double bits = 8.0 * parts.Sum(part => part.Bytes.LongLength), expected = IntegerPacking.Bits(codes);
        Assert.InRange(bits - expected, -0.001 * expected - 64, 0.001 * expected + 64);
    }

    [Fact]
    public void Every_integer_can_be_coded_whatever_its_class_expects()
    {
        IntegerCodes codes = new(256, 40);
        for (int r = 0; r < 256; r++) codes.Values[r * 40 + r % 40] = (sbyte)(r - 128);
        Assert.Equal(codes.Values, IntegerPacking.Unpack("sample", 256, 40, Tensors(IntegerPacking.Pack(codes))).Values);
    }

    [Fact]
    public void Integers_that_are_rare_in_their_class_are_read_among_eight_rows_of_four_chunks()
    {
        IntegerCodes codes = Random(520, 1024, 0.8);
        for (int i = 0; i < codes.Values.Length; i += 97) codes.Values[i] = (sbyte)(i % 256 - 128);
        Assert.Equal(codes.Values, IntegerPacking.Unpack("sample", codes.Rows, codes.Columns, Tensors(IntegerPacking.Pack(codes))).Values);
        Assert.Equal(codes.Values, IntegerPacking.Load("sample", codes.Rows, codes.Columns, Tensors(IntegerPacking.Pack(codes))).Unpack().Values);
    }

    [Fact]
    public void Normal_numbers_take_little_more_than_their_entropy()
    {
        const int Rows = 256, Columns = 1024;
        IntegerCodes codes = Random(Rows, Columns, 1.3);
        double entropy = -codes.Values.GroupBy(value => value).Select(group => group.Count() / (double)codes.Values.Length).Sum(p => p * Math.Log2(p));
        double bits = 8.0 * IntegerPacking.Pack(codes).Sum(part => part.Bytes.Length) / codes.Values.Length;
        Assert.InRange(bits, entropy, entropy + 0.06); // 0.04 of them are classes
    }

    [Fact]
    public void Rows_and_columns_that_spread_differently_are_told_apart()
    {
        const int Rows = 256, Columns = 256;
        IntegerCodes codes = Random(Rows, Columns, 0.4), mixed = new(Rows, Columns);
        Random random = new(3);
        for (int i = 0; i < mixed.Values.Length; i++) mixed.Values[i] = Rounded(random, i % Columns < 128 ? 0.02 : 8);
        double entropyOfMixture = -mixed.Values.GroupBy(value => value).Select(group => group.Count() / (double)mixed.Values.Length).Sum(p => p * Math.Log2(p));
        Assert.True(IntegerPacking.Bits(mixed) / mixed.Values.Length < entropyOfMixture - 0.6);
        Assert.True(IntegerPacking.Bits(codes) < IntegerPacking.Bits(mixed));
    }

    [Theory]
    [InlineData(0.05)]
    [InlineData(1.5)]
    [InlineData(50)]
    public void The_matrix_that_is_loaded_has_the_same_numbers(double spread)
    {
        IntegerCodes codes = Random(37, 200, spread);
        IntegerMatrix matrix = IntegerPacking.Load("sample", 37, 200, Tensors(IntegerPacking.Pack(codes)));
        PackedProducts.DequantizesToTheBit(codes, matrix);
        Assert.Equal(codes.Values, matrix.Unpack().Values);
    }

    [Fact]
    public void Damaged_parts_are_refused_or_give_other_integers_but_never_more_than_their_memory()
    {
        IntegerCodes codes = Random(40, 60, 1);
        ImmutableArray<PackedPart> parts = IntegerPacking.Pack(codes);
        Random random = new(1);
        int refused = 0;
        for (int trial = 0; trial < 300; trial++)
        {
            ImmutableArray<PackedPart> damaged = [.. parts.Select(part => part with { Bytes = (byte[])part.Bytes.Clone() })];
            byte[] bytes = damaged[trial % damaged.Length].Bytes;
            bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
            try
            {
                Assert.Equal(codes.Values.Length, IntegerPacking.Unpack("sample", 40, 60, Tensors(damaged)).Values.Length);
            }
            catch (LowbitException e)
            {
                Assert.Contains("sample", e.Message, StringComparison.Ordinal);
                refused++;
            }
        }
        Assert.True(refused > 270, $"{refused} of 300 refused");
    }

    [Fact]
    public void Parts_that_do_not_fit_are_named()
    {
        ImmutableArray<PackedPart> parts = IntegerPacking.Pack(Random(4, 6, 1));
        foreach (PackedPart missing in parts)
        {
            LowbitException e = Assert.Throws<LowbitException>(() => IntegerPacking.Unpack("sample", 4, 6, Tensors([.. parts.Where(part => part != missing)])));
            Assert.Contains(missing.Suffix, e.Message, StringComparison.Ordinal);
        }
        Assert.Throws<LowbitException>(() => IntegerPacking.Unpack("sample", 5, 6, Tensors(parts)));
        PackedPart stream = parts[0];
        PackedPart longer = stream with { Bytes = [.. stream.Bytes, 0, 0], Shape = [stream.Bytes.Length + 2] };
        Assert.Contains("behind the last chunk", Assert.Throws<LowbitException>(() => IntegerPacking.Unpack("sample", 4, 6, Tensors(parts.SetItem(0, longer)))).Message, StringComparison.Ordinal);
    }

    private static IntegerCodes Random(int rows, int columns, double spread)
    {
        IntegerCodes codes = new(rows, columns);
        Random random = new(rows + columns);
        for (int i = 0; i < codes.Values.Length; i++) codes.Values[i] = Rounded(random, spread);
        return codes;
    }

    private static sbyte Rounded(Random random, double spread)
    {
        double normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
        return (sbyte)Math.Clamp(Math.Round(spread * normal), -128, 127);
    }

    internal static Dictionary<string, Tensor> Tensors(ImmutableArray<PackedPart> parts)
    {
        Dictionary<string, Tensor> tensors = [];
        foreach (PackedPart part in parts)
        {
            NativeBuffer memory = new(part.Bytes.Length);
            part.Bytes.CopyTo(new Span<byte>(memory.Pointer, part.Bytes.Length));
            tensors[part.Suffix] = new Tensor($"sample.{part.Suffix}", part.Format, part.Shape, memory.Pointer, part.Bytes.Length, memory);
        }
        return tensors;
    }
}
