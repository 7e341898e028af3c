using System;
using System.Runtime.CompilerServices;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// Products of a tile with many tokens. Its chunks are unpacked into 16-bit integers, with what the forms leave out. A panel of 512 columns of them
/// stays in the first-level cache while all tokens use it, four at a time.
/// </summary>
internal static unsafe class PanelProduct<TLanes, TVector> where TLanes : struct, ILanes<TVector> where TVector : struct
{
    /// <summary>Tokens that go through a panel together.</summary>
    public const int TokensAtOnce = 4;

    private const int PanelColumns = 512;

    /// <summary>Bytes of the unpacked integers of a tile, [pairs of columns, 16, 2], and as many as one more pair takes.</summary>
    public static long TileBytes(IntegerTiles tiles) => (tiles.Columns.Padded / 2 + 1L) * IBlockFormat.Vector;

    /// <summary>Multiplies the rows of a tile with tokens.</summary>
    /// <param name="tiles">The matrix.</param>
    /// <param name="tile">The tile.</param>
    /// <param name="input">The tokens.</param>
    /// <param name="tokens">Their number.</param>
    /// <param name="integers">[<see cref="TileBytes"/>], overwritten.</param>
    /// <param name="sums">[tokens up to a multiple of four, 16], overwritten.</param>
    public static void Run(IntegerTiles tiles, int tile, in ScaledTokens input, int tokens, byte* integers, int* sums)
    {
        short** x = stackalloc short*[TokensAtOnce];
        byte* codes = tiles[tile], next = integers;
        foreach (ChunkRun run in tiles.Columns.Runs)
        {
            for (int i = 0; i < run.Count; i++)
            {
                Unpack(run.Form, codes, next);
                codes += ChunkForms.Vectors(run.Form) * IBlockFormat.Vector;
                next += ChunkForms.Columns(run.Form) / 2 * IBlockFormat.Vector;
            }
        }
        int padded = tiles.Columns.Padded;
        TileEntries entries = tiles.Entries(tile);
        AddEntries(entries.Start, entries.Ones, 1, (short*)integers, padded);
        AddEntries(entries.Start + TileEntries.StepBytes * entries.Ones, entries.Larges, RowEntries.Large, (short*)integers, padded);
        new Span<int>(sums, (tokens + TokensAtOnce - 1) / TokensAtOnce * TokensAtOnce * IntegerTiles.Rows).Clear();
        for (int first = 0; first < padded; first += PanelColumns)
        {
            int pairs = Math.Min(PanelColumns, padded - first) / 2;
            for (int t = 0; t < tokens; t += TokensAtOnce)
            {
                for (int i = 0; i < TokensAtOnce; i++) x[i] = input.Token(Math.Min(t + i, tokens - 1)).Values + first;
                FourTokens(integers + first / 2 * IBlockFormat.Vector, pairs, x, sums + IntegerTiles.Rows * t);
            }
        }
        for (int t = 0; t < tokens; t++)
        {
            ScaledToken token = input.Token(t);
            for (int i = IntegerTiles.Rows * t; i < IntegerTiles.Rows * (t + 1); i++) ((float*)sums)[i] = token.Scale * (sums[i] - token.Offset);
        }
    }

    // Without branches on what rows have: a jump adds 0, and rows that have no more go on behind the last column.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddEntries(byte* step, int steps, int worth, short* integers, int behind)
    {
        int* columns = stackalloc int[IntegerTiles.Rows];
        for (; steps > 0; steps--, step += TileEntries.StepBytes)
        {
            int negative = *(ushort*)(step + IntegerTiles.Rows);
            for (int row = 0; row < IntegerTiles.Rows; row++)
            {
                int gap = step[row], isEntry = gap - RowEntries.Jump >> 31, column = Math.Min(columns[row] + gap, behind);
                columns[row] = column;
                integers[(column / 2 * IntegerTiles.Rows + row) * 2 + column % 2] += (short)(worth - 2 * worth * (negative >> row & 1) & isEntry);
            }
        }
    }

    private static void Unpack(ChunkForm form, byte* codes, byte* panel)
    {
        switch (form)
        {
            case ChunkForm.Triples4: Unpack<Triples4Form>(codes, panel); break;
            case ChunkForm.Triples5: Unpack<Triples5Form>(codes, panel); break;
            case ChunkForm.Pairs4: Unpack<Pairs4Form>(codes, panel); break;
            case ChunkForm.Pairs5: Unpack<Pairs5Form>(codes, panel); break;
            case ChunkForm.Bits3: Unpack<Bits3Form>(codes, panel); break;
            case ChunkForm.Bits4: Unpack<Bits4Form>(codes, panel); break;
            case ChunkForm.Bits5: Unpack<Bits5Form>(codes, panel); break;
            default: Unpack<Bits8Form>(codes, panel); break;
        }
    }

