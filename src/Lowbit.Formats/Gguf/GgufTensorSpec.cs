using System.Collections.Immutable;
using Lowbit.Core;

namespace Lowbit.Formats.Gguf;

/// <summary>What a tensor will look like in a GGUF file, promised before its bytes are there.</summary>
/// <param name="Name">Name in the file.</param>
/// <param name="TypeName">ggml's name of the element type, also of one that we can carry but not read.</param>
/// <param name="Shape">Dimensions in our order, [outFeatures, inFeatures]; one to four.</param>
public sealed record GgufTensorSpec(string Name, string TypeName, ImmutableArray<long> Shape)
{
    private const int MaximumDimensions = 4;

    /// <summary>A tensor of a format that we know.</summary>
    public GgufTensorSpec(string name, ElementFormat format, ImmutableArray<long> shape) : this(name, format.ToString(), shape) { }

    /// <summary>Size in bytes, without padding.</summary>
    /// <exception cref="LowbitException">The type is unknown, or the shape does not fit its blocks.</exception>
    public long Bytes => Measure().Bytes;

    /// <summary>The type's number and the tensor's size.</summary>
    internal (uint Type, long Bytes) Measure()
    {
        uint id = GgmlType.Number(TypeName) ?? throw new LowbitException($"tensor {Name} is {TypeName}, which GGUF has no number for; convert it to a ggml type such as F16 or Q8_0.");
        GgmlType type = GgmlType.Find(id)!.Value;
        if (Shape.Length is < 1 or > MaximumDimensions || !TensorSize.TryCount(type.BlockLength, type.BlockBytes, Shape.AsSpan(), out long bytes))
            throw new LowbitException($"tensor {Name} of type {TypeName} cannot have the shape [{string.Join(", ", Shape)}]; it must have one to {MaximumDimensions} dimensions and rows of whole blocks of {type.BlockLength}.");
        return (id, bytes);
    }
}
