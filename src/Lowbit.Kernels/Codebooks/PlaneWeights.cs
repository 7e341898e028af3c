using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Codebooks;

/// <summary>A matrix of codes of two bits for any levels with interleaved rows, as <see cref="PlaneShape"/> says.</summary>
internal sealed unsafe class PlaneWeights : InterleavedWeights
{
    private readonly CodebookLayout _layout;
    private readonly byte* _codes, _classes, _tiles;
    private readonly Half* _numbers;
    private readonly PlaneShape _shape;
    private readonly PlaneInput _input;
    private readonly long _tileBytes;
    private readonly object _owner; // of the memory of the tiles
    private volatile bool _isScalar; // a number is too large to be enlarged

    /// <summary>Interleaves the rows and gives the pages of the file back.</summary>
    /// <param name="pool">Threads that share the rows.</param>
    /// <param name="layout">How the parts lie.</param>
    /// <param name="codes">The codes.</param>
    /// <param name="numbers">The numbers of codebooks.</param>
    /// <param name="classes">[blocks · 64], other than 0 for the second class, or null.</param>
    /// <param name="source">The tensor of the codes.</param>
    public PlaneWeights(WorkerPool pool, CodebookLayout layout, byte* codes, byte* numbers, byte* classes, Tensor source)
    {
        _layout = layout;
        _codes = codes;
        _numbers = (Half*)numbers;
        _classes = classes;
        _shape = new(layout);
        _input = new(layout, classes);
        _tileBytes = _shape.TileBytes(_input.Pieces);
        _tiles = LargePages.Take(Tiles * _tileBytes, out _owner);
        byte[] columns = _input.ColumnsOfVectors();
        fixed (byte* first = columns)
        {
            Interleaving work = new() { Weights = this, Columns = first };
            pool.Run(ref work, layout.Rows, IBlockFormat.Rows);
        }
        source.ReleasePages();
    }

    /// <inheritdoc/>
    protected override int Tiles => (_layout.Rows + IBlockFormat.Rows - 1) / IBlockFormat.Rows;

    /// <inheritdoc/>
    public override byte* TileStart(int tile) => _tiles + tile * _tileBytes;

    /// <inheritdoc/>
    internal override bool HasNarrowTiles => false;

    /// <inheritdoc/>
    protected override bool IsScalar => _isScalar;

    /// <inheritdoc/>
    internal override void Multiply<TLanes, TVector>(WorkerPool pool, Activations activations, float* output, bool tiles)
    {
        if (_isScalar)
        {
            MultiplyScalar(pool, activations, output);
            return;
        }
        if (_shape.HasTables) Multiply<PlaneKernel<TLanes, TVector, FourLevelSum<TLanes, TVector>>>(pool, activations, output);
        else Multiply<PlaneKernel<TLanes, TVector, TwoPlaneSum<TLanes, TVector>>>(pool, activations, output);
    }

    private void Multiply<TKernel>(WorkerPool pool, Activations activations, float* output) where TKernel : struct, IPlaneKernel
    {
        Work<TKernel> work = new() { Weights = this, Activations = activations, Output = output };
        pool.Run(ref work, Tiles, Products.TilesOfChunk(_layout.Columns));
    }

    /// <inheritdoc/>
    protected override void MultiplyTiles<TLanes, TVector>(Activations activations, float* output, int start, int end)
    {
        if (_shape.HasTables) MultiplyTiles<PlaneKernel<TLanes, TVector, FourLevelSum<TLanes, TVector>>>(activations, output, start, end);
        else MultiplyTiles<PlaneKernel<TLanes, TVector, TwoPlaneSum<TLanes, TVector>>>(activations, output, start, end);
    }

    private void MultiplyTiles<TKernel>(Activations activations, float* output, int start, int end) where TKernel : struct, IPlaneKernel =>
        new Work<TKernel> { Weights = this, Activations = activations, Output = output }.Execute(start, end);

    /// <inheritdoc/>
    internal override void MultiplyScalar(WorkerPool pool, Activations activations, float* output)
    {
        ScalarWork work = new() { Weights = this, Activations = activations, Output = output };
        pool.Run(ref work, _layout.Rows, IBlockFormat.Rows);
    }

    // The first number of a row and group.
    private Half* Numbers(int row, int group) => _numbers + ((long)row * _layout.Groups + group) * _layout.Numbers;

    private byte* Block(int row, int block) => _codes + ((long)row * _layout.Blocks + block) * _layout.BlockBytes;

    private struct Interleaving : IParallelWork
    {
        public PlaneWeights Weights;
        public byte* Columns;

        public readonly void Execute(int start, int end)
        {
            for (int row = start; row < end; row++)
            {
                int lane = row % IBlockFormat.Rows, group = -1;
                byte* at = Weights.TileStart(row / IBlockFormat.Rows), columns = Columns;
                foreach (PlanePiece piece in Weights._input.Pieces)
                {
                    if (piece.Group != group)
                    {
                        group = piece.Group;
                        Header(Weights.Numbers(row, group), (ushort*)at + lane);
                        at += Weights._shape.HeaderBytes;
                    }
                    Vector128<byte> block = Vector128.Load(Weights.Block(row, piece.Block));
                    for (int vector = 0; vector < piece.Vectors; vector++, columns += PlanePiece.VectorColumns, at += IBlockFormat.Vector)
                        ((uint*)at)[lane] = Lane(block, Vector128.Load(columns));
                }
            }
        }

