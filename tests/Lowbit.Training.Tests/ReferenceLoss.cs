using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Training.Model;
using Lowbit.Training.Operators;

namespace Lowbit.Training.Tests;

/// <summary>
/// The loss of a model in float64, one number after the other: the definition that gradients are held against. Weights of
/// linears are taken after their forms.
/// </summary>
internal sealed unsafe class ReferenceLoss
{
    private readonly ModelConfig _config;
    private readonly int _sequences, _length;
    private readonly int[] _ids;

    private readonly Dropout _dropout;
    private int _sequence;

    public ReferenceLoss(TrainableModel model, int sequences, int length, int[] ids, Dropout dropout = default)
    {
        _dropout = dropout;
        _config = model.Config;
        (_sequences, _length, _ids) = (sequences, length, ids);
        Dictionary<string, nint> effective = model.Linears.ToDictionary(linear => linear.Weight.Name, linear => (nint)linear.Effective);
        foreach (Parameter parameter in model.Parameters)
        {
            float* values = effective.TryGetValue(parameter.Name, out nint other) ? (float*)other : parameter.Value.Floats;
            Tensors[parameter.Name] = [.. Enumerable.Range(0, (int)parameter.Count).Select(i => (double)values[i])];
        }
    }

    /// <summary>All tensors by name; a test may change them.</summary>
    public Dictionary<string, double[]> Tensors { get; } = [];

    public double Compute()
    {
        double loss = 0;
        for (int s = 0; s < _sequences; s++) loss += Sequence(s);
        return loss / (_sequences * (_length - 1));
    }

    private double Sequence(int sequence)
    {
        _sequence = sequence;
        ReadOnlySpan<int> ids = _ids.AsSpan(sequence * _length, _length);
        TensorNames names = _config.Names;
        int width = _config.EmbeddingDim;
        double[] embedding = Tensors[names.Embedding + ".weight"];
        double[][] hidden = new double[ids.Length][];
        for (int t = 0; t < ids.Length; t++) hidden[t] = embedding[(ids[t] * width)..((ids[t] + 1) * width)];
        if (width != _config.ModelDim) hidden = Linear(names.ProjectIn!, hidden);
        if (_config.LearnedPositions)
        {
            double[] positions = Tensors[names.Positions + ".weight"];
            for (int t = 0; t < hidden.Length; t++)
                hidden[t] = [.. hidden[t].Select((x, i) => x + positions[(t + _config.PositionOffset) * _config.ModelDim + i])];
        }
        if (_config.ModelType != "opt") hidden = Dropped(Dropout.Embedding, hidden);
        for (int b = 0; b < _config.BlockCount; b++) hidden = Block(b, hidden);
        if (_config.FinalNorm) hidden = Norm(names.FinalNorm, hidden);
        if (width != _config.ModelDim) hidden = Linear(names.ProjectOut!, hidden);
        double[] head = Tensors[(_config.TiedEmbedding ? names.Embedding : names.Head) + ".weight"];
        double loss = 0;
        for (int t = 0; t + 1 < ids.Length; t++)
        {
            double[] logits = Product(head, hidden[t]);
            double max = logits.Max();
            loss += max + Math.Log(logits.Sum(x => Math.Exp(x - max))) - logits[ids[t + 1]];
        }
        return loss;
    }

    private double[][] Block(int block, double[][] x)
    {
        TensorNames names = _config.Names;
        string attentionNorm = names.InBlock(block, names.AttentionNorm), ffnNorm = names.InBlock(block, names.FfnNorm);
        if (!_config.NormBefore)
        {
            double[][] middle = Norm(attentionNorm, Sum(x, Attention(block, x)));
            return Norm(ffnNorm, Sum(middle, FeedForward(block, middle)));
        }
        double[][] after = Sum(x, Attention(block, Norm(attentionNorm, x)));
        return Sum(after, FeedForward(block, Norm(ffnNorm, _config.ParallelResidual ? x : after)));
    }

    private double[][] Attention(int block, double[][] x)
    {
        TensorNames names = _config.Names;
        int heads = _config.Heads, kvHeads = _config.KvHeads, dim = _config.HeadDim, window = _config.Window(block);
        string Name(string part) => names.InBlock(block, part);
        double[][] query, key, value;
        if (_config.Fused == FusedOrder.Separate) (query, key, value) = (Linear(Name(names.Query), x), Linear(Name(names.Key), x), Linear(Name(names.Value), x));
        else
        {
            double[][] fused = Linear(Name(names.Fused!), x);
            double[][] Part(int part) => [.. fused.Select(row => Enumerable.Range(0, heads * dim).Select(i => _config.Fused == FusedOrder.Thirds
                ? row[part * heads * dim + i] : row[i / dim * 3 * dim + part * dim + i % dim]).ToArray())];
            (query, key, value) = (Part(0), Part(1), Part(2));
        }
        if (_config.QueryKeyNorm) (query, key) = (HeadNorm(Name(names.QueryNorm!), query), HeadNorm(Name(names.KeyNorm!), key));
        if (_config.Rotates(block)) (query, key) = (Rotated(query), Rotated(key));
        double[][] output = new double[x.Length][];
        for (int t = 0; t < x.Length; t++)
        {
            output[t] = new double[heads * dim];
            for (int h = 0; h < heads; h++)
            {
                int kv = h / (heads / kvHeads), first = window == 0 ? 0 : Math.Max(0, t - window + 1);
                double[] scores = [.. Enumerable.Range(first, t - first + 1).Select(u => Enumerable.Range(0, dim).Sum(i => query[t][h * dim + i] * key[u][kv * dim + i]) / Math.Sqrt(dim))];
                double max = scores.Max(), sum = scores.Sum(s => Math.Exp(s - max));
                for (int u = first; u <= t; u++)
                {
                    double p = Math.Exp(scores[u - first] - max) / sum;
                    if (_dropout.IsOn) p *= _dropout.Factor(Dropout.Place(block, Dropout.Probabilities), ((long)(_sequence * heads + h) * _length + t) * _length + u);
                    for (int i = 0; i < dim; i++) output[t][h * dim + i] += p * value[u][kv * dim + i];
                }
            }
        }
        return Dropped(Dropout.Place(block, Dropout.Attention), Linear(Name(names.AttentionOutput), _config.SubNorms ? Norm(Name(names.AttentionSubNorm!), output) : output));
    }

