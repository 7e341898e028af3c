using System;
using System.Diagnostics;
using System.Runtime.Intrinsics;
using Lowbit.Core;

namespace Lowbit.Kernels.Interleaved;

/// <summary>
/// Which kernel multiplies many tokens fastest where the processor has two: vectors of 512 bits that multiply into 16 bits, or those of 256
/// with VNNI's products. It depends on the format and the processor, so both are tried, once and for less than a millisecond. The
/// results are the same to the bit.
/// </summary>
internal static unsafe class TileChoice<TFormat> where TFormat : struct, IBlockFormat
{
    private const int Columns = 512, Tokens = 32, Rounds = 7;

    /// <summary>Whether the vectors of 256 bits are faster.</summary>
    public static bool IsNarrow { get; } = Lanes512.IsSupported && Lanes256.SumsAreWide && Measure();

    private static bool Measure()
    {
        TileShape<TFormat> shape = new(Columns / IBlockFormat.ChunkColumns, TFormat.GroupChunks);
        using NativeBuffer tile = new(shape.TileBytes);
        using NativeBuffer panel = new(Math.Max(TileKernel<TFormat, Lanes512, Vector512<byte>>.PanelBytes, TileKernel<TFormat, Lanes256, Vector256<byte>>.PanelBytes));
        using NativeBuffer results = new(Tokens * 2 * IBlockFormat.Rows * sizeof(float));
        using Activations activations = new(Tokens, Columns, ActivationMode.EightBit) { Tokens = Tokens };
        long wide = long.MaxValue, narrow = long.MaxValue;
        for (int round = 0; round < Rounds; round++)
        {
            wide = Math.Min(wide, Ticks<TileKernel<TFormat, Lanes512, Vector512<byte>>>());
            narrow = Math.Min(narrow, Ticks<TileKernel<TFormat, Lanes256, Vector256<byte>>>());
        }
        return narrow < wide;

        // Of two tiles.
        long Ticks<TKernel>() where TKernel : struct, ITileKernel<TFormat>
        {
            long start = Stopwatch.GetTimestamp();
            for (int tiles = 0; tiles < 2; tiles += TKernel.Tiles) TKernel.Run(tile.Pointer, tile.Pointer, shape, activations, panel.Pointer, results.Floats);
            return Stopwatch.GetTimestamp() - start;
        }
    }
}
