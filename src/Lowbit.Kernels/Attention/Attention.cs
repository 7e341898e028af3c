using System;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>What is the same for all calls of an attention layer.</summary>
/// <param name="Heads">Query heads, a multiple of <paramref name="KeyValueHeads"/>.</param>
/// <param name="KeyValueHeads">Key and value heads; query head h reads head h / (Heads / KeyValueHeads).</param>
/// <param name="HeadDim">Elements of a head.</param>
/// <param name="Scale">Factor of the scores, usually 1 / √HeadDim.</param>
/// <param name="Window">A token sees itself and the Window − 1 positions before it; 0 for all.</param>
/// <param name="SoftCap">Scores become SoftCap · tanh(score / SoftCap); 0 for none.</param>
public readonly record struct AttentionShape(int Heads, int KeyValueHeads, int HeadDim, float Scale, int Window = 0, float SoftCap = 0);

/// <summary>
/// Causal attention over cached keys and values: output[t, h] = Σ_p softmax_p(scale · q[t, h] · k[p]) · v[p], p up to the
/// token's own position. Memory does not grow with the square of the length: keys pass by in tiles while a running maximum
/// and sum are kept (Milakov and Gimelshein, arXiv 1805.02867). Results do not depend on the number of threads.
/// </summary>
public sealed unsafe class Attention : IDisposable
{
    // Up to here every token is computed by itself and threads share positions; from here on they share tiles of tokens.
    private const int FewTokens = 4;

    private readonly NativeBuffer _partials;
    private readonly int _maxPositions;
    private readonly int _maxElements;

    /// <summary>Allocates what the calls need, so that they allocate nothing.</summary>
    /// <param name="maxPositions">Most positions of a cache.</param>
    /// <param name="maxElements">Greatest number of query heads times <see cref="AttentionShape.HeadDim"/> of all layers.</param>
    /// <param name="maxHeads">Greatest number of query heads of all layers.</param>
    public Attention(int maxPositions, int maxElements, int maxHeads)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxPositions);
        _maxPositions = maxPositions;
        _maxElements = maxElements + 2 * maxHeads;
        long splits = (maxPositions + AttentionDecode.SplitPositions - 1) / AttentionDecode.SplitPositions;
        _partials = new NativeBuffer(FewTokens * splits * _maxElements * sizeof(float));
    }

    /// <summary>Computes one layer for new tokens, whose own keys and values are in the cache already.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="shape">Heads, scale and window.</param>
    /// <param name="queries">[tokens, heads · headDim].</param>
    /// <param name="keys">Rows of keyValueHeads · headDim, at least firstPosition + tokens of them.</param>
    /// <param name="values">As many rows.</param>
    /// <param name="tokens">New tokens.</param>
    /// <param name="firstPosition">Position of the first new token, the number of positions before it.</param>
    /// <param name="output">[tokens, heads · headDim], overwritten.</param>
    public void Compute(
        WorkerPool pool, in AttentionShape shape, float* queries, CacheRows keys, CacheRows values, int tokens, int firstPosition, float* output)
    {
        if (shape.KeyValueHeads <= 0 || shape.Heads % shape.KeyValueHeads != 0)
            throw new ArgumentException($"{shape.Heads} query heads cannot share {shape.KeyValueHeads} key-value heads", nameof(shape));
        if ((long)shape.Heads * shape.HeadDim + 2 * shape.Heads > _maxElements)
            throw new ArgumentException($"{shape.Heads} heads of {shape.HeadDim} are more than this object was made for", nameof(shape));
        if (keys.Columns != shape.KeyValueHeads * shape.HeadDim || values.Columns != keys.Columns)
            throw new ArgumentException($"rows of {keys.Columns} and {values.Columns} elements do not hold {shape.KeyValueHeads} heads of {shape.HeadDim}", nameof(keys));
        if (tokens < 0 || firstPosition < 0 || (long)firstPosition + tokens > _maxPositions)
            throw new ArgumentOutOfRangeException(nameof(tokens), $"positions {firstPosition} to {(long)firstPosition + tokens} of {_maxPositions}");
        if (tokens == 0) return;
        if (tokens <= FewTokens)
        {
            AttentionDecode.Compute(pool, shape, queries, keys, values, tokens, firstPosition, output, _partials.Floats);
            return;
        }
        if (Vector512.IsHardwareAccelerated && Avx512F.IsSupported)
            AttentionPrefill<GemmKernelAvx512>.Compute(pool, shape, queries, keys, values, tokens, firstPosition, output);
        else if (Fma.IsSupported)
            AttentionPrefill<GemmKernelAvx2>.Compute(pool, shape, queries, keys, values, tokens, firstPosition, output);
        else if (Vector128.IsHardwareAccelerated)
            AttentionPrefill<GemmKernelVector128>.Compute(pool, shape, queries, keys, values, tokens, firstPosition, output);
        else
            AttentionPrefill<GemmKernelScalar>.Compute(pool, shape, queries, keys, values, tokens, firstPosition, output);
    }

    /// <inheritdoc/>
    public void Dispose() => _partials.Dispose();

    /// <summary>The first position that a token at <paramref name="position"/> sees.</summary>
    internal static int FirstVisible(in AttentionShape shape, int position) =>
        shape.Window <= 0 ? 0 : Math.Max(0, position - shape.Window + 1);

    /// <summary>Applies the soft cap to scores, if there is one.</summary>
    internal static void Cap(float softCap, Span<float> scores)
    {
        if (softCap == 0) return;
        int width = System.Numerics.Vector<float>.Count, i = 0;
        for (; i <= scores.Length - width; i += width)
            (softCap * VectorMath.Tanh(new System.Numerics.Vector<float>(scores[i..]) / softCap)).CopyTo(scores[i..]);
        for (; i < scores.Length; i++) scores[i] = softCap * MathF.Tanh(scores[i] / softCap);
    }
}
