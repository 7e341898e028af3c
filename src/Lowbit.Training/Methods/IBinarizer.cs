using System;

namespace Lowbit.Training.Methods;

/// <summary>What the weights of a row become: −<paramref name="Scale"/> below the threshold, +<paramref name="Scale"/> from it on.</summary>
/// <param name="Threshold">The smallest weight that takes the upper level.</param>
/// <param name="Scale">Distance of the levels from zero.</param>
public readonly record struct BinaryLevels(float Threshold, float Scale);

/// <summary>A way to make one bit of a weight in training: two levels a row, and what stands for the gradient of the step between them.</summary>
public interface IBinarizer
{
    /// <summary>The levels of a row, computed anew in every step.</summary>
    /// <param name="row">Latent weights.</param>
    BinaryLevels Fit(ReadOnlySpan<float> row);

    /// <summary>Turns the gradient of the levels into that of the latent weights.</summary>
    /// <param name="row">Latent weights.</param>
    /// <param name="gradient">Of the same length, changed in place.</param>
    void Backward(ReadOnlySpan<float> row, Span<float> gradient);
}
