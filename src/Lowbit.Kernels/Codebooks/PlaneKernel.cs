using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Codebooks;

/// <summary>Products of a tile of codes of two bits with a token.</summary>
internal interface IPlaneKernel
{
    /// <summary>Multiplies the 16 rows of a tile.</summary>
    /// <param name="tile">First group of the tile.</param>
    /// <param name="shape">How it lies.</param>
    /// <param name="input">[chunks] the activations.</param>
    /// <param name="results">[16].</param>
    static abstract unsafe void Run(byte* tile, PlaneShape shape, PlaneChunk* input, float* results);
}

/// <summary>The sums of a chunk as one of the forms of levels takes them.</summary>
internal interface IPlaneSum<TLanes, TVector> where TLanes : struct, ILanes<TVector> where TVector : struct
{
    /// <summary>Multiplies the rows of a vector with the activations of a chunk, but for the scale of these.</summary>
    /// <param name="numbers">The numbers of the first of the rows.</param>
    /// <param name="chunk">Its codes.</param>
    /// <param name="shape">How they lie.</param>
    /// <param name="input">The activations.</param>
    static abstract unsafe TVector Chunk(byte* numbers, byte* chunk, PlaneShape shape, PlaneChunk* input);
}

/// <summary>The walk over the chunks of a tile, the same for all forms of levels.</summary>
internal readonly unsafe struct PlaneKernel<TLanes, TVector, TSum> : IPlaneKernel
    where TLanes : struct, ILanes<TVector> where TVector : struct where TSum : struct, IPlaneSum<TLanes, TVector>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* tile, PlaneShape shape, PlaneChunk* input, float* results)
    {
        byte* y = (byte*)results;
        new Span<float>(results, IBlockFormat.Rows).Clear();
        for (int chunk = 0; chunk < shape.Chunks;)
        {
            byte* header = tile;
            tile += shape.HeaderBytes;
            int end = Math.Min(shape.Chunks, chunk + shape.GroupChunks);
            for (; chunk < end; chunk++, input++, tile += PlaneShape.ChunkBytes)
            {
                TVector scale = TLanes.Floats(input->Scale);
                if (Sse.IsSupported)
                    for (int line = 0; line < PlaneShape.ChunkBytes; line += IBlockFormat.Vector) Sse.Prefetch0(tile + WeightMatrix.Ahead + line);
                for (int lane = 0; lane < IBlockFormat.Vector; lane += TLanes.Width)
                {
                    TVector sum = TSum.Chunk(header + lane / 2, tile + lane, shape, input);
                    TLanes.Store(y + lane, TLanes.Add(TLanes.Load(y + lane), TLanes.Multiply(scale, sum)));
                }
            }
        }
    }
}
