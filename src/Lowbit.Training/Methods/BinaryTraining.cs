using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Training.Model;

namespace Lowbit.Training.Methods;

/// <summary>A weight of which every element is one bit, by a binarizer; packed as a partially binarized matrix without salient weights.</summary>
/// <param name="binarizer">How.</param>
/// <param name="precision">Precision of the levels.</param>
public sealed unsafe class BinaryTraining(IBinarizer binarizer, ScalePrecision precision) : IWeightForm
{
    private readonly ScaleRounding _rounding = new(precision);

    /// <inheritdoc/>
    public IReadOnlyList<Parameter> Parameters => [];

    /// <inheritdoc/>
    public void Forward(WorkerPool pool, Parameter weight, float* effective)
    {
        ForwardWork work = new() { Form = this, Weight = weight.Value.Floats, Columns = weight.Columns, Effective = effective };
        pool.Run(ref work, weight.Rows, 16);
    }

    /// <inheritdoc/>
    public void Backward(WorkerPool pool, Parameter weight, float* gradient)
    {
        BackwardWork work = new() { Binarizer = binarizer, Weight = weight.Value.Floats, Columns = weight.Columns, Gradient = gradient };
        pool.Run(ref work, weight.Rows, 16);
    }

    /// <inheritdoc/>
    public QuantizedMatrix? Quantize(Parameter weight)
    {
        int rows = weight.Rows, columns = weight.Columns;
        PartiallyBinarizedCodes codes = new(rows, columns, lowBits: 1, highBits: 8, columns, columns);
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<float> row = weight.Value.Span<float>((long)r * columns, columns);
            BinaryLevels levels = Levels(row);
            codes.LowScale[r] = levels.Scale;
            codes.HighScale[r] = 1;
            for (int c = 0; c < columns; c++) codes.Codes[r * columns + c] = (byte)(row[c] < levels.Threshold ? 0 : 1);
        }
        float[] dequantized = new float[codes.Codes.Length];
        codes.Dequantize(dequantized);
        return new QuantizedMatrix(codes, dequantized, 1, _rounding.Failed ? ScalePrecision.Float32 : precision);
    }

    private BinaryLevels Levels(ReadOnlySpan<float> row)
    {
        BinaryLevels levels = binarizer.Fit(row);
        return levels with { Scale = _rounding.Scale(levels.Scale) };
    }

    private struct ForwardWork : IParallelWork
    {
        public BinaryTraining Form;
        public float* Weight, Effective;
        public int Columns;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
            {
                ReadOnlySpan<float> row = new(Weight + (long)r * Columns, Columns);
                BinaryLevels levels = Form.Levels(row);
                float* effective = Effective + (long)r * Columns;
                for (int c = 0; c < row.Length; c++) effective[c] = row[c] < levels.Threshold ? -levels.Scale : levels.Scale;
            }
        }
    }

    private struct BackwardWork : IParallelWork
    {
        public IBinarizer Binarizer;
        public float* Weight, Gradient;
        public int Columns;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
                Binarizer.Backward(new ReadOnlySpan<float>(Weight + (long)r * Columns, Columns), new Span<float>(Gradient + (long)r * Columns, Columns));
        }
    }
}
