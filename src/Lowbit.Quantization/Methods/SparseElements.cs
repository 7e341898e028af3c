using System.Collections.Generic;
using Lowbit.Kernels;
using Lowbit.Kernels.Composite;

namespace Lowbit.Quantization.Methods;

/// <summary>Single weights in half precision beside a quantized rest: SpQR and SqueezeLLM.</summary>
internal static class SparseElements
{
    /// <summary>Collects the marked elements.</summary>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="marked">[rows, columns].</param>
    /// <param name="values">[rows, columns], numbers that half precision holds exactly where marked.</param>
    public static SparseCodes Of(int rows, int columns, bool[] marked, float[] values)
    {
        var rowStarts = new int[rows + 1];
        List<int> indices = [];
        List<float> found = [];
        for (int i = 0; i < marked.Length; i++)
        {
            if (marked[i])
            {
                indices.Add(i % columns);
                found.Add(values[i]);
            }
            if (i % columns == columns - 1) rowStarts[i / columns + 1] = indices.Count;
        }
        return new SparseCodes(rows, columns, rowStarts, [.. indices], [.. found]);
    }

    /// <summary>The sum of both; without elements the rest alone.</summary>
    public static MatrixCodes Beside(MatrixCodes rest, SparseCodes sparse) => sparse.Values.Length == 0 ? rest
        : new CompositeCodes(rest.Rows, rest.Columns, [new CompositeTerm(new WholeInput(), rest), new CompositeTerm(new WholeInput(), sparse)]);
}
