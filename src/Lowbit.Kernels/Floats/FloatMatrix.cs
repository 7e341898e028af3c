using System;
using System.Collections.Generic;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Levels;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Floats;

/// <summary>
/// A packed weight of small floats with scales of blocks, computed from the bytes of the parts as they lie in the file.
/// </summary>
public sealed unsafe class FloatMatrix : LevelMatrix
{
    private readonly List<object> _owners = [];
    private readonly byte* _codes, _scales;
    private readonly float* _levels; // [256]
    private readonly float[] _scaleLevels = []; // [256] of scales that are bytes
    private readonly float* _scaleFactors; // [256], the same times _factor
    private readonly float _factor; // of a scale, for Describe
    private readonly int _largest; // code
    private readonly float _matrixScale = 1;

    /// <summary>Takes and checks the parts.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="layout">How the parts lie.</param>
    /// <param name="parts">The tensors by the suffixes of <see cref="FloatPacking"/>.</param>
    /// <exception cref="LowbitException">A part is missing, has the wrong format or size, or holds a scale that is not finite.</exception>
    public FloatMatrix(string name, FloatLayout layout, IReadOnlyDictionary<string, Tensor> parts) : base(layout.Check(name).Rows, layout.Columns)
    {
        Layout = layout;
        PartReader reader = new(name, parts, _owners);
        _codes = reader.Bytes(FloatPacking.Codes, ElementFormat.U8, layout.CodeBytes);
        if (layout.StoredScale == ElementFormat.U8)
        {
            _scales = reader.Bytes(FloatPacking.Scale, ElementFormat.U8, layout.Scales);
            _scaleLevels = new float[256];
            for (int code = 0; code < 256; code++) _scaleLevels[code] = FloatPacking.Decode(layout.ScaleFormat, (byte)code);
            for (long i = 0; i < layout.Scales; i++)
            {
                if (!float.IsFinite(_scaleLevels[_scales[i]]))
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
        _largest = layout.Element.Encode(layout.Element.Largest);
        Kind = (layout.Element.ExponentBits, layout.Element.FractionBits) switch
        {
            (2, 1) => LevelKind.Table,
            (2, 3) => LevelKind.E2M3,
            (3, 2) => LevelKind.E3M2,
            (4, 3) => LevelKind.E4M3,
            (5, 2) => LevelKind.E5M2,
            _ => LevelKind.Int8,
        };
        _factor = Kind == LevelKind.Int8 ? _matrixScale / 64 : _matrixScale;
        Tensor source = parts[FloatPacking.Codes];
        if (MicroscalingBlocks.Fits(layout))
            Interleaved = new InterleavedCopy(pool => MicroscalingBlocks.Interleave(pool, new MicroscalingBlocks(name, layout, _codes, _scales, source), Kind == LevelKind.Table));
        if (ScaledFloatBlocks.Fits(layout))
            Interleaved = new InterleavedCopy(pool => new InterleavedWeights<FormatNVFP4>(pool, new ScaledFloatBlocks(name, layout, _codes, _scales, _matrixScale, source)));
        if (_scaleLevels.Length == 0) return;
        NativeBuffer factors = new(256 * sizeof(float));
        for (int code = 0; code < 256; code++) factors.Floats[code] = _scaleLevels[code] * _factor;
        _owners.Add(factors);
        _scaleFactors = factors.Floats;
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
    internal override LevelKind Kind { get; }

    /// <inheritdoc/>
    internal override bool HasLevelRows => Layout.BlockSize is 16 or 32 || Layout.BlockSize % LevelRow.RunLength == 0 || Layout.Blocks == 1;

    /// <inheritdoc/>
    internal override void Describe(int row, ref LevelRow levels)
    {
        levels.Codes = Run(row, 0);
        levels.Bits = Layout.Element.Bits;
        levels.Tables = _levels;
        levels.RunsOfTable = int.MaxValue;
        levels.ScalesOfRun = Layout.Blocks == 1 ? 1 : Math.Max(1, LevelRow.RunLength / Layout.BlockSize);
        FillScales(row, new Span<float>(levels.Scales, levels.Runs * levels.ScalesOfRun));
    }

    // Of columns that the last run does not have: 0.
    private void FillScales(int row, Span<float> scales)
    {
        int blocks = Layout.Blocks;
        long first = (long)row * blocks;
        if (blocks == 1 || Layout.BlockSize > LevelRow.RunLength)
        {
            int runsOfBlock = blocks == 1 ? scales.Length : Layout.BlockSize / LevelRow.RunLength;
            for (int i = 0; i < scales.Length; first++)
            {
                float scale = Scale(first) * _factor;
                for (int end = Math.Min(scales.Length, i + runsOfBlock); i < end; i++) scales[i] = scale;
            }
            return;
        }
        if (_scaleFactors != null)
        {
            byte* codes = _scales + first;
            for (int i = 0; i < blocks; i++) scales[i] = _scaleFactors[codes[i]];
        }
        else
        {
            for (int i = 0; i < blocks; i++) scales[i] = Scale(first + i) * _factor;
        }
        scales[blocks..].Clear();
    }

    /// <summary>Rebuilds rows with or without vectors.</summary>
    internal void DequantizeRows(int firstRow, int rowCount, float* destination, bool vectors)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfNegative(rowCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rowCount, Rows - firstRow);
        byte* codes = stackalloc byte[FloatLayout.RunLength];
        int bits = Layout.Element.Bits, runs = Layout.Runs, runBytes = Layout.RunBytes, blockSize = Layout.BlockSize;
        long block = (long)firstRow * Layout.Blocks;
        byte* run = Run(firstRow, 0);
        for (int r = 0; r < rowCount; r++, destination += Columns)
        {
            int blockEnd = 0;
            float scale = 0;
            for (int b = 0; b < runs; b++, run += runBytes)
            {
                CodeBlock.Unpack(run, bits, codes);
                int first = b * FloatLayout.RunLength, end = Math.Min(Columns, first + FloatLayout.RunLength);
                int decoded = vectors ? Numbers(codes, end - first, bits, destination + first) : 0;
                for (int i = decoded; i < end - first; i++) destination[first + i] = _levels[codes[i]];
                for (int c = first; c < end;)
                {
                    if (c == blockEnd)
                    {
                        scale = Scale(block++) * _matrixScale;
                        blockEnd = (int)Math.Min(Columns, (long)c + blockSize);
                    }
                    int stop = Math.Min(end, blockEnd);
                    Vector256<float> scales = Vector256.Create(scale);
                    for (; c <= stop - 8; c += 8) (Vector256.Load(destination + c) * scales).Store(destination + c);
                    for (; c < stop; c++) destination[c] *= scale;
                }
            }
        }
    }

    // As many as whole vectors hold.
    private int Numbers(byte* codes, int count, int bits, float* destination)
    {
        int i = 0;
        if (bits == 4)
        {
            Vector256<float> lower = Vector256.Load(_levels), upper = Vector256.Load(_levels + 8);
            for (; i <= count - 8; i += 8)
            {
                // Permutations look at the lower three bits of an index, the blend at the highest bit of a lane.
                Vector256<int> index = Avx2.ConvertToVector256Int32(codes + i);
                Vector256<float> numbers = Avx.BlendVariable(Avx2.PermuteVar8x32(lower, index), Avx2.PermuteVar8x32(upper, index), Vector256.ShiftLeft(index, 28).AsSingle());
                numbers.Store(destination + i);
            }
        }
        else if (Layout.Element.ExponentBits == 0)
        {
            for (; i <= count - 8; i += 8)
                (Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32((sbyte*)codes + i)) * Vector256.Create(1 / 64f)).Store(destination + i);
        }
        else
        {
            int fraction = Layout.Element.FractionBits, bias = Layout.Element.Bias;
            Vector256<int> sizeBits = Vector256.Create((1 << bits - 1) - 1), sign = Vector256.Create(int.MinValue), largest = Vector256.Create(_largest);
            Vector256<int> leastNormal = Vector256.Create(1 << fraction), exponent = Vector256.Create(127 - bias << 23);
            Vector256<float> unit = Vector256.Create(MathF.ScaleB(1, 1 - bias - fraction));
            for (; i <= count - 8; i += 8)
            {
                Vector256<int> code = Avx2.ConvertToVector256Int32(codes + i), size = code & sizeBits;
                Vector256<float> normal = (Vector256.ShiftLeft(size, 23 - fraction) + exponent).AsSingle(), subnormal = Vector256.ConvertToSingle(size) * unit;
                Vector256<float> numbers = Vector256.ConditionalSelect(Vector256.LessThan(size, leastNormal).AsSingle(), subnormal, normal);
                numbers |= (Vector256.ShiftLeft(code, 32 - bits) & sign).AsSingle();
                if (Vector256.GreaterThanAny(size, largest)) numbers = Avx2.GatherVector256(_levels, code, sizeof(float)); // infinities, NaN
                numbers.Store(destination + i);
            }
        }
        return i;
    }

    private byte* Run(long row, int run) => _codes + (row * Layout.Runs + run) * Layout.RunBytes;

    private float Scale(long i) => Layout.ScaleFormat switch
    {
        BlockScale.F16 => FiniteHalf.ToFloat(((Half*)_scales)[i]),
        BlockScale.F32 => ((float*)_scales)[i],
        _ => _scaleLevels[_scales[i]],
    };
}
