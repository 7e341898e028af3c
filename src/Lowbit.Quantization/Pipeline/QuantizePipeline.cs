using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Formats.Safetensors;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;

namespace Lowbit.Quantization.Pipeline;

/// <summary>
/// The way of a weight: mapped tensor → (calibration gives the Hessian of its input) → method → codes → packed parts →
/// file. Block after block as the reference codes do it: all linears of a block are calibrated in one pass of the block
/// as it was, with inputs that come from the quantized blocks before it. One block is in memory at a time.
/// </summary>
public sealed class QuantizePipeline
{
    private const double SearchShare = 0.5; // of the time, where bits are searched

    private QuantizeOptions _options;
    private readonly LanguageModel _model;
    private readonly CalibrationSet? _calibration;
    private readonly WorkerPool _pool;
    private readonly IProgress<QuantizeProgress>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly LayerStore _store;
    private readonly StageClock _clock = new();
    private readonly List<LayerReport> _layers = [];
    private readonly List<string> _warnings = [];
    private double _nominalBits; // summed over the weights
    private int _resumed;

    private QuantizePipeline(QuantizeOptions options, LanguageModel model, CalibrationSet? calibration, WorkerPool pool, IProgress<QuantizeProgress>? progress, CancellationToken cancellation)
    {
        _options = options;
        _model = model;
        _calibration = calibration;
        _pool = pool;
        _progress = progress;
        _cancellation = cancellation;
        _store = new LayerStore(options.Output, Fingerprint.Of(model.Checkpoint, calibration, options), options.Force);
    }

    /// <summary>
    /// Quantizes the decoder's linears and writes a folder that stands alone. The model is as before afterwards: the packed
    /// linears take the place of its own only until their block is done. After an interruption the same call goes on where it
    /// stopped and gives the same bytes.
    /// </summary>
    /// <param name="options">What to do.</param>
    /// <param name="model">The float model.</param>
    /// <param name="calibration">Token windows; null only for methods that need none.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="progress">Told often, or null.</param>
    /// <param name="cancellation">Stops after the layer at hand; finished layers are kept.</param>
    /// <exception cref="LowbitException">Input or output is not usable.</exception>
    public static QuantizeReport Run(QuantizeOptions options, LanguageModel model, CalibrationSet? calibration, WorkerPool pool, IProgress<QuantizeProgress>? progress, CancellationToken cancellation)
    {
        if (NeedingHessian(options, model) is { } method && calibration is null)
            throw new LowbitException($"--calibration: method {method} needs calibration text; give a file.");
        if (options.Target is not null && calibration is null)
            throw new LowbitException("--target-bits: what a linear bears is measured on calibration text; give a file with --calibration.");
        QuantizePlan? plan = options.MemoryLimit == 0 ? null : QuantizePlan.Make(options, model, calibration, pool);
        plan?.CheckMemory(options.MemoryLimit);
        LowbitFolder.CheckOutput(options.Output, options.Force);
        LowbitFolder.CheckSource(model.Checkpoint);
        return new QuantizePipeline(options, model, calibration, pool, progress, cancellation).Run(plan is { HiddenStatesInFile: true });
    }

    /// <summary>Name of the first method in use that needs calibration text, or null where none does.</summary>
    /// <param name="options">What to do.</param>
    /// <param name="model">The float model.</param>
    /// <exception cref="LowbitException">No linear is to be quantized.</exception>
    private static string? NeedingHessian(QuantizeOptions options, LanguageModel model)
    {
        bool any = false;
        foreach (Block block in model.Blocks)
        {
            foreach ((_, Linear linear) in block.Linears())
            {
                (string method, MethodOptions? chosen) = options.For(LowbitFolder.NameInFolder(model, linear.Name));
                any |= chosen is not null;
                if (chosen is { NeedsHessian: true }) return method;
            }
        }
        return any ? null : throw new LowbitException("--recipe: its rules keep every linear of the model as it is; give a method to some.");
    }

    /// <summary>Whether a method in use compares with the float model, which then runs beside the quantized one.</summary>
    internal static bool NeedsFloatInputs(QuantizeOptions options, LanguageModel model) => model.Blocks.Any(block =>
        block.Linears().Any(entry => options.For(LowbitFolder.NameInFolder(model, entry.Linear.Name)).Options is { NeedsFloatInputs: true }));

