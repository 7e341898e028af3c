using System;
using System.Collections.Generic;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Kernels.Uniform;

namespace Lowbit.Kernels.Floats;

/// <summary>
/// A packed weight of small floats with scales of blocks. Rows are rebuilt as floats while they are needed, from the bytes
/// of the parts as they lie in the file; in 8-bit mode they are multiplied with the rounded activations.
/// </summary>
public sealed unsafe class FloatMatrix : WeightMatrix
{
    private readonly List<object> _owners = [];
    private readonly byte* _codes, _scales;
    private readonly float* _levels; // [256]
    private readonly float _matrixScale = 1;

    /// <summary>Takes and checks the parts.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="layout">How the parts lie.</param>
    /// <param name="parts">The tensors by the suffixes of <see cref="FloatPacking"/>.</param>
    /// <exception cref="LowbitException">A part is missing, has the wrong format or size, or holds a scale that is not finite.</exception>
    public FloatMatrix(string name, FloatLayout layout, IReadOnlyDictionary<string, Tensor> parts) : base(Checked(name, layout).Rows, layout.Columns)
    {
        Layout = layout;
        PartReader reader = new(name, parts, _owners);
        _codes = reader.Bytes(FloatPacking.Codes, ElementFormat.U8, layout.CodeBytes);
        if (layout.StoredScale == ElementFormat.U8)
        {
            _scales = reader.Bytes(FloatPacking.Scale, ElementFormat.U8, layout.Scales);
            for (long i = 0; i < layout.Scales; i++)
            {
                if (!float.IsFinite(FloatPacking.Decode(layout.ScaleFormat, _scales[i])))
                    throw new LowbitException($"tensor {reader.NameOf(FloatPacking.Scale)}: element {i} is not finite; the file is damaged.");
            }
        }
        else
        {
            _scales = reader.Scales(FloatPacking.Scale, layout.StoredScale, layout.Scales);
        }
        if (layout.ScaleFormat == BlockScale.E4M3) _matrixScale = *(float*)reader.Scales(FloatPacking.MatrixScale, ElementFormat.F32, 1);
        NativeBuffer levels = new(256 * sizeof(float));
        for (int code = 0; code < 1 << layout.Element.Bits; code++) levels.Floats[code] = layout.Element.Decode(code);
        _owners.Add(levels);
        _levels = levels.Floats;
    }

    /// <summary>How the parts lie.</summary>
    public FloatLayout Layout { get; }

    /// <inheritdoc/>
    public override string Format => Layout.Element.Name.ToUpperInvariant();

    /// <inheritdoc/>
    public override long Bytes => Layout.CodeBytes + Layout.StoredScale.ByteCount(Layout.Scales) + (Layout.ScaleFormat == BlockScale.E4M3 ? sizeof(float) : 0);

    /// <summary>Turns the packed form back into plain arrays.</summary>
    public FloatCodes Unpack()
    {
        FloatCodes codes = new(Rows, Columns, Layout.Element, Layout.BlockSize, Layout.ScaleFormat) { MatrixScale = _matrixScale };
        byte* run = stackalloc byte[FloatLayout.RunLength];
        for (int r = 0; r < Rows; r++)
            for (int b = 0; b < Layout.Runs; b++)
            {
                CodeBlock.UnpackScalar(Run(r, b), Layout.Element.Bits, run);
                int first = b * FloatLayout.RunLength, count = Math.Min(FloatLayout.RunLength, Columns - first);
                new ReadOnlySpan<byte>(run, count).CopyTo(codes.Codes.AsSpan(checked(r * Columns + first)));
            }
        for (int i = 0; i < codes.Scales.Length; i++) codes.Scales[i] = Scale(i);
        return codes;
    }

    /// <inheritdoc/>
    public override void DequantizeRows(int firstRow, int rowCount, float* destination) => DequantizeRows(firstRow, rowCount, destination, Avx2.IsSupported);

    /// <inheritdoc/>
    public override void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(activations.Features, Columns);
        if (activations.Tokens < Activations.ManyTokens)
        {
            RowProduct.Multiply(pool, this, activations, output);
            return;
        }
        float* x = activations.Mode == ActivationMode.EightBit ? activations.RoundedValues : activations.Values;
        DequantizedProduct.Multiply(pool, this, x, activations.Tokens, output);
    }

    /// <summary>Rebuilds rows with or without vectors.</summary>
    internal void DequantizeRows(int firstRow, int rowCount, float* destination, bool vectors)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfNegative(rowCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rowCount, Rows - firstRow);
        byte* codes = stackalloc byte[FloatLayout.RunLength];
        for (int r = firstRow; r < firstRow + rowCount; r++, destination += Columns)
        {
            int blockEnd = 0;
            float scale = 0;
            for (int b = 0; b < Layout.Runs; b++)
            {
                CodeBlock.Unpack(Run(r, b), Layout.Element.Bits, codes);
                int first = b * FloatLayout.RunLength, end = Math.Min(Columns, first + FloatLayout.RunLength);
                for (int c = first; c < end;)
                {
                    if (c == blockEnd)
                    {
                        scale = Scale((long)r * Layout.Blocks + c / Layout.BlockSize) * _matrixScale;
                        blockEnd = (int)Math.Min(Columns, (long)c + Layout.BlockSize);
                    }
                    int stop = Math.Min(end, blockEnd), i = c;
                    if (vectors) i += Numbers(codes + (c - first), stop - c, scale, destination + c);
                    for (; i < stop; i++) destination[i] = _levels[codes[i - first]] * scale;
                    c = stop;
                }
            }
        }
    }

    // As many as whole vectors hold.
    private int Numbers(byte* codes, int count, float scale, float* destination)
    {
        Vector256<float> scales = Vector256.Create(scale), lower = Vector256.Load(_levels), upper = Vector256.Load(_levels + 8);
        bool fits16 = Layout.Element.Bits == 4;
        int i = 0;
        for (; i <= count - 8; i += 8)
        {
            Vector256<int> index = Avx2.ConvertToVector256Int32(codes + i);
            // Permutations look at the lower three bits of an index, the blend at the highest bit of a lane.
            Vector256<float> numbers = fits16
                ? Avx.BlendVariable(Avx2.PermuteVar8x32(lower, index), Avx2.PermuteVar8x32(upper, index), Vector256.ShiftLeft(index, 28).AsSingle())
                : Avx2.GatherVector256(_levels, index, sizeof(float));
            (numbers * scales).Store(destination + i);
        }
        return i;
    }

    private byte* Run(long row, int run) => _codes + (row * Layout.Runs + run) * Layout.RunBytes;

    private float Scale(long i) => Layout.ScaleFormat switch
    {
        BlockScale.F16 => (float)((Half*)_scales)[i],
        BlockScale.F32 => ((float*)_scales)[i],
        BlockScale.E8M0 => MathF.ScaleB(1, _scales[i] - 127),
        _ => SmallFloat.E4M3.Decode(_scales[i]),
    };

    private static FloatLayout Checked(string name, FloatLayout layout)
    {
        layout.Check(name);
        return layout;
    }
}
