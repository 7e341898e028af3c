using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Codebooks;

/// <summary>Products of a tile of codes of two bits with a token.</summary>
internal interface IPlaneKernel
{
    /// <summary>Multiplies the 16 rows of a tile.</summary>
    /// <param name="tile">The tile.</param>
    /// <param name="shape">How it lies.</param>
    /// <param name="input">[pieces] the activations.</param>
    /// <param name="pieces">Pieces of a row.</param>
    /// <param name="results">[16].</param>
    static abstract unsafe void Run(byte* tile, PlaneShape shape, PlaneChunk* input, int pieces, float* results);
}

/// <summary>The sums of a piece as one of the forms of levels takes them.</summary>
internal interface IPlaneSum<TLanes, TVector> where TLanes : struct, ILanes<TVector> where TVector : struct
{
    /// <summary>Multiplies the rows of a vector with the activations of a piece, but for the scale of these.</summary>
    /// <param name="numbers">The numbers of the first of the rows.</param>
    /// <param name="codes">Its codes.</param>
    /// <param name="shape">How they lie.</param>
    /// <param name="input">The activations.</param>
    static abstract unsafe TVector Piece(byte* numbers, byte* codes, PlaneShape shape, PlaneChunk* input);
}

/// <summary>Sums over the columns where a plane has ones, as all forms of levels take them.</summary>
internal static class PlaneSums<TLanes, TVector> where TLanes : struct, ILanes<TVector> where TVector : struct
{
    /// <summary>Adds the activations of four columns where a bit of their codes is set, times that bit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Add(TVector sum, TVector codes, byte bit, TVector x) => TLanes.AddProducts(sum, TLanes.And(codes, TLanes.Bytes(bit)), x);

    /// <summary>Sums of 32 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Whole(TVector sums) => TLanes.SumsAreWide ? sums : TLanes.Dot(sums, TLanes.Shorts(1));
}

/// <summary>The walk over the pieces of a tile, the same for all forms of levels.</summary>
internal readonly unsafe struct PlaneKernel<TLanes, TVector, TSum> : IPlaneKernel
    where TLanes : struct, ILanes<TVector> where TVector : struct where TSum : struct, IPlaneSum<TLanes, TVector>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* tile, PlaneShape shape, PlaneChunk* input, int pieces, float* results)
    {
        byte* y = (byte*)results, header = tile;
        new Span<float>(results, IBlockFormat.Rows).Clear();
        for (PlaneChunk* end = input + pieces; input < end; input++)
        {
            if (input->StartsGroup != 0)
            {
                header = tile;
                tile += shape.HeaderBytes;
            }
            TVector scale = TLanes.Floats(input->Scale);
            int bytes = input->Vectors * IBlockFormat.Vector;
            if (Sse.IsSupported)
                for (int line = 0; line < bytes; line += IBlockFormat.Vector) Sse.Prefetch0(tile + WeightMatrix.Ahead + line);
            for (int lane = 0; lane < IBlockFormat.Vector; lane += TLanes.Width)
            {
                TVector sum = TSum.Piece(header + lane / 2, tile + lane, shape, input);
                TLanes.Store(y + lane, TLanes.Add(TLanes.Load(y + lane), TLanes.Multiply(scale, sum)));
            }
            tile += bytes;
        }
    }
}
