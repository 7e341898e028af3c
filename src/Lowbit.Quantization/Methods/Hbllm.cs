// HBLLM: Wavelet-Enhanced High-Fidelity 1-Bit Quantization for LLMs
// Chen, Ye, Jiang; arXiv 2512.00862; code: Yeyke/HBLLM (bigptq.py, haarbinary.py, utils/).
//
// Problem   BiLLM's frame (BiLlm.cs) with the binarization moved to one level of a Haar transform of the weights, sums and
//           differences of neighbours, (a + b) / √2 and (a − b) / √2: a weight becomes one of many sums of few levels.
//             row     neighbours are columns of a row. Salient columns first take the mean of the columns around them, and
//                     what is then missing in them is binarized on its own
//             col     neighbours are rows; salient columns are left out here and binarized on their own
//           What is binarized on its own is, in both, transformed over neighbouring rows.
// Formula   in every row and block the sums, and the differences, are split by size where of 41 quantiles of their own (10 to
//           90 %) the squared error is least; each side is m + α · sign(c − m),  m = mean c,  α = √(mean (c − m)²)
// Symbols   paper        here          meaning
//           H            HaarInput, HaarOutput   the transform, its own inverse
//           W_low, W_high  sums, differences   in their places: at even and odd columns (row) or rows (col)
//           s            BlockSearch.Score   w² / U_jj²
//           N salient    BlockSearch   as in BiLLM; columns are ranked by Σ s²
// Order     block by block, BlockCompensation.cs.
// Bits      paper: row 1 + r with r the share of salient columns, col 1. Stored: two bits a coefficient, side and sign, and in
//           row two more for salient columns; four levels for each split, of which a row and block has two (col) or three.
// Cost      BiLLM's search for salient columns; 41 · 3 passes over the weights.
// Departs   from the repository: 1/√2 of its inverse is 0.70703125, half precision; here it is that of float32. Odd numbers of
//           rows or columns, which it refuses, leave the last without a neighbour as it is. sign(0) = +1 as in BiLlm.cs.
// Keeps     α is the root of the mean square, not the mean of |c − m| that would lose least; means are not shared by the
//           two sides (its --share_mean, which saves nothing where levels are stored).

using System;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of HBLLM; the defaults are those of the repository's commands.</summary>
public sealed record HbllmOptions : MethodOptions
{
    /// <summary>Whether neighbours are rows (col) instead of columns (row).</summary>
    public bool AcrossRows { get; init; }

    /// <summary>What is added to the diagonal of the Hessian, as a share of its mean.</summary>
    public double Damping { get; init; } = 0.01;

    /// <summary>Columns that share levels, and between two updates of the columns behind; an even number.</summary>
    public int BlockSize { get; init; } = 128;

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions)
    {
        double first = PackedBits.Codebook(columns, 2, BlockSize, ScalePrecision, LevelForm.Table, classes: 2);
        return AcrossRows ? first : first + PackedBits.SalientColumns(columns, BlockSize, ScalePrecision, LevelForm.Table);
    }

    internal static HbllmOptions Read(MethodSettings settings)
    {
        var defaults = new HbllmOptions();
        return new HbllmOptions { Damping = settings.Number("damping", defaults.Damping), BlockSize = settings.Integer("block-size", defaults.BlockSize) };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        RequireCompensation(Damping, BlockSize);
        Require(BlockSize % 2 == 0, "--block-size", BlockSize, "an even number of columns");
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        Hbllm.Quantize(layer, this, pool, cancellation);
}

