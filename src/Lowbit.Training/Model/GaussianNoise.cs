using System;
using Lowbit.Core;

namespace Lowbit.Training.Model;

/// <summary>Normal numbers of a seed, by the method of Box and Muller in its basic form, with a cosine.</summary>
/// <param name="seed">The same seed gives the same numbers on every machine.</param>
internal sealed class GaussianNoise(ulong seed)
{
    private SplitMix64 _random = new(seed);

    /// <summary>A number of mean 0 and deviation 1.</summary>
    public float Next()
    {
        double radius = Math.Sqrt(-2 * Math.Log(1 - _random.NextDouble()));
        return (float)(radius * Math.Cos(2 * Math.PI * _random.NextDouble()));
    }
}
