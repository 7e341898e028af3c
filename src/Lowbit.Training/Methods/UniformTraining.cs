// EfficientQAT: Efficient Quantization-Aware Training for Large Language Models
// Chen, Shao, Xu, Wang, Zhang, Gao, Qiao, Luo; arXiv 2407.11062, sections 3.2 and 3.3; code: OpenGVLab/EfficientQAT.
//
// Problem   weights on a uniform grid, whose steps are trained too: first weights and steps together, then the steps alone
//           with the codes as they are,
//             ŵ = s · (q − z),   q = clamp(round(w / s) + z, 0, 2^b − 1)
// Gradient  straight through round:
//             ∂w = ∂ŵ inside the range, 0 where w was cut off
//             ∂s = Σ ∂ŵ · (q − z − w / s) inside, ∂ŵ · (q − z) where w was cut off (LSQ, arXiv 1902.08153)
//             ∂z = 0 inside, −s · ∂ŵ where w was cut off; z is rounded in every step
//           with fixed codes ∂s = Σ ∂ŵ · (q − z).
// Phases    Block-AP trains weights, norms, steps and zeros block by block against the block's float output (BlockTraining.cs); E2E-QP
//           then trains the steps of the whole model with the codes as they are (FixCodes).
// Symbols   s: Steps [rows, groups], z: Zeros [rows, groups], b: Bits
// Departs   see BlockTraining.cs; zeros are rounded as they are stored (there too), steps to the precision of the file in every step
//           (there once, at the end).
// Beside    without the first phase weights and steps of the whole model are trained at once, z as it was at the start.

using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Training.Model;

namespace Lowbit.Training.Methods;

/// <summary>Settings of <see cref="UniformTraining"/>.</summary>
public sealed record UniformTrainingOptions
{
    /// <summary>Bits of a code, 2 to 8.</summary>
    public int Bits { get; init; } = 4;

    /// <summary>Consecutive columns that share a step; −1 for the whole row.</summary>
    public int GroupSize { get; init; } = -1;

    /// <summary>Whether the codes stay as they were at the start, so that the steps alone are trained.</summary>
    public bool FixedCodes { get; init; }

    /// <summary>Whether the zeros are trained too.</summary>
    public bool TrainZeros { get; init; }

    /// <summary>Precision of the steps.</summary>
    public ScalePrecision ScalePrecision { get; init; } = ScalePrecision.Float32;
}

/// <summary>A weight on uniform grids with trained steps.</summary>
public sealed unsafe class UniformTraining : IWeightForm
{
    private const float SmallestStep = 1e-6f;

    private readonly UniformTrainingOptions _options;
    private readonly byte[] _codes;
    private readonly int _groupSize, _groups;
    private bool _fixedCodes;

    /// <summary>Fits the grids to the smallest and the largest weight of every group.</summary>
    /// <param name="weight">The weight that training begins from; with fixed codes it is not to be trained.</param>
    /// <param name="options">Settings.</param>
    public UniformTraining(Parameter weight, UniformTrainingOptions options)
    {
        _options = options;
        _groupSize = MethodOptions.GroupColumns(options.GroupSize, weight.Columns);
        _groups = (weight.Columns + _groupSize - 1) / _groupSize;
        _fixedCodes = options.FixedCodes;
        Parameters = [new Parameter(weight.Name + ".steps", weight.Rows, _groups) { Trainable = true }, new Parameter(weight.Name + ".zeros", weight.Rows, _groups) { Trainable = options.TrainZeros }];
        _codes = new byte[checked((int)weight.Count)];
        ScaleRounding rounding = new(ScalePrecision.Float32);
        for (int r = 0; r < weight.Rows; r++)
            for (int g = 0; g < _groups; g++)
            {
                int first = g * _groupSize, width = Math.Min(_groupSize, weight.Columns - first);
                UniformGrid grid = UniformGrid.Fit(weight.Value.Span<float>((long)r * weight.Columns + first, width), options.Bits, symmetric: false, rounding);
                Steps.Value.Floats[r * _groups + g] = grid.Scale;
                Zeros.Value.Floats[r * _groups + g] = grid.Zero;
            }
        Encode(weight);
    }

    /// <inheritdoc/>
    public IReadOnlyList<Parameter> Parameters { get; }

    private Parameter Steps => Parameters[0];

