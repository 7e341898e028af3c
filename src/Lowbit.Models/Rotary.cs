using System;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models;

/// <summary>Cosines and sines of all positions, computed once, and the rotation of rows by them.</summary>
public sealed unsafe class Rotary : IDisposable
{
    private readonly RopeConfig _rope;
    private readonly NativeBuffer _cos, _sin; // [context, dim / 2]

    /// <summary>Computes the tables.</summary>
    /// <param name="rope">Frequencies and order of pairs.</param>
    /// <param name="context">Positions 0 to context − 1.</param>
    /// <param name="transposed">Whether the rotation is the transposed one, which gradients take on the way back.</param>
    public Rotary(RopeConfig rope, int context, bool transposed = false)
    {
        _rope = rope;
        int pairs = rope.Dim / 2;
        _cos = new NativeBuffer((long)context * pairs * sizeof(float));
        _sin = new NativeBuffer((long)context * pairs * sizeof(float));
        float[] frequencies = rope.Frequencies();
        for (int position = 0; position < context; position++)
        {
            for (int i = 0; i < pairs; i++)
            {
                float angle = position * frequencies[i]; // in float32, as the references have it
                double sine = Math.Sin(angle);
                _cos.Floats[(long)position * pairs + i] = (float)Math.Cos(angle) * rope.Amplitude;
                _sin.Floats[(long)position * pairs + i] = (float)(transposed ? -sine : sine) * rope.Amplitude;
            }
        }
    }

    /// <summary>Turns every head of every row in place.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="rows">[tokens, heads · headDim].</param>
    /// <param name="tokens">Rows.</param>
    /// <param name="firstPosition">Position of the first row.</param>
    /// <param name="heads">Heads of a row.</param>
    /// <param name="headDim">Features of a head.</param>
    public void Rotate(WorkerPool pool, float* rows, int tokens, int firstPosition, int heads, int headDim) =>
        RotaryEmbedding.Apply(
            pool, _rope.Interleaved ? RotaryPairs.Interleaved : RotaryPairs.HalfSplit, rows, (long)heads * headDim, tokens, heads, headDim,
            _rope.Dim, _cos.Floats, _sin.Floats, firstPosition);

    /// <inheritdoc/>
    public void Dispose()
    {
        _cos.Dispose();
        _sin.Dispose();
    }
}
