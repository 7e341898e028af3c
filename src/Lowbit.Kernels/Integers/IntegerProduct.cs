namespace Lowbit.Kernels.Integers;

/// <summary>
/// The product of a row with a token, integer after integer: the definition that all kernels meet to the last bit. A token is s · x with one scale
/// s and integers x of −8128 to 8128 (<see cref="ScaledTokens"/>), so y = s · Σ q x, where the sum is an exact integer of 32 bits.
/// </summary>
internal static unsafe class IntegerProduct
{
    /// <summary>Multiplies a row.</summary>
    /// <param name="integers">The row in the order of the columns.</param>
    /// <param name="padded">Their number.</param>
    /// <param name="x">The token.</param>
    public static float Row(sbyte* integers, int padded, in ScaledToken x)
    {
        int sum = 0;
        for (int c = 0; c < padded; c++) sum += integers[c] * x.Values[c];
        return x.Scale * sum;
    }
}
