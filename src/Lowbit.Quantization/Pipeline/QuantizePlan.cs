using System;
using System.Collections.Generic;
using System.Diagnostics;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Models;
using Lowbit.Quantization.Methods;

namespace Lowbit.Quantization.Pipeline;

/// <summary>What will become of a linear.</summary>
/// <param name="Name">Name of its tensor, without ending.</param>
/// <param name="Method">Name of the method, or keep.</param>
/// <param name="BitsPerWeight">Its bytes times eight over its weights, scales included.</param>
public sealed record PlannedLayer(string Name, string Method, double BitsPerWeight);

/// <summary>What a run will need, told beforehand by <c>--dry-run</c>. Bytes are close, time and memory are estimates.</summary>
/// <param name="WeightBytes">Bytes of all tensors of the result.</param>
/// <param name="BitsPerWeight">The same times eight over all weights.</param>
/// <param name="SourceBytes">Bytes of the source's files.</param>
/// <param name="DiskBytes">Free disk that the run needs: finished layers and the result lie side by side for a while.</param>
/// <param name="Seconds">Time, from the speed of a short matrix product on this machine.</param>
/// <param name="PeakMemoryBytes">Resident memory.</param>
/// <param name="HiddenStatesInFile">Whether <see cref="QuantizeOptions.MemoryLimit"/> leaves no room for the hidden states of all windows, which then lie in a file.</param>
/// <param name="Layers">Linears that will be quantized.</param>
/// <param name="CalibrationTokens">Tokens that run through the model, twice a block.</param>
/// <param name="Assignments">What becomes of every linear.</param>
public sealed record QuantizePlan(
    long WeightBytes, double BitsPerWeight, long SourceBytes, long DiskBytes, double Seconds, long PeakMemoryBytes, bool HiddenStatesInFile, int Layers, long CalibrationTokens,
    IReadOnlyList<PlannedLayer> Assignments)
{
    /// <summary>Looks at model and options; reads no weights and writes nothing.</summary>
    /// <param name="options">What the run would do.</param>
    /// <param name="model">The float model.</param>
    /// <param name="calibration">The windows that it would use, or null.</param>
    /// <param name="pool">Threads that it would use.</param>
    public static QuantizePlan Make(QuantizeOptions options, LanguageModel model, CalibrationSet? calibration, WorkerPool pool)
    {
        ModelConfig config = model.Config;
        long layers = 0, linearBytes = 0, linearWeights = 0;
        double products = 0, grams = 0, compensation = 0;
        int widest = 0;
        List<PlannedLayer> assignments = [];
        HashSet<string> quantized = [];
        foreach (Block block in model.Blocks)
        {
            HashSet<LinearInput> inputs = [];
            foreach ((LinearInput input, Linear linear) in block.Linears())
            {
                long rows = linear.Weight.Rows, columns = linear.Weight.Columns;
                string name = LowbitFolder.NameInFolder(model, linear.Name);
                (string method, MethodOptions? chosen) = options.For(name);
                products += 2.0 * rows * columns;
                if (chosen is null)
                {
                    assignments.Add(new PlannedLayer(name, method, linear.Weight.Bytes * 8.0 / (rows * columns)));
                    continue;
                }
                double bits = options.Target?.Bits ?? chosen.EstimateBitsPerWeight((int)columns, options.Positions == PositionsForm.Coded);
                assignments.Add(new PlannedLayer(name, method, bits));
                quantized.Add(linear.Name + ".weight");
                layers++;
                linearWeights += rows * columns;
                linearBytes += (long)(rows * columns * bits / 8);
                if (!chosen.NeedsHessian) continue;
                compensation += (double)rows * columns * columns;
                widest = Math.Max(widest, (int)columns);
                if (inputs.Add(input))
                {
                    grams += (double)columns * columns;
                    compensation += (double)columns * columns * columns;
                }
            }
        }
        long restBytes = 0, parameters = linearWeights;
        foreach (Tensor tensor in model.Checkpoint.Tensors.Values)
        {
            if (quantized.Contains(tensor.Name)) continue;
            parameters += tensor.Elements;
            restBytes += tensor.Bytes;
        }
        long tokens = calibration is null ? 0 : (long)calibration.Windows.Count * calibration.Context;
        int context = calibration?.Context ?? 0;
        double attention = 2.0 * context * config.QueryDim * config.BlockCount; // half of the square, scores and values
        double operations = tokens * (2 * (products + attention) + grams) + 4 * compensation;
        long hidden = tokens * config.ModelDim * sizeof(float) * (QuantizePipeline.NeedsFloatInputs(options, model) ? 2 : 1);
        long scratch = (long)context * sizeof(float) * (4L * config.ModelDim + 3L * config.QueryDim + 2L * config.FfnDim + 2L * config.KvDim);
        long linearDisk = 2 * linearBytes;
        long quantizer = (long)widest * widest * (sizeof(float) + 2 * sizeof(double)) + 4L * sizeof(float) * config.FfnDim * config.ModelDim;
        long memory = Environment.WorkingSet + hidden + scratch + quantizer;
        bool inFile = options.MemoryLimit > 0 && memory > options.MemoryLimit && calibration is not null;
        if (inFile)
        {
            memory -= hidden - hidden / calibration!.Windows.Count;
            linearDisk += hidden;
        }
        return new QuantizePlan(
            linearBytes + restBytes, (linearBytes + restBytes) * 8.0 / parameters, model.Checkpoint.FileBytes, linearDisk + restBytes,
            operations / Speed(pool), memory, inFile, (int)layers, tokens, assignments);
    }

    /// <summary>Refuses a limit that the run cannot keep.</summary>
    /// <param name="limit">Bytes.</param>
    /// <exception cref="LowbitException">The run needs more.</exception>
    public void CheckMemory(long limit)
    {
        if (PeakMemoryBytes > limit)
            throw new LowbitException($"--memory-limit: {limit} bytes were given, but this run needs about {PeakMemoryBytes}{(HiddenStatesInFile ? " even with the hidden states in a file" : "")}; raise it, or use a shorter --context or fewer --samples.");
    }

    // Operations a second of a product like those of the run.
    private static unsafe double Speed(WorkerPool pool)
    {
        const int m = 512, n = 512, k = 1024;
        using NativeBuffer a = new(sizeof(float) * m * k), b = new(sizeof(float) * n * k), c = new(sizeof(float) * m * n);
        double best = 0;
        for (int i = 0; i < 20; i++)
        {
            long start = Stopwatch.GetTimestamp();
            Gemm.MultiplyTransposed(pool, a.Floats, k, b.Floats, k, c.Floats, n, m, n, k);
            best = Math.Max(best, 2.0 * m * n * k / Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return 0.6 * best; // what is left of it over a whole run
    }
}
