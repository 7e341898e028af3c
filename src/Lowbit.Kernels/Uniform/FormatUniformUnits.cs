using System;
using System.Runtime.CompilerServices;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Uniform;

/// <summary>64 columns of a row on a uniform grid for each 16.</summary>
internal unsafe struct UniformUnits
{
    /// <summary>[4] halves.</summary>
    public fixed ushort Scales[4];

    public fixed byte Zeros[4];

    /// <summary>As <see cref="CodeBlock"/> stores them.</summary>
    public byte* Codes;
}

/// <summary>Uniform grids in groups of 16 in interleaved rows: F = scale, m = −zero. A chunk begins with a vector of the four zeros of each row; the codes follow as in <see cref="FormatUniform{TWidth, TGroups}"/>.</summary>
internal readonly unsafe struct FormatUniformUnits<TWidth> : IBlockFormat where TWidth : struct, ICodeWidth
{
    public static int BlockLength => UniformLayout.BlockLength;
    public static int BlockBytes => sizeof(UniformUnits);
    public static int CodeBits => TWidth.Bits;
    public static bool FactorsOfHalves => false;
    public static bool FactorsOfUnits => true;
    public static int FactorBytes => 4 * IBlockFormat.Factors;

    public static int ChunkBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => IBlockFormat.Vector + FormatUniform<TWidth, WholeChunks>.ChunkBytes;
    }

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        UniformUnits* source = (UniformUnits*)block;
        for (int unit = 0; unit < 4; unit++) factors[IBlockFormat.Rows * unit] = source->Scales[unit];
        *lanes = *(uint*)source->Zeros;
        FormatUniform<TWidth, WholeChunks>.InterleaveCodes(source->Codes, lanes + IBlockFormat.Rows);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        FormatUniform<TWidth, WholeChunks>.Codes<TLanes, TVector>(chunk + IBlockFormat.Vector, unit, step);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.MultiplyShorts(TLanes.Pair(TLanes.Load(chunk), 2 * half, 2 * half + 1), TLanes.Shorts(-1));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector UnitFactor<TLanes, TVector>(byte* header, byte* chunk, int unit) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header + IBlockFormat.Factors * unit, IBlockFormat.FactorExponent);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        UniformUnits* block = (UniformUnits*)row + chunk;
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Factors[unit] = (float)BitConverter.UInt16BitsToHalf(block->Scales[unit]);
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = -block->Zeros[unit];
        }
        fixed (byte* codes = numbers.Codes) CodeBlock.Unpack(block->Codes, TWidth.Bits, codes);
    }
}

/// <summary>The rows of a matrix with scales of 16 bits in groups of 16.</summary>
internal sealed unsafe class UniformUnitBlocks(string name, UniformRows rows, Tensor codes) : BlockRows(name, rows.Rows, rows.Columns)
{
    private const int Unit = 16;

    private readonly UniformRows _rows = rows;

    /// <summary>Whether a matrix is of this kind.</summary>
    public static bool Fits(in UniformRows rows) => rows.GroupSize == Unit && rows.Bits <= 5 && !rows.RealZeros;

    /// <summary>Interleaves the rows.</summary>
    public static InterleavedWeights Interleave(WorkerPool pool, UniformUnitBlocks blocks) => blocks._rows.Bits switch
    {
        2 => new InterleavedWeights<FormatUniformUnits<TwoBits>>(pool, blocks),
        3 => new InterleavedWeights<FormatUniformUnits<ThreeBits>>(pool, blocks),
        4 => new InterleavedWeights<FormatUniformUnits<FourBits>>(pool, blocks),
        _ => new InterleavedWeights<FormatUniformUnits<FiveBits>>(pool, blocks),
    };

    public override byte* Row(int row, byte* scratch)
    {
        UniformUnits* block = (UniformUnits*)scratch;
        for (int b = 0; b < _rows.Blocks; b++, block++)
        {
            for (int unit = 0; unit < 4; unit++)
            {
                long parameter = (long)row * _rows.Groups + Math.Min(_rows.Groups - 1, 4 * b + unit);
                block->Scales[unit] = ((ushort*)_rows.Scales)[parameter];
                block->Zeros[unit] = _rows.Zeros[parameter];
            }
            block->Codes = _rows.Block(row, b);
        }
        return scratch;
    }

    // The shape of the tensor need not be that of the matrix, so all pages go, those yet to come among them.
    public override void Release(int rows) => codes.ReleasePages();
}
