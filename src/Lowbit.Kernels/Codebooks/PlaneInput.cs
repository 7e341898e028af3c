using System;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Kernels.Codebooks;

/// <summary>The activations of a piece of a row as <see cref="PlaneKernel{TLanes, TVector, TSum}"/> takes them.</summary>
internal unsafe struct PlaneChunk
{
    /// <summary>[64] in the order of the stored columns, zeros where there is none.</summary>
    public fixed sbyte Codes[Activations.BlockLength];

    /// <summary>[64] the same, zeros where the column is of the first class.</summary>
    public fixed sbyte Second[Activations.BlockLength];

    /// <summary>Vectors of the piece.</summary>
    public int Vectors;

    /// <summary>Of them those that have columns of the second class, the first ones.</summary>
    public int SecondVectors;

    /// <summary>Other than 0 where the numbers of a group stand before the piece.</summary>
    public int StartsGroup;

    /// <summary>Sum of the activations of the first class.</summary>
    public int FirstSum;

    /// <summary>Sum of those of the second class.</summary>
    public int SecondSum;

    /// <summary>Scale of the activations.</summary>
    public float Scale;
}

/// <summary>Columns of a row that share a codebook and a scale of the activations.</summary>
/// <param name="Group">Their group.</param>
/// <param name="Block">Their block of activations.</param>
/// <param name="First">The first of them in the block.</param>
/// <param name="Count">Their number.</param>
/// <param name="Seconds">Those of the second class.</param>
internal readonly record struct PlanePiece(int Group, int Block, int First, int Count, int Seconds)
{
    /// <summary>Columns of a vector: four bytes of four codes.</summary>
    public const int VectorColumns = 16;

    /// <summary>Vectors of the piece.</summary>
    public int Vectors => (Count + VectorColumns - 1) / VectorColumns;
}

/// <summary>In what pieces and order a matrix has its columns, and activations in that order. Each thread makes them for itself, once for a batch.</summary>
internal sealed unsafe class PlaneInput
{
    [ThreadStatic]
    private static NativeBuffer? t_chunks;

    [ThreadStatic]
    private static (PlaneInput? Input, long Batch) t_made;

    private readonly PlanePiece[] _pieces;
    private readonly byte[] _order; // [blocks · 64], of each piece where it begins, within the block

    /// <summary>Cuts rows into pieces and sorts the columns of each.</summary>
    /// <param name="layout">How the parts lie.</param>
    /// <param name="classes">[blocks · 64], other than 0 for the second class; null where there is one class.</param>
    public PlaneInput(CodebookLayout layout, byte* classes)
    {
        const int Length = Activations.BlockLength;
        _order = new byte[layout.Blocks * Length];
        List<PlanePiece> pieces = [];
        for (int start = 0, end; start < layout.Columns; start = end)
        {
            int group = start / layout.GroupSize, block = start / Length, seconds = 0, next = start;
            end = (int)Math.Min(Math.Min(layout.Columns, (group + 1L) * layout.GroupSize), (block + 1L) * Length);
            for (int pass = 1; pass >= 0; pass--)
            {
                for (int c = start; c < end; c++)
                {
                    bool second = classes != null && classes[c] != 0;
                    if (second == (pass == 1)) _order[next++] = (byte)(c % Length);
                }
                if (pass == 1) seconds = next - start;
            }
            pieces.Add(new(group, block, start % Length, end - start, seconds));
        }
        _pieces = [.. pieces];
    }

    /// <summary>The pieces of a row.</summary>
    public ReadOnlySpan<PlanePiece> Pieces => _pieces;

    /// <summary>The columns of a piece in stored order, within its block.</summary>
    public ReadOnlySpan<byte> Order(PlanePiece piece) => _order.AsSpan(piece.Block * Activations.BlockLength + piece.First, piece.Count);

    /// <summary>The columns of all vectors of a row in stored order, 16 of each, within their blocks; 255 where there is none.</summary>
    public byte[] ColumnsOfVectors()
    {
        int vectors = 0;
        foreach (PlanePiece piece in _pieces) vectors += piece.Vectors;
        byte[] columns = new byte[vectors * PlanePiece.VectorColumns];
        Span<byte> left = columns;
        left.Fill(byte.MaxValue);
        foreach (PlanePiece piece in _pieces)
        {
            Order(piece).CopyTo(left);
            left = left[(piece.Vectors * PlanePiece.VectorColumns)..];
        }
        return columns;
    }

    /// <summary>The activations of a batch.</summary>
    /// <returns>[tokens, pieces]; the thread's next call may overwrite them.</returns>
    public PlaneChunk* Make(Activations activations)
    {
        PlaneChunk* chunks = (PlaneChunk*)Scratch.Ensure(ref t_chunks, (long)activations.Tokens * _pieces.Length * sizeof(PlaneChunk));
        if (t_made == (this, activations.Batch)) return chunks;
        PlaneChunk* made = chunks;
        for (int t = 0; t < activations.Tokens; t++)
        {
            int group = -1;
            foreach (PlanePiece piece in _pieces)
            {
                Fill(piece, activations, (long)t * activations.Blocks + piece.Block, made);
                made++->StartsGroup = piece.Group != group ? 1 : 0;
                group = piece.Group;
            }
        }
        t_made = (this, activations.Batch);
        return chunks;
    }

    private void Fill(PlanePiece piece, Activations activations, long block, PlaneChunk* chunk)
    {
        sbyte* codes = activations.Codes + block * Activations.BlockLength;
        ReadOnlySpan<byte> order = Order(piece);
        new Span<sbyte>(chunk->Codes, 2 * Activations.BlockLength).Clear();
        int sum = 0, secondSum = 0;
        for (int i = 0; i < order.Length; i++) sum += chunk->Codes[i] = codes[order[i]];
        for (int i = 0; i < piece.Seconds; i++) secondSum += chunk->Second[i] = chunk->Codes[i];
        chunk->Vectors = piece.Vectors;
        chunk->SecondVectors = (piece.Seconds + PlanePiece.VectorColumns - 1) / PlanePiece.VectorColumns;
        chunk->FirstSum = sum - secondSum;
        chunk->SecondSum = secondSum;
        chunk->Scale = activations.Scales[block];
    }
}
