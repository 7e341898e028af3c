using System;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models;

/// <summary>What the forward pass does with the rows of a batch besides products.</summary>
public static unsafe class Rows
{
    /// <summary>output ← norm(input), row by row; input and output may be the same.</summary>
    public static void Normalise(WorkerPool pool, ModelConfig config, Norm norm, float* input, float* output, int rows, int features)
    {
        if (config.Norm == NormKind.RootMeanSquare) Normalization.RmsNorm(pool, input, norm.Weight.Floats, output, rows, features, config.NormEpsilon);
        else Normalization.LayerNorm(pool, input, norm.Weight.Floats, norm.Bias is null ? null : norm.Bias.Floats, output, rows, features, config.NormEpsilon);
    }

    /// <summary>sum += addend, element by element.</summary>
    public static void Add(float* sum, float* addend, long count)
    {
        const int piece = 1 << 20;
        for (long i = 0; i < count; i += piece)
        {
            int length = (int)Math.Min(piece, count - i);
            Span<float> target = new(sum + i, length);
            Elementwise.Add(target, new ReadOnlySpan<float>(addend + i, length), target);
        }
    }

    /// <summary>Adds the same row to every row.</summary>
    public static void AddToEach(float* values, int rows, int features, float* row)
    {
        for (int t = 0; t < rows; t++) Add(values + (long)t * features, row, features);
    }

    /// <summary>target ← source.</summary>
    public static void Copy(float* source, float* target, long count) =>
        Buffer.MemoryCopy(source, target, count * sizeof(float), count * sizeof(float));

    /// <summary>Whether there is neither NaN nor infinity.</summary>
    public static bool IsFinite(float* values, long count)
    {
        for (long i = 0; i < count; i++)
        {
            if (!float.IsFinite(values[i])) return false;
        }
        return true;
    }

    /// <summary>Sorts the rows of a fused projection into queries, keys and values.</summary>
    public static void Split(ModelConfig config, float* fused, int tokens, float* query, float* keys, float* values)
    {
        int dim = config.QueryDim, headDim = config.HeadDim;
        for (int t = 0; t < tokens; t++)
        {
            float* row = fused + (long)t * 3 * dim;
            for (int h = 0; h < config.Heads; h++)
            {
                long to = (long)t * dim + (long)h * headDim;
                (int q, int step) = config.Fused == FusedOrder.Thirds ? (h * headDim, dim) : (h * 3 * headDim, headDim);
                Copy(row + q, query + to, headDim);
                Copy(row + q + step, keys + to, headDim);
                Copy(row + q + 2 * step, values + to, headDim);
            }
        }
    }
}
