using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Training.Data;
using Lowbit.Training.Model;

namespace Lowbit.Training.Methods;

/// <summary>
/// The diagonal of the Fisher information of every linear's weight as LQ-LoRA takes it (arXiv 2311.12023, section 3.3): F is
/// the mean over windows of text of the squared gradient of their loss, and √F counts as a product of its row and column means.
/// </summary>
public static unsafe class FisherDiagonal
{
    private const float Floor = 1e-3f; // of the mean: what never had a gradient, as under an input that is always zero

    /// <summary>Measures a float model. Weights of the linears are marked as trained for the time.</summary>
    /// <param name="model">The model.</param>
    /// <param name="data">Where the windows come from, the first ones.</param>
    /// <param name="windows">How many, at least 1.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="cancellation">Stops between two windows.</param>
    /// <returns>The weights of the errors of every linear, by its name.</returns>
    public static IReadOnlyDictionary<string, SeparableWeights> Measure(TrainableModel model, TokenWindows data, int windows, WorkerPool pool, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(windows);
        TrainableLinear[] linears = [.. model.Linears];
        float[][] squares = [.. linears.Select(linear => new float[linear.Weight.Count])];
        foreach (TrainableLinear linear in linears) linear.Weight.Trainable = true;
        using TrainingPass pass = new(model, pool, 1, data.Length, recompute: true);
        int[] ids = new int[data.Length];
        for (int w = 0; w < windows; w++)
        {
            cancellation.ThrowIfCancellationRequested();
            data.Fill(w, ids);
            model.ClearGradients();
            pass.Run(ids);
            for (int i = 0; i < linears.Length; i++)
            {
                float* gradient = linears[i].Weight.Gradient!.Floats;
                for (int j = 0; j < squares[i].Length; j++) squares[i][j] += gradient[j] * gradient[j] / windows;
            }
        }
        foreach (TrainableLinear linear in linears) linear.Weight.Trainable = false;
        return linears.Zip(squares).ToDictionary(pair => pair.First.Name, pair => Separate(pair.Second, pair.First.Weight.Rows, pair.First.Weight.Columns));
    }

    /// <summary>Row and column means of √F over the mean of all, and that.</summary>
    /// <param name="fisher">F, [rows, columns].</param>
    /// <param name="rows">Rows of F.</param>
    /// <param name="columns">Columns of F.</param>
    public static SeparableWeights Separate(ReadOnlySpan<float> fisher, int rows, int columns)
    {
        double[] ofRows = new double[rows], ofColumns = new double[columns];
        double total = 0;
        for (int i = 0; i < fisher.Length; i++)
        {
            double root = Math.Sqrt(fisher[i]);
            ofRows[i / columns] += root / columns;
            ofColumns[i % columns] += root / rows;
            total += root / fisher.Length;
        }
        if (!(total > 0)) return new SeparableWeights([.. Enumerable.Repeat(1f, rows)], [.. Enumerable.Repeat(1f, columns)], Floor);
        // One is the mean of both, so that the factors of the adapter keep their size.
        return new SeparableWeights([.. ofRows.Select(mean => MathF.Max(Floor, (float)(mean / total)))], [.. ofColumns.Select(mean => MathF.Max(Floor, (float)(mean / total)))], total);
    }
}