    private static void Unpack<TForm>(byte* codes, byte* panel) where TForm : struct, IChunkForm
    {
        for (int lane = 0; lane < IBlockFormat.Vector; lane += TLanes.Width)
        {
            Unpack<TForm>(codes + lane, 0, panel + lane);
            Unpack<TForm>(codes + lane, 1, panel + lane);
            Unpack<TForm>(codes + lane, 2, panel + lane);
            Unpack<TForm>(codes + lane, 3, panel + lane);
            Unpack<TForm>(codes + lane, 4, panel + lane);
            Unpack<TForm>(codes + lane, 5, panel + lane);
            Unpack<TForm>(codes + lane, 6, panel + lane);
            Unpack<TForm>(codes + lane, 7, panel + lane);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Unpack<TForm>(byte* codes, int n, byte* panel) where TForm : struct, IChunkForm
    {
        TForm.Codes<TLanes, TVector>(codes, n, out TVector first, out TVector second, out TVector third);
        panel += 2 * TForm.Steps * n * IBlockFormat.Vector;
        Step(panel, first);
        Step(panel + 2 * IBlockFormat.Vector, second);
        if (TForm.Steps == 3) Step(panel + 4 * IBlockFormat.Vector, third);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step(byte* panel, TVector codes)
    {
        TLanes.Store(panel, TLanes.Pair(codes, 0, 1));
        TLanes.Store(panel + IBlockFormat.Vector, TLanes.Pair(codes, 2, 3));
    }

    // By itself, so that its sums stay in registers; two vectors of rows where a tile has so many, else one.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void FourTokens(byte* panel, int pairs, short** x, int* sums)
    {
        int second = TLanes.Width == IBlockFormat.Vector ? 0 : TLanes.Width;
        for (int lane = 0; lane < IBlockFormat.Vector; lane += TLanes.Width + second)
        {
            byte* to = (byte*)sums + lane, codes = panel + lane;
            short* x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
            TVector s00 = TLanes.Load(to), s10 = TLanes.Load(to + IBlockFormat.Vector), s20 = TLanes.Load(to + 2 * IBlockFormat.Vector), s30 = TLanes.Load(to + 3 * IBlockFormat.Vector);
            TVector s01 = default, s11 = default, s21 = default, s31 = default;
            if (second != 0)
            {
                s01 = TLanes.Load(to + second);
                s11 = TLanes.Load(to + second + IBlockFormat.Vector);
                s21 = TLanes.Load(to + second + 2 * IBlockFormat.Vector);
                s31 = TLanes.Load(to + second + 3 * IBlockFormat.Vector);
            }
            for (int i = 0; i < pairs; i++, codes += IBlockFormat.Vector)
            {
                TVector a0 = TLanes.Broadcast(x0 + 2 * i), a1 = TLanes.Broadcast(x1 + 2 * i), a2 = TLanes.Broadcast(x2 + 2 * i), a3 = TLanes.Broadcast(x3 + 2 * i), w = TLanes.Load(codes);
                s00 = TLanes.AddIntegers(s00, TLanes.Dot(w, a0));
                s10 = TLanes.AddIntegers(s10, TLanes.Dot(w, a1));
                s20 = TLanes.AddIntegers(s20, TLanes.Dot(w, a2));
                s30 = TLanes.AddIntegers(s30, TLanes.Dot(w, a3));
                if (second == 0) continue;
                w = TLanes.Load(codes + second);
                s01 = TLanes.AddIntegers(s01, TLanes.Dot(w, a0));
                s11 = TLanes.AddIntegers(s11, TLanes.Dot(w, a1));
                s21 = TLanes.AddIntegers(s21, TLanes.Dot(w, a2));
                s31 = TLanes.AddIntegers(s31, TLanes.Dot(w, a3));
            }
            TLanes.Store(to, s00);
            TLanes.Store(to + IBlockFormat.Vector, s10);
            TLanes.Store(to + 2 * IBlockFormat.Vector, s20);
            TLanes.Store(to + 3 * IBlockFormat.Vector, s30);
            if (second == 0) continue;
            TLanes.Store(to + second, s01);
            TLanes.Store(to + second + IBlockFormat.Vector, s11);
            TLanes.Store(to + second + 2 * IBlockFormat.Vector, s21);
            TLanes.Store(to + second + 3 * IBlockFormat.Vector, s31);
        }
    }
}
