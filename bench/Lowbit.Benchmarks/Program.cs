using System;
using System.Linq;
using Lowbit.Benchmarks;
using Lowbit.Core;

// dotnet run -c Release --project bench/Lowbit.Benchmarks -- [gemm] [--threads N]
int threadOption = Array.IndexOf(args, "--threads");
int threads = threadOption >= 0 ? int.Parse(args[threadOption + 1], System.Globalization.CultureInfo.InvariantCulture) : 0;
string[] chosen = args.Where((a, i) => a != "--threads" && (threadOption < 0 || i != threadOption + 1)).ToArray();
using WorkerPool pool = new(threads);
double peak = Machine.PeakFlops(pool);
Console.WriteLine($"threads {pool.Threads}, measured peak {peak / 1e9:F1} GFLOP/s");
if (Wanted("gemm")) GemmBench.Run(pool, peak);
return 0;

bool Wanted(string name) => chosen.Length == 0 || chosen.Contains(name);
