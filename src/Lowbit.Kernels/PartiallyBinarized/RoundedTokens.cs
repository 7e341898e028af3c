using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>One token of <see cref="RoundedTokens"/>.</summary>
internal unsafe struct RoundedToken
{
    /// <summary>A value is its integer times this.</summary>
    public float Scale;

    /// <summary>[blocks · 64 + 256] the two parts of x = 64 · upper + lower: lower is −32 to 31, upper −32 to 32, so that 16 bits hold two pairs of products with bytes.</summary>
    public sbyte* Lower, Upper;

    /// <summary>[blocks + 1] sums of the integers before a block.</summary>
    public int* Sums;

    /// <summary>[blocks] tables of <see cref="RoundedTokens.TableBytes"/>.</summary>
    public byte* Tables;

    /// <summary>The integer of a column.</summary>
    public readonly int Value(int column) => 64 * Upper[column] + Lower[column];
}

/// <summary>
/// Tokens rounded to 12 bits, with one scale for all features, which lets a product keep integers over a whole row. The largest value
/// becomes 2047: over rows of n features the squares of the errors add up to at most n / 64 · (127 / 2047)² of those that 8 bits with a scale for every 64
/// features make beside the largest value.
/// A sum over the ones of four bits of a plane is looked up: for each four columns there are the 16 sums plus <see cref="SumOffset"/>, as lower
/// seven bits and what is above. The tables of a block: for each half of 32 columns four vectors of 64 bytes, the lower parts for the
/// columns 8 g to 8 g + 3 (g = 0 to 3, 16 bytes each), their upper parts, and the same for the columns 8 g + 4 to 8 g + 7.
/// </summary>
internal unsafe struct RoundedTokens : IParallelWork
{
    /// <summary>Bytes of the tables of a block.</summary>
    public const int TableBytes = 512;

    /// <summary>What is in every table entry too much, so that none is negative.</summary>
    public const int SumOffset = 8192;

    private const int Padding = StepForm.WidestWindow; // a window may begin at the last column
    private const int Largest = 2047;
    private const int LinesOfBlock = 16; // of the weights that are fetched while the tables of a block are made
    private const float SmallestLargest = 1e-30f;

    [ThreadStatic]
    private static NativeBuffer? t_memory, t_own;

    [ThreadStatic]
    private static long t_ownBatch;

    private readonly float* _values;
    private readonly int _features, _blocks;
    private readonly bool _tables;
    private readonly byte* _memory;

    private RoundedTokens(Activations activations, int firstToken, int tokens, bool tables, ref NativeBuffer? memory)
    {
        _features = activations.Features;
        _blocks = activations.Blocks;
        _values = activations.Values + (long)firstToken * _features;
        _tables = tables;
        _memory = Scratch.Ensure(ref memory, tokens * TokenBytes);
    }

    private readonly long TokenBytes => 64 + 2 * (64L * _blocks + Padding) + SumBytes + (_tables ? (long)TableBytes * _blocks : 0);

    private readonly int SumBytes => (sizeof(int) * (_blocks + 1) + 63) / 64 * 64;

    /// <summary>Rounds tokens into memory of this thread, which the next call takes again.</summary>
    /// <param name="pool">Threads that share the tokens.</param>
    /// <param name="activations">The batch.</param>
    /// <param name="firstToken">The first of them.</param>
    /// <param name="tokens">Their number.</param>
    /// <param name="tables">Whether to make <see cref="RoundedToken.Tables"/>.</param>
    public static RoundedTokens Make(WorkerPool pool, Activations activations, int firstToken, int tokens, bool tables)
    {
        RoundedTokens rounded = new(activations, firstToken, tokens, tables, ref t_memory);
        pool.Run(ref rounded, tokens, 1);
        return rounded;
    }

    /// <summary>
    /// The whole batch with tables, rounded by this thread for itself, once for all products of the batch: for a token that takes no longer
    /// than fetching the tables from the cache of another core, and nobody waits for anybody. The memory is not idle meanwhile.
    /// </summary>
    /// <param name="activations">The batch.</param>
    /// <param name="weights">What the thread reads next.</param>
    public static RoundedTokens OfThread(Activations activations, byte* weights)
    {
        RoundedTokens rounded = new(activations, 0, activations.Tokens, tables: true, ref t_own);
        if (t_ownBatch != activations.Batch)
        {
            rounded.Round(0, activations.Tokens, weights);
            t_ownBatch = activations.Batch;
        }
        return rounded;
    }

    /// <summary>A token, counted from the first.</summary>
    public readonly RoundedToken Token(int index)
    {
        byte* memory = _memory + index * TokenBytes;
        sbyte* lower = (sbyte*)memory + 64, upper = lower + 64 * _blocks + Padding;
        int* sums = (int*)(upper + 64 * _blocks + Padding);
        return new RoundedToken { Scale = *(float*)memory, Lower = lower, Upper = upper, Sums = sums, Tables = (byte*)sums + SumBytes };
    }

    readonly void IParallelWork.Execute(int start, int end) => Round(start, end, null);

