// PB-LLM, quantization-aware training
// Shang, Yuan, Wu, Dong; arXiv 2310.00034, section 3.3 and 4; code: hahnyuan/PB-LLM, qat/.
//
// Problem   the salient weights keep 8 bits and their values; all others are trained as ± one scale,
//             ŵ = s · (q − z)             salient, fixed before the training (or trained through the same grid)
//             ŵ = α · sign(w)             not salient, w the latent weight, sign(0) = +1
//           α* = argmin ‖w − α sign(w)‖² = ‖w‖₁ / n over the n weights that are not salient (equations 6 to 9)
// Gradient  straight through: ∂w = ∂ŵ where the weight is not salient, 0 where it is salient and frozen. α is not
//           differentiated.
// Symbols   w: TrainableLinear.Weight, ŵ: the effective weight of the products, α: _scale, s and z: UniformGrid
// Settings  paper and repository disagree, and both can be had:
//             α of a row ("column-wise" in the paper) or of the whole matrix (repository)
//             salient weights frozen (paper, repository since November 2023) or trained (repository before)
//             α computed anew in every step (both) or fixed at the start
//           learning rate 2e-5 over 10000 steps in the paper, 1e-4 in the repository, both for large models.
// Departs   the paper cuts the gradient off where |w| > 1, its repository does not; here it is not.
//           Salient are those of largest |w| in the whole matrix (the paper's rule); the repository takes equally many of
//           the smallest and of the largest values.
//           Saliency by Hessian is that of PB-GPTQ on the training text (SaliencyByHessian); the repository loads a mask from a file.

using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Training.Model;

namespace Lowbit.Training.Methods;

/// <summary>Settings of PB-LLM's training; the defaults are the paper's.</summary>
public sealed record PbLlmTrainingOptions
{
    /// <summary>Share of salient weights, 0 to 1.</summary>
    public double SalientShare { get; init; } = 0.1;

    /// <summary>Bits of a salient weight, 2 to 8.</summary>
    public int SalientBits { get; init; } = 8;

    /// <summary>Whether salient weights are trained through their grid or keep their values.</summary>
    public bool TrainSalient { get; init; }

    /// <summary>Whether α stays as it was at the start.</summary>
    public bool FixedScale { get; init; }

    /// <summary>Whether all rows share one α.</summary>
    public bool ScaleOfMatrix { get; init; }

    /// <summary>Precision of α and of the salient grids.</summary>
    public ScalePrecision ScalePrecision { get; init; } = ScalePrecision.Float32;
}

/// <summary>The partially binarized weight of a linear.</summary>
public sealed unsafe class PbLlmTraining : IWeightForm
{
    private readonly PbLlmTrainingOptions _options;
    private readonly ScaleRounding _rounding;
    private readonly bool[] _salient;
    private readonly float[] _frozen; // values of the salient weights at the start
    private readonly UniformGrid[] _high;
    private readonly float[] _scale;

