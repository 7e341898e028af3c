using System;
using System.Numerics;
using System.Runtime.Intrinsics;
using System.Threading;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>
/// The input of one or several products: [tokens, features] floats and, in 8-bit mode, their rounded form, made once
/// and shared by all weights that take this input. The memory is allocated once for the largest batch.
/// </summary>
/// <remarks>
/// Rounded form: each block of <see cref="BlockLength"/> features of a token has a scale, its largest absolute value / 127,
/// and codes round(x · 127 / largest), halves to even, in [−127, 127]. A block with a value that is not finite has the scale
/// NaN and codes 0, so that the fault shows in every output; one whose largest value is below 1e-30 counts as zeros.
/// </remarks>
public sealed unsafe class Activations : IDisposable
{
    /// <summary>Features that share a scale; the last block of a token is padded with zeros.</summary>
    public const int BlockLength = 64;

    /// <summary>From so many tokens on, products of 8-bit mode take <see cref="RoundedValues"/>.</summary>
    internal const int ManyTokens = 8;

    /// <summary>Units of 16 features of a block.</summary>
    internal const int UnitsOfBlock = 4;

    private const float SmallestLargest = 1e-30f;

    private readonly NativeBuffer _values, _codes, _scales, _sums, _unitSums, _rounded;

    private static long s_batches;

