using System;
using System.Runtime.CompilerServices;

namespace Lowbit.Kernels.Interleaved;

/// <summary>
/// How a format lies in interleaved rows. Sixteen rows are a tile. Its columns are cut into chunks of 64, the
/// blocks of the activations; a chunk has two halves of 32 columns and four units of 16, a unit four steps of 4 columns.
/// One or four chunks are a group, which begins with a header of the 16-bit factors of the rows; the last group may have fewer. In a chunk, each vector of
/// 64 bytes has four bytes of each row: row r's lie at 4 r. Kernels with narrower vectors take a part of the rows.
/// </summary>
/// <remarks>
/// With q the unsigned codes, x those of the activations, s and m integer scales and minimums of a unit and F, G float factors:
/// i = Σ s Σ q x and j = Σ m Σ x over a unit, a half or a chunk contribute F (i + j), or F i + G j where the minimum has a factor.
/// </remarks>
internal unsafe interface IBlockFormat
{
    /// <summary>Rows of a tile.</summary>
    const int Rows = WeightMatrix.RowsOfTile;

    /// <summary>Columns of a chunk.</summary>
    const int ChunkColumns = Activations.BlockLength;

    /// <summary>Bytes of a vector of all rows.</summary>
    const int Vector = 4 * Rows;

    /// <summary>Bytes of a 16-bit factor of all rows.</summary>
    const int Factors = 2 * Rows;

    /// <summary>Factors in half precision lie in the header 2^10 times as large as they are, so that none is subnormal: processors are slow with those.</summary>
    const int FactorExponent = -10;

    /// <summary>Weights of a block: 32, 64 or 256.</summary>
    static abstract int BlockLength { get; }

    /// <summary>Bytes of a block.</summary>
    static abstract int BlockBytes { get; }

    /// <summary>Bits of an unsigned code.</summary>
    static abstract int CodeBits { get; }

    /// <summary>Columns that share an integer scale, 16 or 32; 0 where there is none.</summary>
    static virtual int ScaleRun => 0;

    /// <summary>Whether each half of a chunk has factors of its own, as blocks of 32 do.</summary>
    static abstract bool FactorsOfHalves { get; }

    /// <summary>Whether each unit has a factor of its own, <see cref="UnitFactor"/>; codes have at most 5 bits then, and no integer scales.</summary>
    static virtual bool FactorsOfUnits => false;

    /// <summary>Whether the minimum has a factor of its own.</summary>
    static virtual bool MinimumHasFactor => false;

    /// <summary>Bits of a 16-bit factor that are all set in what is no finite number.</summary>
    static virtual int ExponentMask => 0x7C00;

    /// <summary>Chunks of a group, 1 or 4.</summary>
    static virtual int GroupChunks => 1;

    /// <summary>Bytes of a set of factors; a header has one for all chunks of the group, or several, each of the same number of chunks.</summary>
    static virtual int FactorBytes => 2 * Factors;

    /// <summary>Bytes behind the factors that belong to all chunks of the group, cleared before <see cref="Interleave"/>.</summary>
    static virtual int SharedBytes => 0;

    /// <summary>How many of a row's factors in a set are halves that lie there enlarged by <see cref="FactorExponent"/>.</summary>
    static virtual int ScaledFactors => 4;

    /// <summary>Bytes of a chunk.</summary>
    static abstract int ChunkBytes { get; }

    /// <summary>Writes one row's bytes of a group.</summary>
    /// <param name="block">The row's first block of the group.</param>
    /// <param name="blocks">Blocks of the row in the group: 1, or 2 where two blocks make a chunk.</param>
    /// <param name="factors">The row's first factor in the header; the next ones follow every 16.</param>
    /// <param name="lanes">The row's lane of the first vector of the first chunk; the next ones follow every 16.</param>
    static abstract void Interleave(byte* block, int blocks, ushort* factors, uint* lanes);

    /// <summary>Whether steps are unpacked two at a time: by <see cref="TwoSteps"/> and <see cref="Dot"/> instead of <see cref="Codes"/>. Chunks have one factor then and no integer scales.</summary>
    static virtual bool StepsArePaired => false;

    /// <summary>The codes of four columns of the rows.</summary>
    static virtual TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct => throw new NotSupportedException();

    /// <summary>The codes of steps 2 <paramref name="pair"/> and 2 <paramref name="pair"/> + 1 of a unit, of the chunk with that position in its group.</summary>
    static virtual void TwoSteps<TLanes, TVector>(byte* chunk, int position, int unit, int pair, out TVector first, out TVector second)
        where TLanes : struct, ILanes<TVector> where TVector : struct => throw new NotSupportedException();

    /// <summary>Σ q x over a chunk in 32 bits.</summary>
    static virtual TVector Dot<TLanes, TVector>(byte* chunk, int position, sbyte* x) where TLanes : struct, ILanes<TVector> where TVector : struct => throw new NotSupportedException();

    /// <summary>The integer scales of a unit, each twice.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual TVector Scale<TLanes, TVector>(byte* chunk, int unit) where TLanes : struct, ILanes<TVector> where TVector : struct => TLanes.Shorts(1);

    /// <summary>The integer minimums of the two units of a half.</summary>
    static abstract TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct;

    /// <summary>The factors F.</summary>
    static virtual TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct => throw new NotSupportedException();

    /// <summary>The factors of a unit.</summary>
    static virtual TVector UnitFactor<TLanes, TVector>(byte* header, byte* chunk, int unit) where TLanes : struct, ILanes<TVector> where TVector : struct => throw new NotSupportedException();

    /// <summary>The factors G.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual TVector MinimumFactor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct => default;

    /// <summary>The same numbers from the bytes of the file, one after the other: the definition.</summary>
    /// <param name="row">First block of the row.</param>
    /// <param name="chunk">Number of the chunk.</param>
    /// <param name="blocks">Blocks of the row.</param>
    /// <param name="numbers">Is cleared before.</param>
    static abstract void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers);
}

/// <summary>The numbers of one row in one chunk.</summary>
internal unsafe struct ChunkNumbers
{
    public fixed byte Codes[IBlockFormat.ChunkColumns];
    public fixed int Scales[4];
    public fixed int Minimums[4];
    public fixed float Factors[4];
    public fixed float MinimumFactors[2];
}
