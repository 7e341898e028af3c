using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Uniform;

/// <summary>Addresses and sizes of the parts of a packed matrix, all checked, as kernels take them.</summary>
internal unsafe struct UniformRows
{
    public int Rows, Columns, Bits, GroupSize, Groups, Blocks, BlockBytes;
    public bool HalfScales, RealZeros;

    /// <summary>[rows, blocks, block bytes].</summary>
    public byte* Codes;

    /// <summary>[rows, groups] floats or halves.</summary>
    public byte* Scales;

    /// <summary>[rows, groups] bytes, or with real zeros what the scales are.</summary>
    public byte* Zeros;

    /// <summary>Whether no 64 columns of a block belong to two groups.</summary>
    public readonly bool GroupsHoldWholeBlocks => Groups == 1 || GroupSize % UniformLayout.BlockLength == 0;

    /// <summary>Whether products can be computed from interleaved rows.</summary>
    public readonly bool CanBeInterleaved => HalfScales && (GroupsHoldWholeBlocks || GroupSize == UniformLayout.BlockLength / 2 || UniformUnitBlocks.Fits(this));

    /// <summary>The codes of a block.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly byte* Block(long row, int block) => Codes + (row * Blocks + block) * BlockBytes;

    /// <summary>The scale of a row and group.</summary>
    public readonly float Scale(long parameter) => Real(Scales, parameter);

    /// <summary>The zero of a row and group.</summary>
    public readonly float Zero(long parameter) => RealZeros ? Real(Zeros, parameter) : Zeros[parameter];

    /// <summary>The scales of eight rows for one group; rows beyond the last repeat it.</summary>
    public readonly Vector256<float> ScalesOfRows(int firstRow, int group) => RealOfRows(Scales, firstRow, group);

    /// <summary>The zeros of eight rows for one group; rows beyond the last repeat it.</summary>
    public readonly Vector256<float> ZerosOfRows(int firstRow, int group)
    {
        if (RealZeros) return RealOfRows(Zeros, firstRow, group);
        long i = (long)firstRow * Groups + group, last = (long)(Rows - 1) * Groups + group;
        int* zeros = stackalloc int[8];
        for (int k = 0; k < 8; k++) zeros[k] = Zeros[Math.Min(last, i + (long)k * Groups)];
        return Vector256.ConvertToSingle(Vector256.Load(zeros));
    }

    /// <summary>Rebuilds a row as floats, equal to <see cref="UniformCodes.Dequantize(int, int)"/> to the last bit.</summary>
    /// <param name="row">The row.</param>
    /// <param name="destination">[columns].</param>
    public readonly void Dequantize(int row, float* destination)
    {
        byte* codes = stackalloc byte[UniformLayout.BlockLength];
        int groupEnd = 0;
        float scale = 0, zero = 0;
        for (int b = 0; b < Blocks; b++)
        {
            CodeBlock.Unpack(Block(row, b), Bits, codes);
            int first = b * UniformLayout.BlockLength, end = Math.Min(Columns, first + UniformLayout.BlockLength);
            for (int c = first; c < end;)
            {
                if (c == groupEnd)
                {
                    long parameter = (long)row * Groups + c / GroupSize;
                    scale = Scale(parameter);
                    zero = Zero(parameter);
                    groupEnd = (int)Math.Min(Columns, (long)c + GroupSize);
                }
                int stop = Math.Min(end, groupEnd);
                Levels(codes + (c - first), stop - c, scale, zero, destination + c);
                c = stop;
            }
        }
    }

    private static void Levels(byte* codes, int count, float scale, float zero, float* destination)
    {
        Vector256<float> scales = Vector256.Create(scale), zeros = Vector256.Create(zero);
        int i = 0;
        for (; i + 8 <= count; i += 8)
        {
            Vector128<ushort> shorts = Vector128.WidenLower(Vector128.CreateScalarUnsafe(*(ulong*)(codes + i)).AsByte());
            Vector256<int> integers = Vector256.Create(Vector128.WidenLower(shorts), Vector128.WidenUpper(shorts)).AsInt32();
            (scales * (Vector256.ConvertToSingle(integers) - zeros)).Store(destination + i);
        }
        for (; i < count; i++) destination[i] = scale * (codes[i] - zero);
    }

    private readonly float Real(byte* table, long i) => HalfScales ? FiniteHalf.ToFloat(((Half*)table)[i]) : ((float*)table)[i];

    private readonly Vector256<float> RealOfRows(byte* table, int firstRow, int group)
    {
        long i = (long)firstRow * Groups + group, last = (long)(Rows - 1) * Groups + group;
        uint* bits = stackalloc uint[8];
        if (!HalfScales)
        {
            for (int k = 0; k < 8; k++) bits[k] = ((uint*)table)[Math.Min(last, i + (long)k * Groups)];
            return Vector256.Load(bits).AsSingle();
        }
        for (int k = 0; k < 8; k++) bits[k] = ((ushort*)table)[Math.Min(last, i + (long)k * Groups)];
        // Finite halves: the exponent of a float is 112 larger, and the product with 2^112 is exact, subnormal numbers included.
        Vector256<uint> halves = Vector256.Load(bits), sign = halves & Vector256.Create(0x8000u);
        return Vector256.ShiftLeft(sign, 16).AsSingle() | Vector256.ShiftLeft(halves ^ sign, 13).AsSingle() * FiniteHalf.Factor;
    }
}
