using System;
using System.Collections.Immutable;
using Lowbit.Core;

namespace Lowbit.Training.Model;

/// <summary>A tensor of the model in float32 and, where it is trained, the gradient of the loss by it.</summary>
public sealed unsafe class Parameter : IDisposable
{
    /// <summary>Allocates a tensor of zeros that is not trained.</summary>
    /// <param name="name">Full name in the file.</param>
    /// <param name="shape">[features], or [outFeatures, inFeatures].</param>
    public Parameter(string name, params ReadOnlySpan<int> shape) : this(name, shape, hasValues: true) { }

    private Parameter(string name, ReadOnlySpan<int> shape, bool hasValues)
    {
        Name = name;
        Shape = [.. shape];
        Rows = shape.Length == 1 ? 1 : shape[0];
        Columns = shape[^1];
        Value = new NativeBuffer(hasValues ? Count * sizeof(float) : 0);
    }

    /// <summary>Name and shape of a tensor whose numbers lie elsewhere.</summary>
    internal static Parameter WithoutValues(string name, params ReadOnlySpan<int> shape) => new(name, shape, hasValues: false);

    /// <summary>Full name in the file.</summary>
    public string Name { get; }

    /// <summary>Dimensions, slowest first.</summary>
    public ImmutableArray<int> Shape { get; }

    /// <summary>Rows of the matrix; 1 for a vector.</summary>
    public int Rows { get; }

    /// <summary>Elements of a row.</summary>
    public int Columns { get; }

    /// <summary>Elements in all.</summary>
    public long Count => (long)Rows * Columns;

    /// <summary>The numbers, row after row.</summary>
    public NativeBuffer Value { get; }

    /// <summary>The gradient of the loss, of the same layout; null where the tensor is not trained.</summary>
    public NativeBuffer? Gradient { get; private set; }

    /// <summary>Whether the tensor is trained. Setting it allocates or frees the gradient.</summary>
    public bool Trainable
    {
        get => Gradient is not null;
        set
        {
            if (value == Trainable) return;
            Gradient?.Dispose();
            Gradient = value ? new NativeBuffer(Count * sizeof(float)) : null;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Value.Dispose();
        Gradient?.Dispose();
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Name} [{string.Join(", ", Shape)}]";
}
