using System;
using System.Threading;
using Lowbit.Core;

namespace Lowbit.Kernels.Interleaved;

/// <summary>The copy of a matrix with interleaved rows, which its first product with 8-bit activations makes.</summary>
/// <param name="make">Makes it.</param>
internal sealed class InterleavedCopy(Func<WorkerPool, InterleavedWeights> make)
{
    private readonly Lock _making = new();
    private volatile InterleavedWeights? _made;

    /// <summary>The copy, or null where no product has asked for it yet.</summary>
    public InterleavedWeights? Made => _made;

    /// <summary>The copy.</summary>
    /// <param name="pool">Threads that share the rows, the first time.</param>
    public InterleavedWeights Get(WorkerPool pool)
    {
        if (_made is { } made) return made;
        lock (_making)
        {
            return _made ??= make(pool);
        }
    }
}
