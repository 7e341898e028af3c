using System;
using System.Buffers.Binary;
using Lowbit.Core;

namespace Lowbit.Formats.Llama2C;

/// <summary>The seven numbers at the start of a llama2.c file.</summary>
/// <param name="ModelWidth">Features of a token between blocks.</param>
/// <param name="FeedForwardWidth">Features inside the feed-forward part.</param>
/// <param name="Layers">Number of blocks.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyValueHeads">Key and value heads.</param>
/// <param name="Vocabulary">Number of tokens.</param>
/// <param name="ContextLength">Most positions.</param>
/// <param name="TiedEmbedding">Whether the embedding is the classifier too; a negative vocabulary in the file says that it is not.</param>
public sealed record Llama2CHeader(
    int ModelWidth, int FeedForwardWidth, int Layers, int Heads, int KeyValueHeads, int Vocabulary, int ContextLength, bool TiedEmbedding)
{
    internal const int Bytes = 7 * sizeof(int);

    /// <summary>Features of a head.</summary>
    public int HeadWidth => ModelWidth / Heads;

    /// <summary>Features of all keys, and of all values, of a token.</summary>
    public int KeyValueWidth => HeadWidth * KeyValueHeads;

    internal static Llama2CHeader Read(MappedFile file)
    {
        ReadOnlySpan<byte> bytes = file.Span(0, Bytes);
        int[] n = new int[7];
        for (int i = 0; i < n.Length; i++) n[i] = BinaryPrimitives.ReadInt32LittleEndian(bytes[(i * sizeof(int))..]);
        int vocabulary = n[5];
        if (vocabulary != int.MinValue) n[5] = Math.Abs(vocabulary);
        bool plausible = Array.TrueForAll(n, number => number > 0) && n[0] % n[3] == 0 && n[0] / n[3] % 2 == 0 && n[3] % n[4] == 0;
        if (!plausible)
            throw new LowbitFormatException(file.Path, $"the header says width {n[0]}, feed-forward {n[1]}, layers {n[2]}, heads {n[3]}, key-value heads {n[4]}, vocabulary {vocabulary}, context {n[6]}, which is no llama2.c model of version 0; the file is damaged or of another format.");
        return new Llama2CHeader(n[0], n[1], n[2], n[3], n[4], n[5], n[6], vocabulary > 0);
    }
}
