using System;
using System.Numerics;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>Which elements of a head are rotated together.</summary>
public enum RotaryPairs
{
    /// <summary>i and i + rotaryDim / 2, as in Hugging Face models and GPT-NeoX.</summary>
    HalfSplit,
    /// <summary>2i and 2i + 1, as in the original Llama and GPT-J.</summary>
    Interleaved,
}

/// <summary>
/// Rotation of queries and keys by their position: pair i of a head at position p turns by the angle whose cosine and sine
/// stand in row p, column i of two tables.
/// </summary>
public static unsafe class RotaryEmbedding
{
    /// <summary>Rotates every head of every token in place.</summary>
    /// <param name="pool">Threads that share the tokens.</param>
    /// <param name="pairs">Which elements belong together.</param>
    /// <param name="x">[tokens, heads · headDim], rows <paramref name="stride"/> apart.</param>
    /// <param name="stride">Elements from one token to the next.</param>
    /// <param name="tokens">Rows.</param>
    /// <param name="heads">Heads of a row.</param>
    /// <param name="headDim">Elements of a head.</param>
    /// <param name="rotaryDim">The first so many elements of a head turn, the others stay; even, at most <paramref name="headDim"/>.</param>
    /// <param name="cosines">[positions, rotaryDim / 2].</param>
    /// <param name="sines">[positions, rotaryDim / 2].</param>
    /// <param name="firstPosition">Position of the first token.</param>
    public static void Apply(
        WorkerPool pool, RotaryPairs pairs, float* x, long stride, int tokens, int heads, int headDim, int rotaryDim,
        float* cosines, float* sines, int firstPosition)
    {
        if (rotaryDim % 2 != 0 || rotaryDim < 0 || rotaryDim > headDim)
            throw new ArgumentOutOfRangeException(nameof(rotaryDim), rotaryDim, $"must be even and at most {headDim}");
        Work work = new()
        {
            Interleaved = pairs == RotaryPairs.Interleaved,
            X = x,
            Stride = stride,
            Heads = heads,
            HeadDim = headDim,
            Half = rotaryDim / 2,
            Cosines = cosines + (long)firstPosition * (rotaryDim / 2),
            Sines = sines + (long)firstPosition * (rotaryDim / 2),
        };
        pool.Run(ref work, tokens, 16);
    }

    private struct Work : IParallelWork
    {
        public bool Interleaved;
        public float* X, Cosines, Sines;
        public long Stride;
        public int Heads, HeadDim, Half;

        public readonly void Execute(int start, int end)
        {
            for (int t = start; t < end; t++)
            {
                float* cosines = Cosines + (long)t * Half, sines = Sines + (long)t * Half;
                for (int h = 0; h < Heads; h++)
                {
                    float* head = X + t * Stride + (long)h * HeadDim;
                    if (Interleaved) RotateNeighbours(head, cosines, sines);
                    else RotateHalves(head, cosines, sines);
                }
            }
        }

        private readonly void RotateHalves(float* head, float* cosines, float* sines)
        {
            int i = 0;
            for (; i <= Half - Vector<float>.Count; i += Vector<float>.Count)
            {
                Vector<float> a = Vector.Load(head + i), b = Vector.Load(head + Half + i), cos = Vector.Load(cosines + i), sin = Vector.Load(sines + i);
                (a * cos - b * sin).Store(head + i);
                (a * sin + b * cos).Store(head + Half + i);
            }
            for (; i < Half; i++)
            {
                float a = head[i], b = head[Half + i];
                head[i] = a * cosines[i] - b * sines[i];
                head[Half + i] = a * sines[i] + b * cosines[i];
            }
        }

        private readonly void RotateNeighbours(float* head, float* cosines, float* sines)
        {
            for (int i = 0; i < Half; i++)
            {
                float a = head[2 * i], b = head[2 * i + 1];
                head[2 * i] = a * cosines[i] - b * sines[i];
                head[2 * i + 1] = a * sines[i] + b * cosines[i];
            }
        }
    }
}
