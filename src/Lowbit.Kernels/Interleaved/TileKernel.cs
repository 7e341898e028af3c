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

    /// <summary>Bytes of a panel.</summary>
    static abstract int PanelBytes { get; }

    /// <summary>Multiplies the rows of <see cref="Tiles"/> tiles with all tokens of a batch.</summary>
    /// <param name="tile0">First group of the first tile.</param>
    /// <param name="tile1">First group of the second one.</param>
    /// <param name="activations">The batch.</param>
    /// <param name="panel">Memory for the panel.</param>
    /// <param name="results">[tokens, Tiles · 16].</param>
    static abstract unsafe void Run(byte* tile0, byte* tile1, Activations activations, byte* panel, float* results);
}

/// <inheritdoc cref="ITileKernel{TFormat}"/>
internal readonly unsafe struct TileKernel<TFormat, TLanes, TVector> : ITileKernel<TFormat>
    where TFormat : struct, IBlockFormat where TLanes : struct, ILanes<TVector> where TVector : struct
{
    private const int PanelChunks = 8; // of 64 columns

    // A chunk of a panel, in vectors: codes in the order of the columns, where they have 8 bits the upper nibbles behind the
    // lower ones; scales of the four units; minimums of the halves; F of the halves; G of the halves.
    private static int CodeVectors => TFormat.CodeBits == 8 ? 32 : 16;
    private static int ScalesAt => CodeVectors * TLanes.Width;
    private static int MinimumsAt => ScalesAt + (TFormat.ScaleRun == 0 ? 0 : 4 * TLanes.Width);
    private static int FactorsAt => MinimumsAt + 2 * TLanes.Width;
    private static int MinimumFactorsAt => FactorsAt + (TFormat.FactorsOfHalves ? 2 : 1) * TLanes.Width;
    private static int ChunkBytes => MinimumFactorsAt + (!TFormat.MinimumHasFactor ? 0 : TFormat.FactorsOfHalves ? 2 : 1) * TLanes.Width;

    public static int Tiles => TLanes.Width == IBlockFormat.Vector ? 2 : 1;

    public static int PanelBytes => 2 * PanelChunks * ChunkBytes;

    public static void Run(byte* tile0, byte* tile1, Activations activations, byte* panel, float* results)
    {
        int chunks = activations.Blocks, stride = Tiles * IBlockFormat.Rows;
        byte* panel0 = panel, panel1 = panel + PanelChunks * ChunkBytes;
        Token* tokens = stackalloc Token[4];
        for (int lane = 0; lane < IBlockFormat.Vector; lane += 2 * TLanes.Width)
        {
            for (int first = 0; first < chunks; first += PanelChunks)
            {
                int count = Math.Min(PanelChunks, chunks - first);
                Unpack(tile0, lane, first, count, panel0);
                if (Tiles == 2) Unpack(tile1, lane, first, count, panel1);
                else Unpack(tile0, lane + TLanes.Width, first, count, panel1);
                for (int t = 0; t < activations.Tokens; t += 4)
                {
                    for (int i = 0; i < 4; i++) tokens[i] = new Token(activations, Math.Min(t + i, activations.Tokens - 1));
                    FourTokens(panel0, panel1, first, count, tokens, Math.Min(4, activations.Tokens - t), (byte*)(results + (long)t * stride) + lane, stride * sizeof(float));
                }
            }
        }
    }

    private static void Unpack(byte* tile, int lane, int first, int count, byte* panel)
    {
        int groupChunks = TFormat.BlockLength == 32 ? 1 : 4;
        for (int c = first; c < first + count; c++, panel += ChunkBytes)
        {
            byte* group = tile + (long)(c / groupChunks) * (TFormat.HeaderBytes + groupChunks * TFormat.ChunkBytes);
            UnpackChunk(group + lane / 2, group + TFormat.HeaderBytes + c % groupChunks * TFormat.ChunkBytes + lane, panel);
        }
    }

    private static void UnpackChunk(byte* header, byte* chunk, byte* panel)
    {
        UnpackUnit(chunk, 0, panel);
        UnpackUnit(chunk, 1, panel);
        UnpackUnit(chunk, 2, panel);
        UnpackUnit(chunk, 3, panel);
        TLanes.Store(panel + MinimumsAt, TFormat.Minimum<TLanes, TVector>(chunk, 0));
        TLanes.Store(panel + MinimumsAt + TLanes.Width, TFormat.Minimum<TLanes, TVector>(chunk, 1));
        TLanes.Store(panel + FactorsAt, TFormat.Factor<TLanes, TVector>(header, 0));
        if (TFormat.FactorsOfHalves) TLanes.Store(panel + FactorsAt + TLanes.Width, TFormat.Factor<TLanes, TVector>(header, 1));
        if (!TFormat.MinimumHasFactor) return;
        TLanes.Store(panel + MinimumFactorsAt, TFormat.MinimumFactor<TLanes, TVector>(header, 0));
        if (TFormat.FactorsOfHalves) TLanes.Store(panel + MinimumFactorsAt + TLanes.Width, TFormat.MinimumFactor<TLanes, TVector>(header, 1));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void UnpackUnit(byte* chunk, int unit, byte* panel)
    {
        StoreCodes(TFormat.Codes<TLanes, TVector>(chunk, unit, 0), panel, 4 * unit);
        StoreCodes(TFormat.Codes<TLanes, TVector>(chunk, unit, 1), panel, 4 * unit + 1);
        StoreCodes(TFormat.Codes<TLanes, TVector>(chunk, unit, 2), panel, 4 * unit + 2);
        StoreCodes(TFormat.Codes<TLanes, TVector>(chunk, unit, 3), panel, 4 * unit + 3);
        if (TFormat.ScaleRun != 0) TLanes.Store(panel + ScalesAt + unit * TLanes.Width, TFormat.Scale<TLanes, TVector>(chunk, unit));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreCodes(TVector codes, byte* panel, int step)
    {
        if (TFormat.CodeBits == 8)
        {
            TLanes.Store(panel + step * TLanes.Width, TLanes.Bits(codes, 0, 0xF));
            TLanes.Store(panel + (16 + step) * TLanes.Width, TLanes.Bits(codes, 4, 0xF));
        }
        else
        {
            TLanes.Store(panel + step * TLanes.Width, codes);
        }
    }

    // Names: v31 is what belongs to token 3 and the second vector of rows.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourTokens(byte* panel0, byte* panel1, int first, int count, Token* tokens, int used, byte* results, int stride)
    {
        TVector y00 = default, y10 = default, y20 = default, y30 = default, y01 = default, y11 = default, y21 = default, y31 = default;
        if (first > 0)
        {
            y00 = TLanes.Load(results);
            y01 = TLanes.Load(results + TLanes.Width);
            if (used > 1) { y10 = TLanes.Load(results + stride); y11 = TLanes.Load(results + stride + TLanes.Width); }
            if (used > 2) { y20 = TLanes.Load(results + 2 * stride); y21 = TLanes.Load(results + 2 * stride + TLanes.Width); }
            if (used > 3) { y30 = TLanes.Load(results + 3 * stride); y31 = TLanes.Load(results + 3 * stride + TLanes.Width); }
        }
        sbyte* x0 = tokens[0].X + (long)first * IBlockFormat.ChunkColumns, x1 = tokens[1].X + (long)first * IBlockFormat.ChunkColumns;
        sbyte* x2 = tokens[2].X + (long)first * IBlockFormat.ChunkColumns, x3 = tokens[3].X + (long)first * IBlockFormat.ChunkColumns;
        for (int chunk = first; chunk < first + count; chunk++)
        {
            TVector i00 = default, i10 = default, i20 = default, i30 = default, i01 = default, i11 = default, i21 = default, i31 = default;
            TVector v00 = default, v10 = default, v20 = default, v30 = default, v01 = default, v11 = default, v21 = default, v31 = default;
            for (int half = 0; half < 2; half++)
            {
                byte* codes0 = panel0 + 8 * half * TLanes.Width, codes1 = panel1 + 8 * half * TLanes.Width;
                int planes = TFormat.CodeBits == 8 ? 2 : 1;
                for (int plane = 0; plane < planes; plane++)
                {
                    for (int step = 0; step < 8; step += Run16)
                    {
                        TVector p00 = default, p10 = default, p20 = default, p30 = default, p01 = default, p11 = default, p21 = default, p31 = default;
                        for (int s = step; s < step + Run16; s++)
                        {
                            TVector w0 = TLanes.Load(codes0 + (16 * plane + s) * TLanes.Width), w1 = TLanes.Load(codes1 + (16 * plane + s) * TLanes.Width);
                            TVector a = TLanes.Broadcast(x0 + 4 * s);
                            p00 = TLanes.AddProducts(p00, w0, a);
                            p01 = TLanes.AddProducts(p01, w1, a);
                            a = TLanes.Broadcast(x1 + 4 * s);
                            p10 = TLanes.AddProducts(p10, w0, a);
                            p11 = TLanes.AddProducts(p11, w1, a);
                            a = TLanes.Broadcast(x2 + 4 * s);
                            p20 = TLanes.AddProducts(p20, w0, a);
                            p21 = TLanes.AddProducts(p21, w1, a);
                            a = TLanes.Broadcast(x3 + 4 * s);
                            p30 = TLanes.AddProducts(p30, w0, a);
                            p31 = TLanes.AddProducts(p31, w1, a);
                        }
                        TVector scale0, scale1;
                        if (TFormat.ScaleRun == 0)
                        {
                            scale0 = scale1 = TLanes.Shorts((short)(plane == 0 ? 1 : 16));
                        }
                        else
                        {
                            scale0 = TLanes.Load(panel0 + ScalesAt + (2 * half + step / 4) * TLanes.Width);
                            scale1 = TLanes.Load(panel1 + ScalesAt + (2 * half + step / 4) * TLanes.Width);
                        }
                        i00 = TLanes.AddIntegers(i00, TLanes.Dot(p00, scale0));
                        i10 = TLanes.AddIntegers(i10, TLanes.Dot(p10, scale0));
                        i20 = TLanes.AddIntegers(i20, TLanes.Dot(p20, scale0));
                        i30 = TLanes.AddIntegers(i30, TLanes.Dot(p30, scale0));
                        i01 = TLanes.AddIntegers(i01, TLanes.Dot(p01, scale1));
                        i11 = TLanes.AddIntegers(i11, TLanes.Dot(p11, scale1));
                        i21 = TLanes.AddIntegers(i21, TLanes.Dot(p21, scale1));
                        i31 = TLanes.AddIntegers(i31, TLanes.Dot(p31, scale1));
                    }
                }
                x0 += 32;
                x1 += 32;
                x2 += 32;
                x3 += 32;
                if (!TFormat.FactorsOfHalves) continue;
                v00 = TLanes.Add(v00, HalfSum(panel0, half, i00, tokens[0].Sum + 4 * chunk));
                v10 = TLanes.Add(v10, HalfSum(panel0, half, i10, tokens[1].Sum + 4 * chunk));
                v20 = TLanes.Add(v20, HalfSum(panel0, half, i20, tokens[2].Sum + 4 * chunk));
                v30 = TLanes.Add(v30, HalfSum(panel0, half, i30, tokens[3].Sum + 4 * chunk));
                v01 = TLanes.Add(v01, HalfSum(panel1, half, i01, tokens[0].Sum + 4 * chunk));
                v11 = TLanes.Add(v11, HalfSum(panel1, half, i11, tokens[1].Sum + 4 * chunk));
                v21 = TLanes.Add(v21, HalfSum(panel1, half, i21, tokens[2].Sum + 4 * chunk));
                v31 = TLanes.Add(v31, HalfSum(panel1, half, i31, tokens[3].Sum + 4 * chunk));
                i00 = i10 = i20 = i30 = i01 = i11 = i21 = i31 = default;
            }
            if (!TFormat.FactorsOfHalves)
            {
                v00 = WholeSum(panel0, i00, tokens[0].Sum + 4 * chunk);
                v10 = WholeSum(panel0, i10, tokens[1].Sum + 4 * chunk);
                v20 = WholeSum(panel0, i20, tokens[2].Sum + 4 * chunk);
                v30 = WholeSum(panel0, i30, tokens[3].Sum + 4 * chunk);
                v01 = WholeSum(panel1, i01, tokens[0].Sum + 4 * chunk);
                v11 = WholeSum(panel1, i11, tokens[1].Sum + 4 * chunk);
                v21 = WholeSum(panel1, i21, tokens[2].Sum + 4 * chunk);
                v31 = WholeSum(panel1, i31, tokens[3].Sum + 4 * chunk);
            }
            TVector scale = TLanes.Floats(tokens[0].Scale[chunk]);
            y00 = TLanes.Add(y00, TLanes.Multiply(scale, v00));
            y01 = TLanes.Add(y01, TLanes.Multiply(scale, v01));
            scale = TLanes.Floats(tokens[1].Scale[chunk]);
            y10 = TLanes.Add(y10, TLanes.Multiply(scale, v10));
            y11 = TLanes.Add(y11, TLanes.Multiply(scale, v11));
            scale = TLanes.Floats(tokens[2].Scale[chunk]);
            y20 = TLanes.Add(y20, TLanes.Multiply(scale, v20));
            y21 = TLanes.Add(y21, TLanes.Multiply(scale, v21));
            scale = TLanes.Floats(tokens[3].Scale[chunk]);
            y30 = TLanes.Add(y30, TLanes.Multiply(scale, v30));
            y31 = TLanes.Add(y31, TLanes.Multiply(scale, v31));
            panel0 += ChunkBytes;
            panel1 += ChunkBytes;
        }
        TLanes.Store(results, y00);
        TLanes.Store(results + TLanes.Width, y01);
        if (used > 1) { TLanes.Store(results + stride, y10); TLanes.Store(results + stride + TLanes.Width, y11); }
        if (used > 2) { TLanes.Store(results + 2 * stride, y20); TLanes.Store(results + 2 * stride + TLanes.Width, y21); }
        if (used > 3) { TLanes.Store(results + 3 * stride, y30); TLanes.Store(results + 3 * stride + TLanes.Width, y31); }
    }

    // Steps whose products fit into 16 bits and share an integer scale.
    private static int Run16 => TFormat.CodeBits == 6 ? 2 : TFormat.CodeBits == 5 || TFormat.ScaleRun == 16 ? 4 : 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector HalfSum(byte* panel, int half, TVector i, short* sums)
    {
        TVector j = TLanes.Dot(TLanes.Broadcast(sums + 2 * half), TLanes.Load(panel + MinimumsAt + half * TLanes.Width));
        return Scaled(panel, half, i, j);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector WholeSum(byte* panel, TVector i, short* sums)
    {
        TVector j = TLanes.AddIntegers(
            TLanes.Dot(TLanes.Broadcast(sums), TLanes.Load(panel + MinimumsAt)), TLanes.Dot(TLanes.Broadcast(sums + 2), TLanes.Load(panel + MinimumsAt + TLanes.Width)));
        return Scaled(panel, 0, i, j);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Scaled(byte* panel, int half, TVector i, TVector j)
    {
        TVector factor = TLanes.Load(panel + FactorsAt + half * TLanes.Width);
        if (!TFormat.MinimumHasFactor) return TLanes.Multiply(factor, TLanes.ToFloat(TLanes.AddIntegers(i, j)));
        return TLanes.Add(
            TLanes.Multiply(factor, TLanes.ToFloat(i)),
            TLanes.Multiply(TLanes.Load(panel + MinimumFactorsAt + half * TLanes.Width), TLanes.ToFloat(j)));
    }
}
