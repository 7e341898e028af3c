using System;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Floats;

/// <summary>The rows of a matrix of MXFP4 or MXINT8 as blocks of 32.</summary>
internal sealed unsafe class MicroscalingBlocks(string name, FloatLayout layout, byte* codes, byte* exponents, Tensor source) : BlockRows(name, layout.Rows, layout.Columns)
{
    private readonly byte* _codes = codes, _exponents = exponents;

    /// <summary>Whether a matrix is of one of the two formats.</summary>
    public static bool Fits(FloatLayout layout) =>
        layout is { BlockSize: 32, ScaleFormat: BlockScale.E8M0 } && (layout.Element == SmallFloat.E2M1 || layout.Element == SmallFloat.Int8);

    /// <summary>Interleaves the rows.</summary>
    public static InterleavedWeights Interleave(WorkerPool pool, MicroscalingBlocks blocks, bool isFloat) => isFloat
        ? new InterleavedWeights<FormatMXFP4>(pool, blocks)
        : new InterleavedWeights<FormatMXINT8>(pool, blocks);

    public override byte* Row(int row, byte* scratch)
    {
        bool isFloat = layout.Element == SmallFloat.E2M1;
        byte* run = stackalloc byte[FloatLayout.RunLength], block = scratch;
        for (int b = 0; b < layout.Blocks; b++)
        {
            byte* unpacked = run + b % 2 * 32;
            if (b % 2 == 0) CodeBlock.Unpack(_codes + ((long)row * layout.Runs + b / 2) * layout.RunBytes, layout.Element.Bits, run);
            *block++ = _exponents[(long)row * layout.Blocks + b];
            if (isFloat)
            {
                for (int i = 0; i < 16; i++) *block++ = (byte)(unpacked[i] | unpacked[i + 16] << 4);
            }
            else
            {
                new ReadOnlySpan<byte>(unpacked, 32).CopyTo(new Span<byte>(block, 32));
                block += 32;
            }
        }
        return scratch;
    }

    // The shape of the tensor need not be that of the matrix, so all pages go, those yet to come among them.
    public override void Release(int rows) => source.ReleasePages();
}
