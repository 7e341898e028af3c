using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models.Conversion;

namespace Lowbit.Evaluation;

/// <summary>How fast products with weights of one format are, by one of its kernels.</summary>
/// <param name="Format">The format.</param>
/// <param name="VectorBits">Width in bits of the kernel's vectors; 0 for the code without vectors of a fixed width.</param>
/// <param name="Chosen">Whether it is the kernel that this processor gets.</param>
/// <param name="BitsPerWeight">Bits that a product reads for a weight.</param>
/// <param name="DecodeWeightsPerSecond">Weights a second with one token.</param>
/// <param name="DecodeBytesPerSecond">Bytes of weights a second with one token.</param>
/// <param name="RooflineFraction">The latter as a share of the memory's bandwidth.</param>
/// <param name="PrefillOperationsPerSecond">Multiplications and additions a second with 128 tokens, of code without vectors with four.</param>
public sealed record KernelSpeed(
    string Format, int VectorBits, bool Chosen, double BitsPerWeight, double DecodeWeightsPerSecond, double DecodeBytesPerSecond, double RooflineFraction, double PrefillOperationsPerSecond)
{
    private const int Columns = 2048;
    private const long DecodeBytes = 96L << 20; // more than caches hold
    private const int PrefillRows = 2048, PrefillTokens = 128;
    private const int FewTokens = 4; // for code without vectors, which computes far longer than it reads

    /// <summary>Measures the kernels of all formats, one after the other; each figure is the median of several products.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="bandwidth">Bytes a second that the memory gives, see <see cref="MemoryBandwidth"/>.</param>
    /// <param name="repeat">How often to measure.</param>
    /// <param name="mode">What the products take. With floats, each format's kernel of this processor alone.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    public static IEnumerable<KernelSpeed> MeasureAll(WorkerPool pool, double bandwidth, int repeat, ActivationMode mode, CancellationToken cancellation)
    {
        int limit = VectorLimit.Bits;
        try
        {
            foreach (string format in RandomMatrix.Formats)
            {
                WeightMatrix small = RandomMatrix.Create(format, PrefillRows, Columns);
                int rows = (int)(DecodeBytes * PrefillRows / small.Bytes);
                WeightMatrix large = RandomMatrix.Create(format, rows, Columns);
                double bits = 8.0 * large.Bytes / ((double)rows * Columns);
                IReadOnlyList<int> widths = large.KernelWidths;
                for (int i = 0; i < (mode == ActivationMode.EightBit ? widths.Count : 1); i++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    VectorLimit.Bits = widths[i];
                    bool isSlow = widths[i] == 0 && widths.Count > 1;
                    WeightMatrix decoded = isSlow ? small : large;
                    int tokens = isSlow ? FewTokens : PrefillTokens;
                    double decode = (double)decoded.Rows * Columns / Seconds(pool, decoded, 1, mode, repeat);
                    double prefill = 2.0 * tokens * PrefillRows * Columns / Seconds(pool, small, tokens, mode, repeat);
                    VectorLimit.Bits = limit;
                    yield return new KernelSpeed(format, widths[i], i == 0, bits, decode, decode * bits / 8, decode * bits / 8 / bandwidth, prefill);
                }
            }
        }
        finally
        {
            VectorLimit.Bits = limit;
        }
    }

    private static unsafe double Seconds(WorkerPool pool, WeightMatrix matrix, int tokens, ActivationMode mode, int repeat)
    {
        using Activations activations = new(tokens, matrix.Columns, mode) { Tokens = tokens };
        SplitMix64 random = new(2);
        for (int i = 0; i < tokens * matrix.Columns; i++) activations.Values[i] = (float)(2 * random.NextDouble() - 1);
        activations.Quantize(pool);
        using NativeBuffer output = new((long)tokens * matrix.Rows * sizeof(float));
        double[] seconds = new double[repeat];
        const int warmUp = 3; // pages come in, the compiler settles
        for (int run = -warmUp; run < repeat; run++)
        {
            long start = Stopwatch.GetTimestamp();
            matrix.Multiply(pool, activations, output.Floats);
            if (run >= 0) seconds[run] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
        Array.Sort(seconds);
        return seconds[repeat / 2];
    }
}
