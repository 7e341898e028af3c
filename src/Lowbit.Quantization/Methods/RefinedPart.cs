using System;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// The weights of a row that share mean and scales in ARB-LLM (ArbLlm.cs), and their alternating refinement:
/// ŵ = m + Σ_o α_o b_o with one or two signs b_o. Given the signs, m and α_o are improved one after the other, each by its
/// best value; given m and α_o, the signs are those of the nearest level. The error never rises.
/// </summary>
/// <param name="width">Columns of the block.</param>
/// <param name="iterations">Rounds of refinement.</param>
/// <param name="inputs">With it, further rounds for m and α against the inputs, signs fixed (ARB-X).</param>
/// <param name="start">First column of the block.</param>
internal sealed unsafe class RefinedPart(int width, int iterations, Hessian? inputs, int start)
{
    private readonly float[] _weights = new float[width];
    private readonly int[] _columns = new int[width];
    private readonly byte[] _codes = new byte[width];
    private readonly float[] _levels = new float[4];
    private int _count, _orders;

    // What multiplies m and the α_o, b_0 = 1 for m: their products with each other and with w, and m and α_o themselves.
    private readonly double[,] _products = new double[3, 3];
    private readonly double[] _targets = new double[3], _parameters = new double[3];

    /// <summary>Of the weights taken, in their order: a sign or, of twice binarized ones, 2 · sign + second sign.</summary>
    public ReadOnlySpan<byte> Codes => _codes.AsSpan(0, _count);

    /// <summary>m and the α_o.</summary>
    public ReadOnlySpan<double> Parameters => _parameters;

    /// <summary>Columns of the weights taken, within the block.</summary>
    public ReadOnlySpan<int> Columns => _columns.AsSpan(0, _count);

    /// <summary>Takes the weights of a row that belong to a part.</summary>
    /// <param name="weights">First weight of the row; the next is <paramref name="stride"/> behind.</param>
    /// <param name="scores">Their scores, in the same layout.</param>
    /// <param name="stride">Elements from one column to the next.</param>
    /// <param name="columns">Which columns, within the block.</param>
    /// <param name="breakPoint">What parts sparse from concentrated scores.</param>
    /// <param name="sparse">Which of the two to take.</param>
    public void Take(float* weights, float* scores, int stride, int[] columns, float breakPoint, bool sparse)
    {
        _count = 0;
        foreach (int j in columns)
        {
            if (MathF.Abs(scores[(long)j * stride]) >= breakPoint != sparse) continue;
            _weights[_count] = weights[(long)j * stride];
            _columns[_count++] = j;
        }
    }

    /// <summary>Binarizes and refines.</summary>
    /// <param name="levels">[2^orders], the level of every code; zeros where nothing was taken.</param>
    /// <param name="orders">Signs of a weight, 1 or 2.</param>
    public void Binarize(Span<float> levels, int orders)
    {
        levels.Clear();
        Array.Clear(_parameters);
        if (_count == 0) return;
        _orders = orders;
        Begin();
        for (int i = 0; i < iterations; i++)
        {
            CorrelateWeights();
            Improve();
            ChooseSigns();
        }
        if (inputs is not null)
        {
            CorrelateOutputs();
            for (int i = 0; i < iterations; i++) Improve();
        }
        for (int code = 0; code < 1 << _orders; code++) levels[code] = Level(code);
    }

    // m = mean w, α = mean |w − m|, b = sign(w − m), and once more for what is left.
    private void Begin()
    {
        Span<float> left = stackalloc float[_count];
        _weights.AsSpan(0, _count).CopyTo(left);
        _codes.AsSpan(0, _count).Clear();
        for (int o = 1; o <= _orders; o++)
        {
            double sum = 0, deviation = 0;
            foreach (float x in left) sum += x;
            float mean = (float)(sum / _count);
            foreach (float x in left) deviation += MathF.Abs(x - mean);
            float scale = (float)(deviation / _count);
            for (int i = 0; i < _count; i++)
            {
                int sign = left[i] >= mean ? 1 : 0;
                left[i] -= sign == 1 ? scale + mean : mean - scale;
                _codes[i] = (byte)(2 * _codes[i] + sign);
            }
            _parameters[0] += mean;
            _parameters[o] = scale;
        }
    }

    private float Level(int code)
    {
        double level = _parameters[0];
        for (int o = 1; o <= _orders; o++) level += Sign(code, o) * _parameters[o];
        return (float)level;
    }

    private int Sign(int code, int order) => order == 0 ? 1 : 2 * (code >> (_orders - order) & 1) - 1;

    private void ChooseSigns()
    {
        int count = 1 << _orders;
        for (int code = 0; code < count; code++) _levels[code] = Level(code);
        for (int i = 0; i < _count; i++)
        {
            int best = 0;
            for (int code = 1; code < count; code++)
                if (MathF.Abs(_levels[code] - _weights[i]) <= MathF.Abs(_levels[best] - _weights[i])) best = code;
            _codes[i] = (byte)best;
        }
    }

    // m and every α in turn, each the zero of the derivative of the error by it.
    private void Improve()
    {
        for (int k = 0; k <= _orders; k++)
        {
            if (_products[k, k] <= 0) continue;
            double rest = _targets[k];
            for (int l = 0; l <= _orders; l++)
                if (l != k) rest -= _products[k, l] * _parameters[l];
            _parameters[k] = rest / _products[k, k];
        }
    }

    // For Σ (w − ŵ)².
    private void CorrelateWeights()
    {
        for (int k = 0; k <= _orders; k++)
        {
            double target = 0;
            for (int i = 0; i < _count; i++) target += Sign(_codes[i], k) * (double)_weights[i];
            _targets[k] = target;
            for (int l = k; l <= _orders; l++)
            {
                int product = 0;
                for (int i = 0; i < _count; i++) product += Sign(_codes[i], k) * Sign(_codes[i], l);
                _products[k, l] = _products[l, k] = product;
            }
        }
    }

    // For (w − ŵ) S (w − ŵ)ᵀ, weights of other parts as zeros.
    private void CorrelateOutputs()
    {
        Span<float> signs = stackalloc float[(_orders + 1) * width], image = stackalloc float[width];
        signs.Clear();
        for (int k = 0; k <= _orders; k++)
            for (int i = 0; i < _count; i++) signs[k * width + _columns[i]] = Sign(_codes[i], k);
        for (int k = 0; k <= _orders; k++)
        {
            image.Clear();
            for (int i = 0; i < _count; i++)
            {
                int j = _columns[i];
                Vectors.Add(inputs!.Values + (long)(start + j) * inputs.Features + start, signs[k * width + j], image);
            }
            double target = 0;
            for (int i = 0; i < _count; i++) target += (double)image[_columns[i]] * _weights[i];
            _targets[k] = target;
            for (int l = 0; l <= k; l++)
            {
                double product = 0;
                for (int i = 0; i < _count; i++) product += (double)image[_columns[i]] * signs[l * width + _columns[i]];
                _products[k, l] = _products[l, k] = product;
            }
        }
    }
}
