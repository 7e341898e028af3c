using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.Packing;

/// <summary>
/// The stored form of 64 codes. Codes of 8 bits are bytes. Narrower ones are cut into fields of 4, 2 and 1 bits, from the
/// lowest bit up and the widest field first, as many as the width has ones in binary (3 = 2 + 1, 6 = 4 + 2, ...):
/// <code>
/// 4 bits, 32 bytes: byte i holds column i in bits 0-3, column 32 + i in bits 4-7
/// 2 bits, 16 bytes: byte i holds columns i, 16 + i, 32 + i, 48 + i in bits 0-1, 2-3, 4-5, 6-7
/// 1 bit,   8 bytes: byte i holds columns 8i to 8i + 7 in bits 0 to 7
/// </code>
/// So every width is turned into bytes by one load and one shift a field.
/// </summary>
internal static unsafe class CodeBlock
{
    /// <summary>Codes of a block.</summary>
    public const int Length = Activations.BlockLength;

    /// <summary>Packs 64 codes.</summary>
    /// <param name="codes">[64].</param>
    /// <param name="bits">Bits of a code.</param>
    /// <param name="target">[8 · bits] zeroed bytes.</param>
    public static void Pack(byte* codes, int bits, byte* target)
    {
        for (int i = 0; i < Length; i++)
        {
            int code = codes[i];
            byte* field = target;
            if (bits == 8) field[i] = (byte)code;
            if ((bits & 4) != 0)
            {
                field[i % 32] |= (byte)((code & 15) << i / 32 * 4);
                code >>= 4;
                field += 32;
            }
            if ((bits & 2) != 0)
            {
                field[i % 16] |= (byte)((code & 3) << i / 16 * 2);
                code >>= 2;
                field += 16;
            }
            if ((bits & 1) != 0) field[i / 8] |= (byte)(code << i % 8);
        }
    }

    /// <summary>Turns a block into bytes with the best code of this machine.</summary>
    public static void Unpack(byte* block, int bits, byte* codes)
    {
        if (!Avx2.IsSupported)
        {
            UnpackScalar(block, bits, codes);
            return;
        }
        UnpackAvx2(block, bits, out Vector256<byte> lower, out Vector256<byte> upper);
        lower.Store(codes);
        upper.Store(codes + 32);
    }

    /// <summary>Turns a block into bytes: the oracle.</summary>
    /// <param name="block">[8 · bits].</param>
    /// <param name="bits">Bits of a code.</param>
    /// <param name="codes">[64].</param>
    public static void UnpackScalar(byte* block, int bits, byte* codes)
    {
        for (int i = 0; i < Length; i++)
        {
            byte* field = block;
            int code = bits == 8 ? field[i] : 0;
            if ((bits & 4) != 0)
            {
                code = field[i % 32] >> i / 32 * 4 & 15;
                field += 32;
            }
            if ((bits & 2) != 0)
            {
                code |= (field[i % 16] >> i / 16 * 2 & 3) << (bits & 4);
                field += 16;
            }
            if ((bits & 1) != 0) code |= (field[i / 8] >> i % 8 & 1) << (bits & 6);
            codes[i] = (byte)code;
        }
    }

