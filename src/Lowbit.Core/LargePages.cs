using System.Threading;

namespace Lowbit.Core;

/// <summary>
/// Memory for weights that are read again and again, one after the other, in pages of 2 MiB where the system has them. Matrices of a
/// megabyte share a page with their neighbours; each by itself would have pages of 4 KiB, which two threads read at half the speed
/// (bench/results/amd-epyc-zen4/2026-11-23-decode.md). The pages of a region go back to the system when no weight in it is used any more.
/// </summary>
public static unsafe class LargePages
{
    private const long RegionBytes = 128L << 20; // pages that nobody has touched yet cost nothing
    private const long OwnBytes = 16L << 20;
    private const long Alignment = 64;

    private static readonly Lock s_lock = new();
    private static NativeBuffer? s_region;
    private static long s_used;

    /// <summary>Takes zeroed memory.</summary>
    /// <param name="bytes">Size.</param>
    /// <param name="owner">To be kept as long as the memory is used.</param>
    /// <returns>First byte, aligned to 64, with 64 readable bytes behind the last.</returns>
    /// <exception cref="LowbitException">The system has no such amount of memory.</exception>
    public static byte* Take(long bytes, out object owner)
    {
        long size = (bytes + 2 * Alignment - 1) / Alignment * Alignment;
        lock (s_lock)
        {
            if (size > OwnBytes)
            {
                // Mostly the output projection, the last of all weights: what nobody has taken of the region's last page goes back.
                s_region?.ReleasePages(s_used);
                NativeBuffer own = new(bytes, largePages: true);
                owner = own;
                return own.Pointer;
            }
            if (s_region is null || s_used + size > RegionBytes)
            {
                s_region = new NativeBuffer(RegionBytes, largePages: true);
                s_used = 0;
            }
            owner = s_region;
            s_used += size;
            return s_region.Pointer + s_used - size;
        }
    }
}
