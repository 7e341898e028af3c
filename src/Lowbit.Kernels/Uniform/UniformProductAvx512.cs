using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Uniform;

/// <summary>64 weights of a row a step; products of bytes go to 16 bits and then to 32.</summary>
internal readonly unsafe struct UniformProductAvx512 : IUniformProduct
{
    public static bool IsSupported => Vector512.IsHardwareAccelerated && Avx512BW.IsSupported && VectorLimit.Bits >= 512;

    public static void Run(in UniformRows rows, int firstRow, sbyte* x, float* scales, int* sums, float* results)
    {
        switch (rows.Bits)
        {
            case 2: Run<TwoBits>(rows, firstRow, x, scales, sums, results); break;
            case 3: Run<ThreeBits>(rows, firstRow, x, scales, sums, results); break;
            case 4: Run<FourBits>(rows, firstRow, x, scales, sums, results); break;
            case 5: Run<FiveBits>(rows, firstRow, x, scales, sums, results); break;
            case 6: Run<SixBits>(rows, firstRow, x, scales, sums, results); break;
            case 7: Run<SevenBits>(rows, firstRow, x, scales, sums, results); break;
            default: Run<EightBits>(rows, firstRow, x, scales, sums, results); break;
        }
    }

    private static void Run<TWidth>(in UniformRows rows, int firstRow, sbyte* x, float* scales, int* sums, float* results) where TWidth : struct, ICodeWidth
    {
        UniformSums blocks = new(rows, firstRow);
        long last = rows.Rows - 1;
        byte* c0 = rows.Block(firstRow, 0), c1 = rows.Block(Math.Min(last, firstRow + 1), 0), c2 = rows.Block(Math.Min(last, firstRow + 2), 0);
        byte* c3 = rows.Block(Math.Min(last, firstRow + 3), 0), c4 = rows.Block(Math.Min(last, firstRow + 4), 0), c5 = rows.Block(Math.Min(last, firstRow + 5), 0);
        byte* c6 = rows.Block(Math.Min(last, firstRow + 6), 0), c7 = rows.Block(Math.Min(last, firstRow + 7), 0);
        long next = (long)IUniformProduct.Rows * rows.Blocks * rows.BlockBytes; // the rows that come next: eight short streams are too many for the processor to foresee
        for (int b = 0; b < rows.Blocks; b++)
        {
            for (int line = 0; line < UniformLayout.BlockLength * TWidth.Bits; line += 64) Sse.Prefetch0(c0 + next + (long)b * UniformLayout.BlockLength * TWidth.Bits + line);
            Vector512<sbyte> values = Vector512.Load(x + UniformLayout.BlockLength * b);
            int at = b * (UniformLayout.BlockLength / 8 * TWidth.Bits);
            blocks.Add(
                b,
                SumLanes(
                    Dot<TWidth>(c0 + at, values), Dot<TWidth>(c1 + at, values), Dot<TWidth>(c2 + at, values), Dot<TWidth>(c3 + at, values),
                    Dot<TWidth>(c4 + at, values), Dot<TWidth>(c5 + at, values), Dot<TWidth>(c6 + at, values), Dot<TWidth>(c7 + at, values)),
                sums[b], scales[b]);
        }
        blocks.Results.Store(results);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Dot<TWidth>(byte* block, Vector512<sbyte> values) where TWidth : struct, ICodeWidth
    {
        Vector512<byte> codes = CodeBlock.UnpackAvx512(block, TWidth.Bits);
        if (TWidth.Bits < 8) return Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(codes, values), Vector512<short>.One);
        // Two products of 8-bit codes do not fit into 16 bits, one does.
        Vector512<sbyte> even = values & Vector512.Create((short)0x00FF).AsSByte(), odd = values & Vector512.Create(unchecked((short)0xFF00)).AsSByte();
        return Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(codes, even), Vector512<short>.One)
            + Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(codes, odd), Vector512<short>.One);
    }

    // The sums of eight vectors, with few operations on the one port that moves lanes: halves of rows i and i + 4 first,
    // then neighbouring lanes of rows as a transposition of 4 x 4 brings them together, then the two quarters of each half.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> SumLanes(
        Vector512<int> v0, Vector512<int> v1, Vector512<int> v2, Vector512<int> v3, Vector512<int> v4, Vector512<int> v5, Vector512<int> v6, Vector512<int> v7)
    {
        Vector512<int> w0 = Halves(v0, v4), w1 = Halves(v1, v5), w2 = Halves(v2, v6), w3 = Halves(v3, v7);
        Vector512<int> w01 = Avx512F.UnpackLow(w0, w1) + Avx512F.UnpackHigh(w0, w1), w23 = Avx512F.UnpackLow(w2, w3) + Avx512F.UnpackHigh(w2, w3);
        Vector512<int> quarters = Avx512F.UnpackLow(w01.AsInt64(), w23.AsInt64()).AsInt32() + Avx512F.UnpackHigh(w01.AsInt64(), w23.AsInt64()).AsInt32();
        return Vector256.Create(quarters.GetLower().GetLower() + quarters.GetLower().GetUpper(), quarters.GetUpper().GetLower() + quarters.GetUpper().GetUpper());
    }

    // Lower half: the two halves of a, added; upper half: those of b.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Halves(Vector512<int> a, Vector512<int> b) =>
        Vector512.ConditionalSelect(Vector512.Create(-1L, -1, -1, -1, 0, 0, 0, 0).AsInt32(), a, b) + Avx512F.Shuffle4x128(a, b, 0b_01_00_11_10);
}
