using System;

namespace Lowbit.Training.Optimization;

/// <summary>How the learning rate goes down after the warm-up.</summary>
public enum Decay
{
    /// <summary>Not at all.</summary>
    Constant,
    /// <summary>Along a straight line to zero.</summary>
    Linear,
    /// <summary>Along half a cosine to zero.</summary>
    Cosine,
}

/// <summary>The learning rate of every step: up along a line during the warm-up, then down to zero at the end.</summary>
/// <param name="Peak">The largest rate.</param>
/// <param name="Steps">Steps of the whole training.</param>
/// <param name="WarmUp">Steps of the warm-up.</param>
/// <param name="Decay">What follows.</param>
public sealed record LearningRateSchedule(double Peak, int Steps, int WarmUp, Decay Decay)
{
    /// <summary>The rate of a step, counted from 0.</summary>
    public double At(int step)
    {
        if (step < WarmUp) return Peak * (step + 1) / WarmUp;
        double done = (double)(step - WarmUp) / Math.Max(1, Steps - WarmUp);
        return Decay switch
        {
            Decay.Linear => Peak * (1 - done),
            Decay.Cosine => Peak * 0.5 * (1 + Math.Cos(Math.PI * done)),
            _ => Peak,
        };
    }
}
