using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Kernels.PartiallyBinarized;

namespace Lowbit.Benchmarks;

/// <summary>Products with packed partially binarized weights, one salient weight in ten at 8 bits unless named otherwise.</summary>
internal static unsafe class PartiallyBinarizedBench
{
    public static void Run(WorkerPool pool, double bandwidth, double peakFlops)
    {
        foreach ((int rows, int columns, int lowBits, int highBits) in new[]
        {
            (1536, 576, 1, 8), (576, 1536, 1, 8), (4096, 4096, 1, 8), (40960, 4096, 1, 8), (4096, 4096, 1, 4), (4096, 4096, 2, 8), (4096, 4096, 0, 8),
        })
        {
            PartiallyBinarizedMatrix matrix = Make(rows, columns, lowBits, highBits);
            using Activations eightBit = new(1, columns, ActivationMode.EightBit) { Tokens = 1 }, floats = new(1, columns, ActivationMode.Float) { Tokens = 1 };
            Random random = new(1);
            for (int c = 0; c < columns; c++) eightBit.Values[c] = floats.Values[c] = 2 * random.NextSingle() - 1;
            eightBit.Quantize(pool);
            using NativeBuffer output = new(rows * 4L), reference = new(rows * 4L);
            using WorkerPool single = new(1);
            matrix.Multiply(single, eightBit, output.Floats);
            matrix.Multiply(single, floats, reference.Floats);
            double error = 0, norm = 0;
            for (int r = 0; r < rows; r++)
            {
                error += Math.Pow(output.Floats[r] - reference.Floats[r], 2);
                norm += Math.Pow(reference.Floats[r], 2);
            }
            Harness.Verify(error < 1e-3 * norm, "partially binarized product");
            Timing[] timings = Harness.Time(
                () => matrix.Multiply(single, eightBit, output.Floats), () => matrix.Multiply(pool, eightBit, output.Floats),
                () => matrix.Multiply(single, floats, output.Floats), () => matrix.Multiply(pool, floats, output.Floats));
            string name = $"{rows} x {columns} {matrix.Format}";
            Report($"{name}, 8-bit, 1 thread", timings[0]);
            Report($"{name}, 8-bit, {pool.Threads} threads", timings[1]);
            Report($"{name}, float, 1 thread", timings[2]);
            Report($"{name}, float, {pool.Threads} threads", timings[3]);

            void Report(string what, Timing timing) => Harness.Report(
                what, timing, (double)rows * columns, "Gweights/s", bandwidth * rows * columns / matrix.Bytes, "memory roof");
        }
        Prefill(pool, peakFlops);
    }

    private static void Prefill(WorkerPool pool, double peakFlops)
    {
        const int Rows = 1536, Columns = 576;
        PartiallyBinarizedMatrix matrix = Make(Rows, Columns, 1, 8);
        using NativeBuffer panel = new((long)Rows * Columns * 4);
        foreach (int tokens in new[] { 2, 4, 7, 8, 16, 128, 512 })
        {
            using Activations activations = new(tokens, Columns, ActivationMode.EightBit) { Tokens = tokens };
            new Span<float>(activations.Values, tokens * Columns).Fill(0.5f);
            activations.Quantize(pool);
            using NativeBuffer output = new((long)tokens * Rows * 4);
            Timing[] timings = Harness.Time(() => matrix.Multiply(pool, activations, output.Floats), () => activations.Quantize(pool), () => matrix.DequantizeRows(0, Rows, panel.Floats));
            Harness.Report($"{Rows} x {Columns}, {tokens} tokens, {pool.Threads} threads", timings[0], 2.0 * tokens * Rows * Columns, "GFLOP/s", peakFlops, "peak");
            if (tokens == 128)
            {
                Console.WriteLine($"{"  rounding the activations",-46} {1e6 * timings[1].Best,8:F1} us");
                Console.WriteLine($"{"  rebuilding the rows, 1 thread",-46} {(double)Rows * Columns / timings[2].Best / 1e9,8:F2} Gweights/s");
            }
        }
    }

    private static PartiallyBinarizedMatrix Make(int rows, int columns, int lowBits, int highBits)
    {
        PartiallyBinarizedCodes codes = new(rows, columns, lowBits, highBits, columns, columns);
        Random random = new(1);
        for (int i = 0; i < codes.Codes.Length; i++)
        {
            codes.Salient[i] = random.NextSingle() < 0.1f;
            codes.Codes[i] = (byte)random.Next(1 << (codes.Salient[i] ? highBits : lowBits));
        }
        Array.Fill(codes.LowScale, 0.5f);
        Array.Fill(codes.LowMean, 0.03125f);
        Array.Fill(codes.HighScale, 0.0625f);
        Array.Fill(codes.HighZero, (byte)(1 << (highBits - 1)));
        Packed<PartiallyBinarizedLayout> packed = PartiallyBinarizedPacking.Pack(codes, ElementFormat.F16, PositionsForm.Bitmap);
        Dictionary<string, Tensor> parts = [];
        foreach (PackedPart part in packed.Parts)
        {
            NativeBuffer memory = new(part.Bytes.Length);
            part.Bytes.CopyTo(memory.Span<byte>(0, part.Bytes.Length));
            parts[part.Suffix] = new Tensor(part.Suffix, part.Format, part.Shape, memory.Pointer, part.Bytes.Length, memory);
        }
        return new PartiallyBinarizedMatrix("bench", packed.Layout, parts);
    }
}
