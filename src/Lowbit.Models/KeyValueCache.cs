using System;
using Lowbit.Core;

namespace Lowbit.Models;

/// <summary>Keys and values of the tokens seen so far, block by block: [context, kvHeads · headDim] each, float32.</summary>
public sealed unsafe class KeyValueCache : IDisposable
{
    private readonly NativeBuffer[] _keys;
    private readonly NativeBuffer[] _values;

    /// <summary>Reserves the memory; pages are taken when they are first written.</summary>
    /// <param name="blocks">Number of decoder blocks.</param>
    /// <param name="context">Most tokens.</param>
    /// <param name="kvDim">Features of a key or value row.</param>
    public KeyValueCache(int blocks, int context, int kvDim)
    {
        Context = context;
        _keys = new NativeBuffer[blocks];
        _values = new NativeBuffer[blocks];
        long bytes = (long)context * kvDim * sizeof(float);
        for (int i = 0; i < blocks; i++)
        {
            _keys[i] = new NativeBuffer(bytes);
            _values[i] = new NativeBuffer(bytes);
        }
        Bytes = 2 * blocks * bytes;
    }

    /// <summary>Most tokens.</summary>
    public int Context { get; }

    /// <summary>Size when full.</summary>
    public long Bytes { get; }

    /// <summary>Keys of a block, [context, kvDim].</summary>
    public float* Keys(int block) => _keys[block].Floats;

    /// <summary>Values of a block, [context, kvDim].</summary>
    public float* Values(int block) => _values[block].Floats;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (NativeBuffer buffer in _keys) buffer.Dispose();
        foreach (NativeBuffer buffer in _values) buffer.Dispose();
    }
}
