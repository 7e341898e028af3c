using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.InteropServices;
using System.Threading;
using Lowbit.Core;
using Lowbit.Formats.Gguf;

namespace Lowbit.Models.Conversion;

/// <summary>Makes models of random weights: of any shape and type, for measuring speed. The same seed gives the same bytes.</summary>
public static class RandomModel
{
    private const int PieceBytes = 1 << 22;

    /// <summary>Names of the types that <see cref="Write"/> takes.</summary>
    public static IReadOnlyCollection<string> Types => TypeMixture.Names;

    /// <summary>Names of the types that make a folder in a packed layout of ours, beside those with a number.</summary>
    public static IReadOnlyCollection<string> FolderTypes => RandomCodes.Names;

    /// <summary>Writes a GGUF file that any program can run, or a folder in a packed layout of ours.</summary>
    /// <param name="path">The file or folder to make.</param>
    /// <param name="shape">Name of a shape, see <see cref="RandomShape"/>.</param>
    /// <param name="type">Name of a type, one of <see cref="Types"/>, or <c>pb-SHARE</c>, <c>uniform-BITS</c>, <c>waterline-BITS</c> or one of <see cref="FolderTypes"/> for a folder; norms are F32, and some matrices of a mixture have more bits.</param>
    /// <param name="seed">Decides the weights.</param>
    /// <param name="cancellation">Leaves nothing behind.</param>
    /// <returns>Bits per weight over all tensors.</returns>
    /// <exception cref="LowbitException">There is no such shape or type, or the file cannot be written.</exception>
    public static double Write(string path, string shape, string type, ulong seed, CancellationToken cancellation)
    {
        ModelConfig config = RandomShape.Find(shape);
        if (RandomCodes.Knows(type)) return RandomFolder.Write(path, shape, type, seed, cancellation);
        if (!Types.Contains(type, StringComparer.OrdinalIgnoreCase))
            throw new LowbitException($"--type {type}: there is no type of this name; choose one of {string.Join(", ", Types)}, or {string.Join(", ", FolderTypes)}, pb-SHARE, uniform-BITS or waterline-BITS, such as pb-0.1, uniform-4 and waterline-2.7, for a folder.");
        GgufMetadata metadata = GgufDescription.Of("llama", $"{shape} of random weights", config);
        PlainVocabulary.Describe(metadata, config.VocabularySize);
        List<(ModelTensor Tensor, ElementFormat Format, GgufTensorSpec Spec)> tensors = [];
        foreach (ModelTensor tensor in ModelTensor.All(config, TensorNames.Gguf))
        {
            ElementFormat format = TypeMixture.Choose(type, tensor, config);
            tensors.Add((tensor, format, new GgufTensorSpec(tensor.Name + ".weight", format, tensor.Role == TensorRole.Norm ? [tensor.Columns] : [tensor.Rows, tensor.Columns])));
        }
        using GgufWriter writer = new(path, metadata, [.. tensors.Select(tensor => tensor.Spec)]);
        SplitMix64 random = new(seed);
        long bytes = 0, weights = 0;
        foreach ((ModelTensor tensor, ElementFormat format, GgufTensorSpec spec) in tensors)
        {
            foreach (byte[] piece in Pieces(tensor, format, cancellation))
            {
                if (tensor.Role == TensorRole.Norm) MemoryMarshal.Cast<byte, float>(piece.AsSpan()).Fill(1);
                else RandomBlocks.Fill(format, tensor.Columns, ref random, piece);
                writer.Write(spec.Name, piece);
            }
            bytes += spec.Bytes;
            weights += (long)tensor.Rows * tensor.Columns;
        }
        writer.Commit();
        return 8.0 * bytes / weights;
    }

    // Room for a few rows at a time.
    private static IEnumerable<byte[]> Pieces(ModelTensor tensor, ElementFormat format, CancellationToken cancellation)
    {
        int rowBytes = (int)format.ByteCount(tensor.Columns);
        int rows = Math.Max(1, PieceBytes / rowBytes);
        for (int row = 0; row < tensor.Rows; row += rows)
        {
            cancellation.ThrowIfCancellationRequested();
            yield return new byte[(long)Math.Min(rows, tensor.Rows - row) * rowBytes];
        }
    }
}
