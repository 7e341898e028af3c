namespace Lowbit.Inference;

/// <summary>
/// The generator of Steele, Lea and Flood (2014): a counter and a mixing function. Ours rather than
/// <see cref="System.Random"/>, so that a seed means the same text with every version of the runtime.
/// </summary>
public struct SplitMix64
{
    private ulong _state;

    /// <summary>Starts the sequence that belongs to the seed; every seed is good.</summary>
    public SplitMix64(ulong seed) => _state = seed;

    /// <summary>64 random bits.</summary>
    public ulong Next()
    {
        ulong z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>A number from 0 to below 1, a multiple of 2⁻⁵³.</summary>
    public double NextDouble() => (Next() >> 11) * (1.0 / (1UL << 53));
}
