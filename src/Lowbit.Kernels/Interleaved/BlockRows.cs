using Lowbit.Core;

namespace Lowbit.Kernels.Interleaved;

/// <summary>The rows that are interleaved, as blocks of a format.</summary>
/// <param name="name">Name of the matrix, for messages.</param>
/// <param name="rows">Rows.</param>
/// <param name="columns">Columns.</param>
internal abstract unsafe class BlockRows(string name, int rows, int columns)
{
    public string Name { get; } = name;

    public int Rows { get; } = rows;

    public int Columns { get; } = columns;

    /// <summary>What all products are multiplied with in the end.</summary>
    public virtual float Factor => 1;

    /// <summary>Chunks that share their factors.</summary>
    public virtual int ChunksOfFactors => 1;

    /// <summary>The blocks of a row: where they lie, or in <paramref name="scratch"/>.</summary>
    /// <param name="row">The row.</param>
    /// <param name="scratch">Has room for them.</param>
    public abstract byte* Row(int row, byte* scratch);

    /// <summary>Gives the pages back that the first rows came from.</summary>
    public abstract void Release(int rows);
}

/// <summary>The rows of a tensor of one of ggml's formats, as they lie.</summary>
internal sealed unsafe class TensorRows(Tensor tensor) : BlockRows(tensor.Name, (int)tensor.Rows, (int)tensor.Columns)
{
    public override byte* Row(int row, byte* scratch) => tensor.Pointer + row * tensor.RowBytes;

    public override void Release(int rows) => tensor.ReleasePages(rows);
}
