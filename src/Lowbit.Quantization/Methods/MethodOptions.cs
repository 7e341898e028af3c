using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>A method with its settings: immutable, compared by value, checked when it runs.</summary>
public abstract record MethodOptions
{
    /// <summary>Precision of scales and means.</summary>
    public ScalePrecision ScalePrecision { get; init; } = ScalePrecision.Float32;

    /// <summary>Whether the layer must come with a Hessian.</summary>
    public abstract bool NeedsHessian { get; }

    /// <summary>Whether the Hessian shall also have seen the float model's inputs, beside those of the model quantized so far.</summary>
    public virtual bool NeedsFloatInputs => false;

    /// <summary>Packed bits of a weight of a square layer, scales and positions included, before the weights are known.</summary>
    /// <param name="columns">Input features of the layer.</param>
    /// <param name="codedPositions">Whether positions are stored in coded form.</param>
    public abstract double EstimateBitsPerWeight(int columns, bool codedPositions);

    /// <summary>Quantizes one weight. Results do not depend on the number of threads.</summary>
    /// <param name="layer">Weight and, where <see cref="NeedsHessian"/>, the Hessian of its inputs.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="cancellation">Stops the work within a fraction of a second.</param>
    /// <exception cref="LowbitException">A setting is out of range, or the layer has no usable Hessian.</exception>
    public QuantizedMatrix Quantize(LinearLayer layer, WorkerPool pool, CancellationToken cancellation = default)
    {
        Validate();
        QuantizedMatrix result = Run(layer, pool, cancellation);
        return layer.Hessian is null ? result : result with
        {
            OutputError = OutputError.FromHessian(pool, layer.Weight.Span, result.Dequantized, layer.OutFeatures, layer.Hessian),
        };
    }

    /// <summary>Checks the settings before any work is done.</summary>
    /// <exception cref="LowbitException">A setting is out of range.</exception>
    public abstract void Validate();

    /// <summary>The method itself.</summary>
    protected abstract QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation);

    /// <summary>The range that grids span, <see cref="ScaleSearch.MinMax"/> where it is not given.</summary>
    private protected static ScaleSearch ReadScaleSearch(MethodSettings settings) =>
        settings.Choice("scale-search", ScaleSearch.MinMax, ("minmax", ScaleSearch.MinMax), ("mse", ScaleSearch.Mse), ("lp", ScaleSearch.Lp));

    /// <summary>Throws unless a setting is as expected.</summary>
    /// <param name="valid">Whether it is.</param>
    /// <param name="option">Name on the command line.</param>
    /// <param name="value">The value found.</param>
    /// <param name="expected">What was expected.</param>
    protected static void Require(bool valid, string option, object value, string expected)
    {
        if (!valid) throw new LowbitException(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{option}: {value} was given, {expected} is expected."));
    }

    /// <summary>Throws unless a group size is one.</summary>
    protected static void RequireGroupSize(int groupSize) =>
        Require(groupSize is -1 or > 0, "--group-size", groupSize, "a number of columns above 0, or -1 for the whole row,");

    /// <summary>As <see cref="RequireGroupSize"/> of a method that has grids of whole matrices too.</summary>
    protected static void RequireGroupSizeOrMatrix(int groupSize) =>
        Require(groupSize >= -1, "--group-size", groupSize, "a number of columns above 0, -1 for the whole row, or 0 for the whole matrix,");

    /// <summary>Throws unless damping and block size of a compensating method are in range.</summary>
    protected static void RequireCompensation(double damping, int blockSize)
    {
        Require(damping is >= 0 and <= 10, "--damping", damping, "0 to 10, a share of the mean of the Hessian's diagonal,");
        Require(blockSize > 0, "--block-size", blockSize, "a number of columns above 0");
    }

    /// <summary>Throws unless a number of descent steps is one.</summary>
    protected static void RequireIterations(int iterations) => Require(iterations is >= 0 and <= 100000, "--iterations", iterations, "0 to 100000");

    /// <summary>Columns of a group in a row of <paramref name="columns"/>, where −1 and 0 stand for the whole row.</summary>
    internal static int GroupColumns(int groupSize, int columns) => groupSize <= 0 || groupSize > columns ? columns : groupSize;
}
