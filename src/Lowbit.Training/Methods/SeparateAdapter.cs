using System;
using System.Collections.Immutable;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Floats;
using Lowbit.Kernels.Integers;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Kernels.Tables;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Training.Model;

namespace Lowbit.Training.Methods;

/// <summary>
/// A fixed weight and its adapter as a sum of two packed matrices, (s · Bᵀ) · A beside the weight as it was: nothing is merged, so
/// the packed weight loses nothing. The factors are stored in half precision.
/// </summary>
public static unsafe class SeparateAdapter
{
    /// <summary>Rounds the factors of all adapters to what <see cref="Pack"/> stores, so that the model can be measured as it will be written.</summary>
    public static void Round(TrainableModel model)
    {
        foreach (TrainableLinear linear in model.Linears)
        {
            if (linear.Adapter is not { } adapter) continue;
            foreach (ref float a in adapter.A.Value.Span<float>(0, (int)adapter.A.Count)) a = (float)(Half)a;
            foreach (ref float b in adapter.B.Value.Span<float>(0, (int)adapter.B.Count)) b = (float)(Half)(b * adapter.Factor) / adapter.Factor;
        }
    }

    /// <summary>The sum as codes for packing.</summary>
    /// <param name="linear">A linear with an adapter whose inputs are not summed by group.</param>
    /// <param name="pool">Threads.</param>
    /// <exception cref="LowbitException">The weight has a form that cannot be written again, or floats that half precision does not hold.</exception>
    public static QuantizedMatrix Pack(TrainableLinear linear, WorkerPool pool)
    {
        LowRankAdapter adapter = linear.Adapter is { GroupSize: 1 } own ? own : throw new LowbitException($"{linear.Name} has no adapter that can stand beside its weight; use --adapters merged.");
        int rows = linear.Weight.Rows, columns = linear.Weight.Columns, rank = adapter.A.Rows;
        if (rank > Math.Min(rows, columns))
            throw new LowbitException($"{linear.Name}: --rank is {rank}, but a product beside a weight of [{rows}, {columns}] has at most {Math.Min(rows, columns)}; use a smaller rank or --adapters merged.");
        LowRankCodes product = new(rows, columns, rank);
        for (int r = 0; r < rows; r++)
            for (int k = 0; k < rank; k++) product.Left[r * rank + k] = (float)(Half)(adapter.B.Value.Floats[(long)k * rows + r] * adapter.Factor);
        for (int i = 0; i < product.Right.Length; i++) product.Right[i] = (float)(Half)adapter.A.Value.Floats[i];

        ImmutableArray<CompositeTerm> terms = linear.Packed is CompositeMatrix sum
            ? [.. sum.Terms.Select(term => new CompositeTerm(term.Input, Unpack(linear.Name, term.Weight), term.HaarOutput))]
            : [new CompositeTerm(new WholeInput(), linear.Packed is null ? Halves(linear) : Unpack(linear.Name, linear.Packed))];
        float[] dequantized = new float[checked(rows * columns)];
        fixed (float* values = dequantized) linear.CopyMerged(pool, values);
        double bits = (linear.Packed?.Bytes ?? 2L * dequantized.Length) * 8.0 / dequantized.Length + 16.0 * rank * (rows + columns) / dequantized.Length;
        return new QuantizedMatrix(new CompositeCodes(rows, columns, terms.Add(new CompositeTerm(new WholeInput(), product))), dequantized, bits, Precision(linear.Packed));
    }

    private static PlainCodes Halves(TrainableLinear linear)
    {
        float[] values = new ReadOnlySpan<float>(linear.Effective, checked((int)linear.Weight.Count)).ToArray();
        if (!Array.TrueForAll(values, value => (float)(Half)value == value))
            throw new LowbitException($"{linear.Name} holds numbers that half precision does not, so it cannot stand beside its adapter; use --adapters merged, or --method qlora, which packs it.");
        return new PlainCodes(linear.Weight.Rows, linear.Weight.Columns, values);
    }

    private static MatrixCodes Unpack(string name, WeightMatrix weight) => weight switch
    {
        TableMatrix table => table.Unpack(),
        UniformMatrix uniform => uniform.Unpack(),
        PartiallyBinarizedMatrix partial => partial.Unpack(),
        CodebookMatrix codebook => codebook.Unpack(),
        FloatMatrix floats => floats.Unpack(),
        IntegerMatrix integers => integers.Unpack(),
        LowRankMatrix lowRank => lowRank.Unpack(),
        DenseMatrix { Tensor: var tensor } when tensor.Format.BlockLength() > 1 => Blocks(tensor, weight),
        DenseMatrix { Tensor.Format: ElementFormat.F16 } => new PlainCodes(weight.Rows, weight.Columns, Floats(weight)),
        _ => throw new LowbitException($"{name} is packed as {weight.Format}, beside which no adapter can be written in this version; use --adapters merged."),
    };

    private static float[] Floats(WeightMatrix weight)
    {
        float[] values = new float[checked(weight.Rows * weight.Columns)];
        fixed (float* destination = values) weight.DequantizeRows(0, weight.Rows, destination);
        return values;
    }

    private static Kernels.Blocks.BlockCodes Blocks(Tensor tensor, WeightMatrix weight)
    {
        Kernels.Blocks.BlockCodes codes = new(weight.Rows, weight.Columns, tensor.Format);
        new ReadOnlySpan<byte>(tensor.Pointer, codes.Blocks.Length).CopyTo(codes.Blocks);
        return codes;
    }

    // Scales go back in the precision that they came in.
    private static ScalePrecision Precision(WeightMatrix? weight) => weight switch
    {
        CompositeMatrix sum when sum.Terms.All(term => Precision(term.Weight) == ScalePrecision.Float16) => ScalePrecision.Float16,
        UniformMatrix { Layout.ScaleFormat: ElementFormat.F16 } or PartiallyBinarizedMatrix { Layout.ScaleFormat: ElementFormat.F16 }
            or CodebookMatrix { Layout.ScaleFormat: ElementFormat.F16 } => ScalePrecision.Float16,
        UniformMatrix or PartiallyBinarizedMatrix or CodebookMatrix or CompositeMatrix => ScalePrecision.Float32,
        _ => ScalePrecision.Float16, // no choice of scales
    };
}
