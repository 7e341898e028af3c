using System.Runtime.CompilerServices;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Floats;

/// <summary>64 columns of a row, as <see cref="ScaledFloatBlocks"/> hands them out.</summary>
internal unsafe struct BlockNVFP4
{
    /// <summary>[4] positive numbers of E4M3, one for each 16 columns.</summary>
    public fixed byte Scales[4];

    /// <summary>[64] codes of E2M1.</summary>
    public fixed byte Codes[FloatLayout.RunLength];
}

/// <summary>A chunk begins with a vector of the four scales of each row; the codes follow as in <see cref="FormatQ4_0"/> and are looked up as in <see cref="FormatMXFP4"/>, twice as large as they are.</summary>
internal readonly unsafe struct FormatNVFP4 : IBlockFormat
{
    public static int BlockLength => FloatLayout.RunLength;
    public static int BlockBytes => sizeof(BlockNVFP4);
    public static int CodeBits => 5;
    public static bool FactorsOfHalves => false;
    public static bool FactorsOfUnits => true;
    public static int FactorBytes => 0;
    public static int ChunkBytes => 9 * IBlockFormat.Vector;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        BlockNVFP4* source = (BlockNVFP4*)block;
        uint* codes = (uint*)source->Codes;
        *lanes = *(uint*)source->Scales;
        for (int i = 0; i < 8; i++)
        {
            int first = i / 4 * 8 + i % 4;
            lanes[IBlockFormat.Rows * (1 + i)] = codes[first] | codes[first + 4] << 4;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        FormatMXFP4.Codes<TLanes, TVector>(chunk + IBlockFormat.Vector, unit, step);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        FormatMXFP4.Minimum<TLanes, TVector>(chunk, half);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector UnitFactor<TLanes, TVector>(byte* header, byte* chunk, int unit) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.SmallFloats(TLanes.Load(chunk), unit);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        BlockNVFP4* block = (BlockNVFP4*)row + chunk;
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Factors[unit] = SmallFloat.E4M3.Decode(block->Scales[unit]);
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = -12;
        }
        for (int i = 0; i < FloatLayout.RunLength; i++) numbers.Codes[i] = (byte)(2 * SmallFloat.E2M1.Decode(block->Codes[i]) + 12);
    }
}

/// <summary>The rows of a matrix of NVFP4. Where a scale is negative, the signs of its codes are turned.</summary>
internal sealed unsafe class ScaledFloatBlocks(string name, FloatLayout layout, byte* codes, byte* scales, float matrixScale, Tensor source) : BlockRows(name, layout.Rows, layout.Columns)
{
    private const int ScaleColumns = 16, Sign = 0x80, CodeSign = 8;

    private readonly byte* _codes = codes, _scales = scales;

    /// <summary>Whether a matrix is of this format.</summary>
    public static bool Fits(FloatLayout layout) => layout is { BlockSize: ScaleColumns, ScaleFormat: BlockScale.E4M3 } && layout.Element == SmallFloat.E2M1;

    public override float Factor => matrixScale / 2;

    public override byte* Row(int row, byte* scratch)
    {
        BlockNVFP4* block = (BlockNVFP4*)scratch;
        for (int run = 0; run < layout.Runs; run++, block++)
        {
            CodeBlock.Unpack(_codes + ((long)row * layout.Runs + run) * layout.RunBytes, layout.Element.Bits, block->Codes);
            for (int unit = 0; unit < 4; unit++)
            {
                int i = 4 * run + unit;
                byte scale = i < layout.Blocks ? _scales[(long)row * layout.Blocks + i] : (byte)0;
                block->Scales[unit] = (byte)(scale & ~Sign);
                if (scale < Sign) continue;
                for (int c = ScaleColumns * unit; c < ScaleColumns * (unit + 1); c++) block->Codes[c] ^= CodeSign;
            }
        }
        return scratch;
    }

    // The shape of the tensor need not be that of the matrix, so all pages go, those yet to come among them.
    public override void Release(int rows) => source.ReleasePages();
}