    private Parameter Zeros => Parameters[1];

    /// <summary>Keeps codes and zeros as they are from now on; the steps alone are trained.</summary>
    /// <param name="weight">The weight, which is not to be trained any more.</param>
    public void FixCodes(Parameter weight)
    {
        Encode(weight);
        _fixedCodes = true;
        Zeros.Trainable = false;
    }

    /// <inheritdoc/>
    public void Forward(WorkerPool pool, Parameter weight, float* effective)
    {
        ForwardWork work = new() { Form = this, Weight = weight, Effective = effective };
        pool.Run(ref work, weight.Rows, 16);
    }

    /// <inheritdoc/>
    public void Backward(WorkerPool pool, Parameter weight, float* gradient)
    {
        BackwardWork work = new() { Form = this, Weight = weight, Gradient = gradient };
        pool.Run(ref work, weight.Rows, 16);
    }

    /// <inheritdoc/>
    public QuantizedMatrix? Quantize(Parameter weight)
    {
        UniformCodes codes = new(weight.Rows, weight.Columns, _options.Bits, _groupSize);
        if (!_fixedCodes) Encode(weight);
        _codes.CopyTo(codes.Codes, 0);
        for (int i = 0; i < Steps.Count; i++)
        {
            codes.Scales[i] = Step(i);
            codes.Zeros[i] = (byte)Zero(i);
        }
        float[] dequantized = new float[_codes.Length];
        codes.Dequantize(dequantized);
        return new QuantizedMatrix(codes, dequantized, _options.Bits, _options.ScalePrecision);
    }

    private float MaxCode => (1 << _options.Bits) - 1;

    private float Step(int group)
    {
        float step = MathF.Max(Steps.Value.Floats[group], SmallestStep);
        return _options.ScalePrecision == ScalePrecision.Float16 ? (float)(Half)step : step;
    }

    private float Zero(int group) => Math.Clamp(MathF.Round(Zeros.Value.Floats[group]), 0, MaxCode);

    private void Encode(Parameter weight)
    {
        for (int r = 0; r < weight.Rows; r++)
            for (int c = 0; c < weight.Columns; c++) _codes[r * weight.Columns + c] = (byte)Grid(r * _groups + c / _groupSize).Encode(weight.Value.Floats[r * weight.Columns + c]);
    }

    private UniformGrid Grid(int group) => new(Step(group), Zero(group), MaxCode);

    private struct ForwardWork : IParallelWork
    {
        public UniformTraining Form;
        public Parameter Weight;
        public float* Effective;

        public readonly void Execute(int start, int end)
        {
            int columns = Weight.Columns;
            for (int r = start; r < end; r++)
                for (int c = 0; c < columns; c++)
                {
                    int i = r * columns + c;
                    UniformGrid grid = Form.Grid(r * Form._groups + c / Form._groupSize);
                    Effective[i] = grid.Decode(Form._fixedCodes ? Form._codes[i] : grid.Encode(Weight.Value.Floats[i]));
                }
        }
    }

    private struct BackwardWork : IParallelWork
    {
        public UniformTraining Form;
        public Parameter Weight;
        public float* Gradient;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
                for (int g = 0; g < Form._groups; g++) Group(r, g);
        }

        private readonly void Group(int r, int g)
        {
            int columns = Weight.Columns, group = r * Form._groups + g;
            UniformGrid grid = Form.Grid(group);
            double sum = 0, cut = 0;
            for (int i = r * columns + g * Form._groupSize; i < r * columns + Math.Min(columns, (g + 1) * Form._groupSize); i++)
            {
                if (Form._fixedCodes)
                {
                    sum += Gradient[i] * (Form._codes[i] - grid.Zero);
                    continue;
                }
                float w = Weight.Value.Floats[i], place = MathF.Round(w / grid.Scale) + grid.Zero;
                bool inside = place >= 0 && place <= grid.MaxCode;
                float level = Math.Clamp(place, 0, grid.MaxCode) - grid.Zero;
                sum += Gradient[i] * (inside ? level - w / grid.Scale : level);
                if (inside) continue;
                cut += Gradient[i];
                Gradient[i] = 0;
            }
            Form.Steps.Gradient!.Floats[group] += (float)sum;
            if (Form.Zeros.Gradient is { } zeros) zeros.Floats[group] -= grid.Scale * (float)cut;
        }
    }
}
