using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Methods;

namespace Lowbit.Training.Export;

/// <summary>A method of training and its settings, for the record in a packed folder. It cannot quantize by itself.</summary>
/// <param name="Name">Name on the command line.</param>
/// <param name="Settings">Its settings in one line.</param>
/// <param name="NominalBits">The figure of its paper.</param>
public sealed record TrainedMethod(string Name, string Settings, double NominalBits) : MethodOptions
{
    /// <inheritdoc/>
    public override bool NeedsHessian => false;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) => NominalBits;

    /// <inheritdoc/>
    public override string ToString() => Settings;

    /// <inheritdoc/>
    public override void Validate() =>
        throw new LowbitException($"--method {Name} is a method of training; use the verb finetune.");

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        throw new LowbitException($"--method {Name} is a method of training; use the verb finetune.");
}
