using System.Collections.Generic;
using System.Threading;
using Lowbit.Core;
using Lowbit.Models;
using Lowbit.Quantization.LinearAlgebra;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.Training.Model;

namespace Lowbit.Training.Methods;

/// <summary>The salient weights of every linear by PB-GPTQ's measure, w² / U_jj², with the Hessians of the float model's inputs.</summary>
public static class SaliencyByHessian
{
    private const double Damping = 0.01;

    /// <summary>Marks the salient weights.</summary>
    /// <param name="source">The float model.</param>
    /// <param name="model">The same model, to be trained.</param>
    /// <param name="calibration">Windows of the training text.</param>
    /// <param name="share">Share of salient weights of every matrix.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="cancellation">Stops within a block.</param>
    /// <returns>[outFeatures, inFeatures] of every linear, true where a weight is salient.</returns>
    public static IReadOnlyDictionary<TrainableLinear, bool[]> Mark(
        LanguageModel source, TrainableModel model, CalibrationSet calibration, double share, WorkerPool pool, CancellationToken cancellation)
    {
        Dictionary<TrainableLinear, bool[]> marks = [];
        using BlockCalibration hessians = new(source, calibration, pool, withFloatModel: false, folder: null);
        foreach (Block block in source.Blocks)
        {
            hessians.Begin(block);
            hessians.Collect(block, _ => cancellation.ThrowIfCancellationRequested());
            IReadOnlyList<TrainableLinear> linears = model.Blocks[block.Index].Linears;
            (LinearInput Input, Linear)[] inputs = block.Linears();
            for (int i = 0; i < inputs.Length; i++)
            {
                Parameter weight = linears[i].Weight;
                InverseFactor factor = hessians[inputs[i].Input].Factor(pool, Damping, activationOrder: false, cancellation);
                bool[] salient = new bool[weight.Count];
                Saliency.Mark(weight.Value.Span<float>(0, salient.Length), weight.Rows, weight.Columns, weight.Columns, share, factor, salient);
                marks.Add(linears[i], salient);
            }
            hessians.Advance(block, _ => cancellation.ThrowIfCancellationRequested());
        }
        return marks;
    }
}
