using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.Interleaved;

/// <summary>The activations of one token.</summary>
/// <param name="Codes">[chunks · 64].</param>
/// <param name="Scales">[chunks].</param>
/// <param name="Sums">[chunks · 4] sums of 16 codes.</param>
internal readonly unsafe record struct Token(nint Codes, nint Scales, nint Sums)
{
    public Token(Activations activations, int token) : this(
        (nint)(activations.Codes + (long)token * activations.Blocks * Activations.BlockLength),
        (nint)(activations.Scales + (long)token * activations.Blocks),
        (nint)(activations.UnitSums + (long)token * activations.Blocks * Activations.UnitsOfBlock))
    {
    }

    /// <summary>The token from a chunk on.</summary>
    public Token From(int chunk) => new(
        Codes + (nint)chunk * Activations.BlockLength, Scales + (nint)chunk * sizeof(float), Sums + (nint)chunk * Activations.UnitsOfBlock * sizeof(short));

    public sbyte* X => (sbyte*)Codes;
    public float* Scale => (float*)Scales;
    public short* Sum => (short*)Sums;
}

/// <summary>Products of a tile of rows with few tokens, straight from the interleaved bytes.</summary>
internal interface IRowKernel<TFormat> where TFormat : struct, IBlockFormat
{
    /// <summary>Multiplies the 16 rows of a tile with a token.</summary>
    /// <param name="tile">First group of the tile.</param>
    /// <param name="shape">How the groups lie.</param>
    /// <param name="token">The activations.</param>
    /// <param name="results">[16].</param>
    static abstract unsafe void Run(byte* tile, TileShape<TFormat> shape, Token token, float* results);
}

/// <inheritdoc cref="IRowKernel{TFormat}"/>
internal readonly unsafe struct RowKernel<TFormat, TLanes, TVector> : IRowKernel<TFormat>
    where TFormat : struct, IBlockFormat where TLanes : struct, ILanes<TVector> where TVector : struct
{
    public static void Run(byte* tile, TileShape<TFormat> shape, Token token, float* results)
    {
        if (TFormat.StepsArePaired) Run<ChunkSum<TFormat, TLanes, TVector>.OfPairs>(tile, shape, token, results);
        else if (TFormat.FactorsOfUnits) Run<ChunkSum<TFormat, TLanes, TVector>.OfUnits>(tile, shape, token, results);
        else Run<ChunkSum<TFormat, TLanes, TVector>.OfHalves>(tile, shape, token, results);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Run<TSum>(byte* tile, TileShape<TFormat> shape, Token token, float* results) where TSum : struct, IChunkSum<TVector>
    {
        sbyte* x = token.X;
        short* sums = token.Sum;
        byte* header = tile, codes = tile, y = (byte*)results;
        new Span<float>(results, IBlockFormat.Rows).Clear();
        for (int chunk = 0; chunk < shape.Chunks; chunk++)
        {
            int position = chunk & TFormat.GroupChunks - 1;
            if (position == 0)
            {
                header = codes;
                codes += shape.HeaderBytes;
            }
            if (Sse.IsSupported)
                for (int line = 0; line < TFormat.ChunkBytes; line += 64) Sse.Prefetch0(codes + WeightMatrix.Ahead + line);
            byte* factors = TFormat.GroupChunks == 1 ? header : shape.Factors(header, position);
            TVector scale = TLanes.Floats(token.Scale[chunk]);
            // Narrow vectors take turns, so that a line of the memory is used up when it comes.
            for (int lane = 0; lane < IBlockFormat.Vector; lane += TLanes.Width)
            {
                TVector sum = TSum.Compute(factors + lane / 2, codes + lane, position, x, sums);
                TLanes.Store(y + lane, TLanes.Add(TLanes.Load(y + lane), TLanes.Multiply(scale, sum)));
            }
            x += IBlockFormat.ChunkColumns;
            sums += Activations.UnitsOfBlock;
            codes += TFormat.ChunkBytes;
        }
    }
}
