using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.Interleaved;

/// <summary>
/// The few vector operations that products of interleaved rows are written with, for one width of vectors. A 32-bit lane
/// belongs to one row: it holds four codes, two 16-bit sums, one 32-bit sum or one float.
/// </summary>
/// <typeparam name="TVector">A vector of bytes, read as the operation needs it.</typeparam>
internal unsafe interface ILanes<TVector> where TVector : struct
{
    /// <summary>Bytes of a vector, four times its rows.</summary>
    static abstract int Width { get; }

    static abstract TVector Load(byte* source);
    static abstract void Store(byte* destination, TVector value);

    /// <summary>The four bytes in every lane.</summary>
    static abstract TVector Broadcast(void* lane);
    static abstract TVector Bytes(byte value);
    static abstract TVector Shorts(short value);
    static abstract TVector Floats(float value);
    static abstract TVector Integers(int value);

    static abstract TVector And(TVector a, TVector b);
    static abstract TVector Or(TVector a, TVector b);
    static abstract TVector MultiplyShorts(TVector a, TVector b);

    /// <summary>The upper halves of the products of unsigned 16-bit numbers.</summary>
    static abstract TVector MultiplyHigh(TVector a, TVector b);

    /// <summary>Unsigned 16-bit numbers moved down.</summary>
    static abstract TVector ShiftShorts(TVector value, int shift);

    /// <summary>The bits of a byte from <paramref name="shift"/> on, which the mask cuts off.</summary>
    static abstract TVector Bits(TVector value, int shift, byte mask);

    /// <summary>The bits of a byte moved up by <paramref name="shift"/>, those that the mask leaves.</summary>
    static abstract TVector UpperBits(TVector value, int shift, byte mask);

    /// <summary>The value in the bytes that have the bit set, elsewhere zero. The bit may be a variable, which shifts of the others had better not be.</summary>
    static abstract TVector WhereSet(byte* source, int bit, byte value);

    /// <summary>The byte that each byte of indices, at most 15, points to in a table of 16.</summary>
    static abstract TVector LookUp(TVector table, TVector indices);

    /// <summary>Codes of five bits as <see cref="LookUp(Vector128{byte}, Vector128{byte}, TVector, TVector)"/> takes them.</summary>
    /// <param name="nibbles">Their lower four bits.</param>
    /// <param name="fifths">Bit <paramref name="bit"/> of a byte is the fifth one of its code.</param>
    /// <param name="bit">Which bit.</param>
    /// <param name="isUpper">To be given to the other operation too.</param>
    static abstract TVector FiveBits(TVector nibbles, TVector fifths, int bit, out TVector isUpper);

    /// <summary>The byte that each code of five bits points to in a table of 32, of which there are both halves.</summary>
    static abstract TVector LookUp(Vector128<byte> lower, Vector128<byte> upper, TVector codes, TVector isUpper);

    /// <summary>Sixteen bytes of a table in every 128 bits.</summary>
    static abstract TVector Table(Vector128<byte> table);

    /// <summary>Bytes i and j of a lane as two 16-bit numbers, each byte unsigned.</summary>
    static abstract TVector Pair(TVector lanes, int i, int j);

    /// <summary>Bytes i and j of a lane as two 16-bit numbers, each byte signed.</summary>
    static abstract TVector SignedPair(TVector lanes, int i, int j);

    /// <summary>Whether a lane adds its products up in one sum of 32 bits, which holds any, and not in two of 16.</summary>
    static virtual bool SumsAreWide => false;

    /// <summary>sums + w₀x₀ + w₁x₁ and sums + w₂x₂ + w₃x₃ in 16 bits, or sums + w₀x₀ + w₁x₁ + w₂x₂ + w₃x₃; w unsigned, x signed, nothing may overflow.</summary>
    static abstract TVector AddProducts(TVector sums, TVector w, TVector x);

    /// <summary>Unsigned bytes less 128, as signed ones.</summary>
    static abstract TVector Signed(TVector bytes);

    /// <summary>The absolute values of signed bytes, as unsigned ones.</summary>
    static abstract TVector Magnitudes(TVector signed);

