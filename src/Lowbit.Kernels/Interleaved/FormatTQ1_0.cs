using System.Runtime.CompilerServices;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels.Interleaved;

/// <summary>256 columns; the codes lie as <see cref="TernaryCodes"/> says, which takes 4 % more memory than the file.</summary>
internal readonly unsafe struct FormatTQ1_0 : IBlockFormat
{
    public static int BlockLength => 256;
    public static int GroupChunks => 4;
    public static int BlockBytes => sizeof(BlockTQ1_0);
    public static int CodeBits => 2;
    public static bool FactorsOfHalves => false;
    public static bool StepsArePaired => true;
    public static int SharedBytes => IBlockFormat.Vector;
    public static int ChunkBytes => TernaryCodes.ChunkBytes;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        BlockTQ1_0* source = (BlockTQ1_0*)block;
        factors[0] = *(ushort*)&source->Scale;
        uint* codes = stackalloc uint[IBlockFormat.ChunkColumns / 4];
        for (int chunk = 0; chunk < 4; chunk++)
        {
            for (int i = 0; i < 16; i++) codes[i] = FourCodes(source, 64 * chunk + 4 * i);
            TernaryCodes.Interleave((byte*)codes, chunk, (uint*)((byte*)lanes + TernaryCodes.ChunkBytes * chunk), ref *(lanes - IBlockFormat.Rows));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void TwoSteps<TLanes, TVector>(byte* chunk, int position, int unit, int pair, out TVector first, out TVector second)
        where TLanes : struct, ILanes<TVector> where TVector : struct => TernaryCodes.Load<TLanes, TVector>(chunk, position, 2 * unit + pair, out first, out second);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Dot<TLanes, TVector>(byte* chunk, int position, sbyte* x) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TernaryCodes.Dot<TLanes, TVector>(chunk, position, x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct => TLanes.Shorts(-1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header, IBlockFormat.FactorExponent);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        BlockTQ1_0* block = (BlockTQ1_0*)row + chunk / 4;
        numbers.Factors[0] = (float)block->Scale;
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = -1;
        }
        for (int i = 0; i < 64; i++) numbers.Codes[i] = (byte)(FourCodes(block, chunk % 4 * 64 + i / 4 * 4) >> i % 4 * 8);
    }

    // Four neighbouring weights are the same digit of four neighbouring bytes. Times 3^n modulo 256 drops the first n digits of
    // a byte, times 3 brings the next into bits 8 and 9.
    private static uint FourCodes(BlockTQ1_0* block, int weight)
    {
        // The bytes of the tail follow those of the codes.
        (int digit, int first) = weight < 160 ? (weight / 32, weight % 32) : weight < 240 ? ((weight - 160) / 16, 32 + (weight - 160) % 16) : ((weight - 240) / 4, 48);
        byte power = (byte)(digit switch { 0 => 1, 1 => 3, 2 => 9, 3 => 27, _ => 81 });
        uint codes = 0;
        for (int i = 0; i < 4; i++) codes |= (uint)((byte)(block->Codes[first + i] * power) * 3 >> 8) << 8 * i;
        return codes;
    }
}
