using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// Rows on their way from the file into tiles, a million integers or so at a time: read, packed each for itself, sorted by the number of their
/// entries, and interleaved by sixteen.
/// </summary>
internal sealed unsafe class TileWave : IDisposable
{
    private const int MostEntries = 8; // of a row for each of its columns

    private readonly CodedIntegers _coded;
    private readonly ColumnOrder _columns;
    private readonly int _mostChunks;
    private readonly int _vectors; // of a tile
    private readonly NativeBuffer _places, _integers, _words, _entries, _rows;
    private int _first, _count;

    /// <summary>Takes memory for the rows.</summary>
    /// <param name="coded">The matrix in the file.</param>
    /// <param name="columns">Order and forms of its columns.</param>
    /// <param name="mostChunks">Chunks of the file that a wave is made of, an even number: their rows are whole tiles.</param>
    public TileWave(CodedIntegers coded, ColumnOrder columns, int mostChunks)
    {
        (_coded, _columns, _mostChunks) = (coded, columns, mostChunks);
        foreach (ChunkRun run in columns.Runs) _vectors += run.Count * ChunkForms.Vectors(run.Form);
        long rows = Math.Min(coded.Rows, (long)mostChunks * coded.ChunkRows);
        _places = new NativeBuffer((long)coded.Columns * sizeof(int));
        _integers = new NativeBuffer(rows * columns.Padded);
        _words = new NativeBuffer(rows * _vectors * sizeof(uint));
        _entries = new NativeBuffer(2 * rows * MostEntries * columns.Padded * sizeof(ushort)); // hardly touched
        _rows = new NativeBuffer(rows * sizeof(PackedRow));
        for (int i = 0; i < columns.Padded; i++)
            if (columns.Columns[i] < columns.Width) ((int*)_places.Pointer)[columns.Columns[i]] = i;
    }

    /// <summary>Tiles of the wave.</summary>
    public int Tiles => (_count + IntegerTiles.Rows - 1) / IntegerTiles.Rows;

    /// <summary>Whether 32 bits hold the products of all rows with tokens of <see cref="ScaledTokens"/>.</summary>
    public bool FitIntegers { get; private set; }

    private sbyte* Integers => (sbyte*)_integers.Pointer;

    private PackedRow* Rows => (PackedRow*)_rows.Pointer;

    /// <summary>Reads and packs rows.</summary>
    /// <param name="pool">Threads that share them.</param>
    /// <param name="firstChunk">Their first chunk.</param>
    /// <returns>False if they take more than bytes would.</returns>
    /// <exception cref="LowbitException">The coded integers are damaged.</exception>
    public bool Read(WorkerPool pool, int firstChunk)
    {
        _first = firstChunk * _coded.ChunkRows;
        _count = Math.Min(_mostChunks * _coded.ChunkRows, _coded.Rows - _first);
        ReadWork read = new() { Wave = this, FirstChunk = firstChunk };
        pool.Run(ref read, Math.Min(_mostChunks, _coded.Chunks - firstChunk), CodedIntegers.ChunksAtOnce);
        PackWork pack = new() { Wave = this };
        pool.Run(ref pack, _count, IntegerTiles.Rows);
        FitIntegers = true;
        long bytes = sizeof(uint) * (long)_vectors * _count;
        for (int i = 0; i < _count; i++)
        {
            if (Rows[i].Overflowed) return false;
            bytes += Rows[i].Entries;
            FitIntegers &= Rows[i].Size * ScaledTokens.Largest <= int.MaxValue;
        }
        return bytes <= (long)_columns.Padded * _count;
    }

    /// <summary>Puts rows with as many entries into tiles.</summary>
    /// <param name="rows">[tiles · 16] rows of the matrix, overwritten; −1 beyond the last.</param>
    /// <param name="entries">[tiles] overwritten, with steps and without memory.</param>
    public void Arrange(Span<int> rows, Span<TileEntries> entries)
    {
        Span<PackedRow> sorted = new(Rows, _count);
        sorted.Sort(static (a, b) => a.Entries != b.Entries ? a.Entries.CompareTo(b.Entries) : a.Row.CompareTo(b.Row));
        rows.Fill(-1);
        entries.Clear();
        for (int i = 0; i < _count; i++)
        {
            rows[i] = sorted[i].Row;
            ref TileEntries tile = ref entries[i / IntegerTiles.Rows];
            tile.Ones = Math.Max(tile.Ones, sorted[i].Ones);
            tile.Larges = Math.Max(tile.Larges, sorted[i].Larges);
        }
    }

