using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Runtime.Intrinsics.X86;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Cli.Tests;

/// <summary>
/// Kernels are small methods that are inlined into one. Once a method has inlined enough the compiler calls the rest, whatever attributes
/// say, and the kernel is several times slower. So nothing in the compiled kernels of a decode step may be a call.
/// </summary>
public sealed class KernelCompilationTests : IDisposable
{
    private const string Kernels = "*RowKernel*:Run *PlaneKernel*:Run *LevelDotAvx2*:Run *Integers.IntegerTileProduct*:Chunks *TileProductAvx2*:Plane *TileProductAvx2*:Salient";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [CompiledTheory]
    [InlineData("Q8_0")]
    [InlineData("Q6_K")]
    [InlineData("Q5_K_M")]
    [InlineData("Q5_1")]
    [InlineData("Q5_0")]
    [InlineData("Q4_K_M")]
    [InlineData("Q4_1")]
    [InlineData("Q4_0")]
    [InlineData("IQ4_NL")]
    [InlineData("MXFP4")]
    [InlineData("Q3_K_M")]
    [InlineData("Q2_K")]
    [InlineData("TQ2_0")]
    [InlineData("TQ1_0")]
    [InlineData("pb-0.1")]
    [InlineData("uniform-2")]
    [InlineData("uniform-3")]
    [InlineData("uniform-4")]
    [InlineData("uniform-8")]
    [InlineData("waterline-2.2")]
    [InlineData("waterline-2.7")]
    [InlineData("waterline-4")]
    [InlineData("binary")]
    [InlineData("ternary")]
    [InlineData("two-planes")]
    [InlineData("table-4")]
    [InlineData("fp6")]
    [InlineData("fp8")]
    [InlineData("mxfp6")]
    [InlineData("mxfp8")]
    [InlineData("mxint8")]
    [InlineData("nvfp4")]
    public void Compiled_kernels_call_nothing(string type)
    {
        string model = _folder.File(type.Contains('-') || char.IsLower(type[0]) ? "model" : "model.gguf"), listing = _folder.File("listing");
        LowbitProcess.Json("convert", "--random", "tiny", "--type", type, "-o", model);
        ProcessStartInfo command = LowbitProcess.Command("bench", model, "--prompt-tokens", "1", "--generate-tokens", "1", "--repeat", "1", "--quiet");
        command.Environment["DOTNET_EnableAVX512"] = "0"; // the same kernels on every machine
        command.Environment["DOTNET_JitDisasm"] = Kernels;
        command.Environment["DOTNET_JitStdOutFile"] = listing;
        using Process process = Process.Start(command)!;
        process.StandardInput.Close();
        string output = process.StandardOutput.ReadToEnd() + process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, output);
        int kernels = 0;
        List<string> calls = [];
        foreach (string method in File.ReadAllText(listing).Split("; Assembly listing for method ").Skip(1))
        {
            string name = method[..method.IndexOf('\n', StringComparison.Ordinal)];
            if (!name.EndsWith("(FullOpts)", StringComparison.Ordinal)) continue; // those that only hand over
            kernels++;
            calls.AddRange(method.Split('\n').Where(line => line.Contains(" call ", StringComparison.Ordinal)).Select(line => $"{name}: {line.Trim()}"));
        }
        Assert.NotEqual(0, kernels);
        Assert.Empty(calls);
    }

    private sealed class CompiledTheoryAttribute : TheoryAttribute
    {
        public CompiledTheoryAttribute()
        {
            if (Environment.GetEnvironmentVariable("LOWBIT_PROGRAM") is not null) Skip = "a native program is not compiled as it runs";
            else if (!Avx2.IsSupported) Skip = "needs AVX2";
        }
    }
}
