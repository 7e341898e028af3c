using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Methods;

namespace Lowbit.Quantization.Pipeline;

/// <summary>
/// Measures every linear of the float model by itself: the error of its output with each candidate, and with one of them
/// the divergence of the whole model. What is measured of a block is kept beside the finished layers.
/// </summary>
internal sealed unsafe class BitSearch
{
    private const int MostTokens = 1 << 14; // of calibration text

    private readonly QuantizeOptions _options;
    private readonly LanguageModel _model;
    private readonly BitTarget _target;
    private readonly WorkerPool _pool;
    private readonly CancellationToken _cancellation;

    private BitSearch(QuantizeOptions options, LanguageModel model, WorkerPool pool, CancellationToken cancellation)
    {
        _options = options;
        _model = model;
        _target = options.Target!;
        _pool = pool;
        _cancellation = cancellation;
    }

    /// <summary>Finds the candidate for every linear.</summary>
    /// <param name="options">What the run does; its target says between what to choose.</param>
    /// <param name="model">The float model.</param>
    /// <param name="calibration">Token windows; the first of them are used.</param>
    /// <param name="store">Keeps what is measured.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="report">Told the number of the block that comes next.</param>
    /// <param name="cancellation">Stops the work.</param>
    /// <returns>A rule for every linear, and what was measured of it.</returns>
    public static (Recipe Recipe, IReadOnlyList<AllocatedLayer> Layers) Run(
        QuantizeOptions options, LanguageModel model, CalibrationSet calibration, LayerStore store, WorkerPool pool, Action<int> report, CancellationToken cancellation)
    {
        BitTarget target = options.Target!;
        List<LinearSensitivity> linears = new BitSearch(options, model, pool, cancellation).Measure(calibration, store, report);
        int[] chosen = BitAllocation.Choose(linears, target.Bits);
        var rules = ImmutableArray.CreateBuilder<RecipeRule>();
        List<AllocatedLayer> layers = [];
        for (int i = 0; i < linears.Count; i++)
        {
            BitCandidate candidate = target.Candidates[chosen[i]];
            rules.Add(new RecipeRule(linears[i].Name, options.Method, candidate.Settings, candidate.Options));
            layers.Add(new AllocatedLayer(linears[i].Name, candidate.Settings, linears[i].Bits[chosen[i]], linears[i].Weight, linears[i].Cost(chosen[i])));
        }
        return (new Recipe(rules.ToImmutable()), layers);
    }

    private List<LinearSensitivity> Measure(CalibrationSet calibration, LayerStore store, Action<int> report)
    {
        CalibrationSet some = calibration with { Windows = [.. calibration.Windows.Take(Math.Max(1, MostTokens / calibration.Context))] };
        List<LinearSensitivity> linears = [];
        using BlockCalibration hidden = new(_model, some, _pool, QuantizePipeline.NeedsFloatInputs(_options, _model), folder: null);
        using DivergenceProbe probe = new(_model, some, _pool);
        foreach (Block block in _model.Blocks)
        {
            report(block.Index);
            if (store.Sensitivities(block.Index) is { } kept) linears.AddRange(kept);
            else
            {
                List<LinearSensitivity> measured = MeasureBlock(block, hidden, probe);
                store.Save(block.Index, measured);
                linears.AddRange(measured);
            }
            hidden.AdvanceFloat(block);
            hidden.Advance(block, _ => _cancellation.ThrowIfCancellationRequested());
            probe.Advance(block);
        }
        return linears;
    }

    private List<LinearSensitivity> MeasureBlock(Block block, BlockCalibration hidden, DivergenceProbe probe)
    {
        hidden.Begin(block);
        hidden.Collect(block, _ => _cancellation.ThrowIfCancellationRequested());
        List<LinearSensitivity> measured = [];
        foreach ((LinearInput input, Linear linear) in block.Linears())
        {
            int rows = linear.Weight.Rows, columns = linear.Weight.Columns;
            float[] weight = new float[checked((long)rows * columns)];
            fixed (float* values = weight) linear.Weight.DequantizeRows(0, rows, values);
            string name = LowbitFolder.NameInFolder(_model, linear.Name);
            LinearLayer layer = new(name, rows, columns, weight, hidden[input]);
            int reference = Nearest([.. _target.Candidates.Select(candidate => candidate.Options.EstimateBitsPerWeight(columns, codedPositions: false))], _target.Bits);
            double[] bits = new double[_target.Candidates.Length], errors = new double[bits.Length];
            double divergence = 0;
            for (int c = 0; c < bits.Length; c++)
            {
                _cancellation.ThrowIfCancellationRequested();
                QuantizedMatrix quantized = _target.Candidates[c].Options.Quantize(layer, _pool, _cancellation);
                bits[c] = LowbitFolder.Pack(quantized, _options).Parts.Sum(part => (long)part.Bytes.Length) * 8.0 / weight.Length;
                errors[c] = quantized.OutputError!.Value;
                if (c == reference) divergence = Divergence(block, linear, quantized.Dequantized, probe);
            }
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive);
            measured.Add(new LinearSensitivity(name, weight.Length, bits, errors, reference, divergence));
        }
        return measured;
    }

    // Of the model in which this linear alone is changed.
    private static double Divergence(Block block, Linear linear, float[] changed, DivergenceProbe probe)
    {
        int rows = linear.Weight.Rows, columns = linear.Weight.Columns;
        using NativeBuffer values = new((long)changed.Length * sizeof(float));
        changed.CopyTo(values.Span<float>(0, changed.Length));
        block.Replace(linear.Name, new DenseMatrix(new Tensor(linear.Name, ElementFormat.F32, [rows, columns], values.Pointer, values.Bytes, values)));
        try
        {
            return probe.Measure(block.Index);
        }
        finally
        {
            block.Replace(linear.Name, linear.Weight);
        }
    }

    private static int Nearest(double[] bits, double target)
    {
        int nearest = 0;
        for (int c = 1; c < bits.Length; c++)
        {
            if (Math.Abs(bits[c] - target) < Math.Abs(bits[nearest] - target)) nearest = c;
        }
        return nearest;
    }
}
