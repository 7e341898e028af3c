using System;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Lowbit.Core;

namespace Lowbit.Training.Data;

/// <summary>Training text as one long row of tokens, from which batches take windows at random places.</summary>
public sealed class TokenWindows
{
    private readonly int[] _ids;
    private readonly int _seed;

    /// <summary>Takes the tokens.</summary>
    /// <param name="ids">All documents, one after the other.</param>
    /// <param name="length">Tokens of a window.</param>
    /// <param name="seed">The same seed gives the same windows on every machine.</param>
    /// <exception cref="LowbitException">There are too few tokens.</exception>
    public TokenWindows(int[] ids, int length, int seed)
    {
        if (ids.Length < length)
            throw new LowbitException($"the training text has {ids.Length} tokens, fewer than a window of {length}; give more text or a smaller --context.");
        _ids = ids;
        Length = length;
        _seed = seed;
    }

    /// <summary>Tokens of a window.</summary>
    public int Length { get; }

    /// <summary>Tokens in all.</summary>
    public int Tokens => _ids.Length;

    /// <summary>SHA-256 of the ids and the seed, to recognise the same data after an interruption.</summary>
    public string Fingerprint
    {
        get
        {
            using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            hash.AppendData(MemoryMarshal.AsBytes(_ids.AsSpan()));
            hash.AppendData(BitConverter.GetBytes(_seed));
            return Convert.ToHexString(hash.GetHashAndReset());
        }
    }

    /// <summary>A number that belongs to a batch. Two rounds of the generator, so that neighbouring seeds and batches have nothing in common.</summary>
    internal ulong Key(long batch) => new SplitMix64((ulong)_seed).Next() ^ (ulong)batch * 0xD1342543DE82EF95;

    /// <summary>Copies the windows of a batch.</summary>
    /// <param name="batch">Number of the batch, from 0; which windows it gets depends on it and the seed alone.</param>
    /// <param name="destination">[windows, length].</param>
    public void Fill(long batch, Span<int> destination)
    {
        SplitMix64 random = new(Key(batch));
        for (int i = 0; i < destination.Length; i += Length)
            _ids.AsSpan(random.Below(_ids.Length - Length + 1), Length).CopyTo(destination[i..]);
    }
}
