// NF4 and FP4: 4-bit codes into a fixed table of levels
// Dettmers, Pagnoni, Holtzman, Zettlemoyer: QLoRA, arXiv 2305.14314, section 3; code: bitsandbytes, functional.py.
//
// Problem   weights of a block are about normally distributed, so levels that are equally likely lose less than equally
//           spaced ones; no calibration.
// Formula   a = max |w| over the block,  q = argmin_k |w / a − t_k|,  ŵ = a · t_q
//           double quantization: with ā the mean of all a, the a − ā go the same way to 8 bits in blocks of 256:
//           c = max |a − ā|,  â = c · d_q' + ā
// Symbols   paper            here                      meaning
//           q_i (NF4), FP4   CodeTable.NormalFloat4, Float4  the levels t_k
//           c₂^FP32, FP8     TableCodes.Scales, Nested  a; the paper's 8-bit floats are bitsandbytes' dynamic map d
// Blocks    consecutive elements of the matrix read row after row, as in bitsandbytes; a block may go over the end of a row.
// Cost      O(in · out).
// Departs   from bitsandbytes: sums of the mean in double precision; a block of zeros has the code of 0 (there: of no
//           meaning).

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Tables;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of NF4 and FP4; the defaults are those of bitsandbytes.</summary>
public sealed record TableRtnOptions : MethodOptions
{
    /// <summary>The levels: <see cref="CodeTable.NormalFloat4"/> or <see cref="CodeTable.Float4"/>.</summary>
    public CodeTable Table { get; init; } = CodeTable.NormalFloat4;

    /// <summary>Consecutive elements that share a scale.</summary>
    public int GroupSize { get; init; } = 64;

    /// <summary>Whether the scales themselves are stored in 8 bits.</summary>
    public bool DoubleQuantization { get; init; }

    /// <inheritdoc/>
    public override bool NeedsHessian => false;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) =>
        4 + (DoubleQuantization ? 8 + 32.0 / NestedScales.BlockSize : 32) / GroupSize;

    internal static TableRtnOptions Read(MethodSettings settings, CodeTable table)
    {
        var defaults = new TableRtnOptions();
        return new TableRtnOptions
        {
            Table = table,
            GroupSize = settings.Integer("group-size", defaults.GroupSize),
            DoubleQuantization = settings.Flag("double-quantization", defaults.DoubleQuantization),
        };
    }

    /// <inheritdoc/>
    public override void Validate() =>
        Require(GroupSize is > 0 and <= 4096 && GroupSize % 2 == 0, "--group-size", GroupSize, "an even number of elements, 2 to 4096,");

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) => TableRtn.Quantize(layer, this, pool);
}

/// <summary>Round to nearest on the levels of a table.</summary>
public static class TableRtn
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, TableRtnOptions options, WorkerPool pool)
    {
        var plain = new TableCodes(layer.OutFeatures, layer.InFeatures, options.Table.Levels, options.GroupSize);
        var encode = new EncodeWork { Weight = layer.Weight, Table = options.Table, Codes = plain };
        pool.Run(ref encode, plain.Blocks, 256);
        TableCodes codes = options.DoubleQuantization ? Nest(plain) : plain;
        var dequantized = new float[layer.Weight.Length];
        codes.Dequantize(dequantized);
        return new QuantizedMatrix(codes, dequantized, 4, ScalePrecision.Float32);
    }

    // The codes stay those of the exact scales, as in bitsandbytes.
    private static TableCodes Nest(TableCodes plain)
    {
        double sum = 0;
        foreach (float scale in plain.Scales) sum += scale;
        float offset = (float)(sum / plain.Scales.Length);
        var centred = Array.ConvertAll(plain.Scales, scale => scale - offset);
        var codes = new byte[centred.Length];
        var scales = new float[(centred.Length + NestedScales.BlockSize - 1) / NestedScales.BlockSize];
        for (int b = 0; b < scales.Length; b++)
        {
            int start = b * NestedScales.BlockSize, count = Math.Min(NestedScales.BlockSize, centred.Length - start);
            scales[b] = Encode(CodeTable.Dynamic8, centred.AsSpan(start, count), codes.AsSpan(start, count));
        }
        var nested = new TableCodes(plain.Rows, plain.Columns, plain.Table, plain.BlockSize)
        {
            Nested = new NestedScales(CodeTable.Dynamic8.Levels, codes, scales, offset),
        };
        plain.Codes.CopyTo(nested.Codes, 0);
        for (int b = 0; b < nested.Blocks; b++) nested.Scales[b] = nested.Nested.Decode(b);
        return nested;
    }

    // Returns the scale.
    private static float Encode(CodeTable table, ReadOnlySpan<float> values, Span<byte> codes)
    {
        float largest = Vectors.Largest(values), factor = largest == 0 ? 0 : 1 / largest;
        if (!float.IsFinite(factor)) (largest, factor) = (0, 0); // so small that its inverse overflows
        for (int i = 0; i < values.Length; i++) codes[i] = (byte)table.Encode(Math.Clamp(values[i] * factor, -1, 1));
        return largest;
    }

    private struct EncodeWork : IParallelWork
    {
        public ReadOnlyMemory<float> Weight;
        public CodeTable Table;
        public TableCodes Codes;

        public readonly void Execute(int start, int end)
        {
            for (int b = start; b < end; b++)
            {
                int first = b * Codes.BlockSize, count = Math.Min(Codes.BlockSize, Codes.Codes.Length - first);
                Codes.Scales[b] = Encode(Table, Weight.Span.Slice(first, count), Codes.Codes.AsSpan(first, count));
            }
        }
    }
}