    /// <summary>Writes the tiles.</summary>
    /// <param name="pool">Threads that share them.</param>
    /// <param name="tiles">Where they are written.</param>
    /// <param name="firstTile">The first one's number.</param>
    public void Store(WorkerPool pool, IntegerTiles tiles, int firstTile)
    {
        StoreWork work = new() { Wave = this, Tiles = tiles, FirstTile = firstTile };
        pool.Run(ref work, Tiles, 1);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _places.Dispose();
        _integers.Dispose();
        _words.Dispose();
        _entries.Dispose();
        _rows.Dispose();
    }

    private struct PackedRow
    {
        public int Row; // of the matrix
        public int Ones, Larges; // entries
        public bool Overflowed;
        public long Size; // sum of the absolute values
        public uint* Words; // [vectors]
        public ushort* FirstOne, FirstLarge;

        public readonly int Entries => Ones + Larges;
    }

    private struct ReadWork : IParallelWork
    {
        public TileWave Wave;
        public int FirstChunk;

        public readonly void Execute(int start, int end)
        {
            CodedIntegers coded = Wave._coded;
            int stride = Wave._columns.Padded;
            for (int chunk = start; chunk < end; chunk += CodedIntegers.ChunksAtOnce)
            {
                sbyte* values = Wave.Integers + (long)chunk * coded.ChunkRows * stride;
                coded.Read(FirstChunk + chunk, Math.Min(CodedIntegers.ChunksAtOnce, end - chunk), (int*)Wave._places.Pointer, stride, values);
            }
        }
    }

    private struct PackWork : IParallelWork
    {
        public TileWave Wave;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Execute(int start, int end)
        {
            int padded = Wave._columns.Padded;
            int room = MostEntries * padded;
            ushort* ones = (ushort*)Wave._entries.Pointer + 2L * start * room, larges = ones + (long)(end - start) * room;
            for (int i = start; i < end; i++)
            {
                sbyte* integers = Wave.Integers + (long)i * padded;
                uint* words = (uint*)Wave._words.Pointer + (long)i * Wave._vectors, word = words;
                RowEntries entries = new(ones, larges, room);
                int column = 0;
                foreach (ChunkRun run in Wave._columns.Runs)
                {
                    for (int c = 0; c < run.Count; c++, column += ChunkForms.Columns(run.Form), word += ChunkForms.Vectors(run.Form))
                        ChunkForms.Pack(run.Form, integers, column, word, ref entries);
                }
                Wave.Rows[i] = new PackedRow { Row = Wave._first + i, Ones = entries.Ones, Larges = entries.Larges, Overflowed = entries.Overflowed, Size = Size(integers, padded), Words = words, FirstOne = ones, FirstLarge = larges };
                if (entries.Overflowed) continue;
                ones += entries.Ones;
                larges += entries.Larges;
            }
        }

        private static long Size(sbyte* integers, int count)
        {
            Vector128<uint> sum = default;
            for (int c = 0; c < count; c += Vector128<sbyte>.Count)
            {
                // The absolute value of −128 is right as a byte.
                (Vector128<ushort> lower, Vector128<ushort> upper) = Vector128.Widen(Vector128.Abs(Vector128.Load(integers + c)).AsByte());
                (Vector128<uint> a, Vector128<uint> b) = Vector128.Widen(lower + upper);
                sum += a + b;
            }
            return Vector128.Sum(sum);
        }
    }

    private struct StoreWork : IParallelWork
    {
        public TileWave Wave;
        public IntegerTiles Tiles;
        public int FirstTile;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Execute(int start, int end)
        {
            for (int tile = start; tile < end; tile++)
            {
                byte* data = Tiles[FirstTile + tile];
                TileEntries entries = Tiles.Entries(FirstTile + tile);
                entries.Clear();
                int first = tile * IntegerTiles.Rows;
                for (int lane = 0; lane < Math.Min(IntegerTiles.Rows, Wave._count - first); lane++)
                {
                    PackedRow row = Wave.Rows[first + lane];
                    for (int v = 0; v < Wave._vectors; v++) ((uint*)data)[IBlockFormat.Vector / sizeof(uint) * v + lane] = row.Words[v];
                    for (int step = 0; step < row.Ones; step++) entries.Set(step, lane, row.FirstOne[step]);
                    for (int step = 0; step < row.Larges; step++) entries.Set(entries.Ones + step, lane, row.FirstLarge[step]);
                }
            }
        }
    }
}