/// <summary>HBLLM.</summary>
public static unsafe class Hbllm
{
    private const int Window = 3; // columns on either side of a salient one whose mean it takes

    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, HbllmOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        Hessian hessian = layer.RequireHessian("hbllm");
        int rows = layer.OutFeatures, columns = layer.InFeatures, blockSize = Math.Min(options.BlockSize, columns);
        InverseFactor factor = hessian.Factor(pool, options.Damping, activationOrder: false, cancellation);
        var rounding = new ScaleRounding(options.ScalePrecision);
        using var copy = new WorkingCopy(pool, layer.WeightOfLiveInputs(), rows, columns, order: null);
        using var scores = new NativeBuffer((long)blockSize * copy.Stride * sizeof(float));
        var quantizer = new BlockQuantizer(options.AcrossRows, pool, factor, rounding, scores.Floats, copy.Stride, rows, columns, blockSize);
        BlockCompensation.Run(pool, copy, factor, blockSize, quantizer, cancellation);
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool, cancellation);
        double nominal = options.AcrossRows ? 1 : 1 + quantizer.SalientColumns / (double)columns;
        return new QuantizedMatrix(quantizer.Codes(), quantizer.Dequantized, nominal, options.ScalePrecision);
    }

    private sealed class BlockQuantizer : IBlockQuantizer
    {
        private readonly bool _acrossRows;
        private readonly WorkerPool _pool;
        private readonly InverseFactor _factor;
        private readonly ScaleRounding _rounding;
        private readonly float* _scores;
        private readonly int _stride, _rows;
        private readonly bool[] _classes; // across columns, the places of differences; across rows, salient columns
        private readonly CompositeTerm _first;
        private readonly SalientColumns _salient;

        public BlockQuantizer(bool acrossRows, WorkerPool pool, InverseFactor factor, ScaleRounding rounding, float* scores, int stride, int rows, int columns, int blockSize)
        {
            (_acrossRows, _pool, _factor, _rounding, _stride, _rows) = (acrossRows, pool, factor, rounding, stride, rows);
            _scores = scores;
            _classes = [.. Enumerable.Range(0, columns).Select(j => !acrossRows && j % 2 == 1)];
            _first = new CompositeTerm(acrossRows ? new WholeInput() : new HaarInput(), new CodebookCodes(rows, columns, 2, blockSize, _classes), HaarOutput: acrossRows);
            _salient = new SalientColumns(rows);
            Dequantized = new float[(long)rows * columns];
        }

        public float[] Dequantized { get; }

        public int SalientColumns => _salient.Count;

        public CompositeCodes Codes() =>
            new(_rows, _first.Codes.Columns, !_acrossRows && _salient.Term(haarOutput: true) is { } second ? [_first, second] : [_first]);

        public void Quantize(int start, int width, float* weights, float* levels)
        {
            BlockSearch.Score(weights, width, _stride, _factor, start, _scores);
            var search = new BlockSearch(_scores, width, _rows, _stride);
            int[] ranked = search.RankColumns(squares: true);
            int count = search.SalientColumns(_pool, ranked);
            int[] salient = ranked[..count], others = ranked[count..];
            Array.Sort(salient);
            Array.Sort(others);
            foreach (int j in salient)
                if (_acrossRows) _classes[start + j] = true;
            var second = new CodebookCodes(_rows, Math.Max(1, count), 2, Math.Max(1, count));
            var work = new PairWork
            {
                AcrossRows = _acrossRows,
                Weights = weights,
                Levels = levels,
                Dequantized = Dequantized,
                Stride = _stride,
                Start = start,
                Width = width,
                Salient = salient,
                Classes = _acrossRows ? [others, salient] : [[.. Enumerable.Range(0, width).Where(j => j % 2 == 0)], [.. Enumerable.Range(0, width).Where(j => j % 2 == 1)]],
                Neighbours = Array.ConvertAll(salient, j => Around(j, others)),
                First = _first,
                Second = new CompositeTerm(new WholeInput(), second, HaarOutput: true),
                Rounding = _rounding,
            };
            _pool.Run(ref work, (_rows + 1) / 2, 8);
            _salient.Add(start, width, salient, [.. salient.Select(_ => 1f)], second);
        }

        // The columns that a salient one takes the mean of: those near it, else the last one before it, else the first behind.
        private static int[] Around(int salient, int[] others)
        {
            int[] near = [.. others.Where(j => Math.Abs(j - salient) <= Window)];
            if (near.Length > 0) return near;
            int[] before = [.. others.Where(j => j < salient)];
            return [before.Length > 0 ? before[^1] : others[0]];
        }
    }

    // Pairs of rows of a block.
    private struct PairWork : IParallelWork
    {
        public bool AcrossRows;
        public float* Weights, Levels; // [width, stride]
        public float[] Dequantized;
        public int Stride, Start, Width;
        public int[] Salient; // columns of the block, rising
        public int[][] Classes; // those of First: columns whose coefficients are split together
        public int[][] Neighbours; // of salient columns
        public CompositeTerm First, Second; // the second one of salient columns only, across columns
        public ScaleRounding Rounding;

        public readonly void Execute(int start, int end)
        {
            int columns = First.Codes.Columns;
            var haar = new HaarInput();
            var split = new SplitBinarization(Width, Rounding);
            float[][] pair = [new float[Width], new float[Width]];
            int[] places = [.. Enumerable.Range(0, Salient.Length)];
            for (int p = start; p < end; p++)
            {
                int first = 2 * p, rows = Math.Min(2, First.Codes.Rows - first);
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < Width; j++) pair[i][j] = Weights[(long)j * Stride + first + i];

                if (AcrossRows && rows == 2) HaarInput.Combine(pair[0], pair[1]);
                for (int i = 0; i < rows; i++)
                {
                    Span<float> row = pair[i];
                    if (!AcrossRows)
                    {
                        TakeMeans(row);
                        haar.Apply(row, row);
                    }
                    foreach (int[] members in Classes) Binarize(split, row, members, members, First, first + i, Start);
                }
                if (!AcrossRows)
                {
                    for (int i = 0; i < rows; i++)
                        foreach (int j in Salient) pair[i][j] = Weights[(long)j * Stride + first + i] - First.Dequantize(first + i, Start + j);
                    if (rows == 2) HaarInput.Combine(pair[0], pair[1]);
                    for (int i = 0; i < rows; i++) Binarize(split, pair[i], Salient, places, Second, first + i, 0);
                }
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < Width; j++)
                    {
                        float level = 0; // where sums begin, which makes −0 to 0
                        level += First.Dequantize(first + i, Start + j);
                        int k = AcrossRows ? -1 : Array.BinarySearch(Salient, j);
                        if (k >= 0) level += Second.Dequantize(first + i, k);
                        Levels[(long)j * Stride + first + i] = Dequantized[(long)(first + i) * columns + Start + j] = level;
                    }
            }
        }

        // Salient columns take the mean of those around them.
        private readonly void TakeMeans(Span<float> row)
        {
            for (int k = 0; k < Salient.Length; k++)
            {
                float sum = 0;
                foreach (int j in Neighbours[k]) sum += row[j];
                row[Salient[k]] = sum / Neighbours[k].Length;
            }
        }

        // Places of the row, and where their codes go from a first column on.
        private static void Binarize(SplitBinarization split, ReadOnlySpan<float> row, int[] places, int[] targets, CompositeTerm term, int r, int start)
        {
            if (places.Length == 0) return;
            var codes = (CodebookCodes)term.Codes;
            split.Fit(row, places, codes.Levels.AsSpan((int)codes.Codebook(r, start + targets[0]), 4));
            for (int i = 0; i < places.Length; i++) codes.Codes[r * codes.Columns + start + targets[i]] = split.Codes[i];
        }
    }
}

