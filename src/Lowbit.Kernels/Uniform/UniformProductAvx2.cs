using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Uniform;

/// <summary>64 weights of a row a step, in two vectors; products of bytes go to 16 bits and then to 32.</summary>
internal readonly unsafe struct UniformProductAvx2 : IUniformProduct
{
    public static bool IsSupported => Avx2.IsSupported && VectorLimit.Bits >= 256;

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

    /// <summary>The sums of eight vectors of eight integers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> SumLanes(
        Vector256<int> v0, Vector256<int> v1, Vector256<int> v2, Vector256<int> v3, Vector256<int> v4, Vector256<int> v5, Vector256<int> v6, Vector256<int> v7)
    {
        Vector256<int> v0123 = Avx2.HorizontalAdd(Avx2.HorizontalAdd(v0, v1), Avx2.HorizontalAdd(v2, v3));
        Vector256<int> v4567 = Avx2.HorizontalAdd(Avx2.HorizontalAdd(v4, v5), Avx2.HorizontalAdd(v6, v7));
        return Avx2.Permute2x128(v0123, v4567, 0x20) + Avx2.Permute2x128(v0123, v4567, 0x31);
    }

    private static void Run<TWidth>(in UniformRows rows, int firstRow, sbyte* x, float* scales, int* sums, float* results) where TWidth : struct, ICodeWidth
    {
        UniformSums blocks = new(rows, firstRow);
        long last = rows.Rows - 1;
        byte* c0 = rows.Block(firstRow, 0), c1 = rows.Block(Math.Min(last, firstRow + 1), 0), c2 = rows.Block(Math.Min(last, firstRow + 2), 0);
        byte* c3 = rows.Block(Math.Min(last, firstRow + 3), 0), c4 = rows.Block(Math.Min(last, firstRow + 4), 0), c5 = rows.Block(Math.Min(last, firstRow + 5), 0);
        byte* c6 = rows.Block(Math.Min(last, firstRow + 6), 0), c7 = rows.Block(Math.Min(last, firstRow + 7), 0);
        for (int b = 0; b < rows.Blocks; b++)
        {
            Vector256<sbyte> lower = Vector256.Load(x + UniformLayout.BlockLength * b), upper = Vector256.Load(x + UniformLayout.BlockLength * b + 32);
            int at = b * (UniformLayout.BlockLength / 8 * TWidth.Bits);
            blocks.Add(
                b,
                SumLanes(
                    Dot<TWidth>(c0 + at, lower, upper), Dot<TWidth>(c1 + at, lower, upper), Dot<TWidth>(c2 + at, lower, upper), Dot<TWidth>(c3 + at, lower, upper),
                    Dot<TWidth>(c4 + at, lower, upper), Dot<TWidth>(c5 + at, lower, upper), Dot<TWidth>(c6 + at, lower, upper), Dot<TWidth>(c7 + at, lower, upper)),
                sums[b], scales[b]);
        }
        blocks.Results.Store(results);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Dot<TWidth>(byte* block, Vector256<sbyte> lower, Vector256<sbyte> upper) where TWidth : struct, ICodeWidth
    {
        CodeBlock.UnpackAvx2(block, TWidth.Bits, out Vector256<byte> lowerCodes, out Vector256<byte> upperCodes);
        if (TWidth.Bits == 8) return WideProduct(lowerCodes, lower) + WideProduct(upperCodes, upper);
        // Two products of 7-bit codes fit into 16 bits, four of 6-bit codes.
        Vector256<short> a = Avx2.MultiplyAddAdjacent(lowerCodes, lower), c = Avx2.MultiplyAddAdjacent(upperCodes, upper);
        return TWidth.Bits == 7
            ? Avx2.MultiplyAddAdjacent(a, Vector256<short>.One) + Avx2.MultiplyAddAdjacent(c, Vector256<short>.One)
            : Avx2.MultiplyAddAdjacent(a + c, Vector256<short>.One);
    }

    // Two products of 8-bit codes do not fit into 16 bits, one does.
    private static Vector256<int> WideProduct(Vector256<byte> codes, Vector256<sbyte> values)
    {
        Vector256<sbyte> even = values & Vector256.Create((short)0x00FF).AsSByte(), odd = values & Vector256.Create(unchecked((short)0xFF00)).AsSByte();
        return Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(codes, even), Vector256<short>.One)
            + Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(codes, odd), Vector256<short>.One);
    }
}
