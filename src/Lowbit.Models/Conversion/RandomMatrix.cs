using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models.Conversion;

/// <summary>Single matrices of random weights, for measuring products.</summary>
public static unsafe class RandomMatrix
{
    /// <summary>Formats that <see cref="Create"/> takes: those of ggml and ours.</summary>
    public static IReadOnlyList<string> Formats { get; } =
    [
        .. new[]
        {
            ElementFormat.F32, ElementFormat.F16, ElementFormat.BF16, ElementFormat.Q8_0, ElementFormat.Q6_K, ElementFormat.Q5_K, ElementFormat.Q4_K, ElementFormat.Q3_K, ElementFormat.Q2_K,
            ElementFormat.Q5_1, ElementFormat.Q5_0, ElementFormat.Q4_1, ElementFormat.Q4_0, ElementFormat.IQ4_NL, ElementFormat.MXFP4, ElementFormat.TQ2_0, ElementFormat.TQ1_0,
        }.Select(format => format.ToString()),
        "uniform-8", "uniform-4", "uniform-3", "uniform-2", "pb-0.2", "pb-0.1", "pb-0.05", "waterline-3", "waterline-2.7", "waterline-2.5", "waterline-2.2", .. RandomCodes.Names,
    ];

    /// <summary>Makes a matrix.</summary>
    /// <param name="format">One of <see cref="Formats"/>.</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features, a multiple of 256.</param>
    public static WeightMatrix Create(string format, int rows, int columns)
    {
        SplitMix64 random = new(1);
        if (RandomCodes.Knows(format))
        {
            PackedMatrix packed = RandomCodes.Pack(format, rows, columns, ref random);
            Dictionary<string, Tensor> tensors = [];
            foreach (PackedPart part in packed.Parts)
            {
                NativeBuffer memory = new(part.Bytes.Length);
                part.Bytes.CopyTo(new Span<byte>(memory.Pointer, part.Bytes.Length));
                tensors.Add($"random.{part.Suffix}", new Tensor(part.Suffix, part.Format, part.Shape, memory.Pointer, part.Bytes.Length, memory));
            }
            using JsonDocument document = JsonDocument.Parse(packed.Declaration.ToJsonString());
            return PackedTensor.Read("random", "random", document.RootElement).Load("random", tensors.GetValueOrDefault, rows, columns);
        }
        if (!Enum.TryParse(format, out ElementFormat element)) throw new LowbitException($"{format}: there is no format of this name; choose one of {string.Join(", ", Formats)}.");
        long rowBytes = element.ByteCount(columns);
        NativeBuffer buffer = new(rowBytes * rows);
        for (int row = 0; row < rows; row++) RandomBlocks.Fill(element, columns, ref random, new Span<byte>(buffer.Pointer + row * rowBytes, (int)rowBytes));
        return new DenseMatrix(new Tensor("random", element, [rows, columns], buffer.Pointer, buffer.Bytes, buffer));
    }
}
