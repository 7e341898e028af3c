using System;
using System.Runtime.CompilerServices;

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
    // in the order of the columns.
    private const int MinimumsAt = 4, FactorsAt = 6, MinimumFactorsAt = 8, CodesAt = 10, ChunkVectors = CodesAt + 16;

    // Sums of a chunk, for each of its factors: of four tokens with two vectors of rows.
    private const int SumVectors = 8, StateVectors = 4 * SumVectors;

    private static int ChunkBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ChunkVectors * TLanes.Width;
    }

    // Where the second vector of rows has what the first one has at 0.
    private static int SecondAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => PanelChunks * ChunkBytes;
    }

    // The sum of two products does not fit into 16 bits where codes have 8, but it does if they are signed: panels have them less 128 then.
    private static bool AreSigned
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TFormat.CodeBits == 8 && !TLanes.SumsAreWide;
    }

    public static int Tiles => TLanes.Width == IBlockFormat.Vector ? 2 : 1;

    public static int PanelBytes => (2 * PanelChunks * ChunkVectors + StateVectors) * TLanes.Width;

    public static void Run(byte* tile0, byte* tile1, TileShape<TFormat> shape, Activations activations, byte* panel, float* results)
    {
        int chunks = activations.Blocks, stride = Tiles * IBlockFormat.Rows;
        byte* state = panel + 2 * SecondAt;
        Token* tokens = stackalloc Token[4];
        new Span<float>(results, (activations.Tokens + 3) / 4 * 4 * stride).Clear();
        for (int lane = 0; lane < IBlockFormat.Vector; lane += 2 * TLanes.Width)
        {
            for (int first = 0; first < chunks; first += PanelChunks)
            {
                int count = Math.Min(PanelChunks, chunks - first);
                Unpack(tile0, shape, lane, first, count, panel);
                if (Tiles == 2) Unpack(tile1, shape, lane, first, count, panel + SecondAt);
                else Unpack(tile0, shape, lane + TLanes.Width, first, count, panel + SecondAt);
                for (int t = 0; t < activations.Tokens; t += 4)
                {
                    for (int i = 0; i < 4; i++) tokens[i] = new Token(activations, Math.Min(t + i, activations.Tokens - 1)).From(first);
                    byte* target = (byte*)(results + (long)t * stride) + lane;
                    FourTokens(panel, count, tokens, state, target, stride * sizeof(float));
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
    private static void StoreCodes(TVector codes, byte* panel, int step) =>
        TLanes.Store(panel + (CodesAt + step) * TLanes.Width, AreSigned ? TLanes.Signed(codes) : codes);

    // Only the sums of a run live in registers, of which AVX2 has 16; all others wait in the first-level cache. p31 belongs to token 3 and the second
    // vector of rows.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourTokens(byte* panel, int count, Token* tokens, byte* state, byte* results, int stride)
    {
        sbyte* x0 = tokens[0].X, x1 = tokens[1].X, x2 = tokens[2].X, x3 = tokens[3].X;
        for (int chunk = 0; chunk < count; chunk++, panel += ChunkBytes)
        {
            for (int run = 0; run < Runs; run++)
            {
                byte* codes = panel + (CodesAt + run * StepsOfRun) * TLanes.Width;
                TVector p00 = default, p10 = default, p20 = default, p30 = default, p01 = default, p11 = default, p21 = default, p31 = default;
                for (nint column = 0; column < 4 * StepsOfRun; column += 8, codes += 2 * TLanes.Width)
                {
                    TVector w0 = TLanes.Load(codes), w1 = TLanes.Load(codes + SecondAt), m0 = Magnitudes(w0), m1 = Magnitudes(w1);
                    TVector a = TLanes.Broadcast(x0 + column);
                    p00 = AddProducts(p00, w0, m0, a);
                    p01 = AddProducts(p01, w1, m1, a);
                    a = TLanes.Broadcast(x1 + column);
                    p10 = AddProducts(p10, w0, m0, a);
                    p11 = AddProducts(p11, w1, m1, a);
                    a = TLanes.Broadcast(x2 + column);
                    p20 = AddProducts(p20, w0, m0, a);
                    p21 = AddProducts(p21, w1, m1, a);
                    a = TLanes.Broadcast(x3 + column);
                    p30 = AddProducts(p30, w0, m0, a);
                    p31 = AddProducts(p31, w1, m1, a);
                    w0 = TLanes.Load(codes + TLanes.Width);
                    w1 = TLanes.Load(codes + SecondAt + TLanes.Width);
                    m0 = Magnitudes(w0);
                    m1 = Magnitudes(w1);
                    a = TLanes.Broadcast(x0 + column + 4);
                    p00 = AddProducts(p00, w0, m0, a);
                    p01 = AddProducts(p01, w1, m1, a);
                    a = TLanes.Broadcast(x1 + column + 4);
                    p10 = AddProducts(p10, w0, m0, a);
                    p11 = AddProducts(p11, w1, m1, a);
                    a = TLanes.Broadcast(x2 + column + 4);
                    p20 = AddProducts(p20, w0, m0, a);
                    p21 = AddProducts(p21, w1, m1, a);
                    a = TLanes.Broadcast(x3 + column + 4);
                    p30 = AddProducts(p30, w0, m0, a);
                    p31 = AddProducts(p31, w1, m1, a);
                }
                x0 += 4 * StepsOfRun;
                x1 += 4 * StepsOfRun;
                x2 += 4 * StepsOfRun;
                x3 += 4 * StepsOfRun;
                TVector scale0 = Scale(panel, run), scale1 = Scale(panel + SecondAt, run);
                byte* sums = state + run / RunsOfFactor * SumVectors * TLanes.Width;
                bool first = RunsOfFactor == 1 || run % RunsOfFactor == 0;
                EndRun(sums + 0 * TLanes.Width, first, p00, scale0);
                EndRun(sums + 1 * TLanes.Width, first, p01, scale1);
                EndRun(sums + 2 * TLanes.Width, first, p10, scale0);
                EndRun(sums + 3 * TLanes.Width, first, p11, scale1);
                EndRun(sums + 4 * TLanes.Width, first, p20, scale0);
                EndRun(sums + 5 * TLanes.Width, first, p21, scale1);
                EndRun(sums + 6 * TLanes.Width, first, p30, scale0);
                EndRun(sums + 7 * TLanes.Width, first, p31, scale1);
            }
            if (TFormat.FactorsOfUnits) EndUnits(panel, tokens, chunk, state, results, stride);
            else if (TFormat.FactorsOfHalves) EndHalves(panel, tokens, chunk, state, results, stride);
            else EndChunk(panel, tokens, chunk, state, results, stride);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Magnitudes(TVector codes) => AreSigned ? TLanes.Magnitudes(codes) : codes;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector AddProducts(TVector sums, TVector codes, TVector magnitudes, TVector x) =>
        AreSigned ? TLanes.AddSignedProducts(sums, codes, magnitudes, x) : TLanes.AddProducts(sums, codes, x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Scale(byte* panel, int run) => TFormat.ScaleRun != 0 ? TLanes.Load(panel + run * StepsOfRun / 4 * TLanes.Width) : TLanes.Shorts(1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void EndRun(byte* state, bool first, TVector sums, TVector scale)
    {
        TVector i = AreSigned || TLanes.SumsAreWide && TFormat.ScaleRun == 0 ? sums : TLanes.Scale(sums, scale);
        TLanes.Store(state, first ? i : TLanes.AddIntegers(TLanes.Load(state), i));
    }

    // The ends of chunks are methods of their own because the compiler stops inlining in methods with too many variables.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void EndUnits(byte* panel, Token* tokens, int chunk, byte* state, byte* results, int stride)
    {
        byte* minimums = panel + MinimumsAt * TLanes.Width;
        for (int t = 0; t < 4; t++, state += 2 * TLanes.Width, results += stride)
        {
            TVector v0 = default, v1 = default, scale = TLanes.Floats(tokens[t].Scale[chunk]);
            for (int unit = 0; unit < 4; unit++)
            {
                short* sums = tokens[t].Sum + 4 * chunk + unit / 2 * 2;
                byte* factor = panel + unit * TLanes.Width, minimum = minimums + unit / 2 * TLanes.Width, i = state + unit * SumVectors * TLanes.Width;
                TVector u0 = OfUnit(factor, i, ChunkSum<TFormat, TLanes, TVector>.UnitMinimum(sums, unit, TLanes.Load(minimum)));
                TVector u1 = OfUnit(factor + SecondAt, i + TLanes.Width, ChunkSum<TFormat, TLanes, TVector>.UnitMinimum(sums, unit, TLanes.Load(minimum + SecondAt)));
                v0 = unit == 0 ? u0 : TLanes.Add(v0, u0);
                v1 = unit == 0 ? u1 : TLanes.Add(v1, u1);
            }
            AddTo(results, scale, v0);
            AddTo(results + TLanes.Width, scale, v1);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector OfUnit(byte* factor, byte* i, TVector j) => TLanes.Multiply(TLanes.Load(factor), TLanes.ToFloat(TLanes.AddIntegers(TLanes.Load(i), j)));

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void EndHalves(byte* panel, Token* tokens, int chunk, byte* state, byte* results, int stride)
    {
        byte* lower0 = panel + FactorsAt * TLanes.Width, upper0 = lower0 + TLanes.Width, lower1 = lower0 + SecondAt, upper1 = upper0 + SecondAt;
        TVector f00 = TLanes.Load(lower0), f01 = TLanes.Load(lower1), f10 = TLanes.Load(upper0), f11 = TLanes.Load(upper1);
        TVector g00 = MinimumFactor(lower0), g01 = MinimumFactor(lower1), g10 = MinimumFactor(upper0), g11 = MinimumFactor(upper1);
        // Blocks of 32 have the same minimum in all rows.
        TVector minimum0 = TFormat.Minimum<TLanes, TVector>(panel, 0), minimum1 = TFormat.Minimum<TLanes, TVector>(panel, 1);
        byte* upper = state + SumVectors * TLanes.Width;
        for (int t = 0; t < 4; t++, state += 2 * TLanes.Width, upper += 2 * TLanes.Width, results += stride)
        {
            TVector sums0 = TLanes.Broadcast(tokens[t].Sum + 4 * chunk), sums1 = TLanes.Broadcast(tokens[t].Sum + 4 * chunk + 2), scale = TLanes.Floats(tokens[t].Scale[chunk]);
            TVector j0 = TLanes.Dot(sums0, minimum0), j1 = TLanes.Dot(sums1, minimum1), moved0 = Moved(sums0), moved1 = Moved(sums1);
            AddTo(results, scale, TLanes.Add(Scaled(f00, g00, TLanes.Load(state), j0, moved0), Scaled(f10, g10, TLanes.Load(upper), j1, moved1)));
            AddTo(results + TLanes.Width, scale, TLanes.Add(
                Scaled(f01, g01, TLanes.Load(state + TLanes.Width), j0, moved0), Scaled(f11, g11, TLanes.Load(upper + TLanes.Width), j1, moved1)));
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void EndChunk(byte* panel, Token* tokens, int chunk, byte* state, byte* results, int stride)
    {
        byte* factors = panel + FactorsAt * TLanes.Width, minimums = panel + MinimumsAt * TLanes.Width;
        TVector f0 = TLanes.Load(factors), f1 = TLanes.Load(factors + SecondAt), g0 = MinimumFactor(factors), g1 = MinimumFactor(factors + SecondAt);
        for (int t = 0; t < 4; t++, state += 2 * TLanes.Width, results += stride)
        {
            TVector lower = TLanes.Broadcast(tokens[t].Sum + 4 * chunk), upper = TLanes.Broadcast(tokens[t].Sum + 4 * chunk + 2), scale = TLanes.Floats(tokens[t].Scale[chunk]);
            TVector j0 = TLanes.AddIntegers(TLanes.Dot(lower, TLanes.Load(minimums)), TLanes.Dot(upper, TLanes.Load(minimums + TLanes.Width)));
            TVector j1 = TLanes.AddIntegers(TLanes.Dot(lower, TLanes.Load(minimums + SecondAt)), TLanes.Dot(upper, TLanes.Load(minimums + SecondAt + TLanes.Width)));
            TVector moved = AreSigned ? TLanes.AddIntegers(Moved(lower), Moved(upper)) : default;
            AddTo(results, scale, Scaled(f0, g0, TLanes.Load(state), j0, moved));
            AddTo(results + TLanes.Width, scale, Scaled(f1, g1, TLanes.Load(state + TLanes.Width), j1, moved));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector MinimumFactor(byte* factor) => TFormat.MinimumHasFactor ? TLanes.Load(factor + (MinimumFactorsAt - FactorsAt) * TLanes.Width) : default;

    // What signed codes leave out of Σ q x: 128 Σ x.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Moved(TVector sums) => AreSigned ? TLanes.Dot(sums, TLanes.Shorts(128)) : default;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Scaled(TVector factor, TVector minimumFactor, TVector i, TVector j, TVector moved)
    {
        if (!TFormat.MinimumHasFactor) return TLanes.Multiply(factor, TLanes.ToFloat(TLanes.AddIntegers(i, AreSigned ? TLanes.AddIntegers(j, moved) : j)));
        if (AreSigned) i = TLanes.AddIntegers(i, moved);
        return TLanes.Add(TLanes.Multiply(factor, TLanes.ToFloat(i)), TLanes.Multiply(minimumFactor, TLanes.ToFloat(j)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddTo(byte* result, TVector scale, TVector v) => TLanes.Store(result, TLanes.Add(TLanes.Load(result), TLanes.Multiply(scale, v)));

    private static int Runs
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 16 / StepsOfRun;
    }

    private static int RunsOfFactor
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TFormat.FactorsOfUnits ? 1 : TFormat.FactorsOfHalves ? Runs / 2 : Runs;
    }

    // Steps whose products fit into 16 bits and share an integer scale or a factor.
    private static int StepsOfRun
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            if (TFormat.CodeBits == 6 && !TLanes.SumsAreWide) return 2;
            if (TFormat.CodeBits == 5 && !TLanes.SumsAreWide || TFormat.ScaleRun == 16 || TFormat.FactorsOfUnits) return 4;
            return TFormat.FactorsOfHalves || TFormat.ScaleRun != 0 || TFormat.CodeBits == 4 && !TLanes.SumsAreWide ? 8 : 16;
        }
    }
}
