using System;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Uniform;

/// <summary>64 columns of a row on a uniform grid.</summary>
internal unsafe struct UniformBlock
{
    public Half Scale;

    /// <summary>The zero with its sign turned, which a half holds exactly.</summary>
    public Half MinusZero;

    public fixed byte Codes[UniformLayout.BlockLength];
}

/// <summary>The rows of a matrix with scales of 16 bits, whose groups hold whole blocks.</summary>
internal sealed unsafe class UniformBlocks(string name, UniformRows rows, Tensor codes) : BlockRows(name, rows.Rows, rows.Columns)
{
    [ThreadStatic]
    private static NativeBuffer? t_row;

    private readonly UniformRows _rows = rows;

    /// <summary>Interleaves the rows; codes of 7 bits become bytes.</summary>
    public static InterleavedWeights Interleave(WorkerPool pool, UniformBlocks blocks) => blocks._rows.Bits switch
    {
        2 => new InterleavedWeights<FormatUniform<TwoBits>>(pool, blocks),
        3 => new InterleavedWeights<FormatUniform<ThreeBits>>(pool, blocks),
        4 => new InterleavedWeights<FormatUniform<FourBits>>(pool, blocks),
        5 => new InterleavedWeights<FormatUniform<FiveBits>>(pool, blocks),
        6 => new InterleavedWeights<FormatUniform<SixBits>>(pool, blocks),
        _ => new InterleavedWeights<FormatUniform<EightBits>>(pool, blocks),
    };

    public override byte* Row(int row)
    {
        UniformBlock* blocks = (UniformBlock*)Scratch.Ensure(ref t_row, (long)_rows.Blocks * sizeof(UniformBlock));
        for (int b = 0; b < _rows.Blocks; b++)
        {
            long parameter = (long)row * _rows.Groups + (_rows.Groups == 1 ? 0 : b * UniformLayout.BlockLength / _rows.GroupSize);
            blocks[b].Scale = (Half)_rows.Scale(parameter);
            blocks[b].MinusZero = (Half)(-_rows.Zero(parameter));
            CodeBlock.Unpack(_rows.Block(row, b), _rows.Bits, blocks[b].Codes);
        }
        return (byte*)blocks;
    }

    // The shape of the tensor need not be that of the matrix, so all pages go, those yet to come among them.
    public override void Release(int rows) => codes.ReleasePages();
}
