using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Lowbit.Kernels.Interleaved;

/// <summary>
/// Products of rows with many tokens. The chunks of two vectors of rows are unpacked into a panel in the first-level cache,
/// which all tokens use, four at a time.
/// </summary>
internal interface ITileKernel<TFormat> where TFormat : struct, IBlockFormat
{
    /// <summary>Tiles of one call; where there is only one left, the second may be the first again.</summary>
    static abstract int Tiles { get; }

    /// <summary>Bytes of the memory for panels.</summary>
    static abstract int PanelBytes { get; }

    /// <summary>Multiplies the rows of <see cref="Tiles"/> tiles with all tokens of a batch.</summary>
    /// <param name="tile0">First group of the first tile.</param>
    /// <param name="tile1">First group of the second one.</param>
    /// <param name="shape">How the groups lie.</param>
    /// <param name="activations">The batch.</param>
    /// <param name="panel">Memory for the panels.</param>
    /// <param name="results">[tokens, up to a multiple of four, Tiles · 16].</param>
    static abstract unsafe void Run(byte* tile0, byte* tile1, TileShape<TFormat> shape, Activations activations, byte* panel, float* results);
}

/// <inheritdoc cref="ITileKernel{TFormat}"/>
internal readonly unsafe struct TileKernel<TFormat, TLanes, TVector> : ITileKernel<TFormat>
    where TFormat : struct, IBlockFormat where TLanes : struct, ILanes<TVector> where TVector : struct
{
    private const int PanelChunks = 8; // of 64 columns

    // A chunk of a panel, in vectors: scales or factors of the four units; minimums of the halves; F of the halves; G of the halves; codes
    // in the order of the columns, as bytes or as 16-bit numbers.
    private const int MinimumsAt = 4, FactorsAt = 6, MinimumFactorsAt = 8, CodesAt = 10;

    private static int ChunkBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (CodesAt + (InShorts ? 32 : 16)) * TLanes.Width;
    }

    // The sum of two products of bytes does not fit into 16 bits where all 8 bits are used.
    private static bool InShorts
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TFormat.CodeBits == 8 && !TLanes.SumsAreWide;
    }

    public static int Tiles => TLanes.Width == IBlockFormat.Vector ? 2 : 1;

    public static int PanelBytes => 2 * PanelChunks * ChunkBytes + 16 * TLanes.Width + (InShorts ? 4 * TokenShorts * sizeof(short) : 0);

    // Activations of a token that go with a panel.
    private const int TokenShorts = PanelChunks * IBlockFormat.ChunkColumns;

    public static void Run(byte* tile0, byte* tile1, TileShape<TFormat> shape, Activations activations, byte* panel, float* results)
    {
        int chunks = activations.Blocks, stride = Tiles * IBlockFormat.Rows;
        byte* panel0 = panel, panel1 = panel + PanelChunks * ChunkBytes, state = panel1 + PanelChunks * ChunkBytes;
        short* x = (short*)(state + 16 * TLanes.Width);
        Token* tokens = stackalloc Token[4];
        new Span<float>(results, (activations.Tokens + 3) / 4 * 4 * stride).Clear();
        for (int lane = 0; lane < IBlockFormat.Vector; lane += 2 * TLanes.Width)
        {
            for (int first = 0; first < chunks; first += PanelChunks)
            {
                int count = Math.Min(PanelChunks, chunks - first);
                Unpack(tile0, shape, lane, first, count, panel0);
                if (Tiles == 2) Unpack(tile1, shape, lane, first, count, panel1);
                else Unpack(tile0, shape, lane + TLanes.Width, first, count, panel1);
                for (int t = 0; t < activations.Tokens; t += 4)
                {
                    for (int i = 0; i < 4; i++) tokens[i] = new Token(activations, Math.Min(t + i, activations.Tokens - 1)).From(first);
                    byte* target = (byte*)(results + (long)t * stride) + lane;
                    if (InShorts) FourTokensInShorts(panel0, panel1, count, tokens, Widen(tokens, count, x), state, target, stride * sizeof(float));
                    else FourTokens(panel0, panel1, count, tokens, state, target, stride * sizeof(float));
                }
            }
        }
    }

    private static void Unpack(byte* tile, TileShape<TFormat> shape, int lane, int first, int count, byte* panel)
    {
        for (int c = first; c < first + count; c++, panel += ChunkBytes)
        {
            byte* group = tile + (long)(c / TFormat.GroupChunks) * shape.GroupBytes;
            int position = c % TFormat.GroupChunks;
            UnpackChunk(shape.Factors(group, position) + lane / 2, group + shape.HeaderBytes + position * TFormat.ChunkBytes + lane, position, panel);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void UnpackChunk(byte* header, byte* chunk, int position, byte* panel)
    {
        UnpackUnit(chunk, position, 0, panel);
        UnpackUnit(chunk, position, 1, panel);
        UnpackUnit(chunk, position, 2, panel);
        UnpackUnit(chunk, position, 3, panel);
        TLanes.Store(panel + MinimumsAt * TLanes.Width, TFormat.Minimum<TLanes, TVector>(chunk, 0));
        TLanes.Store(panel + (MinimumsAt + 1) * TLanes.Width, TFormat.Minimum<TLanes, TVector>(chunk, 1));
        for (int unit = 0; TFormat.FactorsOfUnits && unit < 4; unit++) TLanes.Store(panel + unit * TLanes.Width, TFormat.UnitFactor<TLanes, TVector>(header, chunk, unit));
        if (TFormat.FactorsOfUnits) return;
        TLanes.Store(panel + FactorsAt * TLanes.Width, TFormat.Factor<TLanes, TVector>(header, 0));
        if (TFormat.FactorsOfHalves) TLanes.Store(panel + (FactorsAt + 1) * TLanes.Width, TFormat.Factor<TLanes, TVector>(header, 1));
        if (!TFormat.MinimumHasFactor) return;
        TLanes.Store(panel + MinimumFactorsAt * TLanes.Width, TFormat.MinimumFactor<TLanes, TVector>(header, 0));
        if (TFormat.FactorsOfHalves) TLanes.Store(panel + (MinimumFactorsAt + 1) * TLanes.Width, TFormat.MinimumFactor<TLanes, TVector>(header, 1));
    }

    private static void UnpackUnit(byte* chunk, int position, int unit, byte* panel)
    {
        if (TFormat.StepsArePaired)
        {
            StorePair(chunk, position, unit, 0, panel);
            StorePair(chunk, position, unit, 1, panel);
            return;
        }
        StoreCodes(TFormat.Codes<TLanes, TVector>(chunk, unit, 0), panel, 4 * unit);
        StoreCodes(TFormat.Codes<TLanes, TVector>(chunk, unit, 1), panel, 4 * unit + 1);
        StoreCodes(TFormat.Codes<TLanes, TVector>(chunk, unit, 2), panel, 4 * unit + 2);
        StoreCodes(TFormat.Codes<TLanes, TVector>(chunk, unit, 3), panel, 4 * unit + 3);
        if (TFormat.ScaleRun != 0) TLanes.Store(panel + unit * TLanes.Width, TFormat.Scale<TLanes, TVector>(chunk, unit));
    }

    private static void StorePair(byte* chunk, int position, int unit, int pair, byte* panel)
    {
        TFormat.TwoSteps<TLanes, TVector>(chunk, position, unit, pair, out TVector first, out TVector second);
        StoreCodes(first, panel, 4 * unit + 2 * pair);
        StoreCodes(second, panel, 4 * unit + 2 * pair + 1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreCodes(TVector codes, byte* panel, int step)
    {
        if (InShorts)
        {
            TLanes.Store(panel + (CodesAt + 2 * step) * TLanes.Width, TLanes.Pair(codes, 0, 1));
            TLanes.Store(panel + (CodesAt + 2 * step + 1) * TLanes.Width, TLanes.Pair(codes, 2, 3));
        }
        else
        {
            TLanes.Store(panel + (CodesAt + step) * TLanes.Width, codes);
        }
    }

    private static short* Widen(Token* tokens, int count, short* x)
    {
        int columns = count * IBlockFormat.ChunkColumns;
        for (int t = 0; t < 4; t++)
            for (int i = 0; i < columns; i += Vector128<sbyte>.Count)
            {
                (Vector128<short> lower, Vector128<short> upper) = Vector128.Widen(Vector128.Load(tokens[t].X + i));
                lower.Store(x + TokenShorts * t + i);
                upper.Store(x + TokenShorts * t + i + Vector128<short>.Count);
            }
        return x;
    }

    // As FourTokens with numbers of 16 bits and sums of 32.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourTokensInShorts(byte* panel0, byte* panel1, int count, Token* tokens, short* x, byte* state, byte* results, int stride)
    {
        for (int chunk = 0; chunk < count; chunk++, panel0 += ChunkBytes, panel1 += ChunkBytes)
        {
            for (int half = 0; half < 2; half++, x += 32)
            {
                byte* codes0 = panel0 + (CodesAt + 16 * half) * TLanes.Width, codes1 = codes0 + (panel1 - panel0);
                TVector p00 = default, p10 = default, p20 = default, p30 = default, p01 = default, p11 = default, p21 = default, p31 = default;
                for (int pair = 0; pair < 16; pair++)
                {
                    TVector w0 = TLanes.Load(codes0 + pair * TLanes.Width), w1 = TLanes.Load(codes1 + pair * TLanes.Width);
                    TVector a = TLanes.Broadcast(x + 2 * pair);
                    p00 = TLanes.AddIntegers(p00, TLanes.Dot(w0, a));
                    p01 = TLanes.AddIntegers(p01, TLanes.Dot(w1, a));
                    a = TLanes.Broadcast(x + TokenShorts + 2 * pair);
                    p10 = TLanes.AddIntegers(p10, TLanes.Dot(w0, a));
                    p11 = TLanes.AddIntegers(p11, TLanes.Dot(w1, a));
                    a = TLanes.Broadcast(x + 2 * TokenShorts + 2 * pair);
                    p20 = TLanes.AddIntegers(p20, TLanes.Dot(w0, a));
                    p21 = TLanes.AddIntegers(p21, TLanes.Dot(w1, a));
                    a = TLanes.Broadcast(x + 3 * TokenShorts + 2 * pair);
                    p30 = TLanes.AddIntegers(p30, TLanes.Dot(w0, a));
                    p31 = TLanes.AddIntegers(p31, TLanes.Dot(w1, a));
                }
                int sums = 4 * chunk + 2 * half;
                bool first = half == 0;
                EndRun(state + 0 * TLanes.Width, first, panel0, half, 0, p00, tokens[0].Sum + sums);
                EndRun(state + 1 * TLanes.Width, first, panel1, half, 0, p01, tokens[0].Sum + sums);
                EndRun(state + 2 * TLanes.Width, first, panel0, half, 0, p10, tokens[1].Sum + sums);
                EndRun(state + 3 * TLanes.Width, first, panel1, half, 0, p11, tokens[1].Sum + sums);
                EndRun(state + 4 * TLanes.Width, first, panel0, half, 0, p20, tokens[2].Sum + sums);
                EndRun(state + 5 * TLanes.Width, first, panel1, half, 0, p21, tokens[2].Sum + sums);
                EndRun(state + 6 * TLanes.Width, first, panel0, half, 0, p30, tokens[3].Sum + sums);
                EndRun(state + 7 * TLanes.Width, first, panel1, half, 0, p31, tokens[3].Sum + sums);
            }
            EndChunks(panel0, panel1, tokens, chunk, state, results, stride);
        }
    }

    // Only the sums of 16 bits live in registers, of which AVX2 has 16; all others wait in the first-level cache: 8 vectors
    // of integers and 8 of floats in the state, and the results. p31 belongs to token 3 and the second vector of rows.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourTokens(byte* panel0, byte* panel1, int count, Token* tokens, byte* state, byte* results, int stride)
    {
        sbyte* x0 = tokens[0].X, x1 = tokens[1].X, x2 = tokens[2].X, x3 = tokens[3].X;
        for (int chunk = 0; chunk < count; chunk++, panel0 += ChunkBytes, panel1 += ChunkBytes)
        {
            for (int half = 0; half < 2; half++)
            {
                short* sum0 = tokens[0].Sum + 4 * chunk + 2 * half, sum1 = tokens[1].Sum + 4 * chunk + 2 * half;
                short* sum2 = tokens[2].Sum + 4 * chunk + 2 * half, sum3 = tokens[3].Sum + 4 * chunk + 2 * half;
                for (int run = 0; run < Runs; run++)
                {
                    int step = run * StepsOfRun;
                    byte* codes0 = panel0 + (CodesAt + 8 * half + step) * TLanes.Width;
                    byte* codes1 = codes0 + (panel1 - panel0);
                    TVector p00 = default, p10 = default, p20 = default, p30 = default, p01 = default, p11 = default, p21 = default, p31 = default;
                    for (int s = 0; s < StepsOfRun; s += 2)
                    {
                        TVector w0 = TLanes.Load(codes0 + s * TLanes.Width), w1 = TLanes.Load(codes1 + s * TLanes.Width);
                        TVector a = TLanes.Broadcast(x0 + 4 * (step + s));
                        p00 = TLanes.AddProducts(p00, w0, a);
                        p01 = TLanes.AddProducts(p01, w1, a);
                        a = TLanes.Broadcast(x1 + 4 * (step + s));
                        p10 = TLanes.AddProducts(p10, w0, a);
                        p11 = TLanes.AddProducts(p11, w1, a);
                        a = TLanes.Broadcast(x2 + 4 * (step + s));
                        p20 = TLanes.AddProducts(p20, w0, a);
                        p21 = TLanes.AddProducts(p21, w1, a);
                        a = TLanes.Broadcast(x3 + 4 * (step + s));
                        p30 = TLanes.AddProducts(p30, w0, a);
                        p31 = TLanes.AddProducts(p31, w1, a);
                        w0 = TLanes.Load(codes0 + (s + 1) * TLanes.Width);
                        w1 = TLanes.Load(codes1 + (s + 1) * TLanes.Width);
                        a = TLanes.Broadcast(x0 + 4 * (step + s) + 4);
                        p00 = TLanes.AddProducts(p00, w0, a);
                        p01 = TLanes.AddProducts(p01, w1, a);
                        a = TLanes.Broadcast(x1 + 4 * (step + s) + 4);
                        p10 = TLanes.AddProducts(p10, w0, a);
                        p11 = TLanes.AddProducts(p11, w1, a);
                        a = TLanes.Broadcast(x2 + 4 * (step + s) + 4);
                        p20 = TLanes.AddProducts(p20, w0, a);
                        p21 = TLanes.AddProducts(p21, w1, a);
                        a = TLanes.Broadcast(x3 + 4 * (step + s) + 4);
                        p30 = TLanes.AddProducts(p30, w0, a);
                        p31 = TLanes.AddProducts(p31, w1, a);
                    }
                    TVector scale0 = Scale(panel0, half, step), scale1 = Scale(panel1, half, step);
                    bool first = run == 0 && (TFormat.FactorsOfHalves || half == 0);
                    EndRun(state + 0 * TLanes.Width, first, panel0, half, run, Scaled(p00, scale0), sum0);
                    EndRun(state + 1 * TLanes.Width, first, panel1, half, run, Scaled(p01, scale1), sum0);
                    EndRun(state + 2 * TLanes.Width, first, panel0, half, run, Scaled(p10, scale0), sum1);
                    EndRun(state + 3 * TLanes.Width, first, panel1, half, run, Scaled(p11, scale1), sum1);
                    EndRun(state + 4 * TLanes.Width, first, panel0, half, run, Scaled(p20, scale0), sum2);
                    EndRun(state + 5 * TLanes.Width, first, panel1, half, run, Scaled(p21, scale1), sum2);
                    EndRun(state + 6 * TLanes.Width, first, panel0, half, run, Scaled(p30, scale0), sum3);
                    EndRun(state + 7 * TLanes.Width, first, panel1, half, run, Scaled(p31, scale1), sum3);
                }
                x0 += 32;
                x1 += 32;
                x2 += 32;
                x3 += 32;
                if (TFormat.FactorsOfHalves && Runs > 1) EndHalves(panel0, panel1, half, tokens, chunk, state);
            }
            EndChunks(panel0, panel1, tokens, chunk, state, results, stride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Scale(byte* panel, int half, int step) =>
        TFormat.ScaleRun != 0 ? TLanes.Load(panel + (2 * half + step / 4) * TLanes.Width) : TLanes.Shorts(1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Scaled(TVector sums, TVector scale) => TLanes.SumsAreWide && TFormat.ScaleRun == 0 ? sums : TLanes.Scale(sums, scale);

    // One half of blocks of 32 goes straight on to its floats where one run makes it.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void EndRun(byte* state, bool first, byte* panel, int half, int run, TVector i, short* sums)
    {
        if (TFormat.FactorsOfUnits) EndUnit(state, panel, 2 * half + run, i, sums);
        else if (TFormat.FactorsOfHalves && Runs == 1) EndHalf(state, panel, half, i, sums);
        else TLanes.Store(state, first ? i : TLanes.AddIntegers(TLanes.Load(state), i));
    }

    // The ends of halves and chunks are methods of their own because the compiler stops inlining in methods with too many variables.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void EndHalves(byte* panel0, byte* panel1, int half, Token* tokens, int chunk, byte* state)
    {
        for (int t = 0; t < 4; t++, state += 2 * TLanes.Width)
        {
            short* sums = tokens[t].Sum + 4 * chunk + 2 * half;
            EndHalf(state, panel0, half, TLanes.Load(state), sums);
            EndHalf(state + TLanes.Width, panel1, half, TLanes.Load(state + TLanes.Width), sums);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void EndChunks(byte* panel0, byte* panel1, Token* tokens, int chunk, byte* state, byte* results, int stride)
    {
        for (int t = 0; t < 4; t++, state += 2 * TLanes.Width, results += stride)
        {
            EndChunk(state, panel0, tokens[t], chunk, results);
            EndChunk(state + TLanes.Width, panel1, tokens[t], chunk, results + TLanes.Width);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void EndUnit(byte* state, byte* panel, int unit, TVector i, short* sums)
    {
        TVector j = ChunkSum<TFormat, TLanes, TVector>.UnitMinimum(sums, unit, TLanes.Load(panel + (MinimumsAt + unit / 2) * TLanes.Width));
        TVector v = TLanes.Multiply(TLanes.Load(panel + unit * TLanes.Width), TLanes.ToFloat(TLanes.AddIntegers(i, j)));
        TLanes.Store(state + 8 * TLanes.Width, unit == 0 ? v : TLanes.Add(TLanes.Load(state + 8 * TLanes.Width), v));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void EndHalf(byte* state, byte* panel, int half, TVector i, short* sums)
    {
        // Blocks of 32 have the same minimum in all rows.
        TVector j = TLanes.Dot(TLanes.Broadcast(sums), TFormat.Minimum<TLanes, TVector>(panel, half));
        TVector v = Scaled(panel, half, i, j);
        TLanes.Store(state + 8 * TLanes.Width, half == 0 ? v : TLanes.Add(TLanes.Load(state + 8 * TLanes.Width), v));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void EndChunk(byte* state, byte* panel, Token token, int chunk, byte* result)
    {
        TVector v;
        if (TFormat.FactorsOfHalves || TFormat.FactorsOfUnits)
        {
            v = TLanes.Load(state + 8 * TLanes.Width);
        }
        else
        {
            TVector j0 = TLanes.Dot(TLanes.Broadcast(token.Sum + 4 * chunk), TLanes.Load(panel + MinimumsAt * TLanes.Width));
            TVector j1 = TLanes.Dot(TLanes.Broadcast(token.Sum + 4 * chunk + 2), TLanes.Load(panel + (MinimumsAt + 1) * TLanes.Width));
            v = Scaled(panel, 0, TLanes.Load(state), TLanes.AddIntegers(j0, j1));
        }
        TLanes.Store(result, TLanes.Add(TLanes.Load(result), TLanes.Multiply(TLanes.Floats(token.Scale[chunk]), v)));
    }

    private static int Runs
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 8 / StepsOfRun;
    }

    // Steps whose products fit into 16 bits and share an integer scale.
    private static int StepsOfRun
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TFormat.CodeBits == 6 && !TLanes.SumsAreWide ? 2 : TFormat.CodeBits == 5 && !TLanes.SumsAreWide || TFormat.ScaleRun == 16 || TFormat.FactorsOfUnits ? 4 : 8;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Scaled(byte* panel, int half, TVector i, TVector j)
    {
        TVector factor = TLanes.Load(panel + (FactorsAt + half) * TLanes.Width);
        if (!TFormat.MinimumHasFactor) return TLanes.Multiply(factor, TLanes.ToFloat(TLanes.AddIntegers(i, j)));
        return TLanes.Add(
            TLanes.Multiply(factor, TLanes.ToFloat(i)),
            TLanes.Multiply(TLanes.Load(panel + (MinimumFactorsAt + half) * TLanes.Width), TLanes.ToFloat(j)));
    }
}
