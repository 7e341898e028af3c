// SpQR: A Sparse-Quantized Representation for Near-Lossless LLM Weight Compression
// Dettmers, Svirschevski, Egiazarian, Kuznedelev, Frantar, Ashkboos, Borzunov, Hoefler, Alistarh; arXiv 2306.03078,
// sections 3 and 4; code: Vahe1994/SpQR (spqr_engine.py, quant_groups.py, main.py).
//
// Problem   the weights whose rounding costs most, wherever they lie, are kept in half precision; the others have grids of very
//           small groups, fitted without them; errors are compensated as in GPTQ.
//             s_ij = (w_ij − q_ij)² / U_jj²,   kept where s_ij > τ · mean over the columns of (var W_:,j / U_jj²)
// Symbols   paper    here               meaning
//           s_ij     SquaredError       what rounding a weight costs after the best compensation
//           τ        Threshold          0.2, relative to the layer's own size
//           β₁       GroupSize          16
//           U        InverseFactor      U with (H + λ)⁻¹ = UᵀU; λ is the mean of diag(H) itself, Damping 1
// Outliers  when the grid of a group is fitted, weights are left out that lower the group's sum of s by more than the threshold
//           when they alone are left out; which weights are kept is decided when their column is rounded.
// Order     by falling diag(H).
// Bits      b, 32 for a weight that is kept (value and position, as the paper counts), and the grids'.
// Cost      in³ · 2/3 for U, in² · out for the loop.
// Scales    of 16 rows and a group are codes of 3 bits with a grid of their own (NestedScales.cs), as is the zero of b bits:
//           (3 + b) / β₁ + 32 / (16 β₁) bits a weight, a half at the defaults.
// Departs   from the repository: zeros are whole codes and grids contain zero (UniformGrid.cs), where there they are neither, so
//           that its zeros need a second level too; rows beyond the last sixteen have a grid of their own, where there they fail.
// Keeps     from the repository: a group sees all columns before it (blocks as long as groups).

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of SpQR; the defaults are those of the repository's commands.</summary>
public sealed record SpqrOptions : MethodOptions
{
    private const double UsualOutliers = 0.01; // share of the weights

    /// <summary>Bits of a code, 2 to 8.</summary>
    public int Bits { get; init; } = 3;

    /// <summary>Consecutive columns that share a scale.</summary>
    public int GroupSize { get; init; } = 16;

    /// <summary>τ; infinity keeps nothing.</summary>
    public double Threshold { get; init; } = 0.2;

    /// <summary>What is added to the diagonal of the Hessian, as a share of its mean.</summary>
    public double Damping { get; init; } = 1;

    /// <summary>Whether scales are stored as codes of 3 bits.</summary>
    public bool DoubleQuantization { get; init; } = true;

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) =>
        PackedBits.Uniform(columns, Bits, GroupSize, ScalePrecision, reordered: true, nested: DoubleQuantization) + 32 * UsualOutliers + 32.0 / columns;

    internal static SpqrOptions Read(MethodSettings settings)
    {
        var defaults = new SpqrOptions();
        return new SpqrOptions
        {
            Bits = settings.Integer("bits", defaults.Bits),
            GroupSize = settings.Integer("group-size", defaults.GroupSize),
            Threshold = settings.Number("outlier-threshold", defaults.Threshold),
            Damping = settings.Number("damping", defaults.Damping),
            DoubleQuantization = settings.Flag("double-quantization", defaults.DoubleQuantization),
        };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Bits is >= 2 and <= 8, "--bits", Bits, "2 to 8");
        RequireGroupSize(GroupSize);
        Require(Threshold > 0, "--outlier-threshold", Threshold, "a number above 0");
        RequireCompensation(Damping, 1);
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        Spqr.Quantize(layer, this, pool, cancellation);
}

