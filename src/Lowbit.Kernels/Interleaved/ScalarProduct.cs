namespace Lowbit.Kernels.Interleaved;

/// <summary>
/// The oracle: the product of a row, as its blocks lie in the file, with a token of 8-bit activations. For a chunk of 64
/// columns with activations of scale s, y += s · v, where v is F (i + j), or F i + G j, of the chunk, or the sum of those
/// of its halves or units. The sums i and j are exact integers; each operation on floats is rounded by itself, so that all kernels
/// give the same bits.
/// </summary>
internal static unsafe class ScalarProduct
{
    public static float Row<TFormat>(byte* row, int blocks, int chunks, Token token) where TFormat : struct, IBlockFormat
    {
        float y = 0;
        for (int chunk = 0; chunk < chunks; chunk++)
        {
            ChunkNumbers numbers = default;
            TFormat.Read(row, chunk, blocks, ref numbers);
            int i0 = 0, i1 = 0, j0 = 0, j1 = 0;
            float units = 0;
            for (int unit = 0; unit < 4; unit++)
            {
                int dot = 0, sum = 0;
                for (int c = 16 * unit; c < 16 * unit + 16; c++)
                {
                    int x = token.X[IBlockFormat.ChunkColumns * chunk + c];
                    dot += numbers.Codes[c] * x;
                    sum += x;
                }
                if (TFormat.FactorsOfUnits)
                {
                    float ofUnit = numbers.Factors[unit] * (dot + numbers.Minimums[unit] * sum);
                    units = unit == 0 ? ofUnit : units + ofUnit;
                }
                (unit < 2 ? ref i0 : ref i1) += numbers.Scales[unit] * dot;
                (unit < 2 ? ref j0 : ref j1) += numbers.Minimums[unit] * sum;
            }
            float v = TFormat.FactorsOfUnits ? units : TFormat.FactorsOfHalves
                ? Scaled<TFormat>(numbers, 0, i0, j0) + Scaled<TFormat>(numbers, 1, i1, j1)
                : Scaled<TFormat>(numbers, 0, i0 + i1, j0 + j1);
            y += token.Scale[chunk] * v;
        }
        return y;
    }

    private static float Scaled<TFormat>(in ChunkNumbers numbers, int half, int i, int j) where TFormat : struct, IBlockFormat =>
        TFormat.MinimumHasFactor
            ? numbers.Factors[half] * i + numbers.MinimumFactors[half] * j
            : numbers.Factors[half] * (i + j);
}
