using System.Runtime.Intrinsics;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Computes what <see cref="SegmentProduct"/> defines, to the last bit, from <see cref="RowTiles"/>.</summary>
internal static unsafe class TileProduct<TKernel> where TKernel : struct, ITileProduct
{
    /// <summary>Multiplies the rows of a tile with one token.</summary>
    /// <param name="rows">The matrix.</param>
    /// <param name="tile">The tile.</param>
    /// <param name="x">The token, with tables.</param>
    /// <param name="results">[16].</param>
    public static void Run(in PackedRows rows, RowTile tile, in RoundedToken x, float* results)
    {
        byte* data = tile.Data, moves = tile.Moves;
        Vector256<float> y0 = default, y1 = default;
        for (int block = 0, end; block < rows.Words; block = end)
        {
            end = SegmentProduct.SegmentEnd(rows, block);
            int total = x.Sums[end] - x.Sums[block];
            byte* scales = data;
            data += TileScales.Units(rows) * RowTiles.Unit;
            Vector256<int> low0 = default, low1 = default;
            for (int plane = 0; plane < rows.LowBits; plane++)
            {
                TKernel.Plane(x.Tables + block * RoundedTokens.TableBytes, end - block, ref data, out Vector256<int> sums0, out Vector256<int> sums1);
                low0 += Vector256.ShiftLeft(sums0, plane);
                low1 += Vector256.ShiftLeft(sums1, plane);
            }
            int steps = *(ushort*)moves;
            moves += sizeof(ushort);
            SalientSums salient0, salient1;
            if (tile.Gaps) TKernel.Gaps(x, block, moves, steps, ref data, out salient0, out salient1);
            else TKernel.Places(x, block, moves, steps, ref data, out salient0, out salient1);
            moves += steps;
            y0 += new TileScales(rows, scales, 0).Apply(rows.LowBits, total, low0, salient0.High, salient0.Codes);
            y1 += new TileScales(rows, scales, 8).Apply(rows.LowBits, total, low1, salient1.High, salient1.Codes);
        }
        (y0 * x.Scale).Store(results);
        (y1 * x.Scale).Store(results + 8);
    }
}
