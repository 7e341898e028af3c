using System;
using System.Numerics;
using Lowbit.Core;

namespace Lowbit.Training.Operators;

/// <summary>Rows of an embedding picked by token, and their gradient. A row may be picked many times, so threads share columns on the way back.</summary>
internal static unsafe class EmbeddingRows
{
    private const int Slab = 32;

    /// <summary>hidden[t] = embedding[rows[t]], or added to it.</summary>
    public static void Forward(WorkerPool pool, float* embedding, int* rows, int tokens, int features, float* hidden, bool add)
    {
        ForwardWork work = new() { Embedding = embedding, Rows = rows, Hidden = hidden, Features = features, Add = add };
        pool.Run(ref work, tokens, 64);
    }

    /// <summary>gradient[rows[t]] += hiddenGradient[t], in the order of the tokens.</summary>
    public static void Backward(WorkerPool pool, float* hiddenGradient, int* rows, int tokens, int features, float* gradient)
    {
        BackwardWork work = new() { HiddenGradient = hiddenGradient, Rows = rows, Gradient = gradient, Tokens = tokens, Features = features };
        pool.Run(ref work, (features + Slab - 1) / Slab, 1);
    }

    private struct ForwardWork : IParallelWork
    {
        public float* Embedding, Hidden;
        public int* Rows;
        public int Features;
        public bool Add;

        public readonly void Execute(int start, int end)
        {
            for (int t = start; t < end; t++)
                AddOrCopy(Hidden + (long)t * Features, Embedding + (long)Rows[t] * Features, Features, Add);
        }
    }

    private struct BackwardWork : IParallelWork
    {
        public float* HiddenGradient, Gradient;
        public int* Rows;
        public int Tokens, Features;

        public readonly void Execute(int start, int end)
        {
            int first = start * Slab, width = Math.Min(Features, end * Slab) - first;
            for (int t = 0; t < Tokens; t++)
                AddOrCopy(Gradient + (long)Rows[t] * Features + first, HiddenGradient + (long)t * Features + first, width, add: true);
        }
    }

    private static void AddOrCopy(float* target, float* source, int count, bool add)
    {
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector<float> value = Vector.Load(source + i);
            if (add) value += Vector.Load(target + i);
            value.Store(target + i);
        }
        for (; i < count; i++) target[i] = add ? target[i] + source[i] : source[i];
    }
}
