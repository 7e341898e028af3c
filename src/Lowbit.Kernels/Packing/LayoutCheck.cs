using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>Says which number of a packed layout, as a file gives it, cannot be.</summary>
internal readonly struct LayoutCheck
{
    private const int Most = 1 << 30;

    private readonly string _name, _layout;

    /// <summary>Checks the shape, which all layouts have.</summary>
    /// <param name="name">Name of the matrix.</param>
    /// <param name="layout">Name of the layout: "uniform layout".</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <exception cref="LowbitException">No matrix has this shape.</exception>
    public LayoutCheck(string name, string layout, int rows, int columns)
    {
        _name = name;
        _layout = layout;
        Require(rows is > 0 and <= Most, "Rows", rows, "1 to 2^30");
        Require(columns is > 0 and <= Most, "Columns", columns, "1 to 2^30");
    }

    /// <summary>Checks one more number.</summary>
    /// <exception cref="LowbitException">The condition does not hold.</exception>
    public void Require(bool holds, string what, object found, string expected)
    {
        if (!holds) throw new LowbitException($"{_name}: {what} of the {_layout} is {found}, expected {expected}; the file is damaged or written by another version.");
    }
}
