using System;

namespace Lowbit.Quantization.Grids;

/// <summary>
/// Weighted k-means on a line, exactly: the levels that minimise Σ_i g_i · (x_i − level)². In one dimension clusters are runs of
/// the sorted values, so the best k runs of the first n values follow from the best k − 1 runs of fewer (Fisher 1958); where
/// the last run begins only moves right as n grows, which halves the places to try at each division.
/// </summary>
/// <remarks>Cost: levels · n · log n. Lloyd's iteration, which the field uses, stops at local optima.</remarks>
internal sealed class OptimalLevels
{
    private readonly int _capacity;
    private readonly double[] _weights, _sums, _squares; // of the values before, with weights
    private double[] _previous, _current;
    private readonly int[,] _starts;

    /// <summary>Memory for up to <paramref name="capacity"/> values and <paramref name="levels"/> levels.</summary>
    public OptimalLevels(int capacity, int levels)
    {
        _capacity = capacity;
        _weights = new double[capacity + 1];
        _sums = new double[capacity + 1];
        _squares = new double[capacity + 1];
        _previous = new double[capacity + 1];
        _current = new double[capacity + 1];
        _starts = new int[levels, capacity + 1];
    }

    /// <summary>Finds the levels.</summary>
    /// <param name="values">Rising.</param>
    /// <param name="weights">Of the values, above zero.</param>
    /// <param name="levels">Rising; levels that are not needed repeat the last one.</param>
    /// <returns>The weighted squared error.</returns>
    public double Fit(ReadOnlySpan<float> values, ReadOnlySpan<double> weights, Span<float> levels)
    {
        int count = values.Length;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, _capacity);
        if (count == 0)
        {
            levels.Clear();
            return 0;
        }
        double origin = values[count / 2]; // the error of a run is a difference of sums; near zero it cancels least
        for (int i = 0; i < count; i++)
        {
            double x = values[i] - origin;
            _weights[i + 1] = _weights[i] + weights[i];
            _sums[i + 1] = _sums[i] + weights[i] * x;
            _squares[i + 1] = _squares[i] + weights[i] * x * x;
        }
        for (int n = 1; n <= count; n++) _current[n] = Error(0, n);
        for (int k = 1; k < levels.Length; k++)
        {
            (_previous, _current) = (_current, _previous);
            _previous[0] = 0;
            Divide(k, 1, count, 0, count - 1);
        }
        double error = _current[count];
        for (int k = levels.Length - 1, end = count; k >= 0; k--)
        {
            int start = k == 0 ? 0 : _starts[k, end];
            levels[k] = start == end ? float.NaN : (float)(origin + (_sums[end] - _sums[start]) / (_weights[end] - _weights[start]));
            end = start;
        }
        float last = values[^1]; // runs are empty only where there are fewer values than levels
        for (int k = levels.Length - 1; k >= 0; k--) last = levels[k] = float.IsNaN(levels[k]) ? last : levels[k];
        return error;
    }

    // The squared error of values start to end − 1 around their mean.
    private double Error(int start, int end)
    {
        double weight = _weights[end] - _weights[start], sum = _sums[end] - _sums[start];
        return weight <= 0 ? 0 : Math.Max(0, _squares[end] - _squares[start] - sum * sum / weight);
    }

    // The best first value of run k for the values before n, first ≤ n ≤ last, all of which lie within earliest … latest.
    private void Divide(int k, int first, int last, int earliest, int latest)
    {
        if (first > last) return;
        int middle = (first + last) / 2, best = earliest;
        double least = double.PositiveInfinity;
        for (int start = earliest; start <= Math.Min(latest, middle - 1); start++)
        {
            double error = _previous[start] + Error(start, middle);
            if (error >= least) continue;
            (least, best) = (error, start);
        }
        (_current[middle], _starts[k, middle]) = (least, best);
        Divide(k, first, middle - 1, earliest, best);
        Divide(k, middle + 1, last, best, latest);
    }
}