/// <summary>SpQR.</summary>
public static unsafe class Spqr
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, SpqrOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        Hessian hessian = layer.RequireHessian("spqr");
        int rows = layer.OutFeatures, columns = layer.InFeatures;
        InverseFactor factor = hessian.Factor(pool, options.Damping, activationOrder: true, cancellation);
        using var copy = new WorkingCopy(pool, layer.Weight.Span, rows, columns, hessian.ActivationOrder());
        using var grids = new UniformColumns(copy, options.Bits, options.GroupSize, options.ScalePrecision);
        copy.ClearDeadInputs(hessian);
        using var kept = new NativeBuffer((long)columns * copy.Stride);
        var quantizer = new ColumnQuantizer
        {
            Layer = layer.Name,
            Grids = grids,
            Nested = options.DoubleQuantization ? new NestedScales(rows, grids.Groups) : null,
            Rows = rows,
            Stride = copy.Stride,
            Kept = (bool*)kept.Pointer,
            Factor = factor,
            Threshold = options.Threshold * MeanVariance(copy, factor),
        };
        Compensation.Run(pool, copy, factor, grids.GroupSize, quantizer, cancellation);
        if (grids.Rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool, cancellation);

        float[] dequantized = copy.NaturalWeights(pool);
        var isKept = new bool[dequantized.Length];
        copy.TurnBack(pool, quantizer.Kept, isKept);
        SparseCodes sparse = SparseElements.Of(rows, columns, isKept, dequantized);
        double share = sparse.Values.Length / (double)dequantized.Length;
        return new QuantizedMatrix(SparseElements.Beside(grids.ToCodes(pool, quantizer.Nested), sparse), dequantized, options.Bits + 32 * share, options.ScalePrecision);
    }

    // The mean over the columns of var W_:,j / U_jj².
    private static double MeanVariance(WorkingCopy copy, InverseFactor factor)
    {
        double total = 0;
        for (int j = 0; j < copy.Columns; j++)
        {
            double sum = 0, squares = 0;
            for (int r = 0; r < copy.Rows; r++) sum += copy.Weights[(long)j * copy.Stride + r];
            double mean = copy.Rows == 1 ? 0 : sum / copy.Rows; // a single row has no variance; its squares stand for it
            for (int r = 0; r < copy.Rows; r++)
            {
                double deviation = copy.Weights[(long)j * copy.Stride + r] - mean;
                squares += deviation * deviation;
            }
            total += squares / Math.Max(1, copy.Rows - 1) / ((double)factor[j, j] * factor[j, j]);
        }
        return total / copy.Columns;
    }

    private struct ColumnQuantizer : IColumnQuantizer
    {
        public string Layer;
        public UniformColumns Grids;
        public NestedScales? Nested;
        public int Rows, Stride;
        public bool* Kept; // [columns, stride]
        public InverseFactor Factor;
        public double Threshold;

        public readonly void Quantize(int column, int row, float* weights, float* quantized)
        {
            if (column % Grids.GroupSize == 0)
            {
                for (int r = row; r < row + WorkingCopy.Strip; r++) FitGroup(column, r);
                for (int r = row; Nested is not null && r < Math.Min(Rows, row + WorkingCopy.Strip); r += NestedScales.Rows) NestScales(column, r);
            }
            byte* codes = Grids.Codes(column, row);
            bool* kept = Kept + (long)column * Stride + row;
            for (int r = 0; r < WorkingCopy.Strip; r++)
            {
                UniformGrid grid = Grids.Grid(column, row + r);
                float code = grid.Encode(weights[r]);
                kept[r] = SquaredError(grid, weights[r], column) > Threshold;
                codes[r] = (byte)(kept[r] ? grid.Zero : code);
                quantized[r] = kept[r] ? 0 + HalfPrecision.Round(weights[r], Layer) : grid.Decode(code);
            }
        }

        private readonly double SquaredError(UniformGrid grid, float weight, int column)
        {
            double error = (weight - grid.Decode(grid.Encode(weight))) / Factor[column, column];
            return error * error;
        }

        // The working copy holds the group as all columns before have left it, since blocks are as long as groups.
        private readonly void FitGroup(int column, int row)
        {
            float[] group = Grids.Group(column, row);
            Grids.Keep(column, row, double.IsPositiveInfinity(Threshold) ? Fit(group) : Fit(WithoutOutliers(group, column)));
        }

        // Strips of the working copy are a multiple of sixteen rows.
        private readonly void NestScales(int column, int row)
        {
            int group = column / Grids.GroupSize, groups = Grids.Groups;
            Span<float> scales = new(Grids.Scales(column, row), Math.Min(NestedScales.Rows, Rows - row));
            float lowest = float.PositiveInfinity, largest = 0;
            foreach (float scale in scales)
            {
                lowest = MathF.Min(lowest, scale);
                largest = MathF.Max(largest, scale);
            }
            lowest = Grids.Rounding.Scale(lowest);
            float step = Grids.Rounding.Mean((largest - lowest) / NestedScales.MaxCode, lowest);
            long grid = ((long)row / NestedScales.Rows * groups + group) * 2;
            (Nested!.Grids[grid], Nested.Grids[grid + 1]) = (lowest, step);
            for (int r = 0; r < scales.Length; r++)
            {
                byte code = step > 0 ? (byte)Math.Clamp(MathF.Round((scales[r] - lowest) / step), 0, NestedScales.MaxCode) : (byte)0;
                Nested.Codes[(long)(row + r) * groups + group] = code;
                scales[r] = NestedScales.Decode(lowest, step, code, Grids.Rounding.IsHalf ? ElementFormat.F16 : ElementFormat.F32);
            }
        }

        // Leaving out a weight inside the range changes no grid, so it saves its own error; the two ends are fitted anew.
        private readonly Span<float> WithoutOutliers(Span<float> group, int column)
        {
            UniformGrid grid = Fit(group);
            double all = Sum(grid, group, column, except: -1);
            int lowest = 0, highest = 0;
            for (int j = 0; j < group.Length; j++)
            {
                if (group[j] < group[lowest]) lowest = j;
                if (group[j] > group[highest]) highest = j;
            }
            Span<float> rest = new float[group.Length];
            group.CopyTo(rest);
            for (int j = 0; j < group.Length; j++)
            {
                double saved;
                if (j == lowest || j == highest)
                {
                    (float own, group[j]) = (group[j], 0); // every grid contains zero
                    UniformGrid refitted = Fit(group);
                    group[j] = own;
                    saved = all - Sum(refitted, group, column, except: j);
                }
                else saved = SquaredError(grid, group[j], column + j);
                if (saved > Threshold) rest[j] = 0;
            }
            return rest;
        }

        private readonly double Sum(UniformGrid grid, ReadOnlySpan<float> group, int column, int except)
        {
            double sum = 0;
            for (int j = 0; j < group.Length; j++)
                if (j != except) sum += SquaredError(grid, group[j], column + j);
            return sum;
        }

        private readonly UniformGrid Fit(ReadOnlySpan<float> group) => UniformGrid.Fit(group, Grids.Bits, symmetric: false, Grids.Rounding);
    }
}
