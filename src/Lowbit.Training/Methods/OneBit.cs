// OneBit: Towards Extremely Low-bit Large Language Models
// Xu, Han, Yang, Wang, Zhu, Liu, Liu, Che; NeurIPS 2024, arXiv 2402.11295, sections 3.1 to 3.3; code: xuyuzhuang11/OneBit.
//
// Problem   a weight becomes its signs and two vectors of values, one for the outputs and one for the inputs:
// Formula   ŵ_ij = g_i · sign(w_ij) · h_j, sign(0) = +1
// Start     sign-value-independent decomposition (SVID): g hᵀ is the first term of the singular value decomposition of |W|,
//           g = u √σ, h = v √σ
// Gradient  ∂g_i = Σ_j ∂ŵ_ij s_ij h_j,   ∂h_j = Σ_i ∂ŵ_ij s_ij g_i,   ∂w_ij = ∂ŵ_ij g_i h_j (straight through the sign)
// Symbols   paper                  here
//           g (outputs), h (inputs) Rows, Columns
//           W±1                    the signs of the latent weight
// Bits      1, and 16 · (1/in + 1/out)
// Departs   no LayerNorm behind every linear, which the paper adds and the engine's architectures do not have; the losses on
//           hidden states are left out, --distill gives that on the logits. The vectors are rounded to 16 bits in every step.

using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Training.Model;

namespace Lowbit.Training.Methods;

/// <summary>Signs between two trained vectors of values.</summary>
public sealed unsafe class OneBit : IWeightForm
{
    private const int Iterations = 50;

    /// <summary>Decomposes the weight.</summary>
    /// <param name="weight">The weight that training begins from.</param>
    public OneBit(Parameter weight)
    {
        Parameter rows = new(weight.Name + ".rows", weight.Rows) { Trainable = true };
        Parameter columns = new(weight.Name + ".columns", weight.Columns) { Trainable = true };
        Parameters = [rows, columns];
        Decompose(weight, rows.Value.Span<float>(0, rows.Columns), columns.Value.Span<float>(0, columns.Columns));
    }

    /// <inheritdoc/>
    public IReadOnlyList<Parameter> Parameters { get; }

    private Parameter Rows => Parameters[0];

    private Parameter Columns => Parameters[1];

    /// <inheritdoc/>
    public void Forward(WorkerPool pool, Parameter weight, float* effective)
    {
        ForwardWork work = new() { Weight = weight, Rows = Rows.Value.Floats, Columns = Rounded(Columns), Effective = effective };
        pool.Run(ref work, weight.Rows, 16);
    }

    /// <inheritdoc/>
    public void Backward(WorkerPool pool, Parameter weight, float* gradient)
    {
        int columns = weight.Columns;
        float[] values = Rounded(Columns);
        double[] ofColumns = new double[columns];
        for (int r = 0; r < weight.Rows; r++)
        {
            float g = (float)(Half)Rows.Value.Floats[r];
            double ofRow = 0;
            for (int c = 0; c < columns; c++)
            {
                long i = (long)r * columns + c;
                float signed = weight.Value.Floats[i] < 0 ? -gradient[i] : gradient[i];
                ofRow += signed * values[c];
                ofColumns[c] += signed * g;
                gradient[i] *= g * values[c];
            }
            Rows.Gradient!.Floats[r] += (float)ofRow;
        }
        for (int c = 0; c < columns; c++) Columns.Gradient!.Floats[c] += (float)ofColumns[c];
    }

    /// <inheritdoc/>
    public QuantizedMatrix? Quantize(Parameter weight)
    {
        int rows = weight.Rows, columns = weight.Columns;
        PartiallyBinarizedCodes codes = new(rows, columns, lowBits: 1, highBits: 8, columns, columns);
        Rounded(Rows).CopyTo(codes.LowScale, 0);
        Array.Fill(codes.HighScale, 1);
        for (int i = 0; i < codes.Codes.Length; i++) codes.Codes[i] = (byte)(weight.Value.Floats[i] < 0 ? 0 : 1);
        float[] dequantized = new float[codes.Codes.Length];
        codes.Dequantize(dequantized);
        return InputScales.Unscaled(new QuantizedMatrix(codes, dequantized, 1, ScalePrecision.Float16), Rounded(Columns));
    }

    private static float[] Rounded(Parameter vector)
    {
        float[] values = new float[vector.Columns];
        for (int i = 0; i < values.Length; i++) values[i] = (float)(Half)vector.Value.Floats[i];
        return values;
    }

    // Powers of |W|ᵀ|W|: all of its elements are positive, so the first direction is far from the others.
    private static void Decompose(Parameter weight, Span<float> g, Span<float> h)
    {
        int rows = weight.Rows, columns = weight.Columns;
        double[] u = new double[rows], v = new double[columns];
        Array.Fill(v, 1 / Math.Sqrt(columns));
        double sigma = 0;
        for (int n = 0; n < Iterations; n++)
        {
            for (int r = 0; r < rows; r++)
            {
                double sum = 0;
                for (int c = 0; c < columns; c++) sum += MathF.Abs(weight.Value.Floats[(long)r * columns + c]) * v[c];
                u[r] = sum;
            }
            Normalize(u);
            Array.Clear(v);
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < columns; c++) v[c] += MathF.Abs(weight.Value.Floats[(long)r * columns + c]) * u[r];
            double before = sigma;
            sigma = Normalize(v);
            if (Math.Abs(sigma - before) <= 1e-10 * sigma) break;
        }
        for (int r = 0; r < rows; r++) g[r] = (float)(u[r] * Math.Sqrt(sigma));
        for (int c = 0; c < columns; c++) h[c] = (float)(v[c] * Math.Sqrt(sigma));
    }

    private static double Normalize(double[] vector)
    {
        double square = 0;
        foreach (double value in vector) square += value * value;
        double length = Math.Sqrt(square);
        for (int i = 0; i < vector.Length && length > 0; i++) vector[i] /= length;
        return length;
    }

    private struct ForwardWork : IParallelWork
    {
        public Parameter Weight;
        public float* Rows, Effective;
        public float[] Columns;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
            {
                float g = (float)(Half)Rows[r];
                for (int c = 0; c < Columns.Length; c++)
                {
                    long i = (long)r * Columns.Length + c;
                    Effective[i] = (Weight.Value.Floats[i] < 0 ? -g : g) * Columns[c];
                }
            }
        }
    }
}