    /// <summary>sums + w₀x₀ + w₁x₁ + w₂x₂ + w₃x₃ in 32 bits of signed bytes, of which no x is −128.</summary>
    static abstract TVector AddSignedProducts(TVector sums, TVector w, TVector magnitudes, TVector x);

    /// <summary>Sums of products times integer scales, which each lane has twice in 16 bits, in 32 bits.</summary>
    static abstract TVector Scale(TVector sums, TVector scales);

    /// <summary>a₀b₀ + a₁b₁ of 16-bit numbers in 32 bits.</summary>
    static abstract TVector Dot(TVector a, TVector b);
    static abstract TVector AddIntegers(TVector a, TVector b);
    static abstract TVector SubtractIntegers(TVector a, TVector b);

    static abstract TVector ToFloat(TVector integers);
    static abstract TVector Add(TVector a, TVector b);
    static abstract TVector Multiply(TVector a, TVector b);

    /// <summary>As many finite halves as there are lanes, times 2^<paramref name="exponent"/>. Processors take a hundred cycles where one is subnormal.</summary>
    static abstract TVector LoadHalves(byte* source, int exponent);

    /// <summary>Byte i of a lane, a positive number of E4M3, as a float.</summary>
    static abstract TVector SmallFloats(TVector lanes, int i);

    /// <summary>As many upper halves of floats as there are lanes.</summary>
    static abstract TVector LoadUpperHalves(byte* source);
}

