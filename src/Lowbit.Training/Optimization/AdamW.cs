// AdamW: Decoupled Weight Decay Regularization
// Loshchilov, Hutter; arXiv 1711.05101, algorithm 2.
//
//   m ← β1 m + (1 − β1) g,   v ← β2 v + (1 − β2) g²
//   w ← w − η λ w − η · (m / (1 − β1ᵗ)) / (√(v / (1 − β2ᵗ)) + ε)
//
// Order of the operations as in PyTorch: decay first, and √v is divided by √(1 − β2ᵗ) before ε is added.

using System;
using System.Collections.Generic;
using System.Numerics;
using Lowbit.Core;
using Lowbit.Training.Model;

namespace Lowbit.Training.Optimization;

/// <summary>Settings of <see cref="AdamW"/>.</summary>
public sealed record AdamWOptions
{
    /// <summary>Share of the running mean of gradients that stays.</summary>
    public float Beta1 { get; init; } = 0.9f;

    /// <summary>Share of the running mean of squared gradients that stays.</summary>
    public float Beta2 { get; init; } = 0.999f;

    /// <summary>Added to the root.</summary>
    public float Epsilon { get; init; } = 1e-8f;

    /// <summary>Decoupled weight decay, applied to all parameters.</summary>
    public float WeightDecay { get; init; }

    /// <summary>Whether the running means are kept in eight bits instead of float32.</summary>
    public bool EightBit { get; init; }
}

/// <summary>Two running means for every trained number, and the step that they give.</summary>
public sealed unsafe class AdamW : IDisposable
{
    private readonly WorkerPool _pool;
    private readonly AdamWOptions _options;

    /// <summary>Allocates the means, all zero.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="parameters">What is trained; each has a gradient.</param>
    /// <param name="options">Settings.</param>
    public AdamW(WorkerPool pool, IReadOnlyList<Parameter> parameters, AdamWOptions options)
    {
        _pool = pool;
        _options = options;
        Parameters = parameters;
        Means = new RunningMeans[parameters.Count];
        Squares = new RunningMeans[parameters.Count];
        for (int i = 0; i < parameters.Count; i++)
        {
            Means[i] = new RunningMeans(parameters[i].Count, options.EightBit, signed: true);
            Squares[i] = new RunningMeans(parameters[i].Count, options.EightBit, signed: false);
        }
    }

    /// <summary>What is trained.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Running means of the gradients, parameter by parameter.</summary>
    internal RunningMeans[] Means { get; }

    /// <summary>Running means of the squared gradients, parameter by parameter.</summary>
    internal RunningMeans[] Squares { get; }

    /// <summary>Changes all parameters by their gradients.</summary>
    /// <param name="step">Number of the step, from 1.</param>
    /// <param name="learningRate">η.</param>
    /// <param name="gradientScale">Factor of all gradients, from clipping.</param>
    public void Step(int step, double learningRate, float gradientScale)
    {
        double correction1 = 1 - Math.Pow(_options.Beta1, step), correction2 = 1 - Math.Pow(_options.Beta2, step);
        for (int i = 0; i < Parameters.Count; i++)
        {
            Parameter parameter = Parameters[i];
            Work work = new()
            {
                Value = parameter.Value.Floats,
                Gradient = parameter.Gradient!.Floats,
                Means = Means[i],
                Squares = Squares[i],
                Count = parameter.Count,
                Beta1 = _options.Beta1,
                Beta2 = _options.Beta2,
                Epsilon = _options.Epsilon,
                GradientScale = gradientScale,
                Decay = (float)(1 - learningRate * _options.WeightDecay),
                Rate = (float)(learningRate / correction1),
                Root2 = (float)Math.Sqrt(correction2),
            };
            _pool.Run(ref work, checked((int)((parameter.Count + RunningMeans.Block - 1) / RunningMeans.Block)), Work.Blocks);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (RunningMeans mean in Means) mean.Dispose();
        foreach (RunningMeans square in Squares) square.Dispose();
    }

    private struct Work : IParallelWork
    {
        public const int Blocks = 32;

        public float* Value, Gradient;
        public RunningMeans Means, Squares;
        public long Count;
        public float Beta1, Beta2, Epsilon, GradientScale, Decay, Rate, Root2;

        public readonly void Execute(int start, int end)
        {
            float* scratch = stackalloc float[2 * RunningMeans.Block];
            for (int block = start; block < end; block++)
            {
                long first = (long)block * RunningMeans.Block;
                float* mean = Means.Read(block, scratch), square = Squares.Read(block, scratch + RunningMeans.Block);
                Change(Value + first, Gradient + first, mean, square, (int)Math.Min(RunningMeans.Block, Count - first));
                Means.Write(block, mean);
                Squares.Write(block, square);
            }
        }

        private readonly void Change(float* values, float* gradients, float* means, float* squares, int count)
        {
            int i = 0;
            for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            {
                Vector<float> gradient = Vector.Load(gradients + i) * GradientScale;
                Vector<float> mean = Vector.Load(means + i) * Beta1 + gradient * (1 - Beta1);
                Vector<float> square = Vector.Load(squares + i) * Beta2 + gradient * gradient * (1 - Beta2);
                mean.Store(means + i);
                square.Store(squares + i);
                Vector<float> divisor = Vector.SquareRoot(square) / new Vector<float>(Root2) + new Vector<float>(Epsilon);
                (Vector.Load(values + i) * Decay - mean * Rate / divisor).Store(values + i);
            }
            for (; i < count; i++)
            {
                float gradient = gradients[i] * GradientScale;
                means[i] = means[i] * Beta1 + gradient * (1 - Beta1);
                squares[i] = squares[i] * Beta2 + gradient * gradient * (1 - Beta2);
                values[i] = values[i] * Decay - means[i] * Rate / (MathF.Sqrt(squares[i]) / Root2 + Epsilon);
            }
        }
    }
}