    private QuantizeReport Run(bool hiddenStatesInFile)
    {
        Stopwatch total = Stopwatch.StartNew();
        // A touched page brings its neighbours along: by now much of the file is in memory.
        foreach (Tensor tensor in _model.Checkpoint.Tensors.Values) tensor.ReleasePages();
        ReturnMemory();
        IReadOnlyList<AllocatedLayer>? allocation = _options.Target is null ? null : _clock.Measure("search", Search);
        SenseCheck? check = _calibration is null ? null : _clock.Measure("check", () => new SenseCheck(_model, _calibration, _pool));
        double? likelihood = QuantizeBlocks(check, hiddenStatesInFile);
        if (likelihood is { } after) check!.Judge(after, _options.Force, _warnings);
        long linearWeights = _layers.Sum(layer => layer.Weights), linearBytes = _layers.Sum(layer => layer.Bytes);
        double nominalBits = _nominalBits / linearWeights;
        QuantizationRecord record = new(_options, _calibration, nominalBits);
        LowbitFolder.Written written = _clock.Measure("writing", () => LowbitFolder.Write(_store, _options, _model, _layers, record));
        WarnOfLostLayers();
        _store.Finish(_options.Output);
        return new QuantizeReport
        {
            Method = _options.Method,
            Output = _options.Output,
            BitsPerWeight = written.WeightBytes * 8.0 / written.Parameters,
            LinearBitsPerWeight = linearBytes * 8.0 / linearWeights,
            NominalBitsPerWeight = nominalBits,
            WeightBytes = written.WeightBytes,
            FileBytes = written.FileBytes,
            Parameters = written.Parameters,
            Items = written.Items,
            Layers = _layers,
            Allocation = allocation,
            Stages = _clock.Stages,
            Seconds = total.Elapsed.TotalSeconds,
            ResumedLayers = _resumed,
            ProcessorSeconds = Environment.CpuUsage.TotalTime.TotalSeconds,
            PeakMemoryBytes = ProgramMemory.Peak,
            CalibrationPerplexityBefore = check is null ? null : Math.Exp(check.Before),
            CalibrationPerplexity = likelihood is { } mean ? Math.Exp(mean) : null,
            Coverage = _calibration is null ? null : Coverage.Of(_calibration, _model.Config.VocabularySize, _layers),
            Diagnosis = Diagnosis.Of(_layers),
            Warnings = _warnings,
        };
    }

    // Gives the mean log-likelihood of the calibration text after the last block, where it is to be checked.
    private double? QuantizeBlocks(SenseCheck? check, bool hiddenStatesInFile)
    {
        using BlockCalibration? calibration =
            _calibration is null ? null : new(_model, _calibration, _pool, NeedsFloatInputs(_options, _model), hiddenStatesInFile ? _store.Layers : null);
        foreach (Block block in _model.Blocks)
        {
            QuantizeBlock(block, calibration);
            if (calibration is null || calibration.IsFinite()) continue;
            string problem = $"the output of block {block.Index} is not finite after quantization, so the model would compute nonsense";
            if (!_options.Force) throw new LowbitException($"{problem}; use milder settings (more salient weights or bits, a larger --damping), or write it all the same with --force.");
            _warnings.Add(problem + ".");
        }
        return calibration is null ? null : _clock.Measure("check", () => calibration.Likelihood(check!));
    }

    private void WarnOfLostLayers()
    {
        LayerReport[] lost = [.. _layers.Where(layer => layer.OutputError > 0.5).OrderByDescending(layer => layer.OutputError)];
        if (lost.Length == 0) return;
        _warnings.Add(FormattableString.Invariant(
            $"{lost.Length} of {_layers.Count} layers keep less than half of their output's energy, {lost[0].Name} least (error {lost[0].OutputError:0.000}); what follows them may be noise."));
    }

