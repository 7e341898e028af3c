using System;
using System.Globalization;
using System.Linq;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Benchmarks;
using Lowbit.Core;

// dotnet run -c Release --project bench/Lowbit.Benchmarks -- [gemm] [attention] [decode] [blocks [Q4_0 ...]] [pb] [pool] [--threads N]
int threadOption = Array.IndexOf(args, "--threads");
int threads = threadOption >= 0 ? int.Parse(args[threadOption + 1], CultureInfo.InvariantCulture) : 0;
string[] chosen = args.Where((_, i) => threadOption < 0 || (i != threadOption && i != threadOption + 1)).ToArray();
using WorkerPool pool = new(threads);
double peak = Machine.PeakFlops(pool), bandwidth = Machine.ReadBandwidth(pool);
string instructions = Vector512.IsHardwareAccelerated && Avx512Vbmi2.IsSupported ? "AVX-512 with VBMI2" : Fma.IsSupported ? "AVX2" : "128-bit vectors or none";
Console.WriteLine($"{pool.Threads} threads, {instructions}, peak {peak / 1e9:F1} GFLOP/s, memory {bandwidth / 1e9:F1} GB/s, both measured");
if (Wanted("gemm")) GemmBench.Run(pool, peak);
if (Wanted("attention")) AttentionBench.Run(pool, peak);
if (Wanted("decode")) AttentionBench.RunDecode(pool, bandwidth);
if (Wanted("blocks")) BlockBench.Run(pool, bandwidth, Machine.PeakByteProducts(pool), [.. chosen.Where(name => char.IsUpper(name[0]))]);
if (Wanted("pb")) PartiallyBinarizedBench.Run(pool, bandwidth, peak);
if (Wanted("pool")) WorkerPoolBench.Run(pool);
return 0;

bool Wanted(string name) => chosen.Length == 0 || chosen.Contains(name);
