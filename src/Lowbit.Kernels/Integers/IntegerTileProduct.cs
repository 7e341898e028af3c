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
            foreach (ChunkRun run in tiles.Columns.Runs)
            {
                sbyte* activations = x.Codes + ChunkForms.Columns * run.First;
                int* factors = x.Factors + run.First;
                switch (run.Form)
                {
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
            }
            TLanes.Store((byte*)sums + lane, sum0);
            if (Second != 0) TLanes.Store((byte*)sums + lane + Second, sum1);
        }
        AddEntries((ushort*)(data + tiles.CodeBytes), tiles.Steps(tile), x.Values, sums);
        for (int i = 0; i < IntegerTiles.Rows; i += Vector256<int>.Count)
            (Vector256.ConvertToSingle(Vector256.Load(sums + i) - Vector256.Create(x.Offset)) * x.Scale).Store(results + i);
    }

    /// <summary>Adds what the forms leave out.</summary>
    /// <param name="entries">[steps, 16].</param>
    /// <param name="steps">An even number.</param>
    /// <param name="x">The token's integers.</param>
    /// <param name="sums">[16].</param>
    private static void AddEntries(ushort* entries, int steps, short* x, int* sums)
    {
        if (!Avx2.IsSupported)
        {
            for (int i = 0; i < IntegerTiles.Rows * steps; i++)
            {
                int value = x[entries[i] & ~IntegerTiles.Negative];
                sums[i % IntegerTiles.Rows] += (entries[i] & IntegerTiles.Negative) != 0 ? -value : value;
            }
            return;
        }
        Vector256<int> sum0 = Vector256.Load(sums), sum1 = Vector256.Load(sums + 8);
        for (; steps > 0; steps--, entries += IntegerTiles.Rows)
        {
            Sse.Prefetch0(entries + WeightMatrix.Ahead / sizeof(ushort));
            sum0 += Eight(entries, x);
            sum1 += Eight(entries + 8, x);
        }
        sum0.Store(sums);
        sum1.Store(sums + 8);
    }

    // Four bytes are fetched, of which two are the integer.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Eight(ushort* entries, short* x)
    {
        Vector256<int> entry = Avx2.ConvertToVector256Int32(Vector128.Load((short*)entries)), sign = entry >> 31;
        Vector256<int> value = Avx2.GatherVector256((int*)x, entry & Vector256.Create(IntegerTiles.Negative - 1), sizeof(short)) << 16 >> 16;
        return (value ^ sign) - sign;
    }

    // By itself, so that its sums stay in registers. 16 bits hold the products of 16 steps with codes of up to 7, of 8 with 15 and of 4 with 31.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Chunks<TForm>(byte* codes, int chunks, sbyte* x, int* factors, ref TVector sum0, ref TVector sum1) where TForm : struct, IChunkForm
    {
        TVector s0 = sum0, s1 = sum1;
        for (; chunks > 0; chunks--, factors++)
        {
            TVector factor = TLanes.Broadcast(factors), p0 = default, p1 = default;
            Steps<TForm>(codes, 0, x, ref p0, ref p1);
            Steps<TForm>(codes, 1, x, ref p0, ref p1);
            if (TForm.Largest > 15) Move(factor, ref p0, ref p1, ref s0, ref s1);
            Steps<TForm>(codes, 2, x, ref p0, ref p1);
            Steps<TForm>(codes, 3, x, ref p0, ref p1);
            if (TForm.Largest > 7) Move(factor, ref p0, ref p1, ref s0, ref s1);
            Steps<TForm>(codes, 4, x, ref p0, ref p1);
            Steps<TForm>(codes, 5, x, ref p0, ref p1);
            if (TForm.Largest > 15) Move(factor, ref p0, ref p1, ref s0, ref s1);
            Steps<TForm>(codes, 6, x, ref p0, ref p1);
            Steps<TForm>(codes, 7, x, ref p0, ref p1);
            Move(factor, ref p0, ref p1, ref s0, ref s1);
            codes += TForm.Vectors * IBlockFormat.Vector;
            x += ChunkForms.Columns;
        }
        sum0 = s0;
        sum1 = s1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Steps<TForm>(byte* codes, int n, sbyte* x, ref TVector p0, ref TVector p1) where TForm : struct, IChunkForm
    {
        if (n < TForm.Vectors && Sse.IsSupported) Sse.Prefetch0(codes + WeightMatrix.Ahead + n * IBlockFormat.Vector);
        TVector x0 = TLanes.Broadcast(x + 8 * n), x1 = TLanes.Broadcast(x + 8 * n + 4);
        TForm.Codes<TLanes, TVector>(codes, n, out TVector even, out TVector odd);
        p0 = TLanes.AddProducts(TLanes.AddProducts(p0, even, x0), odd, x1);
        if (Second == 0) return;
        TForm.Codes<TLanes, TVector>(codes + Second, n, out even, out odd);
        p1 = TLanes.AddProducts(TLanes.AddProducts(p1, even, x0), odd, x1);
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
