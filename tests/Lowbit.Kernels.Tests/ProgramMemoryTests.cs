using System;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Xunit;

namespace Lowbit.Kernels.Tests;

public sealed unsafe partial class ProgramMemoryTests
{
    [Fact]
    public void Code_and_data_of_the_program_and_its_libraries_are_as_before()
    {
        ReadOnlySpan<byte> constants = [2, 3, 5, 7, 11, 13, 17, 19, 23];
        byte[] before = constants.ToArray();
        Environment.SetEnvironmentVariable("LOWBIT_PROGRAM_MEMORY", "kept"); // of the runtime
        string? path = OperatingSystem.IsLinux() ? Marshal.PtrToStringUTF8(Variable("PATH")) : null; // of a library
        using NativeBuffer buffer = new(1 << 20);
        buffer.Span<byte>(0, 1 << 20).Fill(7);

        ProgramMemory.ReleaseUnused();

        Assert.Equal(before, constants.ToArray());
        Assert.Equal("kept", Environment.GetEnvironmentVariable("LOWBIT_PROGRAM_MEMORY"));
        if (OperatingSystem.IsLinux()) Assert.Equal(path, Marshal.PtrToStringUTF8(Variable("PATH")));
        Assert.Equal(-1, buffer.Span<byte>(0, 1 << 20).IndexOfAnyExcept((byte)7));
        Assert.Equal(285, Squares(9));
    }

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

    private static int Squares(int count) => count == 0 ? 0 : count * count + Squares(count - 1);

    [LibraryImport("libc", EntryPoint = "getenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint Variable(string name);
}
