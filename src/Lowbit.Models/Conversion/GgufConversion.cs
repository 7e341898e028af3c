using System.Collections.Generic;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Gguf;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Models.Conversion;

/// <summary>Writes a GGUF file once more with its matrices in another type. Metadata, norms and biases are taken over as they are.</summary>
public static unsafe class GgufConversion
{
    /// <summary>Writes the file.</summary>
    /// <param name="source">A GGUF file.</param>
    /// <param name="path">The file to make; not the source.</param>
    /// <param name="type">One of <see cref="BlockEncoder.Formats"/>, or what <see cref="BlockEncoder.ForRows"/> has for rows that it does not fit; null leaves matrices as they are.</param>
    /// <param name="cancellation">Leaves nothing behind.</param>
    /// <returns>Bits per weight over all tensors.</returns>
    /// <exception cref="LowbitException">The source is of another kind, a matrix does not fit the type, or the file cannot be written.</exception>
    public static double Write(Checkpoint source, string path, ElementFormat? type, CancellationToken cancellation)
    {
        GgufFile gguf = source.Gguf ?? throw new LowbitException($"{source.Path}: only GGUF files can be converted to GGUF in this version; take a GGUF file of the model.");
        GgufMetadata metadata = new();
        foreach ((string key, GgufValue value) in gguf.Metadata)
        {
            // The writer aligns to 32, and the type of the file is no longer that of the source.
            if (key is not ("general.alignment" or "general.file_type")) metadata.Set(key, value);
        }
        List<(Tensor Tensor, ElementFormat Format, GgufTensorSpec Spec)> tensors = [];
        foreach (Tensor tensor in gguf.Tensors.Values)
        {
            ElementFormat format = type is null || tensor.Shape.Length < 2 ? tensor.Format : BlockEncoder.ForRows(type.Value, tensor.Columns);
            if (format != tensor.Format && !Dequantizer.Supports(tensor.Format))
                throw new LowbitFormatException(source.Path, $"tensor {tensor.Name} is {gguf.TypeNames[tensor.Name]}, which this version cannot read; leave out --type to carry it over.");
            tensors.Add((tensor, format, new GgufTensorSpec(tensor.Name, format != tensor.Format ? format.ToString() : gguf.TypeNames[tensor.Name], tensor.Shape)));
        }
        using GgufWriter writer = new(path, metadata, [.. tensors.Select(tensor => tensor.Spec)]);
        foreach ((Tensor tensor, ElementFormat format, GgufTensorSpec spec) in tensors)
        {
            cancellation.ThrowIfCancellationRequested();
            if (format == tensor.Format) writer.Write(spec.Name, tensor.Pointer, tensor.Bytes);
            else Convert(writer, tensor, format);
            tensor.ReleasePages();
        }
        writer.Commit();
        return 8.0 * tensors.Sum(tensor => tensor.Spec.Bytes) / tensors.Sum(tensor => tensor.Tensor.Elements);
    }

    private static void Convert(GgufWriter writer, Tensor tensor, ElementFormat format)
    {
        float[] row = new float[tensor.Columns];
        byte[] bytes = new byte[format.ByteCount(tensor.Columns)];
        for (long r = 0; r < tensor.Rows; r++)
        {
            fixed (float* values = row) Dequantizer.ToFloat(tensor.Format, tensor.Pointer + r * tensor.RowBytes, row.Length, values);
            BlockEncoder.FromFloat(format, row, bytes);
            writer.Write(tensor.Name, bytes);
        }
    }
}
