using System;
using System.Numerics;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;

namespace Lowbit.Kernels.Integers;

/// <summary>One token of <see cref="ScaledTokens"/>.</summary>
internal unsafe struct ScaledToken
{
    /// <summary>A value is its integer times this.</summary>
    public float Scale;

    /// <summary>What the sums of codes times integers are larger by than those of the matrix's own integers.</summary>
    public int Offset;

    /// <summary>[padded + 64] the integers; the last 64 are zero.</summary>
    public short* Values;

    /// <summary>[padded] −127 to 127: an integer is its code times the factor of its chunk.</summary>
    public sbyte* Codes;

    /// <summary>[chunks] 1 to 64, twice in 16 bits.</summary>
    public int* Factors;
}

/// <summary>
/// Tokens times the steps of a matrix's columns, in the order of its columns, rounded to 8 bits: one scale for all features, and for each chunk
/// the smallest integer factor with which 8 bits reach its largest value. So sums of a whole row are integers, though each chunk has a scale of
/// its own, as long as it is not 64 times smaller than the token's largest.
/// </summary>
internal unsafe struct ScaledTokens : IParallelWork
{
    /// <summary>The largest integer of a token.</summary>
    public const int Largest = LargestCode * LargestFactor;

    private const int LargestCode = 127, LargestFactor = 64;
    private const float SmallestLargest = 1e-30f;
    private const int Head = 64;
    private const int Behind = 64; // values after the last column

    [ThreadStatic]
    private static NativeBuffer? t_memory, t_own, t_products, t_inOrder;

    [ThreadStatic]
    private static (long Batch, IntegerMatrix? Matrix) t_ownBatch;

    private readonly IntegerMatrix _matrix;
    private readonly Activations _activations;
    private readonly int _firstToken, _padded, _chunks;
    private readonly byte* _memory;

    private ScaledTokens(IntegerMatrix matrix, Activations activations, int firstToken, int tokens, ref NativeBuffer? memory)
    {
        _matrix = matrix;
        _activations = activations;
        _firstToken = firstToken;
        _padded = matrix.Tiles.Columns.Padded;
        foreach (ChunkRun run in matrix.Tiles.Columns.Runs) _chunks += run.Count;
        _memory = Scratch.Ensure(ref memory, tokens * TokenBytes);
    }

    private readonly long TokenBytes => (Head + sizeof(short) * (_padded + Behind) + _padded + sizeof(int) * (long)_chunks + Head - 1) / Head * Head;

    /// <summary>Rounds tokens into memory of this thread, which the next call takes again.</summary>
    /// <param name="pool">Threads that share the tokens.</param>
    /// <param name="matrix">The matrix that takes them.</param>
    /// <param name="activations">The batch.</param>
    /// <param name="firstToken">The first of them.</param>
    /// <param name="tokens">Their number.</param>
    public static ScaledTokens Make(WorkerPool pool, IntegerMatrix matrix, Activations activations, int firstToken, int tokens)
    {
        ScaledTokens scaled = new(matrix, activations, firstToken, tokens, ref t_memory);
        pool.Run(ref scaled, tokens, 1);
        return scaled;
    }

    /// <summary>The whole batch, rounded by this thread for itself, for all tiles of a product: for a token that takes no longer than waiting for another thread.</summary>
    public static ScaledTokens OfThread(IntegerMatrix matrix, Activations activations)
    {
        ScaledTokens scaled = new(matrix, activations, 0, activations.Tokens, ref t_own);
        if (t_ownBatch != (activations.Batch, matrix))
        {
            scaled.Execute(0, activations.Tokens);
            t_ownBatch = (activations.Batch, matrix);
        }
        return scaled;
    }

    /// <summary>A token, counted from the first.</summary>
    public readonly ScaledToken Token(int index)
    {
        byte* memory = _memory + index * TokenBytes;
        short* values = (short*)(memory + Head);
        sbyte* codes = (sbyte*)(values + _padded + Behind);
        return new ScaledToken { Scale = *(float*)memory, Offset = ((int*)memory)[1], Values = values, Codes = codes, Factors = (int*)(codes + _padded) };
    }