    private readonly void Round(int start, int end, byte* weights)
    {
        for (int t = start; t < end; t++)
        {
            RoundedToken token = Token(t);
            *(float*)(_memory + t * TokenBytes) = Round(_values + (long)t * _features, token);
            if (!_tables) continue;
            for (int b = 0; b < _blocks; b++)
            {
                if (weights is not null && Sse.IsSupported && t == start)
                    for (int line = 0; line < LinesOfBlock; line++) Sse.Prefetch1(weights + RowTiles.Unit * (LinesOfBlock * b + line));
                MakeTables(token.Lower + 64 * b, token.Upper + 64 * b, token.Tables + (long)TableBytes * b);
            }
        }
    }

    private readonly float Round(float* values, in RoundedToken token)
    {
        // Bits of absolute values are ordered like the values, and those of NaN lie above those of ∞.
        int width = Vector<int>.Count, largestBits = 0, i = 0;
        Vector<int> largest = default;
        for (; i + width <= _features; i += width) largest = Vector.Max(largest, Vector.AsVectorInt32(Vector.Load(values + i)) & new Vector<int>(int.MaxValue));
        for (int lane = 0; lane < width; lane++) largestBits = Math.Max(largestBits, largest[lane]);
        for (; i < _features; i++) largestBits = Math.Max(largestBits, BitConverter.SingleToInt32Bits(values[i]) & int.MaxValue);
        float max = BitConverter.Int32BitsToSingle(largestBits);

        int padded = 64 * _blocks + Padding;
        new Span<sbyte>(token.Lower, padded).Clear();
        new Span<sbyte>(token.Upper, padded).Clear();
        new Span<int>(token.Sums, _blocks + 1).Clear();
        if (!float.IsFinite(max)) return float.NaN;
        if (max < SmallestLargest) return 0;
        float factor = Largest / max;
        for (i = 0; i + 16 <= _features; i += 16)
        {
            Vector256<int> x0 = Rounded(Vector256.Load(values + i), factor), x1 = Rounded(Vector256.Load(values + i + 8), factor);
            Vector256<short> x = Vector256.Narrow(x0, x1);
            Vector256<short> upper = Vector256.ShiftRightArithmetic(x + Vector256.Create((short)32), 6), lower = x - Vector256.ShiftLeft(upper, 6);
            Vector128.Narrow(upper.GetLower(), upper.GetUpper()).Store(token.Upper + i);
            Vector128.Narrow(lower.GetLower(), lower.GetUpper()).Store(token.Lower + i);
            token.Sums[i / 64 + 1] += Vector256.Sum(x0 + x1);
        }
        for (; i < _features; i++)
        {
            int x = Rounded(Vector256.Create(values[i]), factor)[0];
            token.Upper[i] = (sbyte)(x + 32 >> 6);
            token.Lower[i] = (sbyte)(x - 64 * token.Upper[i]);
            token.Sums[i / 64 + 1] += x;
        }
        for (int b = 0; b < _blocks; b++) token.Sums[b + 1] += token.Sums[b];
        return max / Largest;
    }

    // Adding 1.5 · 2^23 rounds to an integer, halves to even, and leaves it in the low bits.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Rounded(Vector256<float> values, float factor)
    {
        Vector256<float> magic = Vector256.Create(12582912f);
        return (values * factor + magic).AsInt32() - magic.AsInt32();
    }

    private static void MakeTables(sbyte* lower, sbyte* upper, byte* tables)
    {
        short* x = stackalloc short[64];
        for (int i = 0; i < 64; i += 16)
            (Vector256.ShiftLeft(Wide(upper + i), 6) + Wide(lower + i)).Store(x + i);
        Vector256<byte> choose0 = Choose(0), choose1 = Choose(1), choose2 = Choose(2), choose3 = Choose(3);
        for (int first = 0; first < 64; first += 4)
        {
            // Columns 8 g to 8 g + 3 of half h, then 8 g + 4 to 8 g + 7.
            byte* table = tables + first / 32 * 256 + first / 4 % 2 * 128 + first / 8 % 4 * 16;
            Vector256<byte> four = Vector256.Create(*(ulong*)(x + first)).AsByte();
            Vector256<short> sums = Vector256.Create((short)SumOffset) + ((Shuffle(four, choose0) + Shuffle(four, choose1)) + (Shuffle(four, choose2) + Shuffle(four, choose3)));
            Vector256<short> low = sums & Vector256.Create((short)127), high = Vector256.ShiftRightLogical(sums, 7);
            Vector128.Narrow(low.GetLower().AsUInt16(), low.GetUpper().AsUInt16()).Store(table);
            Vector128.Narrow(high.GetLower().AsUInt16(), high.GetUpper().AsUInt16()).Store(table + 64);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<short> Wide(sbyte* x) => Vector256.WidenLower(Vector128.Load(x).ToVector256Unsafe());

    // The places of the bytes of number j where bit j of the number of the lane is one, elsewhere none.
    private static Vector256<byte> Choose(int j) =>
        (Vector256.Create((short)(2 * j | 2 * j + 1 << 8)) | Vector256.Equals(Vector256<short>.Indices & Vector256.Create((short)(1 << j)), Vector256<short>.Zero)).AsByte();

    // All four numbers are in each eighth, so it does not matter whether places count from the begin of the vector or of its half.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<short> Shuffle(Vector256<byte> numbers, Vector256<byte> places) =>
        (Avx2.IsSupported ? Avx2.Shuffle(numbers, places) : Vector256.Shuffle(numbers, places)).AsInt16();
}
