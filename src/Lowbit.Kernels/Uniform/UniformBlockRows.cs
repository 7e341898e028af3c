using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Uniform;

/// <summary>64 columns of a row on one uniform grid, or on one for each half.</summary>
internal unsafe struct UniformBlock
{
    /// <summary>[2] halves.</summary>
    public fixed ushort Scales[2];

    /// <summary>[2] the zeros with their signs turned, which halves hold exactly.</summary>
    public fixed ushort MinusZeros[2];

    /// <summary>Of a code.</summary>
    public int Bits;

    /// <summary>As <see cref="CodeBlock"/> stores them.</summary>
    public byte* Codes;
}

/// <summary>The rows of a matrix with scales of 16 bits, whose groups hold whole blocks or half ones.</summary>
internal sealed unsafe class UniformBlockRows(string name, UniformRows rows, Tensor codes) : BlockRows(name, rows.Rows, rows.Columns)
{
    private static readonly ushort[] s_minusZeros = [.. Enumerable.Range(0, byte.MaxValue + 1).Select(zero => BitConverter.HalfToUInt16Bits((Half)(-(float)zero)))];

    private readonly UniformRows _rows = rows;

    /// <summary>Interleaves the rows; codes of 7 bits become bytes.</summary>
    public static InterleavedWeights Interleave(WorkerPool pool, UniformBlockRows blocks) =>
        blocks._rows.GroupsHoldWholeBlocks ? Interleave<WholeChunks>(pool, blocks) : Interleave<HalfChunks>(pool, blocks);

    private static InterleavedWeights Interleave<TGroups>(WorkerPool pool, UniformBlockRows blocks) where TGroups : struct, IGroupWidth => blocks._rows.Bits switch
    {
        2 => new InterleavedWeights<FormatUniform<TwoBits, TGroups>>(pool, blocks),
        3 => new InterleavedWeights<FormatUniform<ThreeBits, TGroups>>(pool, blocks),
        4 => new InterleavedWeights<FormatUniform<FourBits, TGroups>>(pool, blocks),
        5 => new InterleavedWeights<FormatUniform<FiveBits, TGroups>>(pool, blocks),
        6 => new InterleavedWeights<FormatUniform<SixBits, TGroups>>(pool, blocks),
        _ => new InterleavedWeights<FormatUniform<EightBits, TGroups>>(pool, blocks),
    };

    public override byte* Row(int row, byte* scratch)
    {
        UniformBlock* block = (UniformBlock*)scratch;
        for (int b = 0; b < _rows.Blocks; b++, block++)
        {
            SetGrid(block, 0, row, b * UniformLayout.BlockLength);
            if (!_rows.GroupsHoldWholeBlocks) SetGrid(block, 1, row, b * UniformLayout.BlockLength + UniformLayout.BlockLength / 2);
            block->Bits = _rows.Bits;
            block->Codes = _rows.Block(row, b);
        }
        return scratch;
    }

    private void SetGrid(UniformBlock* block, int half, int row, int column)
    {
        const ushort Sign = 0x8000;
        long parameter = (long)row * _rows.Groups + (_rows.Groups == 1 ? 0 : Math.Min(_rows.Groups - 1, column / _rows.GroupSize));
        block->Scales[half] = ((ushort*)_rows.Scales)[parameter];
        block->MinusZeros[half] = _rows.RealZeros ? (ushort)(((ushort*)_rows.Zeros)[parameter] ^ Sign) : s_minusZeros[_rows.Zeros[parameter]];
    }

    // The shape of the tensor need not be that of the matrix, so all pages go, those yet to come among them.
    public override void Release(int rows) => codes.ReleasePages();
}