    /// <summary>As <see cref="UnpackScalar"/>; columns 0 to 31 and 32 to 63.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void UnpackAvx2(byte* block, int bits, out Vector256<byte> lower, out Vector256<byte> upper)
    {
        if (bits == 8)
        {
            lower = Vector256.Load(block);
            upper = Vector256.Load(block + 32);
            return;
        }
        lower = upper = default;
        if ((bits & 4) != 0)
        {
            Vector256<ushort> field = Vector256.Load(block).AsUInt16();
            lower = field.AsByte() & Vector256.Create((byte)15);
            upper = Vector256.ShiftRightLogical(field, 4).AsByte() & Vector256.Create((byte)15);
            block += 32;
        }
        if ((bits & 2) != 0)
        {
            Vector128<ulong> half = Vector128.Load((ulong*)block);
            Vector256<ulong> field = Vector256.Create(half, half), mask = Vector256.Create((byte)(3 << (bits & 4))).AsUInt64();
            Vector256<ulong> lowerCodes, upperCodes;
            if ((bits & 4) == 0)
            {
                lowerCodes = Avx2.ShiftRightLogicalVariable(field, Vector256.Create(0UL, 0, 2, 2));
                upperCodes = Avx2.ShiftRightLogicalVariable(field, Vector256.Create(4UL, 4, 6, 6));
            }
            else
            {
                lowerCodes = Avx2.ShiftLeftLogicalVariable(field, Vector256.Create(4UL, 4, 2, 2));
                upperCodes = Avx2.ShiftRightLogicalVariable(field, Vector256.Create(0UL, 0, 2, 2));
            }
            lower |= (lowerCodes & mask).AsByte();
            upper |= (upperCodes & mask).AsByte();
            block += 16;
        }
        if ((bits & 1) != 0)
        {
            Vector256<byte> byteOfLane = Vector256.Create(
                Vector128.Create(0x0000000000000000UL, 0x0101010101010101), Vector128.Create(0x0202020202020202UL, 0x0303030303030303)).AsByte();
            Vector256<byte> bitOfLane = Vector256.Create(0x8040201008040201UL).AsByte(), value = Vector256.Create((byte)(1 << (bits & 6)));
            lower |= Vector256.Equals(Avx2.Shuffle(Vector256.Create(*(uint*)block).AsByte(), byteOfLane) & bitOfLane, bitOfLane) & value;
            upper |= Vector256.Equals(Avx2.Shuffle(Vector256.Create(*(uint*)(block + 4)).AsByte(), byteOfLane) & bitOfLane, bitOfLane) & value;
        }
    }

    /// <summary>As <see cref="UnpackScalar"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> UnpackAvx512(byte* block, int bits)
    {
        if (bits == 8) return Vector512.Load(block);
        Vector512<byte> codes = default;
        if ((bits & 4) != 0)
        {
            Vector512<ulong> field = Avx512F.BroadcastVector256ToVector512((ulong*)block);
            codes = (Avx512F.ShiftRightLogicalVariable(field, Vector512.Create(0UL, 0, 0, 0, 4, 4, 4, 4)) & Vector512.Create((byte)15).AsUInt64()).AsByte();
            block += 32;
        }
        if ((bits & 2) != 0)
        {
            Vector512<ulong> field = Avx512F.BroadcastVector128ToVector512((uint*)block).AsUInt64();
            Vector512<ulong> shifted = (bits & 4) == 0
                ? Avx512F.ShiftRightLogicalVariable(field, Vector512.Create(0UL, 0, 2, 2, 4, 4, 6, 6))
                : Avx512F.RotateRightVariable(field, Vector512.Create(60UL, 60, 62, 62, 0, 0, 2, 2));
            codes |= (shifted & Vector512.Create((byte)(3 << (bits & 4))).AsUInt64()).AsByte();
            block += 16;
        }
        if ((bits & 1) != 0)
        {
            Vector512<byte> byteOfLane = Vector512.Create(
                Vector256.Create(Vector128.Create(0x0000000000000000UL, 0x0101010101010101), Vector128.Create(0x0202020202020202UL, 0x0303030303030303)),
                Vector256.Create(Vector128.Create(0x0404040404040404UL, 0x0505050505050505), Vector128.Create(0x0606060606060606UL, 0x0707070707070707))).AsByte();
            Vector512<byte> bitOfLane = Vector512.Create(0x8040201008040201UL).AsByte();
            Vector512<byte> ones = Vector512.Equals(Avx512BW.Shuffle(Vector512.Create(*(ulong*)block).AsByte(), byteOfLane) & bitOfLane, bitOfLane);
            codes |= ones & Vector512.Create((byte)(1 << (bits & 6)));
        }
        return codes;
    }
}
