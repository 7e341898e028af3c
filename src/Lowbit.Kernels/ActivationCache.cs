using System.Collections.Generic;

namespace Lowbit.Kernels;

/// <summary>
/// Activations that a thread keeps between calls, for products that put their inputs through a transform first. What the
/// matrix holds inside must not take them from the same cache, as it would write over its own inputs.
/// </summary>
internal sealed class ActivationCache
{
    private readonly Dictionary<long, Activations> _kept = []; // by features and mode

    /// <summary>Activations of the same tokens and mode; what they held is lost.</summary>
    public Activations Like(Activations activations, int features)
    {
        long key = 2L * features + (activations.Mode == ActivationMode.EightBit ? 1 : 0);
        if (!_kept.TryGetValue(key, out Activations? kept) || kept.CapacityTokens < activations.Tokens)
        {
            kept?.Dispose();
            _kept[key] = kept = new Activations(activations.CapacityTokens, features, activations.Mode);
        }
        kept.Tokens = activations.Tokens;
        return kept;
    }
}
