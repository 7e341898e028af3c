using System;
using Lowbit.Core;

namespace Lowbit.Inference;

/// <summary>
/// Draws tokens. Nothing is sorted and nothing is allocated for a token: the most probable ones are found by selection
/// (Hoare's quickselect) in time proportional to the vocabulary. Of equal tokens the one with the lower id comes first.
/// </summary>
public sealed class Sampler
{
    private readonly SamplingOptions _options;
    private readonly int[] _ids;         // candidates
    private readonly double[] _weights;  // their probabilities, up to a factor
    private SplitMix64 _random;

    /// <summary>Allocates for a vocabulary.</summary>
    /// <param name="options">How to draw.</param>
    /// <param name="vocabulary">Most logits of a call.</param>
    /// <exception cref="LowbitException">An option is out of its range.</exception>
    public Sampler(SamplingOptions options, int vocabulary)
    {
        Require(options.Temperature >= 0 && double.IsFinite(options.Temperature), "temperature", options.Temperature, "a number of at least 0");
        Require(options.TopK >= 0, "top-k", options.TopK, "a number of at least 0");
        Require(options.TopP is > 0 and <= 1, "top-p", options.TopP, "above 0 and at most 1");
        Require(options.MinP is >= 0 and <= 1, "min-p", options.MinP, "from 0 to 1");
        _options = options;
        _random = new SplitMix64(options.Seed);
        bool greedy = options.Temperature == 0;
        _ids = greedy ? [] : new int[vocabulary];
        _weights = greedy ? [] : new double[vocabulary];
    }

    /// <summary>Draws the next token.</summary>
    /// <param name="logits">[vocabulary]; minus infinity forbids a token.</param>
    /// <returns>Its id.</returns>
    /// <exception cref="LowbitException">The best logit is no finite number.</exception>
    public int Sample(ReadOnlySpan<float> logits)
    {
        int best = ArgMax(logits);
        if (_options.Temperature == 0) return best;

        double inverseTemperature = 1 / _options.Temperature;
        int count = 0;
        for (int id = 0; id < logits.Length; id++)
        {
            _ids[count] = id;
            _weights[count] = Math.Exp((logits[id] - (double)logits[best]) * inverseTemperature);
            if (_weights[count] > 0) count++;
        }
        if (_options.TopK > 0 && _options.TopK < count) count = SelectCount(count, _options.TopK);
        if (_options.TopP < 1) count = SelectMass(count, _options.TopP);
        if (_options.MinP > 0) count = KeepAtLeast(count, _options.MinP); // the best token weighs 1
        return Draw(count);
    }

    /// <summary>The token with the largest logit; of equal ones the first.</summary>
    /// <exception cref="LowbitException">A logit is not a number, or none is finite.</exception>
    public static int ArgMax(ReadOnlySpan<float> logits)
    {
        int best = 0;
        bool isNumber = true;
        for (int i = 0; i < logits.Length; i++)
        {
            isNumber &= !float.IsNaN(logits[i]);
            if (logits[i] > logits[best]) best = i;
        }
        if (!isNumber || logits.IsEmpty || !float.IsFinite(logits[best]))
            throw new LowbitException("the model's output is no finite number, so no token can be chosen; the weights are damaged or were quantized too far, and `lowbit inspect` shows how they are stored.");
        return best;
    }

    // Moves the k heaviest of the first count candidates to the front.
    private int SelectCount(int count, int k)
    {
        int low = 0, high = count;
        while (high - low > 1)
        {
            int pivot = Partition(low, high);
            if (pivot == k) break;
            if (pivot > k) high = pivot;
            else low = pivot + 1;
        }
        return k;
    }

    // Moves the fewest candidates that hold the share of the whole weight to the front; returns how many they are.
    private int SelectMass(int count, double share)
    {
        double wanted = share * Sum(0, count), kept = 0;
        int low = 0, high = count;
        while (low < high)
        {
            int pivot = Partition(low, high);
            double heavier = Sum(low, pivot);
            if (kept + heavier >= wanted) high = pivot;
            else
            {
                kept += heavier + _weights[pivot];
                low = pivot + 1;
                if (kept >= wanted) break;
            }
        }
        return low == 0 ? 1 : low;
    }

    private int KeepAtLeast(int count, double weight)
    {
        int kept = 0;
        for (int i = 0; i < count; i++)
        {
            if (_weights[i] >= weight) Swap(i, kept++);
        }
        return kept;
    }

    private int Draw(int count)
    {
        double target = _random.NextDouble() * Sum(0, count);
        for (int i = 0; i < count - 1; i++)
        {
            target -= _weights[i];
            if (target < 0) return _ids[i];
        }
        return _ids[count - 1];
    }

    // Brings what is heavier than a pivot before it, what is lighter behind it, and returns where the pivot came to lie.
    private int Partition(int low, int high)
    {
        int middle = low + (high - low) / 2, last = high - 1;
        if (Before(middle, low)) Swap(middle, low);
        if (Before(last, low)) Swap(last, low);
        if (Before(last, middle)) Swap(last, middle); // the median of three lies in the middle
        Swap(middle, last);
        int front = low;
        for (int i = low; i < last; i++)
        {
            if (Before(i, last)) Swap(i, front++);
        }
        Swap(front, last);
        return front;
    }

    private bool Before(int a, int b) => _weights[a] > _weights[b] || (_weights[a] == _weights[b] && _ids[a] < _ids[b]);

    private void Swap(int a, int b)
    {
        (_ids[a], _ids[b]) = (_ids[b], _ids[a]);
        (_weights[a], _weights[b]) = (_weights[b], _weights[a]);
    }

    private double Sum(int low, int high)
    {
        double sum = 0;
        for (int i = low; i < high; i++) sum += _weights[i];
        return sum;
    }

    private static void Require(bool holds, string option, double found, string expected)
    {
        if (!holds) throw new LowbitException(FormattableString.Invariant($"{option} is {found}, but must be {expected}."));
    }
}
