using System;
using Lowbit.Core;
using Lowbit.Training.Optimization;

namespace Lowbit.Training.Run;

/// <summary>Everything that decides the course of a training, besides model, method and data.</summary>
public sealed record TrainingOptions
{
    /// <summary>Steps in all.</summary>
    public required int Steps { get; init; }

    /// <summary>Sequences of a batch.</summary>
    public int Batch { get; init; } = 8;

    /// <summary>Tokens of a sequence.</summary>
    public int Context { get; init; } = 256;

    /// <summary>Batches whose gradients are averaged in a step.</summary>
    public int Accumulation { get; init; } = 1;

    /// <summary>The largest learning rate.</summary>
    public double LearningRate { get; init; } = 1e-3;

    /// <summary>Share of the steps in which the learning rate goes up.</summary>
    public double WarmUp { get; init; } = 0.05;

    /// <summary>How the learning rate goes down.</summary>
    public Decay Decay { get; init; } = Decay.Cosine;

    /// <summary>Longest gradient; longer ones are shortened to it. 0 for no limit.</summary>
    public double Clip { get; init; }

    /// <summary>The optimizer's settings.</summary>
    public AdamWOptions Optimizer { get; init; } = new();

    /// <summary>Compute activations again on the way back instead of keeping them.</summary>
    public bool Recompute { get; init; }

    /// <summary>Keep activations in bfloat16 instead of float32.</summary>
    public bool BFloat16Activations { get; init; }

    /// <summary>Share of numbers that are dropped behind the embedding, in the attention and behind the parts of a block; 0 for none.</summary>
    public double Dropout { get; init; }

    /// <summary>Share of the divergence from the teacher in the loss; 0 without a teacher.</summary>
    public double TeacherShare { get; init; }

    /// <summary>Tokens of a step.</summary>
    public long TokensPerStep => (long)Batch * Context * Accumulation;

    internal LearningRateSchedule Schedule => new(LearningRate, Steps, (int)Math.Round(WarmUp * Steps), Decay);

    /// <summary>Throws where a setting is out of range.</summary>
    /// <exception cref="LowbitException">One is.</exception>
    public void Validate()
    {
        Require(Steps > 0, "--steps", Steps, "a number above 0");
        Require(Batch > 0, "--batch", Batch, "a number above 0");
        Require(Context > 1, "--context", Context, "at least 2 tokens");
        Require(Accumulation > 0, "--accumulate", Accumulation, "a number above 0");
        Require(LearningRate > 0 && double.IsFinite(LearningRate), "--learning-rate", LearningRate, "a number above 0");
        Require(WarmUp is >= 0 and <= 1, "--warm-up", WarmUp, "a share of 0 to 1");
        Require(Clip >= 0 && double.IsFinite(Clip), "--clip", Clip, "0 or more");
        Require(Dropout is >= 0 and < 1, "--dropout", Dropout, "a share of 0 to less than 1");
        Require(!(Recompute && BFloat16Activations), "--activations-storage", "bf16", "f32 with --recompute, which keeps no activations");
        Require(TeacherShare is >= 0 and <= 1, "--distill", TeacherShare, "a share of 0 to 1");
        Require((long)Batch * Context <= 1 << 24, "--batch", Batch, $"at most {1 << 24} tokens of batch and context together");
    }

    private static void Require(bool valid, string option, object value, string expected)
    {
        if (!valid) throw new LowbitException(FormattableString.Invariant($"{option} is {value}; expected {expected}."));
    }
}
