using System;
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
    private const long PieceElements = 1 << 20; // at most, of the rows that threads share at a time

    /// <summary>Writes the file.</summary>
    /// <param name="pool">Threads that share the rows of a matrix; the file does not depend on their number.</param>
    /// <param name="source">A GGUF file.</param>
    /// <param name="path">The file to make; not the source.</param>
    /// <param name="type">One of <see cref="BlockEncoder.Formats"/>, or what <see cref="BlockEncoder.ForRows"/> has for rows that it does not fit; null leaves matrices as they are.</param>
    /// <param name="done">Told the share of the tensors' elements that is written.</param>
    /// <param name="cancellation">Leaves nothing behind.</param>
    /// <returns>Bits per weight over all tensors.</returns>
    /// <exception cref="LowbitException">The source is of another kind, a matrix does not fit the type, or the file cannot be written.</exception>
    public static double Write(WorkerPool pool, Checkpoint source, string path, ElementFormat? type, Action<double>? done, CancellationToken cancellation)
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
        long elements = tensors.Sum(tensor => tensor.Tensor.Elements), written = 0;
        using GgufWriter writer = new(path, metadata, [.. tensors.Select(tensor => tensor.Spec)]);
        foreach ((Tensor tensor, ElementFormat format, GgufTensorSpec spec) in tensors)
        {
            if (format == tensor.Format)
            {
                cancellation.ThrowIfCancellationRequested();
                writer.Write(spec.Name, tensor.Pointer, tensor.Bytes);
                Written(tensor.Elements);
            }
            else Convert(tensor, format);
            tensor.ReleasePages();
        }
        writer.Commit();
        return 8.0 * tensors.Sum(tensor => tensor.Spec.Bytes) / elements;

        void Convert(Tensor tensor, ElementFormat format)
        {
            int rowBytes = (int)format.ByteCount(tensor.Columns), most = (int)Math.Max(1, PieceElements / Math.Max(1, tensor.Columns));
            byte[] bytes = new byte[Math.Min(most, tensor.Rows) * rowBytes];
            for (long first = 0; first < tensor.Rows; first += most)
            {
                cancellation.ThrowIfCancellationRequested();
                int rows = (int)Math.Min(most, tensor.Rows - first);
                EncodeWork work = new() { Tensor = tensor, First = first, Format = format, RowBytes = rowBytes, Bytes = bytes };
                pool.Run(ref work, rows, 16);
                writer.Write(tensor.Name, bytes.AsSpan(0, rows * rowBytes));
                Written(rows * tensor.Columns);
            }
        }

        void Written(long count) => done?.Invoke((double)(written += count) / elements);
    }

    private struct EncodeWork : IParallelWork
    {
        public Tensor Tensor;
        public long First;
        public ElementFormat Format;
        public int RowBytes;
        public byte[] Bytes;

        public readonly void Execute(int start, int end)
        {
            float[] row = new float[Tensor.Columns];
            for (int r = start; r < end; r++)
            {
                fixed (float* values = row) Dequantizer.ToFloat(Tensor.Format, Tensor.Pointer + (First + r) * Tensor.RowBytes, row.Length, values);
                BlockEncoder.FromFloat(Format, row, Bytes.AsSpan(r * RowBytes, RowBytes));
            }
        }
    }
}
