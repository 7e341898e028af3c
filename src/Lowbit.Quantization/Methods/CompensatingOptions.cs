using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>What GPTQ and the methods that put something beside it have in common: uniform grids and error compensation.</summary>
public abstract record CompensatingOptions : MethodOptions
{
    /// <summary>Bits of a code, 2 to 8.</summary>
    public int Bits { get; init; } = 4;

    /// <summary>Consecutive columns that share a scale; −1 for the whole row.</summary>
    public int GroupSize { get; init; } = -1;

    /// <summary>Whether the grid is as wide below zero as above.</summary>
    public bool Symmetric { get; init; }

    /// <summary>What range of weights a grid spans.</summary>
    public ScaleSearch ScaleSearch { get; init; }

    /// <summary>Whether columns are taken by falling diagonal of the Hessian.</summary>
    public bool ActivationOrder { get; init; }

    /// <summary>What is added to the diagonal of the Hessian, as a share of its mean.</summary>
    public double Damping { get; init; } = 0.01;

    /// <summary>Columns between two updates of the columns behind.</summary>
    public int BlockSize { get; init; } = 128;

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) =>
        PackedBits.Uniform(columns, Bits, GroupSize, ScalePrecision, reordered: ActivationOrder);

    /// <summary>The same options with what the settings say of these.</summary>
    private protected TOptions With<TOptions>(MethodSettings settings) where TOptions : CompensatingOptions => (TOptions)(this with
    {
        Bits = settings.Integer("bits", Bits),
        GroupSize = settings.Integer("group-size", GroupSize),
        Symmetric = settings.Flag("symmetric", Symmetric),
        ScaleSearch = ReadScaleSearch(settings),
        ActivationOrder = settings.Flag("activation-order", ActivationOrder),
        Damping = settings.Number("damping", Damping),
        BlockSize = settings.Integer("block-size", BlockSize),
    });

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Bits is >= 2 and <= 8, "--bits", Bits, "2 to 8");
        RequireGroupSize(GroupSize);
        RequireCompensation(Damping, BlockSize);
    }
}
