namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>A number known when a kernel is compiled, so that its loop over the low planes is unrolled.</summary>
internal interface ILowPlanes
{
    static abstract int Count { get; }
}

/// <summary>Pruned weights.</summary>
internal readonly struct NoLowPlane : ILowPlanes
{
    public static int Count => 0;
}

/// <summary>Binarized weights.</summary>
internal readonly struct OneLowPlane : ILowPlanes
{
    public static int Count => 1;
}

/// <summary>Two-bit weights.</summary>
internal readonly struct TwoLowPlanes : ILowPlanes
{
    public static int Count => 2;
}
