using System;
using Lowbit.Core;

namespace Lowbit.Training.Operators;

/// <summary>
/// Dropout (Srivastava et al., JMLR 2014): each number becomes zero with the probability <paramref name="Share"/>, the others grow by
/// 1 / (1 − share). Which ones depends on the key, the place in the model and the number's index alone, so that the
/// backward pass, and activations that are computed again, need no mask in memory.
/// </summary>
/// <param name="Share">Share of numbers that are dropped, below 1; 0 drops none.</param>
/// <param name="Key">Another one for every batch.</param>
internal readonly record struct Dropout(float Share, ulong Key)
{
    /// <summary>Places in the model: the embedding, and of each block the attention's probabilities and the outputs of the two parts.</summary>
    public const int Embedding = 0, Probabilities = 1, Attention = 2, FeedForward = 3, PlacesOfBlock = 3;

    /// <summary>Whether anything is dropped.</summary>
    public bool IsOn => Share > 0;

    /// <summary>The number of a block's place.</summary>
    public static int Place(int block, int place) => block * PlacesOfBlock + place;

    /// <summary>0, or 1 / (1 − share).</summary>
    public float Factor(int place, long index)
    {
        SplitMix64 random = new(Key ^ (ulong)place * 0x9E3779B97F4A7C15 ^ (ulong)index * 0xD1342543DE82EF95);
        return random.NextDouble() < Share ? 0 : 1 / (1 - Share);
    }

    /// <summary>Multiplies numbers, or their gradients, with their factors.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="place">Of <see cref="Place"/>.</param>
    /// <param name="values">Changed in place.</param>
    /// <param name="count">How many.</param>
    public unsafe void Apply(WorkerPool pool, int place, float* values, long count)
    {
        if (!IsOn) return;
        Work work = new() { Dropout = this, Place = place, Values = values, Count = count };
        pool.Run(ref work, checked((int)((count + Work.Piece - 1) / Work.Piece)), 1);
    }

    private unsafe struct Work : IParallelWork
    {
        public const int Piece = 1 << 12;

        public Dropout Dropout;
        public int Place;
        public float* Values;
        public long Count;

        public readonly void Execute(int start, int end)
        {
            for (long i = (long)start * Piece; i < Math.Min(Count, (long)end * Piece); i++) Values[i] *= Dropout.Factor(Place, i);
        }
    }
}
