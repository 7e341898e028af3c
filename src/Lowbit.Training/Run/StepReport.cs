namespace Lowbit.Training.Run;

/// <summary>What a step did.</summary>
/// <param name="Step">Number of the step, from 1.</param>
/// <param name="Loss">Mean cross entropy of its batches before the step, nats a token.</param>
/// <param name="LearningRate">The learning rate.</param>
/// <param name="GradientNorm">Length of the gradient before clipping.</param>
/// <param name="Seconds">Time it took.</param>
public sealed record StepReport(int Step, double Loss, double LearningRate, double GradientNorm, double Seconds);
