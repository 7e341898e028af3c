using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models;

/// <summary>Operations on every row of a batch, shared out over the threads when there are many rows.</summary>
internal static unsafe class Rows
{
    private const int Grain = 16;

    /// <summary>output ← norm(input), row by row; input and output may be the same.</summary>
    public static void Normalise(WorkerPool pool, ModelConfig config, Norm norm, float* input, float* output, int rows, int features)
    {
        NormWork work = new(config.Norm, config.NormEpsilon, norm.Weight.Floats, norm.Bias is null ? null : norm.Bias.Floats, input, output, features);
        pool.Run(ref work, rows, Grain);
    }

    /// <summary>values ← activation(values).</summary>
    public static void Activate(WorkerPool pool, ActivationFunction activation, float* values, int rows, int features)
    {
        ActivationWork work = new(activation, values, features);
        pool.Run(ref work, rows, Grain);
    }

    /// <summary>Adds the same row to every row.</summary>
    public static void AddToEach(float* values, int rows, int features, float* row)
    {
        for (int t = 0; t < rows; t++) VectorMath.Add(values + (long)t * features, row, features);
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
                VectorMath.Copy(row + q, query + to, headDim);
                VectorMath.Copy(row + q + step, keys + to, headDim);
                VectorMath.Copy(row + q + 2 * step, values + to, headDim);
            }
        }
    }

    private readonly struct NormWork(NormKind kind, float epsilon, float* weight, float* bias, float* input, float* output, int features) : IParallelWork
    {
        public void Execute(int start, int end)
        {
            for (int t = start; t < end; t++)
            {
                float* from = input + (long)t * features, to = output + (long)t * features;
                if (kind == NormKind.RootMeanSquare) VectorMath.RmsNorm(from, weight, epsilon, to, features);
                else VectorMath.LayerNorm(from, weight, bias, epsilon, to, features);
            }
        }
    }

    private readonly struct ActivationWork(ActivationFunction activation, float* values, int features) : IParallelWork
    {
        public void Execute(int start, int end)
        {
            float* from = values + (long)start * features;
            long count = (long)(end - start) * features;
            switch (activation)
            {
                case ActivationFunction.Silu: VectorMath.Silu(from, count); break;
                case ActivationFunction.Gelu: VectorMath.Gelu(from, count); break;
                case ActivationFunction.GeluTanh: VectorMath.GeluTanh(from, count); break;
                default: VectorMath.Relu(from, count); break;
            }
        }
    }
}
