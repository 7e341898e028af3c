using System;
using System.Runtime.Intrinsics;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>The columns of PB-GPTQ: masks and grids as they were fitted to the original weights, turned like the working copy.</summary>
internal sealed unsafe class PartiallyBinarizedColumns : IColumnQuantizer, IDisposable
{
    private readonly WorkingCopy _copy;
    private readonly PartiallyBinarizedCodes _codes;
    private readonly NativeBuffer _salient;                           // [columns, stride]
    private readonly NativeBuffer _highScale, _highZero;              // [stride]
    private readonly NativeBuffer _lowScale, _lowMean, _threshold;    // [groups, stride]

    /// <summary>Turns masks and grids.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="copy">The weights in their natural order.</param>
    /// <param name="codes">Masks and grids.</param>
    /// <param name="thresholds">[rows, groups], from where on a weight that is not salient takes its upper level.</param>
    public PartiallyBinarizedColumns(WorkerPool pool, WorkingCopy copy, PartiallyBinarizedCodes codes, float[] thresholds)
    {
        _copy = copy;
        _codes = codes;
        _salient = new NativeBuffer((long)copy.Columns * copy.Stride);
        copy.Turn(pool, codes.Salient, (bool*)_salient.Pointer);
        _highScale = Turned(codes.HighScale, 1, padding: 1);
        _highZero = Turned(Array.ConvertAll(codes.HighZero, zero => (float)zero), 1, padding: 1);
        _lowScale = Turned(codes.LowScale, codes.LowGroups, padding: 1);
        _lowMean = Turned(codes.LowMean, codes.LowGroups, padding: 0);
        _threshold = Turned(thresholds, codes.LowGroups, padding: 0);
    }

    /// <inheritdoc/>
    public void Quantize(int column, int row, float* weights, float* quantized)
    {
        int stride = _copy.Stride, lowBits = _codes.LowBits;
        long position = (long)column * stride + row, parameters = (long)(column / _codes.LowGroupSize) * stride + row;
        Vector256<float> maxCode = Vector256.Create((float)((1 << _codes.HighBits) - 1));
        for (int r = 0; r < WorkingCopy.Strip; r += Vector256<float>.Count)
        {
            Vector256<float> w = Vector256.Load(weights + r);
            Vector256<float> highScale = Vector256.Load(_highScale.Floats + row + r), highZero = Vector256.Load(_highZero.Floats + row + r);
            Vector256<float> high = VectorCodes.EncodeUniform(w, highScale, highZero, maxCode);
            Vector256<float> lowScale = Vector256.Load(_lowScale.Floats + parameters + r), lowMean = Vector256.Load(_lowMean.Floats + parameters + r);
            Vector256<float> low = VectorCodes.EncodeBinary(lowBits, w, lowMean, lowScale, Vector256.Load(_threshold.Floats + parameters + r));
            Vector256<float> salient = VectorCodes.LoadMask(_salient.Pointer + position + r);
            VectorCodes.Store(Vector256.ConditionalSelect(salient, high, low), _copy.Codes + position + r);
            Vector256.ConditionalSelect(
                salient,
                VectorCodes.DecodeUniform(high, highScale, highZero),
                VectorCodes.DecodeBinary(lowBits, low, lowMean, lowScale)).Store(quantized + r);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (NativeBuffer buffer in (NativeBuffer[])[_salient, _highScale, _highZero, _lowScale, _lowMean, _threshold]) buffer.Dispose();
    }

    // [rows, groups] to [groups, stride]; the rows of the padding need some scale.
    private NativeBuffer Turned(float[] parameters, int groups, float padding)
    {
        var turned = new NativeBuffer((long)groups * _copy.Stride * sizeof(float));
        for (int g = 0; g < groups; g++)
            for (int r = 0; r < _copy.Stride; r++)
                turned.Floats[(long)g * _copy.Stride + r] = r < _copy.Rows ? parameters[r * groups + g] : padding;
        return turned;
    }
}
