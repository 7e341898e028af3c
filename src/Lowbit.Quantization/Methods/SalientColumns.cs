using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// What salient columns have beyond the others, collected block by block: their second binarization. Together it is one
/// term of a sum. Blocks differ in how many columns are salient, groups of a codebook do not: blocks with fewer than the
/// most take some of their other columns along, times 0.
/// </summary>
/// <param name="rows">Rows of the matrix.</param>
internal sealed class SalientColumns(int rows)
{
    private readonly List<(int Start, int Width, int[] Columns, float[] Factors, CodebookCodes Codes)> _blocks = [];

    /// <summary>Salient columns so far.</summary>
    public int Count { get; private set; }

    /// <summary>Adds a block.</summary>
    /// <param name="start">First column of the block.</param>
    /// <param name="width">Columns of the block.</param>
    /// <param name="columns">The salient ones within the block, rising; there may be none.</param>
    /// <param name="factors">Of the inputs of these.</param>
    /// <param name="codes">Two bits, one group.</param>
    public void Add(int start, int width, int[] columns, float[] factors, CodebookCodes codes)
    {
        _blocks.Add((start, width, columns, factors, codes));
        Count += columns.Length;
    }

    /// <summary>All blocks as one term; null where no column is salient.</summary>
    /// <param name="haarOutput">Whether rows are sums and differences of neighbours.</param>
    public CompositeTerm? Term(bool haarOutput)
    {
        int most = _blocks.Max(block => block.Columns.Length);
        if (most == 0) return null;
        List<int> selected = [];
        List<float> factors = [];
        foreach ((int start, int width, int[] columns, float[] columnFactors, _) in _blocks)
        {
            IEnumerable<int> others = Enumerable.Range(0, width).Except(columns).Take(most - columns.Length);
            foreach (int j in columns.Concat(others).Order())
            {
                int i = Array.IndexOf(columns, j);
                selected.Add(start + j);
                factors.Add(i < 0 ? 0 : columnFactors[i]);
            }
        }
        var codes = new CodebookCodes(rows, selected.Count, 2, most);
        for (int b = 0, first = 0; b < _blocks.Count; first += Math.Min(most, _blocks[b++].Width))
        {
            (int start, _, int[] columns, _, CodebookCodes own) = _blocks[b];
            int[] places = Array.ConvertAll(columns, j => selected.IndexOf(start + j, first));
            for (int r = 0; r < rows; r++)
            {
                own.Levels.AsSpan(4 * r, 4).CopyTo(codes.Levels.AsSpan((int)codes.Codebook(r, first), 4));
                for (int i = 0; i < places.Length; i++) codes.Codes[r * codes.Columns + places[i]] = own.Codes[r * own.Columns + i];
            }
        }
        return new CompositeTerm(new SelectedScaledInput([.. selected], [.. factors]), codes, haarOutput);
    }
}
