using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Quantization.Tests.Pipeline;

/// <summary>What holds for every method there is: a new line in the registry is a new case here.</summary>
public sealed class EveryMethodTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static IEnumerable<object[]> Methods() => MethodRegistry.All.Select(method => new object[] { method.Name });

    [Theory, MemberData(nameof(Methods))]
    public void Interrupted_runs_and_other_numbers_of_threads_give_the_same_file(string method)
    {
        TinyLlama.Write(_folder.File("source"));
        int reports = 0;
        byte[] whole = Run(method, "whole", threads: 1, () => reports++);
        foreach ((int part, int threads) in new[] { (1, 3), (3, 2) })
        {
            string output = $"out{part}";
            int seen = 0;
            using CancellationTokenSource stop = new();
            void StopSomewhere()
            {
                if (++seen == reports * part / 4) stop.Cancel();
            }
            Assert.ThrowsAny<OperationCanceledException>(() => Run(method, output, threads, StopSomewhere, stop.Token));
            Assert.False(Directory.Exists(_folder.File(output)));
            Assert.Equal(whole, Run(method, output, threads));
        }
    }

    private byte[] Run(string name, string output, int threads, Action? report = null, CancellationToken cancellation = default)
    {
        QuantizationMethod method = MethodRegistry.Find(name);
        Dictionary<string, string> settings = [];
        if (method.Takes("iterations")) settings["iterations"] = "4";
        if (method.Takes("group-size")) settings["group-size"] = "32";
        QuantizeOptions options = new()
        {
            Method = name,
            MethodOptions = method.Options(settings) with { ScalePrecision = ScalePrecision.Float16 },
            Output = _folder.File(output),
            Force = true, // a method that leaves noise of a model of noise is still to be the same every time
        };
        CalibrationSet calibration = CalibrationSet.Draw([TinyLlama.Ids(400)], context: 32, samples: 4, CalibrationSampling.Sequential, seed: 0);
        using WorkerPool pool = new(threads);
        using LanguageModel model = LanguageModel.Open(_folder.File("source"));
        QuantizePipeline.Run(options, model, calibration, pool, new Reports(report), cancellation);
        return File.ReadAllBytes(Path.Combine(_folder.File(output), "model.safetensors"));
    }

    private sealed class Reports(Action? action) : IProgress<QuantizeProgress>
    {
        public void Report(QuantizeProgress value) => action?.Invoke();
    }
}