/// <summary>16 rows; needs AVX-512 BW.</summary>
internal readonly unsafe struct Lanes512 : ILanes<Vector512<byte>>
{
    public static bool IsSupported => Vector512.IsHardwareAccelerated && Avx512BW.IsSupported && VectorLimit.Bits >= 512;

    public static int Width => 64;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Load(byte* source) => Vector512.Load(source);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(byte* destination, Vector512<byte> value) => value.Store(destination);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Broadcast(void* lane) => Vector512.Create(*(int*)lane).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Bytes(byte value) => Vector512.Create(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Shorts(short value) => Vector512.Create(value).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Floats(float value) => Vector512.Create(value).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Integers(int value) => Vector512.Create(value).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> And(Vector512<byte> a, Vector512<byte> b) => a & b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Or(Vector512<byte> a, Vector512<byte> b) => a | b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> MultiplyShorts(Vector512<byte> a, Vector512<byte> b) => (a.AsInt16() * b.AsInt16()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> MultiplyHigh(Vector512<byte> a, Vector512<byte> b) => Avx512BW.MultiplyHigh(a.AsUInt16(), b.AsUInt16()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> ShiftShorts(Vector512<byte> value, int shift) => (value.AsUInt16() >>> shift).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Bits(Vector512<byte> value, int shift, byte mask) =>
        (shift == 0 ? value : (value.AsUInt16() >>> shift).AsByte()) & Vector512.Create(mask);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> UpperBits(Vector512<byte> value, int shift, byte mask) => (value.AsUInt16() << shift).AsByte() & Vector512.Create(mask);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> WhereSet(byte* source, int bit, byte value)
    {
        Vector512<byte> mask = Vector512.Create(0x01010101 << bit).AsByte();
        return Vector512.Equals(Vector512.Load(source) & mask, mask) & Vector512.Create(value);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> LookUp(Vector512<byte> table, Vector512<byte> indices) => Avx512BW.Shuffle(table, indices);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> FiveBits(Vector512<byte> nibbles, Vector512<byte> fifths, int bit, out Vector512<byte> isUpper)
    {
        isUpper = Avx512Vbmi.IsSupported ? default : (fifths.AsUInt16() << 7 - bit).AsByte();
        return Avx512Vbmi.IsSupported ? nibbles | (bit <= 4 ? UpperBits(fifths, 4 - bit, 0x10) : Bits(fifths, bit - 4, 0x10)) : nibbles;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> LookUp(Vector128<byte> lower, Vector128<byte> upper, Vector512<byte> codes, Vector512<byte> isUpper)
    {
        if (!Avx512Vbmi.IsSupported) return Vector512.ConditionalSelect(Vector512.IsNegative(isUpper.AsSByte()).AsByte(), LookUp(Table(upper), codes), LookUp(Table(lower), codes));
        // A permutation of 64 bytes looks at six bits: the table is there twice. Of constants it is one, which joined vectors are not.
        ulong a = lower.AsUInt64().GetElement(0), b = lower.AsUInt64().GetElement(1), c = upper.AsUInt64().GetElement(0), d = upper.AsUInt64().GetElement(1);
        return Avx512Vbmi.PermuteVar64x8(Vector512.Create(a, b, c, d, a, b, c, d).AsByte(), codes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Table(Vector128<byte> table)
    {
        // Of constants this is one, which broadcasts are not.
        ulong lower = table.AsUInt64().GetElement(0), upper = table.AsUInt64().GetElement(1);
        return Vector512.Create(lower, upper, lower, upper, lower, upper, lower, upper).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Pair(Vector512<byte> lanes, int i, int j) =>
        Avx512BW.Shuffle(lanes, Table(Lanes128.PairPattern(0x80008000u | (uint)i | (uint)j << 16)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> SignedPair(Vector512<byte> lanes, int i, int j) =>
        (Avx512BW.Shuffle(lanes, Table(Lanes128.PairPattern(0x00800080u | (uint)i << 8 | (uint)j << 24))).AsInt16() >> 8).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> AddProducts(Vector512<byte> sums, Vector512<byte> w, Vector512<byte> x) =>
        (sums.AsInt16() + Avx512BW.MultiplyAddAdjacent(w, x.AsSByte())).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Signed(Vector512<byte> bytes) => bytes ^ Vector512.Create((byte)0x80);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Magnitudes(Vector512<byte> signed) => Vector512.Abs(signed.AsSByte()).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> AddSignedProducts(Vector512<byte> sums, Vector512<byte> w, Vector512<byte> magnitudes, Vector512<byte> x) =>
        AddIntegers(sums, Dot(Avx512BW.MultiplyAddAdjacent(magnitudes, Vector512.ConditionalSelect(Vector512.IsNegative(w.AsSByte()), -x.AsSByte(), x.AsSByte())).AsByte(), Shorts(1)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Scale(Vector512<byte> sums, Vector512<byte> scales) => Dot(sums, scales);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Dot(Vector512<byte> a, Vector512<byte> b) => Avx512BW.MultiplyAddAdjacent(a.AsInt16(), b.AsInt16()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> AddIntegers(Vector512<byte> a, Vector512<byte> b) => (a.AsInt32() + b.AsInt32()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> SubtractIntegers(Vector512<byte> a, Vector512<byte> b) => (a.AsInt32() - b.AsInt32()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> ToFloat(Vector512<byte> integers) => Vector512.ConvertToSingle(integers.AsInt32()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Add(Vector512<byte> a, Vector512<byte> b) => (a.AsSingle() + b.AsSingle()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Multiply(Vector512<byte> a, Vector512<byte> b) => (a.AsSingle() * b.AsSingle()).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> LoadHalves(byte* source, int exponent)
    {
        Vector512<int> bits = Avx512F.ConvertToVector512Int32(Vector256.Load((short*)source)) << 13 & Vector512.Create(FiniteHalf.Mask);
        return (bits.AsSingle() * Vector512.Create(BitConverter.Int32BitsToSingle(FiniteHalf.FactorBits + (exponent << 23)))).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> SmallFloats(Vector512<byte> lanes, int i)
    {
        // (1 + f) · 2^(e - 7) where the exponent e is not 0, else (1 + f) · 2^-7 instead of f · 2^-6.
        Vector512<float> normal = (((lanes.AsInt32() >>> 8 * i & Vector512.Create(0x7F)) << 20) + Vector512.Create(120 << 23)).AsSingle();
        return Vector512.MinNative(normal, normal + normal - Vector512.Create(1f / 64)).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> LoadUpperHalves(byte* source) => (Avx512F.ConvertToVector512Int32(Vector256.Load((ushort*)source)) << 16).AsByte();
}

/// <summary>8 rows; needs AVX2 and takes VNNI's products where there are such.</summary>
internal readonly unsafe struct Lanes256 : ILanes<Vector256<byte>>
{
    public static bool IsSupported => Avx2.IsSupported && VectorLimit.Bits >= 256;

    public static int Width => 32;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Load(byte* source) => Vector256.Load(source);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(byte* destination, Vector256<byte> value) => value.Store(destination);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Broadcast(void* lane) => Vector256.Create(*(int*)lane).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Bytes(byte value) => Vector256.Create(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Shorts(short value) => Vector256.Create(value).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Floats(float value) => Vector256.Create(value).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Integers(int value) => Vector256.Create(value).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> And(Vector256<byte> a, Vector256<byte> b) => a & b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Or(Vector256<byte> a, Vector256<byte> b) => a | b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> MultiplyShorts(Vector256<byte> a, Vector256<byte> b) => (a.AsInt16() * b.AsInt16()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> MultiplyHigh(Vector256<byte> a, Vector256<byte> b) => Avx2.MultiplyHigh(a.AsUInt16(), b.AsUInt16()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> ShiftShorts(Vector256<byte> value, int shift) => (value.AsUInt16() >>> shift).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Bits(Vector256<byte> value, int shift, byte mask) =>
        (shift == 0 ? value : (value.AsUInt16() >>> shift).AsByte()) & Vector256.Create(mask);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> UpperBits(Vector256<byte> value, int shift, byte mask) => (value.AsUInt16() << shift).AsByte() & Vector256.Create(mask);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> WhereSet(byte* source, int bit, byte value)
    {
        Vector256<byte> mask = Vector256.Create(0x01010101 << bit).AsByte();
        return Vector256.Equals(Vector256.Load(source) & mask, mask) & Vector256.Create(value);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> LookUp(Vector256<byte> table, Vector256<byte> indices) => Avx2.Shuffle(table, indices);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> FiveBits(Vector256<byte> nibbles, Vector256<byte> fifths, int bit, out Vector256<byte> isUpper)
    {
        isUpper = Vector256.ShiftLeft(fifths.AsUInt16(), 7 - bit).AsByte();
        return nibbles;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> LookUp(Vector128<byte> lower, Vector128<byte> upper, Vector256<byte> codes, Vector256<byte> isUpper) =>
        Avx2.BlendVariable(Avx2.Shuffle(Vector256.Create(lower), codes), Avx2.Shuffle(Vector256.Create(upper), codes), isUpper);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Table(Vector128<byte> table) => Vector256.Create(table);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Pair(Vector256<byte> lanes, int i, int j) =>
        Avx2.Shuffle(lanes, Table(Lanes128.PairPattern(0x80008000u | (uint)i | (uint)j << 16)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> SignedPair(Vector256<byte> lanes, int i, int j) =>
        (Avx2.Shuffle(lanes, Table(Lanes128.PairPattern(0x00800080u | (uint)i << 8 | (uint)j << 24))).AsInt16() >> 8).AsByte();

    public static bool SumsAreWide => AvxVnni.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> AddProducts(Vector256<byte> sums, Vector256<byte> w, Vector256<byte> x) => AvxVnni.IsSupported
        ? AvxVnni.MultiplyWideningAndAdd(sums.AsInt32(), w, x.AsSByte()).AsByte()
        : (sums.AsInt16() + Avx2.MultiplyAddAdjacent(w, x.AsSByte())).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Signed(Vector256<byte> bytes) => bytes ^ Vector256.Create((byte)0x80);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Magnitudes(Vector256<byte> signed) => Vector256.Abs(signed.AsSByte()).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> AddSignedProducts(Vector256<byte> sums, Vector256<byte> w, Vector256<byte> magnitudes, Vector256<byte> x) =>
        AddIntegers(sums, Dot(Avx2.MultiplyAddAdjacent(magnitudes, Avx2.Sign(x.AsSByte(), w.AsSByte())).AsByte(), Shorts(1)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Scale(Vector256<byte> sums, Vector256<byte> scales) => AvxVnni.IsSupported
        ? Avx2.MultiplyLow(sums.AsInt32(), scales.AsInt32() >> 16).AsByte()
        : Dot(sums, scales);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Dot(Vector256<byte> a, Vector256<byte> b) => Avx2.MultiplyAddAdjacent(a.AsInt16(), b.AsInt16()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> AddIntegers(Vector256<byte> a, Vector256<byte> b) => (a.AsInt32() + b.AsInt32()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> SubtractIntegers(Vector256<byte> a, Vector256<byte> b) => (a.AsInt32() - b.AsInt32()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> ToFloat(Vector256<byte> integers) => Vector256.ConvertToSingle(integers.AsInt32()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Add(Vector256<byte> a, Vector256<byte> b) => (a.AsSingle() + b.AsSingle()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Multiply(Vector256<byte> a, Vector256<byte> b) => (a.AsSingle() * b.AsSingle()).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> LoadHalves(byte* source, int exponent)
    {
        Vector256<int> bits = Avx2.ConvertToVector256Int32(Vector128.Load((short*)source)) << 13 & Vector256.Create(FiniteHalf.Mask);
        return (bits.AsSingle() * Vector256.Create(BitConverter.Int32BitsToSingle(FiniteHalf.FactorBits + (exponent << 23)))).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> SmallFloats(Vector256<byte> lanes, int i)
    {
        // (1 + f) · 2^(e - 7) where the exponent e is not 0, else (1 + f) · 2^-7 instead of f · 2^-6.
        Vector256<float> normal = (((lanes.AsInt32() >>> 8 * i & Vector256.Create(0x7F)) << 20) + Vector256.Create(120 << 23)).AsSingle();
        return Vector256.MinNative(normal, normal + normal - Vector256.Create(1f / 64)).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> LoadUpperHalves(byte* source) => (Avx2.ConvertToVector256Int32(Vector128.Load((ushort*)source)) << 16).AsByte();
}

/// <summary>4 rows; any machine with vectors of 128 bits.</summary>
internal readonly unsafe struct Lanes128 : ILanes<Vector128<byte>>
{
    public static bool IsSupported => Vector128.IsHardwareAccelerated && VectorLimit.Bits >= 128;

    public static int Width => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Load(byte* source) => Vector128.Load(source);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(byte* destination, Vector128<byte> value) => value.Store(destination);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Broadcast(void* lane) => Vector128.Create(*(int*)lane).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Bytes(byte value) => Vector128.Create(value);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Shorts(short value) => Vector128.Create(value).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Floats(float value) => Vector128.Create(value).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Integers(int value) => Vector128.Create(value).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> And(Vector128<byte> a, Vector128<byte> b) => a & b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Or(Vector128<byte> a, Vector128<byte> b) => a | b;
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> MultiplyShorts(Vector128<byte> a, Vector128<byte> b) => (a.AsInt16() * b.AsInt16()).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> MultiplyHigh(Vector128<byte> a, Vector128<byte> b)
    {
        if (Sse2.IsSupported) return Sse2.MultiplyHigh(a.AsUInt16(), b.AsUInt16()).AsByte();
        Vector128<uint> lower = Vector128.WidenLower(a.AsUInt16()) * Vector128.WidenLower(b.AsUInt16()), upper = Vector128.WidenUpper(a.AsUInt16()) * Vector128.WidenUpper(b.AsUInt16());
        return Vector128.Narrow(lower >>> 16, upper >>> 16).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> ShiftShorts(Vector128<byte> value, int shift) => (value.AsUInt16() >>> shift).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Bits(Vector128<byte> value, int shift, byte mask) =>
        (shift == 0 ? value : (value.AsUInt16() >>> shift).AsByte()) & Vector128.Create(mask);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> UpperBits(Vector128<byte> value, int shift, byte mask) => (value.AsUInt16() << shift).AsByte() & Vector128.Create(mask);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> WhereSet(byte* source, int bit, byte value)
    {
        Vector128<byte> mask = Vector128.Create(0x01010101 << bit).AsByte();
        return Vector128.Equals(Vector128.Load(source) & mask, mask) & Vector128.Create(value);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> LookUp(Vector128<byte> table, Vector128<byte> indices) => Vector128.Shuffle(table, indices);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> FiveBits(Vector128<byte> nibbles, Vector128<byte> fifths, int bit, out Vector128<byte> isUpper)
    {
        isUpper = (fifths.AsUInt16() << 7 - bit).AsByte();
        return nibbles;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> LookUp(Vector128<byte> lower, Vector128<byte> upper, Vector128<byte> codes, Vector128<byte> isUpper) =>
        Vector128.ConditionalSelect(Vector128.IsNegative(isUpper.AsSByte()).AsByte(), Vector128.Shuffle(upper, codes), Vector128.Shuffle(lower, codes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Table(Vector128<byte> table) => table;

    /// <summary>The pattern of a shuffle within each lane of 32 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> PairPattern(uint pattern) =>
        Vector128.Create(pattern, pattern + 0x04040404u, pattern + 0x08080808u, pattern + 0x0C0C0C0Cu).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Pair(Vector128<byte> lanes, int i, int j) =>
        ((lanes.AsUInt32() >>> 8 * i & Vector128.Create(0xFFu)) | (lanes.AsUInt32() >>> 8 * j & Vector128.Create(0xFFu)) << 16).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> SignedPair(Vector128<byte> lanes, int i, int j) => ((Pair(lanes, i, j).AsInt16() << 8) >> 8).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> AddProducts(Vector128<byte> sums, Vector128<byte> w, Vector128<byte> x)
    {
        if (Ssse3.IsSupported) return (sums.AsInt16() + Ssse3.MultiplyAddAdjacent(w, x.AsSByte())).AsByte();
        Vector128<short> even = (w.AsInt16() & Vector128.Create((short)0xFF)) * (x.AsInt16() << 8 >> 8), odd = (w.AsInt16() >>> 8) * (x.AsInt16() >> 8);
        return (sums.AsInt16() + (even + odd)).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Signed(Vector128<byte> bytes) => bytes ^ Vector128.Create((byte)0x80);
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Magnitudes(Vector128<byte> signed) => Vector128.Abs(signed.AsSByte()).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> AddSignedProducts(Vector128<byte> sums, Vector128<byte> w, Vector128<byte> magnitudes, Vector128<byte> x)
    {
        // Products of signed bytes are those of their absolute values with activations of their signs.
        Vector128<sbyte> signed = Ssse3.IsSupported ? Ssse3.Sign(x.AsSByte(), w.AsSByte()) : Vector128.ConditionalSelect(Vector128.IsNegative(w.AsSByte()), -x.AsSByte(), x.AsSByte());
        return AddIntegers(sums, Dot(AddProducts(default, magnitudes, signed.AsByte()), Shorts(1)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Scale(Vector128<byte> sums, Vector128<byte> scales) => Dot(sums, scales);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Dot(Vector128<byte> a, Vector128<byte> b)
    {
        if (Sse2.IsSupported) return Sse2.MultiplyAddAdjacent(a.AsInt16(), b.AsInt16()).AsByte();
        return ((a.AsInt32() << 16 >> 16) * (b.AsInt32() << 16 >> 16) + (a.AsInt32() >> 16) * (b.AsInt32() >> 16)).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> AddIntegers(Vector128<byte> a, Vector128<byte> b) => (a.AsInt32() + b.AsInt32()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> SubtractIntegers(Vector128<byte> a, Vector128<byte> b) => (a.AsInt32() - b.AsInt32()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> ToFloat(Vector128<byte> integers) => Vector128.ConvertToSingle(integers.AsInt32()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Add(Vector128<byte> a, Vector128<byte> b) => (a.AsSingle() + b.AsSingle()).AsByte();
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Multiply(Vector128<byte> a, Vector128<byte> b) => (a.AsSingle() * b.AsSingle()).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> LoadHalves(byte* source, int exponent)
    {
        Vector128<int> bits = Vector128.WidenLower(Vector128.CreateScalar(*(long*)source).AsInt16()) << 13 & Vector128.Create(FiniteHalf.Mask);
        return (bits.AsSingle() * Vector128.Create(BitConverter.Int32BitsToSingle(FiniteHalf.FactorBits + (exponent << 23)))).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> SmallFloats(Vector128<byte> lanes, int i)
    {
        // (1 + f) · 2^(e - 7) where the exponent e is not 0, else (1 + f) · 2^-7 instead of f · 2^-6.
        Vector128<float> normal = (((lanes.AsInt32() >>> 8 * i & Vector128.Create(0x7F)) << 20) + Vector128.Create(120 << 23)).AsSingle();
        return Vector128.MinNative(normal, normal + normal - Vector128.Create(1f / 64)).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> LoadUpperHalves(byte* source) => (Vector128.WidenLower(Vector128.CreateScalar(*(ulong*)source).AsUInt16()) << 16).AsByte();
}
