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
        Means = new NativeBuffer[parameters.Count];
        Squares = new NativeBuffer[parameters.Count];
        for (int i = 0; i < parameters.Count; i++)
        {
            Means[i] = new NativeBuffer(parameters[i].Count * sizeof(float));
            Squares[i] = new NativeBuffer(parameters[i].Count * sizeof(float));
        }
    }

    /// <summary>What is trained.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Running means of the gradients, parameter by parameter.</summary>
    public NativeBuffer[] Means { get; }

    /// <summary>Running means of the squared gradients, parameter by parameter.</summary>
    public NativeBuffer[] Squares { get; }

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
                Mean = Means[i].Floats,
                Square = Squares[i].Floats,
                Count = parameter.Count,
                Beta1 = _options.Beta1,
                Beta2 = _options.Beta2,
                Epsilon = _options.Epsilon,
                GradientScale = gradientScale,
                Decay = (float)(1 - learningRate * _options.WeightDecay),
                Rate = (float)(learningRate / correction1),
                Root2 = (float)Math.Sqrt(correction2),
            };
            _pool.Run(ref work, checked((int)((parameter.Count + Work.Piece - 1) / Work.Piece)), 1);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (NativeBuffer mean in Means) mean.Dispose();
        foreach (NativeBuffer square in Squares) square.Dispose();
    }

    private struct Work : IParallelWork
    {
        public const int Piece = 8192;

        public float* Value, Gradient, Mean, Square;
        public long Count;
        public float Beta1, Beta2, Epsilon, GradientScale, Decay, Rate, Root2;

        public readonly void Execute(int start, int end)
        {
            long i = (long)start * Piece, last = Math.Min(Count, (long)end * Piece);
            for (; i <= last - Vector<float>.Count; i += Vector<float>.Count)
            {
                Vector<float> gradient = Vector.Load(Gradient + i) * GradientScale;
                Vector<float> mean = Vector.Load(Mean + i) * Beta1 + gradient * (1 - Beta1);
                Vector<float> square = Vector.Load(Square + i) * Beta2 + gradient * gradient * (1 - Beta2);
                mean.Store(Mean + i);
                square.Store(Square + i);
                Vector<float> divisor = Vector.SquareRoot(square) / new Vector<float>(Root2) + new Vector<float>(Epsilon);
                (Vector.Load(Value + i) * Decay - mean * Rate / divisor).Store(Value + i);
            }
            for (; i < last; i++)
            {
                float gradient = Gradient[i] * GradientScale;
                Mean[i] = Mean[i] * Beta1 + gradient * (1 - Beta1);
                Square[i] = Square[i] * Beta2 + gradient * gradient * (1 - Beta2);
                Value[i] = Value[i] * Decay - Mean[i] * Rate / (MathF.Sqrt(Square[i]) / Root2 + Epsilon);
            }
        }
    }
}
