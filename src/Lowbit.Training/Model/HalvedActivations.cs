using System;
using System.Linq;
using System.Numerics;
using Lowbit.Core;
using Lowbit.Models;

namespace Lowbit.Training.Model;

/// <summary>
/// What a block left for its backward pass, in bfloat16: the upper half of a float32, rounded to the nearest, halves to even.
/// The sums of the attention stay as they are, since probabilities are computed again from them.
/// </summary>
internal sealed unsafe class HalvedActivations : IDisposable
{
    private readonly NativeBuffer[] _halves;
    private readonly NativeBuffer _logSums;

    /// <summary>Allocates for activations of this shape.</summary>
    public HalvedActivations(BlockActivations shape)
    {
        _halves = [.. shape.Hidden.Select(buffer => new NativeBuffer(buffer.Bytes / 2))];
        _logSums = new NativeBuffer(shape.LogSums.Bytes);
    }

    /// <summary>Rounds and keeps.</summary>
    public void Keep(WorkerPool pool, BlockActivations activations)
    {
        Run(pool, activations, restore: false);
        Rows.Copy(activations.LogSums.Floats, _logSums.Floats, _logSums.Bytes / sizeof(float));
    }

    /// <summary>Gives back what was kept.</summary>
    public void Restore(WorkerPool pool, BlockActivations activations)
    {
        Run(pool, activations, restore: true);
        Rows.Copy(_logSums.Floats, activations.LogSums.Floats, _logSums.Bytes / sizeof(float));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _logSums.Dispose();
        foreach (NativeBuffer buffer in _halves) buffer.Dispose();
    }

    private void Run(WorkerPool pool, BlockActivations activations, bool restore)
    {
        for (int i = 0; i < _halves.Length; i++)
        {
            NativeBuffer floats = activations.Hidden[i];
            Work work = new() { Floats = (uint*)floats.Pointer, Halves = (ushort*)_halves[i].Pointer, Count = floats.Bytes / sizeof(float), Restore = restore };
            pool.Run(ref work, checked((int)((work.Count + Work.Piece - 1) / Work.Piece)), 1);
        }
    }

    private struct Work : IParallelWork
    {
        public const int Piece = 1 << 14;

        public uint* Floats;
        public ushort* Halves;
        public long Count;
        public bool Restore;

        public readonly void Execute(int start, int end)
        {
            long stop = Math.Min(Count, (long)end * Piece), i = (long)start * Piece;
            int width = Vector<uint>.Count;
            for (; i + 2 * width <= stop; i += 2 * width)
            {
                if (Restore)
                {
                    Vector.Widen(Vector.Load(Halves + i), out Vector<uint> low, out Vector<uint> high);
                    (low << 16).Store(Floats + i);
                    (high << 16).Store(Floats + i + width);
                }
                else
                {
                    Vector.Narrow(Rounded(Vector.Load(Floats + i)), Rounded(Vector.Load(Floats + i + width))).Store(Halves + i);
                }
            }
            for (; i < stop; i++)
            {
                if (Restore) Floats[i] = (uint)Halves[i] << 16;
                else Halves[i] = (ushort)(Floats[i] + 0x7FFF + (Floats[i] >> 16 & 1) >> 16);
            }
        }

        private static Vector<uint> Rounded(Vector<uint> bits) => (bits + new Vector<uint>(0x7FFF) + (bits >>> 16 & Vector<uint>.One)) >>> 16;
    }
}
