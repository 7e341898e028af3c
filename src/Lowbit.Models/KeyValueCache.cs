using System;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models;

/// <summary>Keys and values of the tokens seen so far, block by block: [context, kvHeads · headDim] each.</summary>
public sealed unsafe class KeyValueCache : IDisposable
{
    private const long Alignment = 64;

    private readonly NativeBuffer _rows; // [blocks, keys and values, context, kvDim], in one piece, so that its pages are its own
    private readonly long _rowsBytes;
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
        Bytes = 2L * blocks * context * format.ByteCount(kvDim);
        _rowsBytes = ((long)context * format.ByteCount(kvDim) + Alignment - 1) / Alignment * Alignment;
        _rows = new NativeBuffer(2L * blocks * _rowsBytes);
    }

    /// <summary>Most tokens.</summary>
    public int Context { get; }

    /// <summary>Size when full.</summary>
    public long Bytes { get; }

    /// <summary>Keys of a block, [context, kvDim].</summary>
    public CacheRows Keys(int block) => Rows(2 * block);

    /// <summary>Values of a block, [context, kvDim].</summary>
    public CacheRows Values(int block) => Rows(2 * block + 1);

    /// <inheritdoc/>
    public void Dispose() => _rows.Dispose();

    private CacheRows Rows(int index) => new((nint)(_rows.Pointer + index * _rowsBytes), _format, _kvDim);
}
