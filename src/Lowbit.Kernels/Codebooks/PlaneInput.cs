using System;
using Lowbit.Core;

namespace Lowbit.Kernels.Codebooks;

/// <summary>The activations of a chunk as <see cref="PlaneKernel{TLanes, TVector, TSum}"/> takes them.</summary>
internal unsafe struct PlaneChunk
{
    /// <summary>[64] in the order of the stored columns.</summary>
    public fixed sbyte Codes[Activations.BlockLength];

    /// <summary>[64] the same, zeros where the column is of the first class.</summary>
    public fixed sbyte Second[Activations.BlockLength];

    /// <summary>Steps of four columns that have one of the second class; the first ones of the chunk.</summary>
    public int Steps;

    /// <summary>Sum of the activations of the first class.</summary>
    public int FirstSum;

    /// <summary>Sum of those of the second class.</summary>
    public int SecondSum;

    /// <summary>Scale of the activations.</summary>
    public float Scale;
}

/// <summary>In what order a matrix has its columns, and activations in that order. Each thread makes them for itself, once for a batch.</summary>
internal sealed unsafe class PlaneInput
{
    [ThreadStatic]
    private static NativeBuffer? t_chunks;

    [ThreadStatic]
    private static (PlaneInput? Input, long Batch) t_made;

    private readonly byte[] _order; // [chunks · 64], within the chunk
    private readonly byte[] _seconds; // [chunks], columns of the second class

    /// <summary>Sorts the columns of each chunk.</summary>
    /// <param name="chunks">Chunks of a row.</param>
    /// <param name="classes">[chunks · 64], other than 0 for the second class; null where there is one class.</param>
    public PlaneInput(int chunks, byte* classes)
    {
        _order = new byte[chunks * Activations.BlockLength];
        _seconds = new byte[chunks];
        for (int chunk = 0; chunk < chunks; chunk++)
        {
            Span<byte> order = _order.AsSpan(chunk * Activations.BlockLength, Activations.BlockLength);
            int count = 0;
            for (int pass = 1; pass >= 0; pass--)
            {
                for (int c = 0; c < Activations.BlockLength; c++)
                {
                    bool second = classes != null && classes[chunk * Activations.BlockLength + c] != 0;
                    if (second == (pass == 1)) order[count++] = (byte)c;
                }
                if (pass == 1) _seconds[chunk] = (byte)count;
            }
        }
    }

    /// <summary>The columns of a chunk in stored order.</summary>
    public ReadOnlySpan<byte> Order(int chunk) => _order.AsSpan(chunk * Activations.BlockLength, Activations.BlockLength);

    /// <summary>Columns of the second class in a chunk.</summary>
    public int Seconds(int chunk) => _seconds[chunk];

    /// <summary>The activations of a batch.</summary>
    /// <returns>[tokens, chunks]; the thread's next call may overwrite them.</returns>
    public PlaneChunk* Make(Activations activations)
    {
        PlaneChunk* chunks = (PlaneChunk*)Scratch.Ensure(ref t_chunks, (long)activations.Tokens * activations.Blocks * sizeof(PlaneChunk));
        if (t_made == (this, activations.Batch)) return chunks;
        for (int t = 0; t < activations.Tokens; t++)
        {
            for (int chunk = 0; chunk < activations.Blocks; chunk++)
            {
                long block = (long)t * activations.Blocks + chunk;
                sbyte* codes = activations.Codes + block * Activations.BlockLength;
                PlaneChunk* made = chunks + block;
                int seconds = _seconds[chunk], sum = 0;
                ReadOnlySpan<byte> order = Order(chunk);
                for (int i = 0; i < order.Length; i++) made->Codes[i] = codes[order[i]];
                new Span<sbyte>(made->Second, Activations.BlockLength).Clear();
                for (int i = 0; i < seconds; i++)
                {
                    made->Second[i] = made->Codes[i];
                    sum += made->Codes[i];
                }
                made->Steps = (seconds + 3) / 4;
                made->FirstSum = activations.Sums[block] - sum;
                made->SecondSum = sum;
                made->Scale = activations.Scales[block];
            }
        }
        t_made = (this, activations.Batch);
        return chunks;
    }
}
