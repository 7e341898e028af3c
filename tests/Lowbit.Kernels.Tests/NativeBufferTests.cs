using System;
using Lowbit.Core;
using Xunit;

namespace Lowbit.Kernels.Tests;

public sealed class NativeBufferTests
{
    [Fact]
    public void Pages_that_are_given_back_hold_zeros_and_those_before_them_stay()
    {
        const int bytes = 1 << 20, from = 100_001;
        using NativeBuffer buffer = new(bytes);
        buffer.Span<byte>(0, bytes).Fill(7);

        buffer.ReleasePages(from);

        Assert.Equal(-1, buffer.Span<byte>(0, from).IndexOfAnyExcept((byte)7));
        int pages = Environment.SystemPageSize;
        if (OperatingSystem.IsLinux()) Assert.Equal(-1, buffer.Span<byte>(from + pages, bytes - from - 2 * pages).IndexOfAnyExcept((byte)0));
    }
}
