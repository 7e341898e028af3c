using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Four slots of a step and the lists of <see cref="SalientList"/> from which they are filled.</summary>
internal unsafe interface ISlots
{
    /// <summary>What comes next in the lists, as many weights of each as it has slots.</summary>
    /// <param name="next">Where each of the tile's rows has come to in its list.</param>
    /// <param name="four">Number of the four slots.</param>
    static abstract Vector128<int> Load(int** next, int four);

    /// <summary>Goes on in the lists.</summary>
    /// <param name="next">See <see cref="Load"/>.</param>
    /// <param name="four">See <see cref="Load"/>.</param>
    /// <param name="taken">Ones for the slots whose weights have been taken, the first of each row.</param>
    static abstract void Advance(int** next, int four, uint taken);
}

/// <summary>Two slots of each of two rows.</summary>
internal readonly unsafe struct TwoSlots : ISlots
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Load(int** next, int four) => Vector128.Create(*(ulong*)next[2 * four], *(ulong*)next[2 * four + 1]).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Advance(int** next, int four, uint taken)
    {
        next[2 * four] += BitOperations.PopCount(taken & 3);
        next[2 * four + 1] += BitOperations.PopCount(taken >> 2);
    }
}

/// <summary>Four slots of a row.</summary>
internal readonly unsafe struct FourSlots : ISlots
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Load(int** next, int four) => Vector128.Load(next[four]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Advance(int** next, int four, uint taken) => next[four] += BitOperations.PopCount(taken);
}
