using System.Collections.Immutable;
using Lowbit.Core;

namespace Lowbit.Formats;

/// <summary>What a tensor will look like in a file, promised before its bytes are there.</summary>
/// <param name="Name">Name in the file.</param>
/// <param name="Format">Element format.</param>
/// <param name="Shape">Dimensions, slowest first; empty for a scalar.</param>
public sealed record TensorSpec(string Name, ElementFormat Format, ImmutableArray<long> Shape)
{
    /// <summary>Size in bytes, without padding.</summary>
    /// <exception cref="LowbitException">The shape does not fit the format's blocks, or the size overflows.</exception>
    public long Bytes
    {
        get
        {
            if (!TensorSize.TryCount(Format.BlockLength(), Format.BlockBytes(), Shape.AsSpan(), out long bytes))
                throw new LowbitException($"tensor {Name} of format {Format} cannot have the shape [{string.Join(", ", Shape)}]; its rows must be whole blocks of {Format.BlockLength()} and its size at most 2^63 bytes.");
            return bytes;
        }
    }
}
