using System;
using System.Collections.Immutable;

namespace Lowbit.Models;

/// <summary>How the frequencies of the rotary embedding are stretched for contexts longer than those of the training.</summary>
public enum RopeScaling
{
    /// <summary>Not at all.</summary>
    None,
    /// <summary>All positions are divided by the factor.</summary>
    Linear,
    /// <summary>Llama 3.1: low frequencies are divided, high ones kept, those between blended.</summary>
    Llama3,
    /// <summary>YaRN (arXiv 2309.00071): the same idea with a ramp over dimensions and a factor on the amplitude.</summary>
    Yarn,
}

/// <summary>Rotary position embedding (arXiv 2104.09864): pairs of a head's features turn by position · frequency.</summary>
public sealed record RopeConfig
{
    /// <summary>Base of the frequencies: frequency i is theta^(−2i/dim).</summary>
    public required float Theta { get; init; }

    /// <summary>Features of a head that turn, from the first; the rest stay.</summary>
    public required int Dim { get; init; }

    /// <summary>Whether pairs are neighbours (2i, 2i+1), as llama2.c and GGUF llama files order them, or halves (i, i + dim/2).</summary>
    public bool Interleaved { get; init; }

    /// <summary>Scaling rule.</summary>
    public RopeScaling Scaling { get; init; }

    /// <summary>How many times longer the context is than that of the training.</summary>
    public float Factor { get; init; } = 1;

    /// <summary>Context length of the training.</summary>
    public int OriginalContext { get; init; }

    /// <summary>Llama 3.1: wavelengths over originalContext / this are divided by the factor.</summary>
    public float LowFrequencyFactor { get; init; } = 1;

    /// <summary>Llama 3.1: wavelengths under originalContext / this are kept.</summary>
    public float HighFrequencyFactor { get; init; } = 4;

    /// <summary>YaRN: rotations over the training context above which a frequency is kept.</summary>
    public float BetaFast { get; init; } = 32;

    /// <summary>YaRN: rotations below which a frequency is divided by the factor.</summary>
    public float BetaSlow { get; init; } = 1;

    /// <summary>YaRN: amplitude of the turned features; null for 0.1 · ln(factor) + 1.</summary>
    public float? AttentionFactor { get; init; }

    /// <summary>Divisors of the frequencies that a GGUF file brings along (rope_freqs); empty where it does not.</summary>
    public ImmutableArray<float> FrequencyDivisors { get; init; } = [];

    /// <summary>Amplitude of cosines and sines.</summary>
    public float Amplitude => Scaling == RopeScaling.Yarn ? AttentionFactor ?? (Factor <= 1 ? 1 : 0.1f * MathF.Log(Factor) + 1) : 1;

    /// <summary>Angles per position of the <see cref="Dim"/> / 2 pairs, in the precision of the reference (float32).</summary>
    public float[] Frequencies()
    {
        float[] frequencies = new float[Dim / 2];
        for (int i = 0; i < frequencies.Length; i++)
        {
            float frequency = (float)(1 / Math.Pow(Theta, 2.0 * i / Dim));
            if (!FrequencyDivisors.IsEmpty) frequency /= FrequencyDivisors[i];
            frequencies[i] = Scaling switch
            {
                RopeScaling.Linear => frequency / Factor,
                RopeScaling.Llama3 => Llama3(frequency),
                RopeScaling.Yarn => Yarn(frequency, i),
                _ => frequency,
            };
        }
        return frequencies;
    }

    private float Llama3(float frequency)
    {
        float wavelength = 2 * MathF.PI / frequency;
        if (wavelength > OriginalContext / LowFrequencyFactor) return frequency / Factor;
        if (wavelength < OriginalContext / HighFrequencyFactor) return frequency;
        float smooth = (OriginalContext / wavelength - LowFrequencyFactor) / (HighFrequencyFactor - LowFrequencyFactor);
        return (1 - smooth) * frequency / Factor + smooth * frequency;
    }

    private float Yarn(float frequency, int i)
    {
        double low = Math.Max(Math.Floor(DimensionOf(BetaFast)), 0);
        double high = Math.Min(Math.Ceiling(DimensionOf(BetaSlow)), Dim - 1);
        if (low == high) high += 0.001;
        float divided = (float)Math.Clamp((i - low) / (high - low), 0, 1);
        return frequency / Factor * divided + frequency * (1 - divided);
    }

    // The (real-valued) pair that turns so many times over the training context.
    private double DimensionOf(double rotations) => Dim * Math.Log(OriginalContext / (rotations * 2 * Math.PI)) / (2 * Math.Log(Theta));
}