    /// <summary>Allocates for the largest batch.</summary>
    /// <param name="capacityTokens">Most tokens of a batch.</param>
    /// <param name="features">Features of a token.</param>
    /// <param name="mode">Whether products take floats or 8-bit integers.</param>
    public Activations(int capacityTokens, int features, ActivationMode mode)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(capacityTokens);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(features);
        CapacityTokens = capacityTokens;
        Features = features;
        Mode = mode;
        Blocks = (features + BlockLength - 1) / BlockLength;
        long rounded = mode == ActivationMode.EightBit ? capacityTokens : 0;
        _values = new NativeBuffer((long)capacityTokens * features * sizeof(float));
        _codes = new NativeBuffer(rounded * Blocks * BlockLength);
        _scales = new NativeBuffer(rounded * Blocks * sizeof(float));
        _sums = new NativeBuffer(rounded * Blocks * sizeof(int));
        _unitSums = new NativeBuffer(rounded * Blocks * UnitsOfBlock * sizeof(short));
        _rounded = new NativeBuffer(rounded < ManyTokens ? 0 : rounded * features * sizeof(float));
    }

    /// <summary>Most tokens of a batch.</summary>
    public int CapacityTokens { get; }

    /// <summary>Features of a token.</summary>
    public int Features { get; }

    /// <summary>Whether products take floats or 8-bit integers.</summary>
    public ActivationMode Mode { get; }

    /// <summary>Blocks of a token.</summary>
    public int Blocks { get; }

    /// <summary>Tokens of the current batch, at most <see cref="CapacityTokens"/>.</summary>
    public int Tokens
    {
        get;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, CapacityTokens);
            field = value;
        }
    }

    /// <summary>[tokens, features]; whoever produces the input writes here.</summary>
    public float* Values => _values.Floats;

    /// <summary>[tokens, <see cref="Blocks"/> · 64] rounded values, each token's last block padded with zeros.</summary>
    public sbyte* Codes => (sbyte*)_codes.Pointer;

    /// <summary>[tokens, <see cref="Blocks"/>] scales: a value is about its code times its block's scale.</summary>
    public float* Scales => _scales.Floats;

    /// <summary>[tokens, <see cref="Blocks"/>] sums of the codes of a block.</summary>
    public int* Sums => (int*)_sums.Pointer;

    /// <summary>[tokens, <see cref="Blocks"/> · 4] sums of the codes of a unit of 16 features.</summary>
    internal short* UnitSums => (short*)_unitSums.Pointer;

    /// <summary>[tokens, features] codes times scales, for products that rebuild weights; only for <see cref="ManyTokens"/> and more.</summary>
    internal float* RoundedValues => _rounded.Floats;

    /// <summary>Another number whenever <see cref="Quantize"/> has been called, of any activations.</summary>
    internal long Batch { get; private set; }

    /// <summary>In 8-bit mode rounds <see cref="Values"/>; to be called after they are written and before the products. Does nothing in float mode.</summary>
    /// <param name="pool">Threads that share the tokens.</param>
    public void Quantize(WorkerPool pool)
    {
        if (Mode != ActivationMode.EightBit) return;
        Batch = Interlocked.Increment(ref s_batches);
        Work work = new() { Activations = this, KeepRounded = Tokens >= ManyTokens };
        pool.Run(ref work, Tokens, Math.Max(1, 8192 / Features));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _values.Dispose();
        _codes.Dispose();
        _scales.Dispose();
        _sums.Dispose();
        _unitSums.Dispose();
        _rounded.Dispose();
    }

    /// <summary>Rounds one block of 64 values: the oracle.</summary>
    internal static float QuantizeScalar(float* values, sbyte* codes, out int sum)
    {
        // Bits of absolute values are ordered like the values, and those of NaN lie above those of ∞.
        int largestBits = 0;
        for (int i = 0; i < BlockLength; i++) largestBits = Math.Max(largestBits, BitConverter.SingleToInt32Bits(values[i]) & int.MaxValue);
        float scale = Scale(largestBits, out float factor);
        sum = 0;
        for (int i = 0; i < BlockLength; i++)
        {
            codes[i] = factor == 0 ? (sbyte)0 : (sbyte)MathF.Round(values[i] * factor);
            sum += codes[i];
        }
        return scale;
    }

    /// <summary>Rounds one block of 64 values, equal to <see cref="QuantizeScalar"/> to the last bit.</summary>
    internal static float QuantizeVector(float* values, sbyte* codes, out int sum)
    {
        int width = Vector<float>.Count;
        Vector<int> largest = default;
        for (int i = 0; i < BlockLength; i += width)
            largest = Vector.Max(largest, Vector.AsVectorInt32(Vector.Load(values + i)) & new Vector<int>(int.MaxValue));
        int largestBits = 0;
        for (int lane = 0; lane < width; lane++) largestBits = Math.Max(largestBits, largest[lane]);
        float scale = Scale(largestBits, out float factor);
        sum = 0;
        if (factor == 0)
        {
            new Span<sbyte>(codes, BlockLength).Clear();
            return scale;
        }
        Vector<int> sums = default;
        for (int i = 0; i < BlockLength; i += 4 * width)
        {
            Vector<int> a = Round(values + i, factor), b = Round(values + i + width, factor);
            Vector<int> c = Round(values + i + 2 * width, factor), d = Round(values + i + 3 * width, factor);
            sums += (a + b) + (c + d);
            Vector.Narrow(Vector.Narrow(a, b), Vector.Narrow(c, d)).Store(codes + i);
        }
        sum = Vector.Sum(sums);
        return scale;
    }

    private static short UnitSum(sbyte* codes)
    {
        (Vector128<short> lower, Vector128<short> upper) = Vector128.Widen(Vector128.Load(codes));
        return Vector128.Sum(lower + upper);
    }

    private static float Scale(int largestBits, out float factor)
    {
        float largest = BitConverter.Int32BitsToSingle(largestBits);
        factor = 0;
        if (!float.IsFinite(largest)) return float.NaN;
        if (largest < SmallestLargest) return 0;
        factor = 127 / largest;
        return largest / 127;
    }

    // Adding 1.5 · 2^23 rounds to an integer, halves to even, and leaves it in the low bits.
    private static Vector<int> Round(float* values, float factor)
    {
        Vector<float> magic = new(12582912f);
        return Vector.AsVectorInt32(Vector.Load(values) * factor + magic) - Vector.AsVectorInt32(magic);
    }

    private struct Work : IParallelWork
    {
        public Activations Activations;
        public bool KeepRounded;

        public readonly void Execute(int start, int end)
        {
            int features = Activations.Features, blocks = Activations.Blocks;
            float* last = stackalloc float[BlockLength];
            for (int t = start; t < end; t++)
            {
                for (int b = 0; b < blocks; b++)
                {
                    float* values = Activations.Values + (long)t * features + b * BlockLength;
                    int count = Math.Min(BlockLength, features - b * BlockLength);
                    if (count < BlockLength)
                    {
                        Span<float> padded = new(last, BlockLength);
                        new ReadOnlySpan<float>(values, count).CopyTo(padded);
                        padded[count..].Clear();
                        values = last;
                    }
                    long block = (long)t * blocks + b;
                    sbyte* codes = Activations.Codes + block * BlockLength;
                    Activations.Scales[block] = Vector.IsHardwareAccelerated
                        ? QuantizeVector(values, codes, out Activations.Sums[block])
                        : QuantizeScalar(values, codes, out Activations.Sums[block]);
                    for (int unit = 0; unit < UnitsOfBlock; unit++) Activations.UnitSums[block * UnitsOfBlock + unit] = UnitSum(codes + 16 * unit);
                    if (!KeepRounded) continue;
                    float* rounded = Activations.RoundedValues + (long)t * features + b * BlockLength;
                    for (int i = 0; i < count; i++) rounded[i] = Activations.Scales[block] * codes[i];
                }
            }
        }
    }
}
