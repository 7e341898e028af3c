using System;
using Lowbit.Core;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;

namespace Lowbit.Quantization.Tests;

/// <summary>Seeded layers and slow, obviously right linear algebra in double precision.</summary>
internal static class Samples
{
    public static WorkerPool Pool { get; } = new(2);

    public static float[] Normal(int count, int seed, float scale = 1)
    {
        var random = new Random(seed);
        var values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = scale * (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return values;
    }

    /// <summary>[tokens, features] whose neighbouring features go together and whose energies differ widely.</summary>
    public static float[] Inputs(int tokens, int features, int seed)
    {
        float[] inputs = Normal(tokens * features, seed), scales = Normal(features, seed + 1);
        for (int t = 0; t < tokens; t++)
            for (int j = 0; j < features; j++)
            {
                if (j > 0) inputs[t * features + j] += 0.7f * inputs[t * features + j - 1] / MathF.Exp(scales[j - 1]);
                inputs[t * features + j] *= MathF.Exp(scales[j]);
            }
        return inputs;
    }

    public static Hessian HessianOf(float[] inputs, int features) => Hessian.FromInputs(Pool, "sample", inputs, features, 64);

    /// <summary>‖X(W − Ŵ)ᵀ‖² / ‖XWᵀ‖² as it is defined.</summary>
    public static double OutputError(float[] weight, float[] quantized, int rows, float[] inputs)
    {
        int columns = weight.Length / rows;
        double lost = 0, all = 0;
        for (int t = 0; t < inputs.Length; t += columns)
            for (int r = 0; r < rows; r++)
            {
                double error = 0, output = 0;
                for (int j = 0; j < columns; j++)
                {
                    double w = weight[r * columns + j];
                    error += inputs[t + j] * (w - quantized[r * columns + j]);
                    output += inputs[t + j] * w;
                }
                lost += error * error;
                all += output * output;
            }
        return lost / all;
    }

    public static LinearLayer Layer(int rows, int columns, int seed, int tokens = 256, Action<float[]>? editInputs = null, Action<float[]>? editWeight = null)
    {
        float[] inputs = Inputs(tokens, columns, seed), weight = Normal(rows * columns, seed + 7, 0.02f);
        editInputs?.Invoke(inputs);
        editWeight?.Invoke(weight);
        return new LinearLayer("sample", rows, columns, weight, HessianOf(inputs, columns));
    }

    /// <summary>A layer whose inputs do not depend on each other, so that there is nothing to compensate.</summary>
    public static LinearLayer UncorrelatedLayer(int rows, int columns, int seed)
    {
        var h = new float[columns * columns];
        var random = new Random(seed);
        for (int j = 0; j < columns; j++) h[j * columns + j] = 0.5f + random.NextSingle();
        return new LinearLayer("sample", rows, columns, Normal(rows * columns, seed, 0.02f), Hessian.FromMatrix("sample", h, columns));
    }

    public static float[] SymmetricPositive(int n, int seed)
    {
        float[] x = Inputs(3 * n + 5, n, seed);
        var h = new float[n * n];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
            {
                double sum = 0;
                for (int t = 0; t < 3 * n + 5; t++) sum += (double)x[t * n + i] * x[t * n + j];
                h[i * n + j] = (float)sum;
            }
        return h;
    }

    /// <summary>Gauss and Jordan, with pivots from the diagonal.</summary>
    public static double[,] Inverse(double[,] matrix)
    {
        int n = matrix.GetLength(0);
        var a = (double[,])matrix.Clone();
        var inverse = new double[n, n];
        for (int i = 0; i < n; i++) inverse[i, i] = 1;
        for (int p = 0; p < n; p++)
        {
            double pivot = a[p, p];
            for (int j = 0; j < n; j++)
            {
                a[p, j] /= pivot;
                inverse[p, j] /= pivot;
            }
            for (int i = 0; i < n; i++)
            {
                double factor = a[i, p];
                if (i == p || factor == 0) continue;
                for (int j = 0; j < n; j++)
                {
                    a[i, j] -= factor * a[p, j];
                    inverse[i, j] -= factor * inverse[p, j];
                }
            }
        }
        return inverse;
    }

    public static double[,] Trailing(float[] matrix, int n, int first, double ridge = 0)
    {
        var part = new double[n - first, n - first];
        for (int i = first; i < n; i++)
            for (int j = first; j < n; j++) part[i - first, j - first] = matrix[i * n + j] + (i == j ? ridge : 0);
        return part;
    }
}
