using System;
using System.Linq;
using System.Numerics;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Calibration;

/// <summary>
/// The second moments of the inputs of a linear layer, H = 2/n · Σ XᵀX over n samples: the Hessian of the squared error
/// of the layer's output with respect to a row of its weight. Layers that share an input share the object, and with it
/// the factorization.
/// </summary>
/// <remarks>
/// A sample is one sequence of calibration text, whatever its length, as in the references: H ← H · n/(n+1) + 2/(n+1) · XᵀX.
/// How samples are counted scales H as a whole and changes no result but by rounding. Stored as float32. Beside it the mean
/// and the largest size of every input feature, for methods that scale or pick columns by them.
/// </remarks>
public sealed unsafe class Hessian : IDisposable
{
    private readonly NativeBuffer _values;
    private readonly double[] _absoluteSums;
    private readonly float[] _largest;
    private NativeBuffer? _drift; // Σ (X̃ − X)ᵀ X
    private long _tokens;
    private InverseFactor? _factor;
    private (double Damping, bool ActivationOrder) _factorKey;

    /// <summary>Starts with no samples.</summary>
    /// <param name="name">What messages call the layer or its input.</param>
    /// <param name="features">Input features of the layer.</param>
    public Hessian(string name, int features)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(features);
        if ((long)features * features > Array.MaxLength)
            throw new LowbitException($"{name}: a layer with {features} inputs has a Hessian of over 2^31 elements, at most 46340 inputs can be calibrated; use a method that needs no calibration.");
        Name = name;
        Features = features;
        _values = new NativeBuffer((long)features * features * sizeof(float));
        _absoluteSums = new double[features];
        _largest = new float[features];
    }

    /// <summary>What messages call the layer or its input.</summary>
    public string Name { get; }

    /// <summary>Input features of the layer.</summary>
    public int Features { get; }

    /// <summary>Samples accumulated so far.</summary>
    public int Samples { get; private set; }

    /// <summary>[features, features], symmetric, without damping.</summary>
    public float* Values => _values.Floats;

    /// <summary>[features, features], symmetric, without damping.</summary>
    public ReadOnlySpan<float> Span => new(Values, Features * Features);

    /// <summary>H_jj, twice the mean over the samples of the energy of input <paramref name="feature"/>.</summary>
    public float Diagonal(int feature) => Span[feature * Features + feature];

    /// <summary>Whether input <paramref name="feature"/> was zero in every sample, so that its weights have no effect.</summary>
    public bool IsDead(int feature) => Diagonal(feature) == 0;

    /// <summary>Whether the inputs themselves were seen, and not only a matrix that was computed elsewhere.</summary>
    public bool HasInputs => _tokens > 0;

    /// <summary>
    /// The mean of |x| over all tokens for input <paramref name="feature"/>. Where only a matrix is known, √(H_jj / 2)
    /// stands for it: right up to a common factor where the features are distributed alike.
    /// </summary>
    public double MeanAbsolute(int feature) => HasInputs ? _absoluteSums[feature] / _tokens : Math.Sqrt(Diagonal(feature) / 2.0);

    /// <summary>
    /// The largest |x| of input <paramref name="feature"/>. Where only a matrix is known, √(H_jj / 2) stands for it:
    /// right up to a common factor where the features are distributed alike.
    /// </summary>
    public double LargestAbsolute(int feature) => HasInputs ? _largest[feature] : Math.Sqrt(Diagonal(feature) / 2.0);

    /// <summary>How many inputs were zero in every sample.</summary>
    public int DeadInputs()
    {
        int dead = 0;
        for (int j = 0; j < Features; j++)
        {
            if (IsDead(j)) dead++;
        }
        return dead;
    }

    /// <summary>Adds one sample.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="inputs">[tokens, features].</param>
    /// <exception cref="LowbitException">An input is not finite, or so large that its square is not.</exception>
    public void Add(WorkerPool pool, ReadOnlySpan<float> inputs)
    {
        int tokens = inputs.Length / Features;
        if (tokens == 0 || inputs.Length != tokens * Features)
            throw new ArgumentException($"{inputs.Length} inputs are not rows of {Features}", nameof(inputs));
        fixed (float* x = inputs) Add(pool, x, tokens);
    }

    /// <summary>Adds one sample.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="inputs">[tokens, features].</param>
    /// <param name="tokens">Rows of <paramref name="inputs"/>.</param>
    /// <exception cref="LowbitException">An input is not finite, or so large that its square is not.</exception>
    public void Add(WorkerPool pool, float* inputs, int tokens)
    {
        float beta = (float)((double)Samples / (Samples + 1)), alpha = (float)(2.0 / (Samples + 1));
        Gemm.AccumulateGram(pool, alpha, inputs, tokens, Features, beta, Values);
        var sizes = new SizeWork { Inputs = inputs, Tokens = tokens, Features = Features, AbsoluteSums = _absoluteSums, Largest = _largest };
        pool.Run(ref sizes, Features, 64);
        _tokens += tokens;
        Samples++;
        DropFactor();
        CheckDiagonal();
    }

    /// <summary>Adds one sample of a quantized model's inputs and, for <see cref="Drift"/>, those of the float model at the same tokens.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="inputs">[tokens, features], X.</param>
    /// <param name="floatInputs">[tokens, features], X̃.</param>
    /// <param name="tokens">Rows of both.</param>
    /// <exception cref="LowbitException">An input is not finite, or so large that its square is not.</exception>
    public void Add(WorkerPool pool, float* inputs, float* floatInputs, int tokens)
    {
        Add(pool, inputs, tokens);
        _drift ??= new NativeBuffer((long)Features * Features * sizeof(float));
        using var difference = new NativeBuffer((long)tokens * Features * sizeof(float));
        for (long i = 0; i < (long)tokens * Features; i++) difference.Floats[i] = floatInputs[i] - inputs[i];
        Gemm.MultiplyLeftTransposedAdd(pool, difference.Floats, Features, inputs, Features, _drift.Floats, Features, Features, Features, tokens);
    }

    /// <summary>Whether the float model's inputs were added, too.</summary>
    public bool HasDrift => _drift is not null;

    /// <summary>
    /// Element of 2/n · Σ (X̃ − X)ᵀ X: how the float model's input <paramref name="feature"/> differs from the quantized
    /// model's, together with the quantized model's input <paramref name="other"/>. Zero where only one model was seen.
    /// </summary>
    public float Drift(int feature, int other) => _drift is null ? 0 : 2f / Samples * _drift.Floats[(long)feature * Features + other];

    /// <summary>Accumulates inputs that lie in one piece.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="name">What messages call the layer.</param>
    /// <param name="inputs">[tokens, features].</param>
    /// <param name="features">Input features.</param>
    /// <param name="tokensPerSample">Tokens of a sample; the last sample may be shorter.</param>
    /// <param name="floatInputs">[tokens, features] of the float model where <paramref name="inputs"/> are those of a quantized one; else empty.</param>
    public static Hessian FromInputs(WorkerPool pool, string name, ReadOnlySpan<float> inputs, int features, int tokensPerSample, ReadOnlySpan<float> floatInputs = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(tokensPerSample);
        if (!floatInputs.IsEmpty && floatInputs.Length != inputs.Length)
            throw new LowbitException($"{name}: there are {inputs.Length / features} inputs and {floatInputs.Length / features} of the float model; both must be of the same tokens.");
        var hessian = new Hessian(name, features);
        int tokens = inputs.Length / features;
        fixed (float* x = inputs, original = floatInputs)
        {
            for (int start = 0; start < tokens; start += tokensPerSample)
            {
                int count = Math.Min(tokensPerSample, tokens - start);
                if (floatInputs.IsEmpty) hessian.Add(pool, x + (long)start * features, count);
                else hessian.Add(pool, x + (long)start * features, original + (long)start * features, count);
            }
        }
        return hessian;
    }

    /// <summary>Takes a Hessian that was computed elsewhere.</summary>
    /// <param name="name">What messages call the layer.</param>
    /// <param name="values">[features, features].</param>
    /// <param name="features">Input features.</param>
    /// <exception cref="LowbitException">The matrix is not finite, not symmetric or has a negative diagonal.</exception>
    public static Hessian FromMatrix(string name, ReadOnlySpan<float> values, int features)
    {
        if (values.Length != (long)features * features)
            throw new LowbitException($"{name}: the Hessian has {values.Length} elements, {features} x {features} were expected; it must be [in, in] for a weight [out, in].");
        var hessian = new Hessian(name, features) { Samples = 1 };
        values.CopyTo(new Span<float>(hessian.Values, values.Length));
        hessian.CheckDiagonal();
        for (int i = 0; i < features; i++)
            for (int j = 0; j < i; j++)
            {
                float lower = values[i * features + j], upper = values[j * features + i];
                double size = Math.Sqrt((double)hessian.Diagonal(i) * hessian.Diagonal(j));
                if (!(Math.Abs(lower - upper) <= 1e-3 * size))
                    throw new LowbitException($"{name}: the Hessian is not symmetric (element [{i}, {j}] is {lower}, [{j}, {i}] is {upper}); give XᵀX of the layer's inputs X.");
            }
        return hessian;
    }

    /// <summary>
    /// The factor of the inverse, made when it is first asked for and kept until other settings are asked for or a sample
    /// is added. Dead inputs count as H_jj = 1.
    /// </summary>
    /// <param name="pool">Threads.</param>
    /// <param name="damping">What is added to the diagonal, as a share of its mean.</param>
    /// <param name="activationOrder">Whether columns are taken in the order of <see cref="ActivationOrder"/>.</param>
    /// <param name="cancellation">Stops the work.</param>
    /// <exception cref="LowbitException">The damped matrix is not positive definite.</exception>
    public InverseFactor Factor(WorkerPool pool, double damping, bool activationOrder, CancellationToken cancellation)
    {
        if (_factor is not null && _factorKey == (damping, activationOrder)) return _factor;
        DropFactor();
        _factor = FactorInOrder(pool, damping, activationOrder ? ActivationOrder() : [], cancellation);
        _factorKey = (damping, activationOrder);
        return _factor;
    }

    /// <summary>The factor of the inverse for columns in an order of the method's own; not kept. Dead inputs count as H_jj = 1.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="damping">What is added to the diagonal, as a share of its mean.</param>
    /// <param name="order">The columns in the order to take them; empty for the natural one.</param>
    /// <param name="cancellation">Stops the work.</param>
    /// <returns>The caller's to dispose of.</returns>
    /// <exception cref="LowbitException">The damped matrix is not positive definite.</exception>
    public InverseFactor FactorInOrder(WorkerPool pool, double damping, ReadOnlySpan<int> order, CancellationToken cancellation)
    {
        var diagonal = new double[Features];
        for (int j = 0; j < Features; j++) diagonal[j] = IsDead(j) ? 1 : Diagonal(j);
        double ridge = damping * diagonal.Average(); // the references set the dead ones to 1 before they take the mean
        for (int j = 0; j < Features; j++) diagonal[j] += ridge;
        return InverseFactor.Create(pool, Span, diagonal, order, Name, cancellation);
    }

    /// <summary>Columns from the largest H_jj to the smallest, dead inputs as 1; equal ones in their natural order.</summary>
    public int[] ActivationOrder()
    {
        var order = new int[Features];
        var keys = new (float Negative, int Index)[Features];
        for (int j = 0; j < Features; j++)
        {
            order[j] = j;
            keys[j] = (IsDead(j) ? -1 : -Diagonal(j), j);
        }
        Array.Sort(keys, order);
        return order;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        DropFactor();
        _drift?.Dispose();
        _values.Dispose();
    }

    private void DropFactor()
    {
        _factor?.Dispose();
        _factor = null;
    }

    // A NaN or an infinity anywhere in an input reaches the diagonal element of its feature.
    private void CheckDiagonal()
    {
        for (int j = 0; j < Features; j++)
        {
            float value = Diagonal(j);
            if (!(value >= 0) || !float.IsFinite(value))
                throw new LowbitException($"{Name}: input feature {j} of the layer has the second moment {value}, a finite one was expected; the model or the calibration text is damaged, or a layer before it overflows.");
        }
    }

    // Sums and maxima of some features over the tokens of a sample, in the order of the tokens.
    private struct SizeWork : IParallelWork
    {
        public float* Inputs;
        public int Tokens, Features;
        public double[] AbsoluteSums;
        public float[] Largest;

        public readonly void Execute(int start, int end)
        {
            int width = Vector<float>.Count, j = start;
            for (; j + width <= end; j += width)
            {
                Vector<float> largest = new(Largest, j);
                Vector<double> low = new(AbsoluteSums, j), high = new(AbsoluteSums, j + width / 2);
                for (int t = 0; t < Tokens; t++)
                {
                    Vector<float> size = Vector.Abs(Vector.Load(Inputs + (long)t * Features + j));
                    Vector.Widen(size, out Vector<double> lower, out Vector<double> upper);
                    low += lower;
                    high += upper;
                    largest = Vector.Max(largest, size);
                }
                largest.CopyTo(Largest, j);
                low.CopyTo(AbsoluteSums, j);
                high.CopyTo(AbsoluteSums, j + width / 2);
            }
            for (; j < end; j++)
                for (int t = 0; t < Tokens; t++)
                {
                    float size = MathF.Abs(Inputs[(long)t * Features + j]);
                    AbsoluteSums[j] += size;
                    Largest[j] = MathF.Max(Largest[j], size);
                }
        }
    }
}
