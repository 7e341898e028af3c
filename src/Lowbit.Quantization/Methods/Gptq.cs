// GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers
// Frantar, Ashkboos, Hoefler, Alistarh; arXiv 2210.17323, algorithm 1; code: IST-DASLab/gptq (gptq.py, quant.py).
//
// Problem   min over the grid of ‖X(W − Ŵ)ᵀ‖², row by row: round the columns one after the other, and let the columns
//           behind make up for the error (Compensation.cs has the loop).
// Symbols   paper   here                     meaning
//           W       WorkingCopy.Weights      weights [in, out], columns in the order they are taken
//           H       Hessian                  2 XᵀX over the calibration inputs, dead inputs H_jj = 1
//           λ       Damping                  1 % of the mean of diag(H), added to the diagonal
//           H⁻¹     InverseFactor            U with H⁻¹ = UᵀU (the paper's Cholesky(H⁻¹)ᵀ)
//           B       BlockSize                columns between two updates of the rest
//           E       Compensation             errors of a block, (w − q) / U_jj
//           quant   UniformGrid              round to nearest on s · (q − z)
// Grids     of a whole row: fitted to the original weights, those of dead inputs included. Of groups: fitted when the group's
//           turn comes, to the weights as the blocks before have updated them; the columns inside the same block have not
//           yet (as in gptq.py).
// Order     natural, or by falling diag(H) (act-order); groups are then consecutive in that order.
// Cost      in³ · 2/3 for U, once for all layers that share an input, and in² · out for the loop.
// Departs   from the repository: U in double precision by the shorter way (InverseFactor.cs); a symmetric group without
//           negative weights (UniformGrid.FromRange); columns with equal diag(H) keep their order.

using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of GPTQ; the defaults are the paper's.</summary>
public sealed record GptqOptions : CompensatingOptions
{
    internal static GptqOptions Read(MethodSettings settings) => new GptqOptions().With<GptqOptions>(settings);

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        Gptq.Quantize(layer, this, pool, cancellation);
}

/// <summary>GPTQ.</summary>
public static unsafe class Gptq
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, GptqOptions options, WorkerPool pool, CancellationToken cancellation) =>
        Quantize(layer, options, null, pool, cancellation);

    /// <summary>The same with the feedback of GPTAQ, see <see cref="Compensation"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, CompensatingOptions options, float* feedback, WorkerPool pool, CancellationToken cancellation)
    {
        Hessian hessian = layer.RequireHessian("gptq");
        int rows = layer.OutFeatures, columns = layer.InFeatures;
        using var copy = new WorkingCopy(pool, layer.Weight.Span, rows, columns, options.ActivationOrder ? hessian.ActivationOrder() : null);
        using var grids = new UniformColumns(copy, options, columns);
        copy.ClearDeadInputs(hessian);
        InverseFactor factor = hessian.Factor(pool, options.Damping, options.ActivationOrder, cancellation);
        Compensation.Run(pool, copy, factor, options.BlockSize, grids, cancellation, feedback);
        if (grids.Rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, feedback, pool, cancellation);
        return new QuantizedMatrix(grids.ToCodes(pool), copy.NaturalWeights(pool), options.Bits, options.ScalePrecision);
    }
}