/// <summary>Coefficients of a row, split by size and binarized on either side: m ± α with α the root of the mean square.</summary>
/// <param name="most">Most coefficients.</param>
/// <param name="rounding">Precision of the levels.</param>
internal sealed class SplitBinarization(int most, ScaleRounding rounding)
{
    private const int Quantiles = 41;

    private readonly float[] _values = new float[most], _sizes = new float[most];

    /// <summary>Of the coefficients in their order: 2 · side + sign.</summary>
    public byte[] Codes { get; } = new byte[most];

    /// <summary>Finds the split that loses least, and the levels: small −, small +, large −, large +.</summary>
    /// <param name="row">The coefficients.</param>
    /// <param name="places">Which of them.</param>
    /// <param name="levels">[4].</param>
    /// <returns>The squared error before the levels are rounded.</returns>
    public double Fit(ReadOnlySpan<float> row, int[] places, Span<float> levels)
    {
        int count = places.Length;
        for (int i = 0; i < count; i++)
        {
            _values[i] = row[places[i]];
            _sizes[i] = MathF.Abs(_values[i]);
        }
        Span<float> sorted = _sizes.AsSpan(0, count);
        sorted.Sort();
        double least = double.PositiveInfinity;
        float best = 0;
        for (int q = 0; q < Quantiles; q++)
        {
            double place = (0.1 + 0.8 * q / (Quantiles - 1)) * (count - 1);
            int below = (int)place;
            float low = sorted[below], split = (float)(low + (sorted[Math.Min(below + 1, count - 1)] - low) * (place - below));
            double error = Error(count, split, levels);
            if (error < least) (least, best) = (error, split);
        }
        Error(count, best, levels);
        for (int i = 0; i < count; i++)
        {
            int side = MathF.Abs(_values[i]) >= best ? 2 : 0;
            Codes[i] = (byte)(_values[i] >= (levels[side] + levels[side + 1]) / 2 ? side + 1 : side);
        }
        Codebook.Round(levels, rounding);
        return least;
    }

    // Sets the levels of a split; returns its squared error.
    private double Error(int count, float split, Span<float> levels)
    {
        Span<double> sums = stackalloc double[2], squares = stackalloc double[2], means = stackalloc double[2], scales = stackalloc double[2];
        Span<int> members = stackalloc int[2];
        sums.Clear();
        squares.Clear();
        members.Clear();
        for (int i = 0; i < count; i++)
        {
            int side = MathF.Abs(_values[i]) >= split ? 1 : 0;
            sums[side] += _values[i];
            members[side]++;
        }
        for (int side = 0; side < 2; side++) means[side] = members[side] == 0 ? 0 : sums[side] / members[side];
        for (int i = 0; i < count; i++)
        {
            int side = MathF.Abs(_values[i]) >= split ? 1 : 0;
            double distance = _values[i] - means[side];
            squares[side] += distance * distance;
        }
        for (int side = 0; side < 2; side++)
        {
            scales[side] = members[side] == 0 ? 0 : Math.Sqrt(squares[side] / members[side]);
            (levels[2 * side], levels[2 * side + 1]) = ((float)(means[side] - scales[side]), (float)(means[side] + scales[side]));
        }
        double error = 0;
        for (int i = 0; i < count; i++)
        {
            int side = MathF.Abs(_values[i]) >= split ? 1 : 0;
            double lost = Math.Abs(_values[i] - means[side]) - scales[side];
            error += lost * lost;
        }
        return error;
    }
}
