using System;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Lowbit.Core;

/// <summary>The memory of the process, and of the program itself within it: its code, its constants and the managed heap.</summary>
public static unsafe partial class ProgramMemory
{
    /// <summary>Bytes that the process had in memory when it had most.</summary>
    public static long Peak
    {
        get
        {
            using Process process = Process.GetCurrentProcess();
            return process.PeakWorkingSet64;
        }
    }

    /// <summary>
    /// Gives back what the start of the program has left: managed objects that nobody refers to any more, and the pages of
    /// <see cref="ReleaseFiles"/>, most of which the start alone has used. For a moment before long work.
    /// </summary>
    public static void ReleaseUnused()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive);
        ReleaseFiles();
    }

    /// <summary>
    /// Gives back, of a native program, the pages of its file and its libraries that nothing writes to. What is run or read again comes back
    /// from the cache of the file system. A runtime that compiles methods changes its own code in memory, so its pages stay.
    /// </summary>
    public static void ReleaseFiles()
    {
        if (RuntimeFeature.IsDynamicCodeSupported || !OperatingSystem.IsLinux() || !Environment.Is64BitProcess) return;
        try { _ = ForEachFile(&ReleasePages, null); }
        catch (EntryPointNotFoundException) { } // a C library without such a list
    }

    [UnmanagedCallersOnly]
    private static int ReleasePages(LoadedFile* file, nuint size, void* data)
    {
        const int loaded = 1, writable = 2, dontNeed = 4;
        for (int i = 0; i < file->SegmentCount; i++)
        {
            ref readonly Segment segment = ref file->Segments[i];
            if (segment.Type != loaded || (segment.Flags & writable) != 0) continue;
            nuint pageMask = (nuint)Environment.SystemPageSize - 1, start = (file->Base + segment.Address) & ~pageMask;
            _ = Advise((void*)start, (file->Base + segment.Address + segment.Bytes + pageMask & ~pageMask) - start, dontNeed); // advice only
        }
        return 0;
    }

    [LibraryImport("libc", EntryPoint = "dl_iterate_phdr")]
    private static partial int ForEachFile(delegate* unmanaged<LoadedFile*, nuint, void*, int> visit, void* data);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint bytes, int advice);

    // dl_phdr_info
    [StructLayout(LayoutKind.Sequential)]
    private struct LoadedFile
    {
        public nuint Base;
        public byte* Name;
        public Segment* Segments;
        public ushort SegmentCount;
    }

    // Elf64_Phdr
    [StructLayout(LayoutKind.Sequential)]
    private struct Segment
    {
        public uint Type, Flags;
        public ulong Offset;
        public nuint Address;
        public ulong PhysicalAddress, FileBytes;
        public nuint Bytes;
        public ulong Alignment;
    }
}
