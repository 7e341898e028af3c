using System.Runtime.Intrinsics;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>The two kinds of sums of a segment that <see cref="TileProduct{TKernel}"/> puts together, for one instruction set.</summary>
internal unsafe interface ITileProduct
{
    /// <summary>The steps of salient weights.</summary>
    static abstract StepForm Form { get; }

    /// <summary>For rows 0 to 7 and 8 to 15 the sums of the activations where a plane has ones.</summary>
    /// <param name="tables">Tables of the segment's blocks.</param>
    /// <param name="blocks">Blocks of the segment.</param>
    /// <param name="data">The plane; afterwards what follows it.</param>
    /// <param name="sums0">Of rows 0 to 7.</param>
    /// <param name="sums1">Of rows 8 to 15.</param>
    static abstract void Plane(byte* tables, int blocks, ref byte* data, out Vector256<int> sums0, out Vector256<int> sums1);

    /// <summary>For rows 0 to 7 and 8 to 15 the sums over the salient weights, from steps with places.</summary>
    /// <param name="x">The token.</param>
    /// <param name="block">First block of the segment.</param>
    /// <param name="moves">Of the windows of the steps.</param>
    /// <param name="steps">Their number.</param>
    /// <param name="data">The steps; afterwards what follows them.</param>
    /// <param name="sums0">Of rows 0 to 7.</param>
    /// <param name="sums1">Of rows 8 to 15.</param>
    static abstract void Places(in RoundedToken x, int block, byte* moves, int steps, ref byte* data, out SalientSums sums0, out SalientSums sums1);

    /// <summary>The same from steps with gaps.</summary>
    static abstract void Gaps(in RoundedToken x, int block, byte* moves, int steps, ref byte* data, out SalientSums sums0, out SalientSums sums1);
}

/// <summary>Sums of eight rows over the salient weights of a segment.</summary>
/// <param name="High">Of the activations.</param>
/// <param name="Codes">Of the activations times the codes.</param>
internal readonly record struct SalientSums(Vector256<int> High, Vector256<int> Codes);
