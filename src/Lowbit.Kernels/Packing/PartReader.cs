using System;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>Hands out the parts of a packed matrix after checking their formats and sizes.</summary>
internal sealed unsafe class PartReader(string name, IReadOnlyDictionary<string, Tensor> parts, List<object> owners)
{
    /// <summary>Name of a part in the file.</summary>
    public string NameOf(string suffix) => parts.TryGetValue(suffix, out Tensor? tensor) ? tensor.Name : $"{name}.{suffix}";

    /// <summary>A part of known size; null if that is zero and the part is missing.</summary>
    public byte* Bytes(string suffix, ElementFormat format, long bytes)
    {
        if (!parts.TryGetValue(suffix, out Tensor? tensor))
        {
            if (bytes == 0) return null;
            throw new LowbitException($"{name}: the tensor {NameOf(suffix)} is missing; the file is incomplete or written by another version.");
        }
        if (tensor.Format != format)
            throw new LowbitException($"tensor {tensor.Name}: the elements are {tensor.Format}, expected {format}; the file is damaged or written by another version.");
        if (tensor.Bytes != bytes)
            throw new LowbitException($"tensor {tensor.Name}: it has {tensor.Bytes} bytes, the layout of {name} asks for {bytes}; the file is damaged.");
        owners.Add(tensor);
        return tensor.Pointer;
    }

    /// <summary>A part whose size is not known beforehand.</summary>
    public ReadOnlySpan<byte> AllBytes(string suffix)
    {
        long bytes = parts.TryGetValue(suffix, out Tensor? tensor) ? tensor.Bytes : 1;
        if (bytes > int.MaxValue) throw new LowbitException($"tensor {NameOf(suffix)}: it has {bytes} bytes, at most {int.MaxValue} are supported; store the positions as a bitmap.");
        return new ReadOnlySpan<byte>(Bytes(suffix, ElementFormat.U8, bytes), (int)bytes);
    }

    /// <summary>A table of finite numbers.</summary>
    public byte* Scales(string suffix, ElementFormat format, long count)
    {
        byte* table = Bytes(suffix, format, format.ByteCount(count));
        for (long i = 0; i < count; i++)
        {
            bool finite = format == ElementFormat.F16 ? Half.IsFinite(((Half*)table)[i]) : float.IsFinite(((float*)table)[i]);
            if (!finite) throw new LowbitException($"tensor {NameOf(suffix)}: element {i} is not finite; the file is damaged.");
        }
        return table;
    }
}
