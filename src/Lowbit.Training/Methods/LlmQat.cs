// LLM-QAT: Data-Free Quantization Aware Training for Large Language Models
// Liu, Oguz, Zhao, Chang, Stock, Mehdad, Shi, Krishnamoorthi, Chandra; arXiv 2305.17888, section 2; code: facebookresearch/LLM-QAT.
//
// Formula   of each row α = max |w| / (2^(b−1) − 1),  ŵ = α · round(w / α): symmetric, and nothing is cut off, since the outliers of
//           language models matter
// Gradient  straight through, ∂w = ∂ŵ; α follows the weights
// Inputs    rounded in the same way to 8 bits token by token: --activations 8bit (InputRounding.cs)
// Loss      the float model's predictions: --distill 1
// Data      written by the float model itself: `lowbit corpus`
// Deviates  keys and values are not rounded in training; --cache does that when the model runs.

using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Training.Model;

namespace Lowbit.Training.Methods;

/// <summary>A weight on a symmetric grid of each row that reaches to its largest value.</summary>
public sealed unsafe class LlmQat : IWeightForm
{
    private readonly int _bits;
    private readonly ScalePrecision _precision;
    private readonly ScaleRounding _rounding;

    /// <summary>Makes the form.</summary>
    /// <param name="bits">Bits of a code, 2 to 8.</param>
    /// <param name="precision">Precision of α.</param>
    public LlmQat(int bits, ScalePrecision precision)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bits, 2);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bits, 8);
        (_bits, _precision, _rounding) = (bits, precision, new ScaleRounding(precision));
    }

    /// <inheritdoc/>
    public IReadOnlyList<Parameter> Parameters => [];

    private int Largest => (1 << (_bits - 1)) - 1;

    /// <inheritdoc/>
    public void Forward(WorkerPool pool, Parameter weight, float* effective)
    {
        ForwardWork work = new() { Form = this, Weight = weight, Effective = effective };
        pool.Run(ref work, weight.Rows, 16);
    }

    /// <inheritdoc/>
    public void Backward(WorkerPool pool, Parameter weight, float* gradient) { }

    /// <inheritdoc/>
    public QuantizedMatrix? Quantize(Parameter weight)
    {
        UniformCodes codes = new(weight.Rows, weight.Columns, _bits, weight.Columns);
        Array.Fill(codes.Zeros, (byte)Largest);
        for (int r = 0; r < weight.Rows; r++)
        {
            ReadOnlySpan<float> row = weight.Value.Span<float>((long)r * weight.Columns, weight.Columns);
            codes.Scales[r] = Scale(row);
            for (int c = 0; c < row.Length; c++) codes.Codes[r * row.Length + c] = (byte)(Level(row[c], codes.Scales[r]) + Largest);
        }
        float[] dequantized = new float[codes.Codes.Length];
        codes.Dequantize(dequantized);
        return new QuantizedMatrix(codes, dequantized, _bits, _rounding.Failed ? ScalePrecision.Float32 : _precision);
    }

    private float Scale(ReadOnlySpan<float> row)
    {
        float most = 0;
        foreach (float w in row) most = MathF.Max(most, MathF.Abs(w));
        return _rounding.Scale(most / Largest);
    }

    // Cuts off only what a scale rounded down leaves outside.
    private float Level(float weight, float scale) => scale == 0 ? 0 : Math.Clamp(MathF.Round(weight / scale), -Largest, Largest);

    private struct ForwardWork : IParallelWork
    {
        public LlmQat Form;
        public Parameter Weight;
        public float* Effective;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
            {
                ReadOnlySpan<float> row = Weight.Value.Span<float>((long)r * Weight.Columns, Weight.Columns);
                float scale = Form.Scale(row);
                for (int c = 0; c < row.Length; c++) Effective[(long)r * row.Length + c] = scale * Form.Level(row[c], scale);
            }
        }
    }
}
