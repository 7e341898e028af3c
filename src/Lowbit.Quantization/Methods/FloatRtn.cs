// Rounding to small floats: FP6, FP8, the microscaling formats, NVFP4
// Open Compute Project: Microscaling Formats (MX) 1.0 and 8-bit Floating Point (OFP8) 1.0, 2023; arXiv 2310.10537.
// NVFP4: NVIDIA, Blackwell; blocks of 16 with E4M3 scales and one float32 a tensor.
//
// Problem   a block of weights shares a scale that brings its largest weight into the range of a small float; no calibration.
// Formula   w ~ x · s with x the nearest number of the format, ties to even, larger ones cut off at its largest number X:
//           F16, F32   s = max |w| / X
//           E8M0       s = 2^(floor(log2 max |w|) − floor(log2 X)), the rule of the OCP's section 6.3
//           E4M3       t = max |W| / (448 X),  s = t · E4M3(max |w| / (t X))
// Symbols   paper                   here                        meaning
//           shared exponent         FloatCodes.Scales           s of a block
//           global scale            FloatCodes.MatrixScale      t
// Cost      O(in · out).
// Departs   from the OCP's text where a block is zero: its scale is 2^-127, which the text leaves open.

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Floats;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of rounding to small floats.</summary>
public sealed record FloatRtnOptions : MethodOptions
{
    /// <summary>The format of the numbers.</summary>
    public SmallFloat Element { get; init; } = SmallFloat.E4M3;

    /// <summary>Consecutive columns that share a scale; −1 for the whole row, 0 for all rows.</summary>
    public int GroupSize { get; init; } = -1;

    /// <summary>Scales of the microscaling formats or NVFP4; null for plain ones in <see cref="MethodOptions.ScalePrecision"/>.</summary>
    public BlockScale? BlockScale { get; init; }

    /// <inheritdoc/>
    public override bool NeedsHessian => false;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) => PackedBits.Float(columns, Element, GroupSize, FloatRtn.ScaleFormat(this));

    internal static FloatRtnOptions Read(MethodSettings settings, params SmallFloat[] elements) => new()
    {
        Element = Choose(settings, elements),
        GroupSize = settings.Integer("group-size", -1),
    };

    internal static FloatRtnOptions ReadBlocks(MethodSettings settings, BlockScale scale, int blockSize, params SmallFloat[] elements) => new()
    {
        Element = Choose(settings, elements),
        GroupSize = blockSize,
        BlockScale = scale,
    };

    private static SmallFloat Choose(MethodSettings settings, SmallFloat[] elements) =>
        elements.Length == 1 ? elements[0] : settings.Choice("format", elements[0], Array.ConvertAll(elements, element => (element.Name, element)));

    /// <inheritdoc/>
    public override void Validate() => RequireGroupSizeOrMatrix(GroupSize);

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) => FloatRtn.Quantize(layer, this, pool);
}

/// <summary>Rounding to small floats.</summary>
public static class FloatRtn
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, FloatRtnOptions options, WorkerPool pool)
    {
        BlockScale format = ScaleFormat(options);
        var codes = new FloatCodes(layer.OutFeatures, layer.InFeatures, options.Element, MethodOptions.GroupColumns(options.GroupSize, layer.InFeatures), format)
        {
            MatrixScale = format == BlockScale.E4M3 ? MatrixScale(layer.Weight.Span, options.Element) : 1,
        };
        var rounding = new ScaleRounding(options.ScalePrecision);
        var dequantized = new float[layer.Weight.Length];
        var work = new RowWork { Weight = layer.Weight, Codes = codes, Dequantized = dequantized, Rounding = rounding };
        if (options.GroupSize == 0) work.OfMatrix = Scale(Vectors.Largest(layer.Weight.Span), codes, rounding);
        pool.Run(ref work, layer.OutFeatures, 16);
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool);
        return new QuantizedMatrix(codes, dequantized, options.Element.Bits, options.ScalePrecision);
    }

    /// <summary>How scales are stored.</summary>
    internal static BlockScale ScaleFormat(FloatRtnOptions options) =>
        options.BlockScale ?? (options.ScalePrecision == ScalePrecision.Float16 ? BlockScale.F16 : BlockScale.F32);

    /// <summary>The scale of a block.</summary>
    /// <param name="largest">Largest absolute value of the block.</param>
    /// <param name="codes">Where it will stand.</param>
    /// <param name="rounding">For plain scales.</param>
    internal static float Scale(float largest, FloatCodes codes, ScaleRounding rounding)
    {
        switch (codes.ScaleFormat)
        {
            case BlockScale.E8M0:
                int exponent = largest == 0 ? -127 : Math.ILogB(largest) - codes.Element.LargestExponent;
                return MathF.ScaleB(1, Math.Clamp(exponent, -127, 127));
            case BlockScale.E4M3:
                return codes.MatrixScale == 0 ? 0 : SmallFloat.E4M3.Decode(SmallFloat.E4M3.Encode(largest / codes.Element.Largest / codes.MatrixScale));
            default:
                return rounding.Scale(largest / codes.Element.Largest);
        }
    }

    private static float MatrixScale(ReadOnlySpan<float> weight, SmallFloat element)
    {
        float scale = Vectors.Largest(weight) / element.Largest / SmallFloat.E4M3.Largest;
        return float.IsNormal(scale) ? scale : 0; // 0: a matrix of zeros, or near enough
    }

    private struct RowWork : IParallelWork
    {
        public ReadOnlyMemory<float> Weight;
        public FloatCodes Codes;
        public float[] Dequantized;
        public ScaleRounding Rounding;
        public float? OfMatrix;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
                for (int b = 0; b < Codes.Blocks; b++)
                {
                    int first = r * Codes.Columns + b * Codes.BlockSize, width = Math.Min(Codes.BlockSize, Codes.Columns - b * Codes.BlockSize);
                    ReadOnlySpan<float> block = Weight.Span.Slice(first, width);
                    float stored = OfMatrix ?? Scale(Vectors.Largest(block), Codes, Rounding), scale = stored * Codes.MatrixScale;
                    Codes.Scales[r * Codes.Blocks + b] = stored;
                    for (int j = 0; j < width; j++)
                    {
                        float ratio = block[j] / scale;
                        byte code = float.IsFinite(ratio) ? (byte)Codes.Element.Encode(ratio) : (byte)0; // a scale of 0, or one that underflows
                        Codes.Codes[first + j] = code;
                        Dequantized[first + j] = Codes.Element.Decode(code) * scale;
                    }
                }
        }
    }
}
