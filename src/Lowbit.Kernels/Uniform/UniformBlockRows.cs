using System;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Uniform;

/// <summary>64 columns of a row on one uniform grid, or on one for each half.</summary>
internal unsafe struct UniformBlock
{
    /// <summary>Of evenly spaced levels: which set of factors of its group of four blocks is that of this one.</summary>
    public int Set;

    /// <summary>[2] halves.</summary>
    public fixed ushort Scales[2];

    /// <summary>[2] the zeros with their signs turned, which halves hold exactly.</summary>
    public fixed ushort MinusZeros[2];

    public fixed byte Codes[UniformLayout.BlockLength];

    /// <summary>How many of four blocks share their parameters, where groups hold whole blocks.</summary>
    /// <param name="groupSize">Columns of a group.</param>
    /// <param name="groups">Groups of a row.</param>
    public static int Sharing(int groupSize, int groups) => groups == 1 || groupSize % 256 == 0 ? 4 : groupSize % 128 == 0 ? 2 : 1;
}

/// <summary>The rows of a matrix with scales of 16 bits, whose groups hold whole blocks or half ones.</summary>
internal sealed unsafe class UniformBlockRows(string name, UniformRows rows, Tensor codes) : BlockRows(name, rows.Rows, rows.Columns)
{
    [ThreadStatic]
    private static NativeBuffer? t_row;

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

    public override byte* Row(int row)
    {
        UniformBlock* blocks = (UniformBlock*)Scratch.Ensure(ref t_row, (long)_rows.Blocks * sizeof(UniformBlock));
        long last = -1;
        ushort scale = 0, minusZero = 0;
        for (int b = 0; b < _rows.Blocks; b++)
        {
            for (int half = 0; half < 2; half++)
            {
                int group = _rows.Groups == 1 ? 0 : Math.Min(_rows.Groups - 1, (b * UniformLayout.BlockLength + half * UniformLayout.BlockLength / 2) / _rows.GroupSize);
                long parameter = (long)row * _rows.Groups + group;
                if (parameter != last)
                {
                    scale = ((ushort*)_rows.Scales)[parameter];
                    minusZero = BitConverter.HalfToUInt16Bits((Half)(-_rows.Zero(parameter)));
                    last = parameter;
                }
                blocks[b].Scales[half] = scale;
                blocks[b].MinusZeros[half] = minusZero;
            }
            CodeBlock.Unpack(_rows.Block(row, b), _rows.Bits, blocks[b].Codes);
        }
        return (byte*)blocks;
    }

    // The shape of the tensor need not be that of the matrix, so all pages go, those yet to come among them.
    public override void Release(int rows) => codes.ReleasePages();
}
