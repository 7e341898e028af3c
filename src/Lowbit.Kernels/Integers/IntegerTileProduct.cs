using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// Products of a tile with few tokens, straight from its bytes. Codes are multiplied with those of the activations and added up in 16 bits, as
/// long as these hold any sum, and times the chunk's factor in 32 bits, which may run over on the way: the result that <see cref="IntegerProduct"/>
/// defines fits them.
/// </summary>
internal static unsafe class IntegerTileProduct<TLanes, TVector> where TLanes : struct, ILanes<TVector> where TVector : struct
{
    // Two vectors of rows at a time, if a tile has so many, so that each cache line is taken once.
    private static int Second
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TLanes.Width == IBlockFormat.Vector ? 0 : TLanes.Width;
    }

    /// <summary>Multiplies the rows of a tile with a token.</summary>
    /// <param name="tiles">The matrix.</param>
    /// <param name="tile">The tile.</param>
    /// <param name="x">The token.</param>
    /// <param name="results">[16].</param>
    public static void Run(IntegerTiles tiles, int tile, in ScaledToken x, float* results)
    {
        byte* data = tiles[tile];
        int* sums = stackalloc int[IntegerTiles.Rows];
        for (int lane = 0; lane < IBlockFormat.Vector; lane += TLanes.Width + Second)
        {
            TVector sum0 = default, sum1 = default;
            byte* codes = data + lane;
            sbyte* activations = x.Codes;
            int* factors = x.Factors;
            foreach (ChunkRun run in tiles.Columns.Runs)
            {
                switch (run.Form)
                {
                    case ChunkForm.Triples4: Chunks<Triples4Form>(codes, run.Count, activations, factors, ref sum0, ref sum1); break;
                    case ChunkForm.Triples5: Chunks<Triples5Form>(codes, run.Count, activations, factors, ref sum0, ref sum1); break;
                    case ChunkForm.Pairs4: Chunks<Pairs4Form>(codes, run.Count, activations, factors, ref sum0, ref sum1); break;
                    case ChunkForm.Pairs5: Chunks<Pairs5Form>(codes, run.Count, activations, factors, ref sum0, ref sum1); break;
                    case ChunkForm.Bits3: Chunks<Bits3Form>(codes, run.Count, activations, factors, ref sum0, ref sum1); break;
                    case ChunkForm.Bits4: Chunks<Bits4Form>(codes, run.Count, activations, factors, ref sum0, ref sum1); break;
                    case ChunkForm.Bits5: Chunks<Bits5Form>(codes, run.Count, activations, factors, ref sum0, ref sum1); break;
                    default:
                        sum0 = TLanes.AddIntegers(sum0, Bytes(codes, run.Count, activations, factors));
                        if (Second != 0) sum1 = TLanes.AddIntegers(sum1, Bytes(codes + Second, run.Count, activations, factors));
                        break;
                }
                codes += (long)run.Count * ChunkForms.Vectors(run.Form) * IBlockFormat.Vector;
                activations += run.Count * ChunkForms.Columns(run.Form);
                factors += run.Count;
            }
            TLanes.Store((byte*)sums + lane, sum0);
            if (Second != 0) TLanes.Store((byte*)sums + lane + Second, sum1);
        }
        TileEntries entries = tiles.Entries(tile);
        byte* ahead = data + tiles.CodeBytes + WeightMatrix.Ahead;
        AddEntries(entries.Start, entries.Ones, x.Values, tiles.Columns.Padded, 0, ahead, sums);
        AddEntries(entries.Start + TileEntries.StepBytes * entries.Ones, entries.Larges, x.Values, tiles.Columns.Padded, RowEntries.LargeShift, ahead, sums);
        for (int i = 0; i < IntegerTiles.Rows; i += Vector256<int>.Count)
            (Vector256.ConvertToSingle(Vector256.Load(sums + i) - Vector256.Create(x.Offset)) * x.Scale).Store(results + i);
    }

    /// <summary>Adds what the forms leave out.</summary>
    /// <param name="step">The first step.</param>
    /// <param name="steps">Their number.</param>
    /// <param name="x">The token's integers.</param>
    /// <param name="columns">Number of columns.</param>
    /// <param name="shift">Logarithm of what an entry is worth.</param>
    /// <param name="ahead">Codes that are not asked for yet: reading them goes on meanwhile.</param>
    /// <param name="sums">[16].</param>
    private static void AddEntries(byte* step, int steps, short* x, int columns, int shift, byte* ahead, int* sums)
    {
        if (steps == 0) return;
        if (!Avx2.IsSupported || columns > ushort.MaxValue)
        {
            for (int row = 0; row < IntegerTiles.Rows; row++)
                for (EntryCursor entry = new(step, row, steps, 1 << shift); entry.MoveNext(columns);) sums[row] += entry.Difference * x[entry.Column];
            return;
        }
        (Vector256<int> sum0, Vector256<int> sum1) = Sum(step, steps, x, Vector256.Create((ushort)columns), ahead);
        (Vector256.Load(sums) + Vector256.ShiftLeft(sum0, shift)).Store(sums);
        (Vector256.Load(sums + 8) + Vector256.ShiftLeft(sum1, shift)).Store(sums + 8);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static (Vector256<int> Lower, Vector256<int> Upper) Sum(byte* step, int steps, short* x, Vector256<ushort> behind, byte* ahead)
    {
        Vector256<int> sum0 = default, sum1 = default;
        Vector256<ushort> column = default, jump = Vector256.Create((ushort)RowEntries.Jump);
        Vector256<ushort> bits = Vector256.Create(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
        for (; steps > 0; steps--, step += TileEntries.StepBytes, ahead += IBlockFormat.Vector)
        {
            Sse.Prefetch0(step + WeightMatrix.Ahead);
            Sse.Prefetch0(ahead);
            Vector256<ushort> gap = Avx2.ConvertToVector256Int16(step).AsUInt16();
            column += gap;
            Vector256<ulong> columns = Vector256.Min(column, behind).AsUInt64(); // rows that have no more go on jumping
            Vector256<short> values = Vector256.Create(Eight(x, columns.GetElement(0), columns.GetElement(1)), Eight(x, columns.GetElement(2), columns.GetElement(3)));
            // 1, −1 or, of a jump, 0.
            Vector256<ushort> isNegative = Vector256.Equals(Vector256.Create(*(ushort*)(step + IntegerTiles.Rows)) & bits, bits);
            values *= Vector256.AndNot(isNegative | Vector256<ushort>.One, Vector256.Equals(gap, jump)).AsInt16();
            sum0 += Avx2.ConvertToVector256Int32(values.GetLower());
            sum1 += Avx2.ConvertToVector256Int32(values.GetUpper());
        }
        return (sum0, sum1);
    }

    // The integers of eight columns. One by one they take three quarters of the time of a gather.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<short> Eight(short* x, ulong lower, ulong upper)
    {
        Vector128<short> values = Vector128.CreateScalarUnsafe(x[(ushort)lower]);
        values = Sse2.Insert(values, x[(ushort)(lower >> 16)], 1);
        values = Sse2.Insert(values, x[(ushort)(lower >> 32)], 2);
        values = Sse2.Insert(values, x[lower >> 48], 3);
        values = Sse2.Insert(values, x[(ushort)upper], 4);
        values = Sse2.Insert(values, x[(ushort)(upper >> 16)], 5);
        values = Sse2.Insert(values, x[(ushort)(upper >> 32)], 6);
        return Sse2.Insert(values, x[upper >> 48], 7);
    }

    // By itself, so that its sums stay in registers. 16 bits hold the products of 24 steps with codes of up to 4, of 16 with 7, of 8 with 15 and of 4 with 31.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Chunks<TForm>(byte* codes, int chunks, sbyte* x, int* factors, ref TVector sum0, ref TVector sum1) where TForm : struct, IChunkForm
    {
        TVector s0 = sum0, s1 = sum1;
        for (; chunks > 0; chunks--, factors++)
        {
            TVector factor = TLanes.Broadcast(factors), p0 = default, p1 = default;
            Group<TForm>(codes, 0, x, ref p0, ref p1);
            Group<TForm>(codes, 1, x, ref p0, ref p1);
            if (TForm.Largest > 15) Move(factor, ref p0, ref p1, ref s0, ref s1);
            Group<TForm>(codes, 2, x, ref p0, ref p1);
            Group<TForm>(codes, 3, x, ref p0, ref p1);
            if (TForm.Largest > 7) Move(factor, ref p0, ref p1, ref s0, ref s1);
            Group<TForm>(codes, 4, x, ref p0, ref p1);
            Group<TForm>(codes, 5, x, ref p0, ref p1);
            if (TForm.Largest > 15) Move(factor, ref p0, ref p1, ref s0, ref s1);
            Group<TForm>(codes, 6, x, ref p0, ref p1);
            Group<TForm>(codes, 7, x, ref p0, ref p1);
            Move(factor, ref p0, ref p1, ref s0, ref s1);
            codes += TForm.Vectors * IBlockFormat.Vector;
            x += 32 * TForm.Steps;
        }
        sum0 = s0;
        sum1 = s1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Group<TForm>(byte* codes, int n, sbyte* x, ref TVector p0, ref TVector p1) where TForm : struct, IChunkForm
    {
        if (n < TForm.Vectors && Sse.IsSupported) Sse.Prefetch0(codes + WeightMatrix.Ahead + n * IBlockFormat.Vector);
        x += 4 * TForm.Steps * n;
        TVector x0 = TLanes.Broadcast(x), x1 = TLanes.Broadcast(x + 4), x2 = TForm.Steps == 3 ? TLanes.Broadcast(x + 8) : default;
        TForm.Codes<TLanes, TVector>(codes, n, out TVector first, out TVector second, out TVector third);
        p0 = TLanes.AddProducts(TLanes.AddProducts(p0, first, x0), second, x1);
        if (TForm.Steps == 3) p0 = TLanes.AddProducts(p0, third, x2);
        if (Second == 0) return;
        TForm.Codes<TLanes, TVector>(codes + Second, n, out first, out second, out third);
        p1 = TLanes.AddProducts(TLanes.AddProducts(p1, first, x0), second, x1);
        if (TForm.Steps == 3) p1 = TLanes.AddProducts(p1, third, x2);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Move(TVector factor, ref TVector p0, ref TVector p1, ref TVector s0, ref TVector s1)
    {
        s0 = TLanes.AddIntegers(s0, TLanes.Scale(p0, factor));
        p0 = default;
        if (Second == 0) return;
        s1 = TLanes.AddIntegers(s1, TLanes.Scale(p1, factor));
        p1 = default;
    }

    // Codes of eight bits, each as two of four. They are rare.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static TVector Bytes(byte* codes, int chunks, sbyte* x, int* factors)
    {
        TVector sum = default;
        for (; chunks > 0; chunks--, factors++)
        {
            TVector factor = TLanes.Shorts((short)*factors), upperFactor = TLanes.Shorts((short)(16 * *factors));
            for (int half = 0; half < 2; half++)
            {
                TVector lower = default, upper = default;
                for (int step = 0; step < 8; step++, codes += IBlockFormat.Vector, x += 4)
                {
                    TVector both = TLanes.Load(codes), a = TLanes.Broadcast(x);
                    lower = TLanes.AddProducts(lower, TLanes.Bits(both, 0, 15), a);
                    upper = TLanes.AddProducts(upper, TLanes.Bits(both, 4, 15), a);
                }
                sum = TLanes.AddIntegers(sum, TLanes.AddIntegers(TLanes.Scale(lower, factor), TLanes.Scale(upper, upperFactor)));
            }
        }
        return sum;
    }
}
