using System;
using System.Linq;
using System.Threading.Tasks;
using Lowbit.Core;
using Xunit;

namespace Lowbit.Kernels.Tests;

public sealed unsafe class LargePagesTests
{
    // More than one region, from several threads at once, small pieces and one that has memory of its own.
    [Fact]
    public void Pieces_are_zero_and_aligned_and_nobody_else_writes_there()
    {
        (nint Start, long Bytes, object Owner)[] pieces = new (nint, long, object)[40];
        Parallel.For(0, pieces.Length, i =>
        {
            long bytes = i == 7 ? 40L << 20 : i % 5 == 0 ? 9_000_001 : 1 + 1000 * i;
            byte* start = LargePages.Take(bytes, out object owner);
            for (long at = 0; at < bytes; at += 997) Assert.Equal(0, start[at]);
            new Span<byte>(start, (int)bytes).Fill((byte)(i + 1));
            pieces[i] = ((nint)start, bytes, owner);
        });
        for (int i = 0; i < pieces.Length; i++)
        {
            Assert.Equal(0, pieces[i].Start % 64);
            Assert.Equal(-1, new ReadOnlySpan<byte>((byte*)pieces[i].Start, (int)pieces[i].Bytes).IndexOfAnyExcept((byte)(i + 1)));
        }
        Assert.Equal(0, *(byte*)(pieces[7].Start + pieces[7].Bytes)); // readable
        Assert.True(pieces.Select(piece => piece.Owner).Distinct().Count() > 1);
        GC.KeepAlive(pieces);
    }
}
