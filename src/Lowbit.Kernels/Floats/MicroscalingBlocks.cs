using System;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Uniform;

namespace Lowbit.Kernels.Floats;

/// <summary>The rows of a matrix of MXFP4 or MXINT8 as blocks of 32.</summary>
internal sealed unsafe class MicroscalingBlocks(string name, FloatLayout layout, byte* codes, byte* exponents, Tensor source) : BlockRows(name, layout.Rows, layout.Columns)
{
    [ThreadStatic]
    private static NativeBuffer? t_row;

    private readonly byte* _codes = codes, _exponents = exponents;

    /// <summary>Whether a matrix is of one of the two formats.</summary>
    public static bool Fits(FloatLayout layout) =>
        layout is { BlockSize: 32, ScaleFormat: BlockScale.E8M0 } && (layout.Element == SmallFloat.E2M1 || layout.Element == SmallFloat.Int8);

    /// <summary>Interleaves the rows.</summary>
    public static InterleavedWeights Interleave(WorkerPool pool, MicroscalingBlocks blocks, bool isFloat) => isFloat
        ? new InterleavedWeights<FormatMXFP4>(pool, blocks)
        : new InterleavedWeights<FormatMXINT8>(pool, blocks);

    public override byte* Row(int row)
    {
        bool isFloat = layout.Element == SmallFloat.E2M1;
        int count = layout.Blocks, size = isFloat ? sizeof(BlockMXFP4) : sizeof(BlockMXINT8);
        byte* run = stackalloc byte[FloatLayout.RunLength], blocks = Scratch.Ensure(ref t_row, (long)count * size);
        for (int b = 0; b < count; b++)
        {
            byte* block = blocks + b * size, unpacked = run + b % 2 * 32;
            if (b % 2 == 0) CodeBlock.Unpack(_codes + ((long)row * layout.Runs + b / 2) * layout.RunBytes, layout.Element.Bits, run);
            block[0] = _exponents[(long)row * count + b];
            if (isFloat)
            {
                for (int i = 0; i < 16; i++) block[1 + i] = (byte)(unpacked[i] | unpacked[i + 16] << 4);
            }
            else
            {
                new ReadOnlySpan<byte>(unpacked, 32).CopyTo(new Span<byte>(block + 1, 32));
            }
        }
        return blocks;
    }

    // The shape of the tensor need not be that of the matrix, so all pages go, those yet to come among them.
    public override void Release(int rows) => source.ReleasePages();
}
