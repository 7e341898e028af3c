using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Kernels;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Models;

/// <summary>
/// Finds the tensors of a model in its file and checks their shapes: a linear may be plain numbers, ggml blocks, or the
/// packed parts that <c>quantization_config</c> declares.
/// </summary>
internal sealed unsafe class ModelSource
{
    private readonly Checkpoint _checkpoint;
    private readonly bool _transposed;
    private readonly IReadOnlyDictionary<string, PackedTensor> _packed;

    public ModelSource(Checkpoint checkpoint, bool linearsTransposed)
    {
        _checkpoint = checkpoint;
        _transposed = linearsTransposed;
        PackedTensor.CheckMethod(checkpoint);
        _packed = PackedTensor.ReadAll(checkpoint);
    }

    public bool Has(string name) => _packed.ContainsKey(name) || _checkpoint.Tensors.ContainsKey(name + ".weight");

    /// <summary>A linear with its bias, if the file has one.</summary>
    public Linear Linear(string name, int outFeatures, int inFeatures)
    {
        WeightMatrix weight = _transposed && !_packed.ContainsKey(name) ? Transposed(name, outFeatures, inFeatures) : Matrix(name, outFeatures, inFeatures);
        NativeBuffer? bias = _checkpoint.Tensors.ContainsKey(name + ".bias") ? Vector(name + ".bias", outFeatures) : null;
        return new Linear(name, weight, bias);
    }

    /// <summary>A matrix [rows, columns] in its stored form.</summary>
    public WeightMatrix Matrix(string name, int rows, int columns)
    {
        if (_packed.TryGetValue(name, out PackedTensor? packed)) return packed.Load(_checkpoint.Path, part => _checkpoint.Tensors.GetValueOrDefault(part), rows, columns);
        Tensor tensor = Checked(name + ".weight", rows, columns);
        return new DenseMatrix(tensor);
    }

    /// <summary>A norm: weight and, where the file has one, bias.</summary>
    public Norm Norm(string name, int features) => new(
        name,
        Vector(name + ".weight", features),
        _checkpoint.Tensors.ContainsKey(name + ".bias") ? Vector(name + ".bias", features) : null);

    /// <summary>A vector as float32.</summary>
    public NativeBuffer Vector(string name, int length)
    {
        Tensor tensor = Checked(name, length);
        NativeBuffer buffer = new((long)length * sizeof(float));
        Dequantizer.ToFloat(tensor.Format, tensor.Pointer, length, buffer.Floats);
        return buffer;
    }

    /// <summary>An optional vector as plain floats.</summary>
    public ImmutableArray<float> Floats(string name, int length)
    {
        if (!_checkpoint.Tensors.ContainsKey(name)) return [];
        using NativeBuffer buffer = Vector(name, length);
        return [.. new ReadOnlySpan<float>(buffer.Floats, length)];
    }

    private DenseMatrix Transposed(string name, int outFeatures, int inFeatures)
    {
        Tensor tensor = Checked(name + ".weight", inFeatures, outFeatures);
        if (tensor.Format.BlockLength() > 1)
            throw new LowbitFormatException(_checkpoint.Path, $"tensor {tensor.Name} is {tensor.Format} and stored [inFeatures, outFeatures]; expected plain numbers there, since blocks cannot be transposed.");
        int size = tensor.Format.BlockBytes();
        NativeBuffer buffer = new(tensor.Bytes);
        for (long r = 0; r < outFeatures; r++)
        {
            for (long c = 0; c < inFeatures; c++)
                Buffer.MemoryCopy(tensor.Pointer + (c * outFeatures + r) * size, buffer.Pointer + (r * inFeatures + c) * size, size, size);
        }
        return new DenseMatrix(new Tensor(tensor.Name, tensor.Format, [outFeatures, inFeatures], buffer.Pointer, buffer.Bytes, buffer));
    }

    private Tensor Checked(string name, params ReadOnlySpan<long> shape)
    {
        Tensor tensor = _checkpoint.Find(name);
        if (!tensor.Shape.AsSpan().SequenceEqual(shape))
            throw new LowbitFormatException(_checkpoint.Path, $"tensor {name} has the shape {tensor.ShapeText}; expected [{string.Join(", ", shape.ToArray())}] by the model's configuration.");
        if (!Dequantizer.Supports(tensor.Format))
            throw new LowbitFormatException(_checkpoint.Path, $"tensor {name} is stored as {(_checkpoint.Gguf?.TypeNames.GetValueOrDefault(name) ?? tensor.Format.ToString())}, which this version cannot read; expected F32, F16, BF16 or one of the supported ggml types (see docs/formats/gguf.md).");
        return tensor;
    }
}