    /// <inheritdoc/>
    public readonly void Execute(int start, int end)
    {
        int columns = _activations.Features;
        float* products = (float*)Scratch.Ensure(ref t_products, (columns + 1L) * sizeof(float)), inOrder = (float*)Scratch.Ensure(ref t_inOrder, _padded * sizeof(float));
        products[columns] = 0; // where there is no column
        for (int t = start; t < end; t++)
        {
            ScaledToken token = Token(t);
            byte* memory = _memory + t * TokenBytes;
            ReadOnlySpan<float> values = new(_activations.Values + (long)(_firstToken + t) * columns, columns);
            if (_matrix.Steps is null) values.CopyTo(new(products, columns));
            else Elementwise.Multiply(values, _matrix.Steps, new(products, columns));
            *(float*)memory = Round(Arrange(products, inOrder), inOrder, token);
            int offset = 0, first = 0;
            foreach (ChunkRun run in _matrix.Tiles.Columns.Runs)
            {
                int count = run.Count * ChunkForms.Columns(run.Form);
                offset += ChunkForms.Offset(run.Form) * Sum(token.Values + first, count);
                first += count;
            }
            ((int*)memory)[1] = offset;
        }
    }

    // Puts products in the order of the columns; gives the largest absolute value.
    private readonly float Arrange(float* products, float* inOrder)
    {
        int* columns = _matrix.Tiles.Columns.Pointer;
        // Bits of absolute values are ordered like the values, and those of NaN lie above those of ∞.
        int largest = 0;
        if (Avx2.IsSupported)
        {
            Vector256<int> most = default;
            for (int i = 0; i < _padded; i += Vector256<float>.Count)
            {
                Vector256<float> product = Avx2.GatherVector256(products, Vector256.Load(columns + i), sizeof(float));
                product.Store(inOrder + i);
                most = Vector256.Max(most, product.AsInt32() & Vector256.Create(int.MaxValue));
            }
            for (int lane = 0; lane < Vector256<int>.Count; lane++) largest = Math.Max(largest, most[lane]);
        }
        else
        {
            for (int i = 0; i < _padded; i++)
            {
                inOrder[i] = products[columns[i]];
                largest = Math.Max(largest, BitConverter.SingleToInt32Bits(inOrder[i]) & int.MaxValue);
            }
        }
        return BitConverter.Int32BitsToSingle(largest);
    }

    // Gives the scale.
    private readonly float Round(float largest, float* products, in ScaledToken token)
    {
        if (!(largest >= SmallestLargest && float.IsFinite(largest)))
        {
            new Span<byte>(token.Values, (int)TokenBytes - Head).Clear();
            return float.IsFinite(largest) ? 0 : float.NaN;
        }
        int chunk = 0, first = 0;
        foreach (ChunkRun run in _matrix.Tiles.Columns.Runs)
        {
            int columns = ChunkForms.Columns(run.Form);
            for (int end = chunk + run.Count; chunk < end; chunk++, first += columns)
                token.Factors[chunk] = 0x10001 * RoundChunk(products + first, columns, Largest / largest, token.Codes + first, token.Values + first);
        }
        new Span<short>(token.Values + _padded, Behind).Clear();
        return largest / Largest;
    }

    // Gives the factor.
    private static int RoundChunk(float* products, int columns, float scale, sbyte* codes, short* values)
    {
        const int Width = 8;
        Vector256<int> most = default; // bits of absolute values
        for (int i = 0; i < columns; i += Width) most = Vector256.Max(most, Vector256.Load((int*)(products + i)) & Vector256.Create(int.MaxValue));
        Vector128<int> half = Vector128.Max(most.GetLower(), most.GetUpper());
        float largest = BitConverter.Int32BitsToSingle(Math.Max(Math.Max(half[0], half[1]), Math.Max(half[2], half[3])));
        int times = Math.Clamp((int)MathF.Ceiling(largest * scale / (LargestCode + 0.49f)), 1, LargestFactor);
        // Adding 1.5 · 2^23 rounds to an integer, halves to even, and leaves it in the low bits.
        Vector256<float> factor = Vector256.Create(scale / times), magic = Vector256.Create(12582912f);
        for (int i = 0; i < columns; i += 2 * Width)
        {
            Vector256<int> x0 = (Vector256.Load(products + i) * factor + magic).AsInt32() - magic.AsInt32(), x1 = (Vector256.Load(products + i + Width) * factor + magic).AsInt32() - magic.AsInt32();
            Vector256<short> x = Vector256.Narrow(x0, x1);
            Vector128.Narrow(x.GetLower(), x.GetUpper()).Store(codes + i);
            (x * (short)times).Store(values + i);
        }
        return times;
    }

    private static int Sum(short* values, int count)
    {
        Vector<int> sum = default;
        for (int i = 0; i < count; i += Vector<short>.Count)
        {
            Vector.Widen(Vector.Load(values + i), out Vector<int> lower, out Vector<int> upper);
            sum += lower + upper;
        }
        return Vector.Sum(sum);
    }
}
