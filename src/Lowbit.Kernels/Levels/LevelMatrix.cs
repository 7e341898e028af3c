using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Levels;

/// <summary>
/// A packed weight of codes that stand for levels. Products of one or two tokens make the levels of a row in registers, those
/// of more rebuild rows as floats; in 8-bit mode both take the rounded activations, unless the levels are integers times a
/// factor: sums are then kept in integers, the same with any kernel to the last bit.
/// </summary>
public abstract unsafe class LevelMatrix : WeightMatrix
{
    private const int FewTokens = 2, RowsOfChunk = 32;

    [ThreadStatic]
    private static NativeBuffer? t_inputs;

    [ThreadStatic]
    private static NativeBuffer? t_scales;

    [ThreadStatic]
    private static NativeBuffer? t_tables;

    /// <summary>Sets the shape.</summary>
    private protected LevelMatrix(int rows, int columns) : base(rows, columns)
    {
    }

    /// <summary>How levels are found.</summary>
    internal abstract LevelKind Kind { get; }

    /// <summary>Whether runs, groups and blocks fit together, so that rows can be described.</summary>
    internal abstract bool HasLevelRows { get; }

    /// <summary>Tables of a row.</summary>
    internal virtual int Tables => 1;

    /// <summary>Whether a row's first byte holds the columns 1 and 0 rather than 0 and 32.</summary>
    internal virtual bool IsPaired => false;

    /// <summary>Describes a row; writes its scales and tables where the description points to.</summary>
    internal abstract void Describe(int row, ref LevelRow levels);

    /// <summary>Where levels are integers times a factor: the copy that products in 8-bit mode are computed from.</summary>
    internal InterleavedCopy? Interleaved { get; private protected init; }

    /// <inheritdoc/>
    public override IReadOnlyList<int> KernelWidths => Interleaved is null ? VectorLimit.Widths(LevelDotAvx512.IsSupported, LevelDotAvx2.IsSupported) : InterleavedWeights.Widths;

    /// <inheritdoc/>
    public override void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(activations.Features, Columns);
        bool few = activations.Tokens <= FewTokens && HasLevelRows;
        if (activations.Mode == ActivationMode.EightBit && Interleaved is { } interleaved) interleaved.Get(pool).Multiply(pool, activations, output);
        else if (few && LevelDotAvx512.IsSupported) MultiplyRows<LevelDotAvx512>(pool, activations, output);
        else if (few && LevelDotAvx2.IsSupported) MultiplyRows<LevelDotAvx2>(pool, activations, output);
        else if (activations.Tokens < Activations.ManyTokens) RowProduct.Multiply(pool, this, activations, output);
        else DequantizedProduct.Multiply(pool, this, activations.Mode == ActivationMode.EightBit ? activations.RoundedValues : activations.Values, activations.Tokens, output);
    }

    /// <inheritdoc/>
    internal override int PrepareTiles(WorkerPool pool, Activations activations) =>
        activations.Mode == ActivationMode.EightBit && Interleaved is { } interleaved ? interleaved.Get(pool).TilesFor(activations.Tokens) : 0;

    /// <inheritdoc/>
    internal override byte* TileStart(int tile) => Interleaved!.Made!.TileStart(tile);

    /// <inheritdoc/>
    internal override void MultiplyTiles(Activations activations, float* output, int start, int end) => Interleaved!.Made!.MultiplyTiles(activations, output, start, end);

    /// <summary>The product row by row with a given kernel.</summary>
    internal void MultiplyRows<TDot>(WorkerPool pool, Activations activations, float* output) where TDot : struct, ILevelDot
    {
        int runs = (Columns + LevelRow.RunLength - 1) / LevelRow.RunLength;
        float* inputs = (float*)Scratch.Ensure(ref t_inputs, (long)activations.Tokens * runs * LevelRow.RunLength * sizeof(float));
        for (int t = 0; t < activations.Tokens; t++)
            for (int run = 0; run < runs; run++) LayOut(activations, t, run, IsPaired ? TDot.PairedOrder : TDot.Order, inputs + ((long)t * runs + run) * LevelRow.RunLength);
        Work<TDot> work = new() { Matrix = this, Inputs = inputs, Runs = runs, Tokens = activations.Tokens, Output = output };
        pool.Run(ref work, Rows, RowsOfChunk);
    }

    // The activations of a run, zeros behind the last one, in the order in which a kernel comes upon the codes.
    private static void LayOut(Activations activations, int token, int run, ReadOnlySpan<byte> order, float* inputs)
    {
        int first = run * LevelRow.RunLength, count = Math.Min(LevelRow.RunLength, activations.Features - first);
        float* values = stackalloc float[LevelRow.RunLength];
        if (activations.Mode == ActivationMode.EightBit)
        {
            long block = (long)token * activations.Blocks + run; // padded with zeros
            float scale = activations.Scales[block];
            sbyte* codes = activations.Codes + block * Activations.BlockLength;
            for (int i = 0; i < LevelRow.RunLength; i++) values[i] = scale * codes[i];
            for (int i = count; i < LevelRow.RunLength; i++) values[i] = 0; // the scale may be NaN
        }
        else
        {
            new ReadOnlySpan<float>(activations.Values + (long)token * activations.Features + first, count).CopyTo(new Span<float>(values, count));
            new Span<float>(values + count, LevelRow.RunLength - count).Clear();
        }
        for (int i = 0; i < LevelRow.RunLength; i++) inputs[i] = values[order[i]];
    }

    private struct Work<TDot> : IParallelWork where TDot : struct, ILevelDot
    {
        public LevelMatrix Matrix;
        public float* Inputs, Output;
        public int Runs, Tokens;

        public readonly void Execute(int start, int end)
        {
            LevelKind kind = Matrix.Kind;
            LevelRow row = new()
            {
                Runs = Runs,
                Scales = (float*)Scratch.Ensure(ref t_scales, (Runs + 1L) * LevelRow.MostScales * sizeof(float)),
                Tables = (float*)Scratch.Ensure(ref t_tables, (long)Matrix.Tables * LevelRow.TableLength * sizeof(float)),
            };
            float* scales = row.Scales, tables = row.Tables;
            for (int r = start; r < end; r++)
            {
                row.Scales = scales;
                row.Tables = tables;
                Matrix.Describe(r, ref row);
                for (int t = 0; t < Tokens; t++) Output[(long)t * Matrix.Rows + r] = TDot.Run(kind, row, Inputs + (long)t * Runs * LevelRow.RunLength);
            }
        }
    }
}
