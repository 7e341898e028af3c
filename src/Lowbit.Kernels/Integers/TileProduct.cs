using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// Products of a tile with few tokens, straight from its bytes. Codes are multiplied with the two parts of the activations and added up in 16 bits,
/// as long as these hold any sum, and in 32 bits, which may run over on the way: the result that <see cref="IntegerProduct"/> defines fits them.
/// </summary>
internal static unsafe class TileProduct<TLanes, TVector> where TLanes : struct, ILanes<TVector> where TVector : struct
{
    /// <summary>Multiplies the rows of a tile with a token.</summary>
    /// <param name="tiles">The matrix.</param>
    /// <param name="tile">The tile.</param>
    /// <param name="x">The token.</param>
    /// <param name="results">[16].</param>
    public static void Run(IntegerTiles tiles, int tile, in ScaledToken x, float* results)
    {
        byte* data = tiles[tile];
        int* sums = stackalloc int[IntegerTiles.Rows];
        for (int lane = 0; lane < IBlockFormat.Vector; lane += TLanes.Width)
        {
            TVector sum = default;
            byte* codes = data + lane;
            foreach (ChunkRun run in tiles.Columns.Runs)
            {
                sbyte* lower = x.Lower + ChunkForms.Columns * run.First, upper = x.Upper + ChunkForms.Columns * run.First;
                sum = TLanes.AddIntegers(sum, run.Form switch
                {
                    ChunkForm.Pairs4 => Chunks<Pairs4Form>(codes, run.Count, lower, upper),
                    ChunkForm.Pairs5 => Chunks<Pairs5Form>(codes, run.Count, lower, upper),
                    ChunkForm.Bits3 => Chunks<Bits3Form>(codes, run.Count, lower, upper),
                    ChunkForm.Bits4 => Chunks<Bits4Form>(codes, run.Count, lower, upper),
                    ChunkForm.Bits5 => Chunks<Bits5Form>(codes, run.Count, lower, upper),
                    _ => Bytes(codes, run.Count, lower, upper),
                });
                codes += (long)run.Count * ChunkForms.Vectors(run.Form) * IBlockFormat.Vector;
            }
            TLanes.Store((byte*)sums + lane, sum);
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

    // By itself, so that its sums stay in registers.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static TVector Chunks<TForm>(byte* codes, int chunks, sbyte* lower, sbyte* upper) where TForm : struct, IChunkForm
    {
        int fit = short.MaxValue / (64 * 16 * TForm.Largest);
        TVector sum = default;
        while (chunks > 0)
        {
            TVector low = default, up = default;
            int count = Math.Min(chunks, fit);
            chunks -= count;
            for (; count > 0; count--)
            {
                Steps<TForm>(codes, 0, lower, upper, ref low, ref up);
                Steps<TForm>(codes, 1, lower, upper, ref low, ref up);
                Steps<TForm>(codes, 2, lower, upper, ref low, ref up);
                Steps<TForm>(codes, 3, lower, upper, ref low, ref up);
                Steps<TForm>(codes, 4, lower, upper, ref low, ref up);
                Steps<TForm>(codes, 5, lower, upper, ref low, ref up);
                Steps<TForm>(codes, 6, lower, upper, ref low, ref up);
                Steps<TForm>(codes, 7, lower, upper, ref low, ref up);
                codes += TForm.Vectors * IBlockFormat.Vector;
                lower += ChunkForms.Columns;
                upper += ChunkForms.Columns;
            }
            sum = TLanes.AddIntegers(sum, TLanes.AddIntegers(TLanes.Scale(low, TLanes.Shorts(1)), TLanes.Scale(up, TLanes.Shorts(64))));
        }
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Steps<TForm>(byte* codes, int n, sbyte* lower, sbyte* upper, ref TVector low, ref TVector up) where TForm : struct, IChunkForm
    {
        if (n < TForm.Vectors && Sse.IsSupported) Sse.Prefetch0(codes + WeightMatrix.Ahead + n * IBlockFormat.Vector);
        TForm.Codes<TLanes, TVector>(codes, n, out TVector even, out TVector odd);
        low = TLanes.AddProducts(low, even, TLanes.Broadcast(lower + 8 * n));
        up = TLanes.AddProducts(up, even, TLanes.Broadcast(upper + 8 * n));
        low = TLanes.AddProducts(low, odd, TLanes.Broadcast(lower + 8 * n + 4));
        up = TLanes.AddProducts(up, odd, TLanes.Broadcast(upper + 8 * n + 4));
    }

    // Codes of eight bits, each as two of four. They are rare.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static TVector Bytes(byte* codes, int chunks, sbyte* lower, sbyte* upper)
    {
        TVector sum = default;
        for (; chunks > 0; chunks--)
        {
            for (int nibble = 0; nibble < 2; nibble++)
            {
                TVector low = default, up = default;
                for (int step = 0; step < 16; step++)
                {
                    TVector both = TLanes.Load(codes + step * IBlockFormat.Vector), code = nibble == 0 ? TLanes.Bits(both, 0, 15) : TLanes.Bits(both, 4, 15);
                    low = TLanes.AddProducts(low, code, TLanes.Broadcast(lower + 4 * step));
                    up = TLanes.AddProducts(up, code, TLanes.Broadcast(upper + 4 * step));
                }
                sum = TLanes.AddIntegers(sum, TLanes.AddIntegers(TLanes.Scale(low, TLanes.Shorts((short)(nibble == 0 ? 1 : 16))), TLanes.Scale(up, TLanes.Shorts((short)(nibble == 0 ? 64 : 1024)))));
            }
            codes += 16 * IBlockFormat.Vector;
            lower += ChunkForms.Columns;
            upper += ChunkForms.Columns;
        }
        return sum;
    }
}
