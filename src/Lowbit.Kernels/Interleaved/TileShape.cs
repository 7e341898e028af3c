namespace Lowbit.Kernels.Interleaved;

/// <summary>How the groups of a tile lie: a header with the factors, then the chunks; the last group may have fewer of them.</summary>
/// <typeparam name="TFormat">The format.</typeparam>
internal readonly unsafe struct TileShape<TFormat> where TFormat : struct, IBlockFormat
{
    private readonly int _shift; // log2 of the chunks that share their factors

    /// <summary>Computes the sizes.</summary>
    /// <param name="chunks">Chunks of a row.</param>
    /// <param name="chunksOfFactors">Chunks that share their factors: a power of two, at most those of a group.</param>
    public TileShape(int chunks, int chunksOfFactors)
    {
        Chunks = chunks;
        Sets = TFormat.GroupChunks / chunksOfFactors;
        _shift = int.Log2(chunksOfFactors);
        // Vectors lie on cache lines.
        HeaderBytes = (Sets * TFormat.FactorBytes + IBlockFormat.Vector - 1) / IBlockFormat.Vector * IBlockFormat.Vector + TFormat.SharedBytes;
    }

    /// <summary>Chunks of a row.</summary>
    public int Chunks { get; }

    /// <summary>Sets of factors in a header.</summary>
    public int Sets { get; }

    /// <summary>Bytes of a header.</summary>
    public int HeaderBytes { get; }

    /// <summary>Bytes of a whole group.</summary>
    public int GroupBytes => HeaderBytes + TFormat.GroupChunks * TFormat.ChunkBytes;

    /// <summary>Bytes of a tile.</summary>
    public long TileBytes => (long)((Chunks + TFormat.GroupChunks - 1) / TFormat.GroupChunks) * HeaderBytes + (long)Chunks * TFormat.ChunkBytes;

    /// <summary>The factors of a chunk.</summary>
    /// <param name="header">Header of the group.</param>
    /// <param name="position">Number of the chunk in its group.</param>
    public byte* Factors(byte* header, int position) => TFormat.GroupChunks == 1 ? header : header + (position >> _shift) * TFormat.FactorBytes;
}