    private IReadOnlyList<AllocatedLayer> Search()
    {
        int blocks = _model.Blocks.Length;
        (Recipe recipe, IReadOnlyList<AllocatedLayer> allocation) = BitSearch.Run(
            _options, _model, _calibration!, _store, _pool, block => _progress?.Report(new QuantizeProgress($"search, block {block + 1} of {blocks}", SearchShare * block / blocks)), _cancellation);
        _options = _options with { Recipe = recipe };
        return allocation;
    }

    private void QuantizeBlock(Block block, BlockCalibration? calibration)
    {
        (LinearInput Input, Linear Linear)[] linears = Array.FindAll(block.Linears(), entry => _options.For(LayerName(entry.Linear)).Options is not null);
        bool finished = Array.TrueForAll(linears, entry => _store.Has(LayerName(entry.Linear)));
        if (!finished && calibration is not null)
        {
            calibration.Begin(block);
            _clock.Measure("calibration", () => calibration.Collect(block, w => Report(block, 0.5 * w / calibration.Windows)));
        }
        if (calibration is not null) _clock.Measure("calibration", () => calibration.AdvanceFloat(block));
        List<SafetensorsFile> open = [];
        try
        {
            for (int i = 0; i < linears.Length; i++)
            {
                (LinearInput input, Linear linear) = linears[i];
                string name = LayerName(linear);
                Report(block, 0.5);
                if (_store.Has(name)) _resumed++;
                else QuantizeLinear(name, linear, calibration?[input]);
                if (i + 1 == linears.Length || linears[i + 1].Input != input) calibration?.Release(input);
                ReturnMemory();
                SafetensorsFile file = _store.Open(name);
                open.Add(file);
                WeightMatrix packed = LowbitFolder.Load(file, name, linear.Weight.Rows, linear.Weight.Columns);
                _layers.Add(LayerReportOf(file, name, packed));
                block.Replace(linear.Name, packed);
            }
            if (calibration is not null)
                _clock.Measure("propagation", () => calibration.Advance(block, w => Report(block, 0.6 + 0.4 * w / calibration.Windows)));
        }
        finally
        {
            // The packed matrices lie in the files, which close now.
            foreach ((_, Linear linear) in linears)
            {
                block.Replace(linear.Name, linear.Weight);
                _model.ReleasePages(linear.Name);
            }
            foreach (SafetensorsFile file in open) file.Dispose();
        }
    }

    private unsafe void QuantizeLinear(string name, Linear linear, Hessian? hessian)
    {
        _cancellation.ThrowIfCancellationRequested();
        int rows = linear.Weight.Rows, columns = linear.Weight.Columns;
        float[] weight = new float[checked((long)rows * columns)];
        fixed (float* values = weight) linear.Weight.DequantizeRows(0, rows, values);
        QuantizedMatrix quantized = _clock.Measure("quantizer", () =>
            _options.For(name).Options!.Quantize(new LinearLayer(name, rows, columns, weight, hessian), _pool, _cancellation));
        _clock.Measure("packing", () => _store.Save(name, LowbitFolder.Pack(quantized, _options), hessian?.DeadInputs() ?? 0));
    }

    private LayerReport LayerReportOf(SafetensorsFile file, string name, WeightMatrix packed)
    {
        long weights = (long)packed.Rows * packed.Columns, bytes = 0;
        foreach (Tensor tensor in file.Tensors.Values) bytes += tensor.Bytes;
        _nominalBits += LayerStore.NominalBits(file) * weights;
        return new LayerReport(name, LayerStore.OutputError(file), bytes * 8.0 / weights, weights, bytes, _options.For(name).Method, LayerStore.DeadInputs(file));
    }

    // Names as the written folder has them, whatever the source calls them.
    private string LayerName(Linear linear) => LowbitFolder.NameInFolder(_model, linear.Name);

    private void Report(Block block, double within)
    {
        _cancellation.ThrowIfCancellationRequested();
        int blocks = _model.Blocks.Length;
        double done = (block.Index + within) / blocks;
        if (_options.Target is not null) done = SearchShare + (1 - SearchShare) * done;
        _progress?.Report(new QuantizeProgress($"block {block.Index + 1} of {blocks}", done));
    }

    // The arrays of a layer are large and short-lived, like those that read the text; without this they pile up to a multiple of a block.
    private static void ReturnMemory() => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive);
}
