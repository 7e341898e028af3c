using System;
using System.Runtime.InteropServices;

namespace Lowbit.Core;

/// <summary>Zeroed native memory, aligned to 64 bytes, addressed by pointers so that nothing over 2 GiB breaks.</summary>
public sealed unsafe partial class NativeBuffer : IDisposable
{
    private const nuint Alignment = 64;
    private const int OwnMapping = 1 << 16; // bytes from which on memory goes back to the system when it is freed
    private const nuint LargePage = 1 << 21;
    private void* _allocation;
    private readonly byte* _pointer;

    static NativeBuffer()
    {
        const int mmapThreshold = -3;
        if (!OperatingSystem.IsLinux()) return;
        // glibc raises this threshold to the size of what was freed, and from then on the heap keeps tens of megabytes.
        try { _ = SetAllocator(mmapThreshold, OwnMapping); }
        catch (EntryPointNotFoundException) { } // another C library, which has no such heap
    }

    /// <summary>Allocates and clears.</summary>
    /// <param name="bytes">Size; zero is allowed.</param>
    /// <param name="largePages">
    /// Asks the system for pages of 2 MiB, for memory that is filled whole and then read again and again, such as weights:
    /// a page that is touched anywhere is there with all its bytes. A wish: without such pages the memory is the same.
    /// </param>
    /// <exception cref="LowbitException">The system has no such amount of memory.</exception>
    public NativeBuffer(long bytes, bool largePages = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        Bytes = bytes;
        nuint alignment = largePages && OperatingSystem.IsLinux() && (nuint)bytes >= LargePage ? LargePage : Alignment;
        try
        {
            // Pages that are never touched cost nothing. 64 spare bytes let a kernel load a whole vector at the last element.
            _allocation = NativeMemory.AllocZeroed((nuint)bytes + alignment + Alignment);
        }
        catch (OutOfMemoryException e)
        {
            throw new LowbitException($"out of memory: {bytes} bytes were asked for; use a shorter --context or fewer --samples.", e);
        }
        _pointer = (byte*)(((nuint)_allocation + alignment - 1) & ~(alignment - 1));
        const int hugePage = 14;
        if (alignment == LargePage) _ = Advise(_pointer, (nuint)bytes & ~(LargePage - 1), hugePage);
    }

    /// <summary>Frees memory that was not disposed of.</summary>
    ~NativeBuffer() => Free();

    /// <summary>Size in bytes.</summary>
    public long Bytes { get; }

    /// <summary>First byte, aligned to 64.</summary>
    public byte* Pointer => _pointer;

    /// <summary>The memory as floats.</summary>
    public float* Floats => (float*)_pointer;

    /// <summary>Elements <paramref name="start"/> to <paramref name="start"/> + <paramref name="length"/> as a span.</summary>
    public Span<T> Span<T>(long start, int length) where T : unmanaged
    {
        if (start < 0 || length < 0 || checked((start + length) * sizeof(T)) > Bytes)
            throw new ArgumentOutOfRangeException(nameof(length), $"elements {start} to {start + length} of {Bytes} bytes");
        return new Span<T>((T*)_pointer + start, length);
    }

    /// <summary>Gives whole pages from a place to the end back to the system; they hold zeros when they are used again.</summary>
    /// <param name="from">Bytes before the place.</param>
    public void ReleasePages(long from)
    {
        if (!OperatingSystem.IsLinux()) return;
        const int dontNeed = 4;
        nuint pageMask = (nuint)Environment.SystemPageSize - 1;
        nuint first = ((nuint)_pointer + (nuint)from + pageMask) & ~pageMask, end = ((nuint)_pointer + (nuint)Bytes) & ~pageMask;
        if (end > first) _ = Advise((void*)first, end - first, dontNeed);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int SetAllocator(int parameter, int value);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint bytes, int advice);

    private void Free()
    {
        NativeMemory.Free(_allocation);
        _allocation = null;
    }
}