        // The codes of 16 columns of a block, each of which lies in byte c % 16 from bit 2 (c / 16) on.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static uint Lane(Vector128<byte> block, Vector128<byte> columns)
        {
            Vector128<byte> bytes = Vector128.ShuffleNative(block, columns & Vector128.Create((byte)15)), place = columns >>> 4, codes = default;
            for (int i = 0; i < 4; i++) codes |= bytes >>> 2 * i & Vector128.Equals(place, Vector128.Create((byte)i));
            Vector128<uint> four = (codes & Vector128.Create((byte)3)).AsUInt32();
            return four[0] | four[1] << 2 | four[2] << 4 | four[3] << 6;
        }

        // The means stand last.
        private readonly void Header(Half* numbers, ushort* halves)
        {
            int count = Weights._shape.Numbers;
            for (int i = 0; i < count * Weights._shape.Classes; i++)
            {
                Half enlarged = FiniteHalf.Enlarge(numbers[i], -IBlockFormat.FactorExponent);
                if (!Half.IsFinite(enlarged)) Weights._isScalar = true;
                int place = count == 3 ? i / 3 * 3 + (i + 2) % 3 : i;
                halves[IBlockFormat.Rows * place] = BitConverter.HalfToUInt16Bits(enlarged);
            }
        }
    }

    private struct Work<TKernel> : IParallelWork where TKernel : struct, IPlaneKernel
    {
        public PlaneWeights Weights;
        public Activations Activations;
        public float* Output;

        public readonly void Execute(int start, int end)
        {
            float* results = stackalloc float[IBlockFormat.Rows];
            PlaneChunk* input = Weights._input.Make(Activations);
            int rows = Weights._layout.Rows, pieces = Weights._input.Pieces.Length;
            for (int tile = start; tile < end; tile++)
            {
                int first = tile * IBlockFormat.Rows, count = Math.Min(IBlockFormat.Rows, rows - first);
                for (int t = 0; t < Activations.Tokens; t++)
                {
                    TKernel.Run(Weights.TileStart(tile), Weights._shape, input + (long)t * pieces, pieces, results);
                    new ReadOnlySpan<float>(results, count).CopyTo(new Span<float>(Output + (long)t * rows + first, count));
                }
            }
        }
    }

    /// <summary>The oracle, from the bytes of the file.</summary>
    private struct ScalarWork : IParallelWork
    {
        public PlaneWeights Weights;
        public Activations Activations;
        public float* Output;

        public readonly void Execute(int start, int end)
        {
            for (int row = start; row < end; row++)
                for (int t = 0; t < Activations.Tokens; t++)
                {
                    float y = 0;
                    foreach (PlanePiece piece in Weights._input.Pieces)
                    {
                        long block = (long)t * Activations.Blocks + piece.Block;
                        y += Activations.Scales[block] * Piece(row, piece, Activations.Codes + block * Activations.BlockLength);
                    }
                    Output[(long)t * Weights._layout.Rows + row] = y;
                }
        }

        private readonly float Piece(int row, PlanePiece piece, sbyte* x)
        {
            byte* codes = stackalloc byte[CodebookLayout.BlockLength];
            CodeBlock.UnpackScalar(Weights.Block(row, piece.Block), 2, codes);
            Half* numbers = Weights.Numbers(row, piece.Group);
            float v = 0;
            for (int k = 0; k < Weights._shape.Classes; k++, numbers += Weights._shape.Numbers)
            {
                int n0 = 0, n1 = 0, n2 = 0, n3 = 0; // sums of the activations by code
                for (int c = piece.First; c < piece.First + piece.Count; c++)
                {
                    int column = piece.Block * CodebookLayout.BlockLength + c;
                    if (Weights._classes != null && (Weights._classes[column] != 0) != (k == 1)) continue;
                    switch (codes[c])
                    {
                        case 0: n0 += x[c]; break;
                        case 1: n1 += x[c]; break;
                        case 2: n2 += x[c]; break;
                        default: n3 += x[c]; break;
                    }
                }
                float ofClass = Levels(numbers, n0, n1, n2, n3);
                v = k == 0 ? ofClass : v + ofClass;
            }
            return v;
        }

        private readonly float Levels(Half* numbers, int n0, int n1, int n2, int n3)
        {
            if (Weights._shape.HasTables) return (float)numbers[0] * n0 + (float)numbers[1] * n1 + (float)numbers[2] * n2 + (float)numbers[3] * n3;
            bool hasMean = Weights._shape.Numbers == 3;
            float a = (float)numbers[hasMean ? 1 : 0], b = (float)numbers[hasMean ? 2 : 1];
            float planes = a * (n2 + n3 - n0 - n1) + b * (n1 + n3 - n0 - n2);
            return hasMean ? planes + (float)numbers[0] * (n0 + n1 + n2 + n3) : planes;
        }
    }
}