    private double[][] FeedForward(int block, double[][] x)
    {
        TensorNames names = _config.Names;
        double[][] inner = Linear(names.InBlock(block, names.Up), x);
        double[][]? gate = _config.Gated ? Linear(names.InBlock(block, names.Gate!), x) : null;
        double[][] product = [.. inner.Select((row, t) => row.Select((value, i) => gate is null ? Activation(value) : Activation(gate[t][i]) * value).ToArray())];
        return Dropped(Dropout.Place(block, Dropout.FeedForward), Linear(names.InBlock(block, names.Down), _config.SubNorms ? Norm(names.InBlock(block, names.FfnSubNorm!), product) : product));
    }

    private double[][] Dropped(int place, double[][] rows) => !_dropout.IsOn ? rows
        : [.. rows.Select((row, t) => row.Select((value, i) => value * _dropout.Factor(place, ((long)_sequence * _length + t) * row.Length + i)).ToArray())];

    private double Activation(double x) => _config.Activation switch
    {
        NonlinearityKind.Silu => x / (1 + Math.Exp(-x)),
        NonlinearityKind.Gelu => x * 0.5 * (1 + Erf(x / Math.Sqrt(2))),
        NonlinearityKind.GeluTanh => x * 0.5 * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
        NonlinearityKind.Relu => Math.Max(x, 0),
        _ => Math.Max(x, 0) * Math.Max(x, 0),
    };

    // The Taylor series of erf, good to 1e-12 for |x| below 4.
    private static double Erf(double x)
    {
        double term = x, sum = x;
        for (int n = 1; n < 120; n++)
        {
            term *= -x * x / n;
            sum += term / (2 * n + 1);
        }
        return 2 / Math.Sqrt(Math.PI) * sum;
    }

    private double[][] Rotated(double[][] rows)
    {
        RopeConfig rope = _config.Rope!;
        float[] frequencies = rope.Frequencies();
        int half = rope.Dim / 2;
        double[][] turned = [.. rows.Select(row => (double[])row.Clone())];
        for (int t = 0; t < rows.Length; t++)
        {
            for (int head = 0; head < rows[t].Length; head += _config.HeadDim)
            {
                for (int i = 0; i < half; i++)
                {
                    double angle = (float)(t * frequencies[i]), cos = Math.Cos(angle) * rope.Amplitude, sin = Math.Sin(angle) * rope.Amplitude;
                    (int a, int b) = rope.Interleaved ? (head + 2 * i, head + 2 * i + 1) : (head + i, head + half + i);
                    turned[t][a] = rows[t][a] * cos - rows[t][b] * sin;
                    turned[t][b] = rows[t][a] * sin + rows[t][b] * cos;
                }
            }
        }
        return turned;
    }

    private double[][] HeadNorm(string name, double[][] rows) =>
        [.. rows.Select(row => row.Chunk(_config.HeadDim).SelectMany(head => Norm(name, [head])[0]).ToArray())];

    private double[][] Norm(string name, double[][] rows)
    {
        double[] weight = Tensors[name + ".weight"];
        double[]? bias = Tensors.GetValueOrDefault(name + ".bias");
        return [.. rows.Select(row =>
        {
            double mean = _config.Norm == NormKind.Layer ? row.Average() : 0;
            double deviation = Math.Sqrt(row.Average(x => (x - mean) * (x - mean)) + _config.NormEpsilon);
            return row.Select((x, i) => (x - mean) / deviation * weight[i] + (bias?[i] ?? 0)).ToArray();
        })];
    }

    private double[][] Linear(string name, double[][] rows)
    {
        double[] weight = Tensors[name + ".weight"];
        double[]? bias = Tensors.GetValueOrDefault(name + ".bias");
        return [.. rows.Select(row => Product(weight, row).Select((y, i) => y + (bias?[i] ?? 0)).ToArray())];
    }

    private static double[] Product(double[] weight, double[] x)
    {
        double[] y = new double[weight.Length / x.Length];
        for (int r = 0; r < y.Length; r++)
        {
            double sum = 0;
            for (int i = 0; i < x.Length; i++) sum += weight[r * x.Length + i] * x[i];
            y[r] = sum;
        }
        return y;
    }

    private static double[][] Sum(double[][] x, double[][] y) => [.. x.Select((row, t) => row.Select((value, i) => value + y[t][i]).ToArray())];
}
