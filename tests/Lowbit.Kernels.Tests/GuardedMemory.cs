using System;
using System.Runtime.InteropServices;
using System.Threading;

namespace Lowbit.Kernels.Tests;

/// <summary>
/// Memory that ends at a page which must not be touched, so that reading beyond it ends the test run. Plain memory where
/// there is no mmap.
/// </summary>
internal sealed unsafe partial class GuardedMemory
{
    private const int ReadWrite = 3, PrivateAnonymous = 0x22;

    // A test that reads through a pointer no longer refers to the memory; it stays until many others have come.
    private static readonly GuardedMemory?[] s_latest = new GuardedMemory?[256];
    private static int s_count;

    private readonly byte* _start;
    private readonly nuint _mapped;

    public GuardedMemory(long bytes)
    {
        Length = checked((int)bytes);
        nuint page = (nuint)Environment.SystemPageSize;
        nuint usable = ((nuint)bytes + page - 1) / page * page;
        if (OperatingSystem.IsLinux())
        {
            _mapped = usable + page;
            _start = (byte*)Map(null, _mapped, ReadWrite, PrivateAnonymous, -1, 0);
            if ((nint)_start == -1 || Protect(_start + usable, page, 0) != 0) throw new InvalidOperationException("no guard page");
            Pointer = _start + usable - bytes;
        }
        else
        {
            _start = Pointer = (byte*)NativeMemory.AllocZeroed((nuint)bytes);
        }
        s_latest[(uint)Interlocked.Increment(ref s_count) % s_latest.Length] = this;
    }

    ~GuardedMemory()
    {
        if (OperatingSystem.IsLinux()) _ = Unmap(_start, _mapped);
        else NativeMemory.Free(_start);
    }

    public int Length { get; }

    public byte* Pointer { get; }

    public Span<byte> Span => new(Pointer, Length);

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial void* Map(void* address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Protect(void* address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(void* address, nuint length);
}