    /// <summary>Chooses the salient weights and fits the scales.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="weight">The weight that training begins from.</param>
    /// <param name="options">Settings.</param>
    /// <param name="salient">[outFeatures, inFeatures], true where a weight is salient; null to take those of largest magnitude.</param>
    public PbLlmTraining(WorkerPool pool, Parameter weight, PbLlmTrainingOptions options, bool[]? salient = null)
    {
        _options = options;
        _rounding = new ScaleRounding(options.ScalePrecision);
        int rows = weight.Rows, columns = weight.Columns;
        ReadOnlySpan<float> values = weight.Value.Span<float>(0, checked((int)weight.Count));
        _salient = salient ?? new bool[values.Length];
        if (salient is null) MarkLargest(values, options.SalientShare, _salient);
        _high = new UniformGrid[rows];
        _scale = new float[rows];
        _frozen = new float[values.Length];
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<float> row = values.Slice(r * columns, columns);
            _high[r] = UniformGrid.Fit(row, options.SalientBits, symmetric: false, _rounding);
            for (int c = 0; c < columns; c++) _frozen[r * columns + c] = _high[r].Decode(_high[r].Encode(row[c]));
        }
        FitScales(pool, weight);
    }

    /// <inheritdoc/>
    public IReadOnlyList<Parameter> Parameters => [];

    /// <inheritdoc/>
    public void Forward(WorkerPool pool, Parameter weight, float* effective)
    {
        if (!_options.FixedScale) FitScales(pool, weight);
        ForwardWork work = new() { Form = this, Weight = weight.Value.Floats, Columns = weight.Columns, Effective = effective };
        pool.Run(ref work, weight.Rows, 16);
    }

    /// <inheritdoc/>
    public void Backward(WorkerPool pool, Parameter weight, float* gradient)
    {
        if (_options.TrainSalient) return;
        for (int i = 0; i < _salient.Length; i++)
        {
            if (_salient[i]) gradient[i] = 0;
        }
    }

    /// <inheritdoc/>
    public QuantizedMatrix? Quantize(Parameter weight)
    {
        int rows = weight.Rows, columns = weight.Columns;
        PartiallyBinarizedCodes codes = new(rows, columns, lowBits: 1, _options.SalientBits, columns, columns);
        _salient.CopyTo(codes.Salient, 0);
        _scale.CopyTo(codes.LowScale, 0);
        for (int r = 0; r < rows; r++)
        {
            codes.HighScale[r] = _high[r].Scale;
            codes.HighZero[r] = (byte)_high[r].Zero;
            for (int c = 0; c < columns; c++)
            {
                int i = r * columns + c;
                float w = weight.Value.Floats[i];
                codes.Codes[i] = _salient[i] ? (byte)_high[r].Encode(_options.TrainSalient ? w : _frozen[i]) : (byte)(w < 0 ? 0 : 1);
            }
        }
        float[] dequantized = new float[_salient.Length];
        codes.Dequantize(dequantized);
        double share = _salient.AsSpan().Count(true) / (double)_salient.Length;
        return new QuantizedMatrix(codes, dequantized, 1 - share + _options.SalientBits * share + 1, _rounding.Failed ? ScalePrecision.Float32 : _options.ScalePrecision);
    }

    // Salient is what lies above the k-th smallest magnitude, k = ⌊n · (1 − share)⌋, as the repository's kthvalue has it. PB-GPTQ
    // sorts and takes the next one, which matters where many weights are equal, as in models that once were bfloat16.
    private static void MarkLargest(ReadOnlySpan<float> values, double share, Span<bool> salient)
    {
        float[] magnitudes = new float[values.Length];
        for (int i = 0; i < magnitudes.Length; i++) magnitudes[i] = MathF.Abs(values[i]);
        int rank = (int)(magnitudes.Length * (1 - share)) - 1;
        float threshold = rank < 0 ? -1 : Saliency.Smallest(magnitudes, rank);
        for (int i = 0; i < magnitudes.Length; i++) salient[i] = magnitudes[i] > threshold;
    }

    // α of every row, or of all rows together: the mean of |w| over what is not salient.
    private void FitScales(WorkerPool pool, Parameter weight)
    {
        double[] sums = new double[weight.Rows];
        int[] counts = new int[weight.Rows];
        SumWork work = new() { Salient = _salient, Weight = weight.Value.Floats, Columns = weight.Columns, Sums = sums, Counts = counts };
        pool.Run(ref work, weight.Rows, 16);
        if (_options.ScaleOfMatrix)
        {
            double sum = 0;
            long count = 0;
            for (int r = 0; r < sums.Length; r++)
            {
                sum += sums[r];
                count += counts[r];
            }
            Array.Fill(_scale, Scale(sum, count));
        }
        else
        {
            for (int r = 0; r < sums.Length; r++) _scale[r] = Scale(sums[r], counts[r]);
        }
    }

    private float Scale(double sum, long count) => count == 0 ? 0 : _rounding.Scale((float)(sum / count));

    private struct SumWork : IParallelWork
    {
        public bool[] Salient;
        public float* Weight;
        public int Columns;
        public double[] Sums;
        public int[] Counts;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
            {
                double sum = 0;
                int count = 0;
                for (int i = r * Columns; i < (r + 1) * Columns; i++)
                {
                    if (Salient[i]) continue;
                    sum += MathF.Abs(Weight[i]);
                    count++;
                }
                Sums[r] = sum;
                Counts[r] = count;
            }
        }
    }

    private struct ForwardWork : IParallelWork
    {
        public PbLlmTraining Form;
        public float* Weight, Effective;
        public int Columns;

        public readonly void Execute(int start, int end)
        {
            bool[] salient = Form._salient;
            for (int r = start; r < end; r++)
            {
                float scale = Form._scale[r];
                UniformGrid high = Form._high[r];
                for (int i = r * Columns; i < (r + 1) * Columns; i++)
                {
                    if (!salient[i]) Effective[i] = Weight[i] < 0 ? -scale : scale;
                    else Effective[i] = Form._options.TrainSalient ? high.Decode(high.Encode(Weight[i])) : Form._frozen[i];
                }
            }
        }
    }
}
