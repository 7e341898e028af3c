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
    private readonly QuantizeOptions _options;
    private readonly LanguageModel _model;
    private readonly CalibrationSet? _calibration;
    private readonly WorkerPool _pool;
    private readonly IProgress<QuantizeProgress>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly LayerStore _store;
    private readonly StageClock _clock = new();
    private readonly List<LayerReport> _layers = [];
    private double _nominalBits; // of all layers together
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
    /// Quantizes the decoder's linears and writes a folder that stands alone. The model's own linears are replaced by
    /// the packed ones on the way. After an interruption the same call goes on where it stopped and gives the same bytes.
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
        if (options.MethodOptions.NeedsHessian && calibration is null)
            throw new LowbitException($"--calibration: method {options.Method} needs calibration text; give a file.");
        LowbitFolder.CheckOutput(options.Output, options.Force);
        LowbitFolder.CheckSource(model.Checkpoint);
        return new QuantizePipeline(options, model, calibration, pool, progress, cancellation).Run();
    }

    private QuantizeReport Run()
    {
        Stopwatch total = Stopwatch.StartNew();
        List<string> warnings = [];
        // A touched page brings its neighbours along: by now much of the file is in memory.
        foreach (Tensor tensor in _model.Checkpoint.Tensors.Values) tensor.ReleasePages();
        ReturnMemory();
        using (BlockCalibration? calibration = _calibration is null ? null : new BlockCalibration(_model, _calibration, _pool, _options.MethodOptions.NeedsFloatInputs))
        {
            foreach (Block block in _model.Blocks)
            {
                QuantizeBlock(block, calibration);
                if (calibration is null || calibration.IsFinite()) continue;
                string problem = $"the output of block {block.Index} is not finite after quantization, so the model would compute nonsense";
                if (!_options.Force) throw new LowbitException($"{problem}; use milder settings (more salient weights or bits, a larger --damping), or write it all the same with --force.");
                warnings.Add(problem + ".");
            }
        }
        long linearWeights = _layers.Sum(layer => layer.Weights), linearBytes = _layers.Sum(layer => layer.Bytes);
        QuantizationRecord record = new(_options, _calibration, _nominalBits / linearWeights);
        LowbitFolder.Written written = _clock.Measure("writing", () => LowbitFolder.Write(_store, _options, _model, _layers, record));
        foreach (LayerReport layer in _layers)
        {
            if (layer.OutputError > 0.5) warnings.Add($"{layer.Name} keeps little of its output (error {layer.OutputError:0.000}); what follows it may be noise.");
        }
        _store.Finish(_options.Output);
        return new QuantizeReport
        {
            Method = _options.Method,
            Output = _options.Output,
            BitsPerWeight = written.WeightBytes * 8.0 / written.Parameters,
            LinearBitsPerWeight = linearBytes * 8.0 / linearWeights,
            NominalBitsPerWeight = _nominalBits / linearWeights,
            WeightBytes = written.WeightBytes,
            FileBytes = written.FileBytes,
            Parameters = written.Parameters,
            Items = written.Items,
            Layers = _layers,
            Stages = _clock.Stages,
            Seconds = total.Elapsed.TotalSeconds,
            ResumedLayers = _resumed,
            PeakMemoryBytes = PeakMemory(),
            Warnings = warnings,
        };
    }

    private void QuantizeBlock(Block block, BlockCalibration? calibration)
    {
        (LinearInput Input, Linear Linear)[] linears = block.Linears();
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
            // What belonged to this block is not needed in memory again.
            foreach ((_, Linear linear) in linears) _model.ReleasePages(linear.Name);
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
            _options.MethodOptions.Quantize(new LinearLayer(name, rows, columns, weight, hessian), _pool, _cancellation));
        _clock.Measure("packing", () => _store.Save(name, LowbitFolder.Pack(quantized, _options)));
    }

    private LayerReport LayerReportOf(SafetensorsFile file, string name, WeightMatrix packed)
    {
        long weights = (long)packed.Rows * packed.Columns, bytes = 0;
        foreach (Tensor tensor in file.Tensors.Values) bytes += tensor.Bytes;
        _nominalBits += LayerStore.NominalBits(file) * weights;
        return new LayerReport(name, LayerStore.OutputError(file), bytes * 8.0 / weights, weights, bytes);
    }

    // Names as the written folder has them, whatever the source calls them.
    private string LayerName(Linear linear) => LowbitFolder.NameInFolder(_model, linear.Name);

    private void Report(Block block, double within)
    {
        _cancellation.ThrowIfCancellationRequested();
        int blocks = _model.Blocks.Length;
        _progress?.Report(new QuantizeProgress($"block {block.Index + 1} of {blocks}", (block.Index + within) / blocks));
    }

    // The arrays of a layer are large and short-lived, like those that read the text; without this they pile up to a multiple of a block.
    private static void ReturnMemory() => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive);

    private static long PeakMemory()
    {
        using Process process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }
}
