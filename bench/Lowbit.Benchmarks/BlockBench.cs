using System;
using System.Collections.Immutable;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Benchmarks;

/// <summary>Products of ggml's block formats with 8-bit activations, in the shapes of a Llama model of 1.1 B weights.</summary>
internal static unsafe class BlockBench
{
    private const int Instances = 12; // of a matrix, so that a token's weights come from memory and not from a cache
    private const int Tokens = 128;
    private const int RowsOfMany = 512; // of the product with many tokens, so that a call is short beside an interruption

    private static readonly ElementFormat[] s_formats =
    [
        ElementFormat.Q4_0, ElementFormat.Q8_0, ElementFormat.Q4_K, ElementFormat.Q6_K, ElementFormat.Q2_K, ElementFormat.TQ2_0, ElementFormat.Q4_1, ElementFormat.Q5_0,
        ElementFormat.Q5_1, ElementFormat.Q3_K, ElementFormat.Q5_K, ElementFormat.IQ4_NL, ElementFormat.MXFP4, ElementFormat.TQ1_0, ElementFormat.F16, ElementFormat.BF16,
    ];

    public static void Run(WorkerPool pool, double bandwidth, double byteProducts, string[] chosen)
    {
        foreach (ElementFormat format in s_formats)
        {
            if (chosen.Length > 0 && Array.IndexOf(chosen, format.ToString()) < 0) continue;
            Shape(pool, bandwidth, byteProducts, format, 5632, 2048);
        }
    }

    private static void Shape(WorkerPool pool, double bandwidth, double byteProducts, ElementFormat format, int rows, int columns)
    {
        DenseMatrix[] matrices = new DenseMatrix[Instances];
        Tensor tensor = Random(format, rows, columns, 1);
        for (int i = 0; i < Instances; i++) matrices[i] = new DenseMatrix(tensor);
        using Activations one = Input(pool, 1, columns), many = Input(pool, Tokens, columns), floats = Input(pool, 1, columns, ActivationMode.Float);
        using NativeBuffer output = new(rows * 4L), all = new((long)Tokens * RowsOfMany * 4), reference = new(rows * 4L);
        using WorkerPool single = new(1);
        foreach (DenseMatrix matrix in matrices) matrix.Multiply(pool, one, output.Floats);
        matrices[^1].Multiply(pool, floats, reference.Floats);
        DenseMatrix part = new(new Tensor("part", format, [RowsOfMany, columns], tensor.Pointer, format.ByteCount((long)RowsOfMany * columns), tensor));
        part.Multiply(pool, many, all.Floats);
        double error = 0, norm = 0;
        for (int r = 0; r < rows; r++)
        {
            error += Math.Pow(output.Floats[r] - reference.Floats[r], 2) + (r < RowsOfMany ? Math.Pow(output.Floats[r] - all.Floats[r], 2) : 0);
            norm += Math.Pow(reference.Floats[r], 2);
        }
        Harness.Verify(error < 1e-3 * norm, $"{format} product");
        Timing[] timings = Harness.Time(
            () => Each(single, one, output), () => Each(pool, one, output), () => part.Multiply(single, many, all.Floats), () => part.Multiply(pool, many, all.Floats));
        double weights = (double)rows * columns, bytes = matrices[0].Bytes;
        string name = $"{rows} x {columns} {format}";
        Harness.Report($"{name}, 1 token, 1 thread", timings[0], Instances * weights, "Gweights/s", bandwidth * weights / bytes, "memory roof");
        Harness.Report($"{name}, 1 token, {pool.Threads} threads", timings[1], Instances * weights, "Gweights/s", bandwidth * weights / bytes, "memory roof");
        Console.WriteLine($"{"  bytes read",-46} {Instances * bytes / timings[1].Median / 1e9,8:F2} GB/s (best {Instances * bytes / timings[1].Best / 1e9:F2})");
        double operations = 2.0 * Tokens * RowsOfMany * columns;
        Harness.Report($"{RowsOfMany} x {columns} {format}, {Tokens} tokens, 1 thread", timings[2], operations, "GOP/s", byteProducts / pool.Threads, "peak");
        Harness.Report($"{RowsOfMany} x {columns} {format}, {Tokens} tokens, {pool.Threads} threads", timings[3], operations, "GOP/s", byteProducts, "peak");

        void Each(WorkerPool threads, Activations activations, NativeBuffer to)
        {
            foreach (DenseMatrix matrix in matrices) matrix.Multiply(threads, activations, to.Floats);
        }
    }

    private static Activations Input(WorkerPool pool, int tokens, int columns, ActivationMode mode = ActivationMode.EightBit)
    {
        Activations activations = new(tokens, columns, mode) { Tokens = tokens };
        for (int t = 0; t < tokens; t++)
        {
            Random random = new(1);
            for (int c = 0; c < columns; c++) activations.Values[t * columns + c] = 2 * random.NextSingle() - 1;
        }
        activations.Quantize(pool);
        return activations;
    }

    // Random bytes; the factors in half precision are made small positive numbers.
    private static Tensor Random(ElementFormat format, int rows, int columns, int seed)
    {
        NativeBuffer buffer = new(format.ByteCount((long)rows * columns));
        Random random = new(seed);
        random.NextBytes(buffer.Span<byte>(0, (int)buffer.Bytes));
        int[] factors = format switch
        {
            ElementFormat.Q2_K => [80, 82],
            ElementFormat.Q3_K => [108],
            ElementFormat.Q4_1 or ElementFormat.Q5_1 or ElementFormat.Q4_K or ElementFormat.Q5_K => [0, 2],
            ElementFormat.Q6_K => [208],
            ElementFormat.TQ1_0 => [52],
            ElementFormat.TQ2_0 => [64],
            ElementFormat.MXFP4 => [],
            _ => [0],
        };
        for (long block = 0; block < buffer.Bytes; block += format.BlockBytes())
        {
            if (format == ElementFormat.MXFP4) buffer.Pointer[block] = 120;
            if (format == ElementFormat.BF16) *(ushort*)(buffer.Pointer + block) = (ushort)(0x3C00 + random.Next(256));
            else foreach (int offset in factors) *(Half*)(buffer.Pointer + block + offset) = (Half)(0.01f + 0.01f * random.NextSingle());
        }
        return new Tensor("weight", format, ImmutableArray.Create<long>(rows, columns), buffer.Pointer, buffer.Bytes, buffer);
    }
}
