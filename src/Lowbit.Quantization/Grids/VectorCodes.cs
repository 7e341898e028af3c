using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Lowbit.Quantization.Grids;

/// <summary>
/// <see cref="UniformGrid"/> and <see cref="BinaryGrid"/> for eight rows at once, each with its own parameters; equal to
/// the scalar forms to the last bit.
/// </summary>
internal static unsafe class VectorCodes
{
    /// <summary>Codes on uniform grids; see <see cref="UniformGrid.Encode"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> EncodeUniform(Vector256<float> weights, Vector256<float> scale, Vector256<float> zero, Vector256<float> maxCode) =>
        Vector256.Min(Vector256.Max(Vector256.Round(weights / scale) + zero, Vector256<float>.Zero), maxCode);

    /// <summary>Levels of uniform grids; see <see cref="UniformGrid.Decode"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> DecodeUniform(Vector256<float> codes, Vector256<float> scale, Vector256<float> zero) => scale * (codes - zero);

    /// <summary>Codes of low weights; see <see cref="BinaryGrid.Encode"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> EncodeBinary(int bits, Vector256<float> weights, Vector256<float> mean, Vector256<float> scale, Vector256<float> threshold) => bits switch
    {
        0 => Vector256<float>.Zero,
        1 => Vector256.ConditionalSelect(Vector256.GreaterThanOrEqual(weights, threshold), Vector256<float>.One, Vector256<float>.Zero),
        _ => Vector256.Min(Vector256.Max(Vector256.Round((weights - mean) / (scale + scale) + Vector256.Create(1.5f)), Vector256<float>.Zero), Vector256.Create(3f)),
    };

    /// <summary>Levels of low weights; see <see cref="BinaryGrid.Decode"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> DecodeBinary(int bits, Vector256<float> codes, Vector256<float> mean, Vector256<float> scale) =>
        mean + scale * (codes + codes - Vector256.Create((float)((1 << bits) - 1)));

    /// <summary>Writes eight codes as bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> codes, byte* destination)
    {
        Vector256<int> integers = Vector256.ConvertToInt32(codes);
        Vector128<short> shorts = Vector128.Narrow(integers.GetLower(), integers.GetUpper());
        Unsafe.WriteUnaligned(destination, Vector128.Narrow(shorts.AsUInt16(), shorts.AsUInt16()).AsUInt64().ToScalar());
    }

    /// <summary>Reads eight truth values as a mask of all ones where true.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadMask(byte* flags)
    {
        Vector128<ushort> shorts = Vector128.WidenLower(Vector128.CreateScalar(Unsafe.ReadUnaligned<ulong>(flags)).AsByte());
        return ~Vector256.Equals(Vector256.Create(Vector128.WidenLower(shorts), Vector128.WidenUpper(shorts)), Vector256<uint>.Zero).AsSingle();
    }
}
