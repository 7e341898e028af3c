using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Training.Model;
using Lowbit.Training.Operators;
using Xunit;

namespace Lowbit.Training.Tests;

/// <summary>Holds the gradients of a model against central differences of <see cref="ReferenceLoss"/>.</summary>
internal static unsafe class Gradients
{
    private const double Step = 1e-5;

    /// <summary>Along a random direction of every tensor, and for some of its elements.</summary>
    public static void AssertRight(TrainableModel model, int sequences, int length, int[] ids, bool recompute = false, Dropout dropout = default)
    {
        foreach (Parameter parameter in model.Parameters) parameter.Trainable = true;
        using WorkerPool pool = new(2);
        using TrainingPass pass = new(model, pool, sequences, length, recompute);
        model.ClearGradients();
        double loss = pass.Run(ids, 1, dropout);
        ReferenceLoss reference = new(model, sequences, length, ids, dropout);
        Assert.Equal(reference.Compute(), loss, 1e-5);
        double largest = model.Parameters.Max(parameter => Enumerable.Range(0, (int)parameter.Count).Max(i => Math.Abs((double)parameter.Gradient!.Floats[i])));
        SplitMix64 random = new(3);
        foreach (Parameter parameter in model.Parameters)
        {
            double[] values = reference.Tensors[parameter.Name];
            double[] direction = [.. values.Select(_ => random.NextDouble() < 0.5 ? -1.0 : 1.0)];
            double along = 0, length2 = 0;
            for (int i = 0; i < values.Length; i++)
            {
                along += direction[i] * parameter.Gradient!.Floats[i];
                length2 += (double)parameter.Gradient.Floats[i] * parameter.Gradient.Floats[i];
            }
            // Rounding errors of the elements add up like a random walk.
            double expected = Difference(reference, values, direction);
            Assert.True(Math.Abs(along - expected) <= 1e-4 * Math.Sqrt(length2) + 1e-6 * largest + 1e-7, $"{parameter}: {along} along a random direction, differences say {expected}");
            for (int n = 0; n < 3; n++)
            {
                int i = random.Below(values.Length);
                double[] unit = new double[values.Length];
                unit[i] = 1;
                double element = Difference(reference, values, unit), found = parameter.Gradient!.Floats[i];
                Assert.True(Math.Abs(found - element) <= 1e-4 * Math.Abs(element) + 1e-5 * largest + 1e-7, $"{parameter}[{i}]: {found}, differences say {element}");
            }
        }
    }

    private static double Difference(ReferenceLoss reference, double[] values, double[] direction)
    {
        double[] original = [.. values];
        double At(double step)
        {
            for (int i = 0; i < values.Length; i++) values[i] = original[i] + step * direction[i];
            return reference.Compute();
        }
        double difference = (At(Step) - At(-Step)) / (2 * Step);
        original.CopyTo(values, 0);
        return difference;
    }
}
