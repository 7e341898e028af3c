// BitNet b1.58: The Era of 1-bit LLMs: All Large Language Models are in 1.58 Bits
// Ma, Wang, Ma, Wang, Wang, Huang, Dong, Wang, Xue, Wei; arXiv 2402.17764, section 2.
//
// Formula   γ = mean |w| of the matrix, ŵ = γ · clamp(round(w / (γ + ε)), −1, 1)
// Gradient  straight through
// Bits      log₂ 3 = 1.58 in the paper's count; packed here as codes of two bits
// Inputs    the paper rounds them to 8 bits token by token: --activations 8bit (InputRounding.cs). The engine's 8-bit mode does so
//           by blocks of 64 features.
// SubLN     (arXiv 2310.11453) is a matter of the architecture: "model_type": "bitnet" has a norm before the output and the down
//           projection, as the authors' released model. Any other model can be trained without.

using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Training.Model;

namespace Lowbit.Training.Methods;

/// <summary>A weight of −γ, 0 and γ.</summary>
/// <param name="precision">Precision of γ.</param>
public sealed unsafe class BitNet(ScalePrecision precision) : IWeightForm
{
    private const float Epsilon = 1e-5f;

    private readonly ScaleRounding _rounding = new(precision);
    private float _scale;

    /// <inheritdoc/>
    public IReadOnlyList<Parameter> Parameters => [];

    /// <inheritdoc/>
    public void Forward(WorkerPool pool, Parameter weight, float* effective)
    {
        double[] sums = new double[weight.Rows];
        SumWork sum = new() { Weight = weight, Sums = sums };
        pool.Run(ref sum, weight.Rows, 16);
        double total = 0;
        foreach (double row in sums) total += row;
        _scale = _rounding.Scale((float)(total / weight.Count));
        ForwardWork work = new() { Weight = weight, Scale = _scale, Effective = effective };
        pool.Run(ref work, weight.Rows, 16);
    }

    /// <inheritdoc/>
    public void Backward(WorkerPool pool, Parameter weight, float* gradient) { }

    /// <inheritdoc/>
    public QuantizedMatrix? Quantize(Parameter weight)
    {
        UniformCodes codes = new(weight.Rows, weight.Columns, bits: 2, weight.Columns);
        Array.Fill(codes.Scales, _scale);
        Array.Fill(codes.Zeros, (byte)1);
        for (int i = 0; i < codes.Codes.Length; i++) codes.Codes[i] = (byte)(Ternary(weight.Value.Floats[i], _scale) + 1);
        float[] dequantized = new float[codes.Codes.Length];
        codes.Dequantize(dequantized);
        return new QuantizedMatrix(codes, dequantized, Math.Log2(3), _rounding.Failed ? ScalePrecision.Float32 : precision);
    }

    private static float Ternary(float weight, float scale) => Math.Clamp(MathF.Round(weight / (scale + Epsilon)), -1, 1);

    private struct SumWork : IParallelWork
    {
        public Parameter Weight;
        public double[] Sums;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
            {
                double sum = 0;
                foreach (float w in Weight.Value.Span<float>((long)r * Weight.Columns, Weight.Columns)) sum += MathF.Abs(w);
                Sums[r] = sum;
            }
        }
    }

    private struct ForwardWork : IParallelWork
    {
        public Parameter Weight;
        public float Scale;
        public float* Effective;

        public readonly void Execute(int start, int end)
        {
            for (long i = (long)start * Weight.Columns; i < (long)end * Weight.Columns; i++) Effective[i] = Scale * Ternary(Weight.Value.Floats[i], Scale);
        }
    }
}
