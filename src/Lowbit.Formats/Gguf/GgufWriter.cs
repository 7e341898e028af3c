using System.Collections.Generic;
using System.IO;
using System.Linq;
using Lowbit.Core;

namespace Lowbit.Formats.Gguf;

/// <summary>Writes a GGUF file of version 3.</summary>
/// <param name="path">The name that the file shall have in the end.</param>
/// <param name="metadata">All metadata; must not hold <c>general.alignment</c> other than 32.</param>
/// <param name="tensors">All tensors, in the order in which their bytes will come.</param>
/// <exception cref="LowbitException">The file cannot be written, or a type, name or shape has no place in GGUF.</exception>
public sealed class GgufWriter(string path, GgufMetadata metadata, IReadOnlyList<GgufTensorSpec> tensors)
    : TensorWriter(path, Head(path, metadata, tensors), [.. tensors.Select(tensor => (tensor.Name, tensor.Bytes))], Alignment)
{
    private const uint Version = 3;
    private const int Alignment = 32; // the default, so that no metadata has to say it

    private static byte[] Head(string path, GgufMetadata metadata, IReadOnlyList<GgufTensorSpec> tensors)
    {
        using MemoryStream stream = new();
        using BinaryWriter head = new(stream); // little-endian
        head.Write("GGUF"u8);
        head.Write(Version);
        head.Write((ulong)tensors.Count);
        head.Write((ulong)metadata.Count);
        metadata.WriteTo(head.Write);
        HashSet<string> names = [];
        ulong offset = 0;
        foreach (GgufTensorSpec tensor in tensors)
        {
            (uint type, long bytes) = tensor.Measure();
            if (tensor.Name.Length == 0 || !names.Add(tensor.Name)) throw new LowbitException($"{path}: the tensor name '{tensor.Name}' is empty or taken; names must differ.");
            head.Write(GgufMetadata.Text(tensor.Name));
            head.Write((uint)tensor.Shape.Length);
            foreach (long dimension in tensor.Shape.Reverse()) head.Write(dimension);
            head.Write(type);
            head.Write(offset);
            offset = checked((offset + (ulong)bytes + Alignment - 1) / Alignment * Alignment);
        }
        return stream.ToArray();
    }
}
