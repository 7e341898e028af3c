using System;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models;

/// <summary>Keys and values of the tokens seen so far, block by block: [context, kvHeads · headDim] each.</summary>
public sealed unsafe class KeyValueCache : IDisposable
{
    private readonly NativeBuffer[] _keys;
    private readonly NativeBuffer[] _values;
    private readonly ElementFormat _format;
    private readonly int _kvDim;

    /// <summary>Reserves the memory; pages are taken when they are first written.</summary>
    /// <param name="blocks">Number of decoder blocks.</param>
    /// <param name="context">Most tokens.</param>
    /// <param name="kvDim">Features of a key or value row.</param>
    /// <param name="format">What rows are stored as, one of <see cref="CacheRows.Formats"/>.</param>
    public KeyValueCache(int blocks, int context, int kvDim, ElementFormat format)
    {
        _kvDim = kvDim;
        _format = format;
        Context = context;
        _keys = new NativeBuffer[blocks];
        _values = new NativeBuffer[blocks];
        long bytes = context * format.ByteCount(kvDim);
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
    public CacheRows Keys(int block) => new((nint)_keys[block].Pointer, _format, _kvDim);

    /// <summary>Values of a block, [context, kvDim].</summary>
    public CacheRows Values(int block) => new((nint)_values[block].Pointer, _format, _kvDim);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (NativeBuffer buffer in _keys) buffer.Dispose();
        foreach (NativeBuffer buffer in _values) buffer.Dispose();
    }
}
