using System;
using System.Collections.Generic;
using System.IO;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Calibration;

namespace Lowbit.Quantization.Pipeline;

/// <summary>
/// The hidden states of all calibration windows on their way through the model, and the Hessians of the block that they
/// enter next. Linears that share an input share a Hessian.
/// </summary>
internal sealed unsafe class BlockCalibration : IBlockObserver, IDisposable
{
    private readonly LanguageModel _model;
    private readonly WorkerPool _pool;
    private const int LargestBatch = 512; // tokens that go through a block at once; more would only take more memory

    private readonly int _windows, _context, _batch;
    private readonly HiddenStates _hidden;
    private readonly HiddenStates? _floatHidden; // of the float model
    private readonly Dictionary<LinearInput, NativeBuffer> _floatInputs = []; // [batch, features], of the batch at hand
    private readonly Dictionary<LinearInput, Hessian> _hessians = [];
    private string _block = "";

    /// <summary>Embeds the windows.</summary>
    /// <param name="model">The model, float when it begins.</param>
    /// <param name="calibration">Windows.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="withFloatModel">Whether the float model runs beside the one quantized so far, so that the Hessians see the inputs of both.</param>
    /// <param name="folder">Where files for the hidden states go; null to keep them in memory.</param>
    public BlockCalibration(LanguageModel model, CalibrationSet calibration, WorkerPool pool, bool withFloatModel, string? folder)
    {
        ModelConfig config = model.Config;
        _model = model;
        _pool = pool;
        _windows = calibration.Windows.Count;
        _context = calibration.Context;
        if (_context > config.ContextLength)
            throw new LowbitException($"--context {_context}: {model.Checkpoint.Path} was made for 1 to {config.ContextLength} positions; choose a context within that.");
        _batch = Math.Min(LargestBatch, _context);
        long windowBytes = (long)_context * config.ModelDim * sizeof(float);
        _hidden = new HiddenStates(_windows, windowBytes, folder is null ? null : Path.Combine(folder, "hidden-states"));
        if (withFloatModel) _floatHidden = new HiddenStates(_windows, windowBytes, folder is null ? null : Path.Combine(folder, "hidden-states-float"));
        using (EmbeddingForward embedding = new(model, pool, _batch, ActivationMode.Float))
        {
            for (int w = 0; w < _windows; w++)
            {
                foreach ((int start, int count) in Batches())
                    embedding.Run(calibration.Windows[w].AsSpan(start, count), start, At(_hidden[w], start));
                _hidden.Keep(w);
                if (_floatHidden is null) continue;
                Rows.Copy(_hidden[w], _floatHidden[w], (long)_context * config.ModelDim);
                _floatHidden.Keep(w);
            }
        }
        model.ReleasePages(config.Names.Embedding);
    }

    /// <summary>Number of windows.</summary>
    public int Windows => _windows;

    /// <summary>The Hessian of an input of the block that was last collected. Its samples are the batches of the windows, which scales it as a whole and changes nothing else.</summary>
    public Hessian this[LinearInput input] => _hessians[input];

    /// <summary>Begins the Hessians of a block.</summary>
    public void Begin(Block block)
    {
        Clear();
        _block = $"block {block.Index}";
        foreach ((LinearInput input, Linear linear) in block.Linears())
        {
            if (!_hessians.ContainsKey(input)) _hessians[input] = new Hessian($"{_block}, input of {linear.Name}", linear.Weight.Columns);
        }
    }

    /// <summary>Adds all windows to the Hessians; the block as it is, the hidden states unchanged.</summary>
    /// <param name="block">The block.</param>
    /// <param name="beginWindow">Told the number of the window that comes next.</param>
    public void Collect(Block block, Action<int> beginWindow)
    {
        using Workspace workspace = new(this);
        using Workspace? floatWorkspace = _floatHidden is null ? null : new Workspace(this);
        for (int w = 0; w < _windows; w++)
        {
            beginWindow(w);
            float* hidden = _hidden[w], floatHidden = _floatHidden is null ? null : _floatHidden[w];
            foreach ((int start, int count) in Batches())
            {
                if (floatWorkspace is not null)
                {
                    Rows.Copy(At(floatHidden, start), floatWorkspace.Hidden, (long)count * _model.Config.ModelDim);
                    floatWorkspace.Forward.Observe(block, floatWorkspace.Hidden, count, start, floatWorkspace.Keys, floatWorkspace.Values, new FloatInputs(this));
                }
                Rows.Copy(At(hidden, start), workspace.Hidden, (long)count * _model.Config.ModelDim);
                workspace.Forward.Observe(block, workspace.Hidden, count, start, workspace.Keys, workspace.Values, this);
            }
        }
    }

    /// <summary>Sends all windows through the block, so that the next block sees what this one now gives.</summary>
    /// <param name="block">The block.</param>
    /// <param name="beginWindow">Told the number of the window that comes next.</param>
    public void Advance(Block block, Action<int> beginWindow) => Advance(block, _hidden, beginWindow);

    /// <summary>Sends all windows of the float model, if it runs too, through the block as it was.</summary>
    public void AdvanceFloat(Block block)
    {
        if (_floatHidden is not null) Advance(block, _floatHidden, _ => { });
    }

    /// <summary>Gives up the Hessian of an input whose linears are done, and its factor.</summary>
    public void Release(LinearInput input)
    {
        if (_hessians.Remove(input, out Hessian? hessian)) hessian.Dispose();
    }

    /// <summary>Whether all hidden states are finite numbers.</summary>
    public bool IsFinite()
    {
        for (int w = 0; w < _windows; w++)
        {
            if (!Rows.IsFinite(_hidden[w], (long)_context * _model.Config.ModelDim)) return false;
        }
        return true;
    }

    /// <summary>Mean −log p of the next token, once the windows have gone through all blocks.</summary>
    public double Likelihood(SenseCheck check)
    {
        const int batch = 64;
        using HeadForward head = new(_model, _pool, batch, ActivationMode.Float);
        using NativeBuffer logits = new((long)batch * _model.Config.VocabularySize * sizeof(float));
        return check.Mean((window, add) =>
        {
            for (int start = 0; start < Math.Min(SenseCheck.Tokens, _context); start += batch)
            {
                int count = Math.Min(batch, _context - start);
                head.Run(At(_hidden[window], start), count, logits.Floats);
                add(start, logits.Floats, count);
            }
        });
    }

    void IBlockObserver.Observe(LinearInput input, Activations activations)
    {
        if (_floatHidden is null) _hessians[input].Add(_pool, activations.Values, activations.Tokens);
        else _hessians[input].Add(_pool, activations.Values, _floatInputs[input].Floats, activations.Tokens);
    }

    public void Dispose()
    {
        Clear();
        foreach (NativeBuffer inputs in _floatInputs.Values) inputs.Dispose();
        _floatHidden?.Dispose();
        _hidden.Dispose();
    }

    private void Advance(Block block, HiddenStates states, Action<int> beginWindow)
    {
        using Workspace workspace = new(this);
        for (int w = 0; w < _windows; w++)
        {
            beginWindow(w);
            float* hidden = states[w];
            foreach ((int start, int count) in Batches())
                workspace.Forward.Run(block, At(hidden, start), count, start, workspace.Keys, workspace.Values);
            states.Keep(w);
        }
    }

    private float* At(float* hidden, int token) => hidden + (long)token * _model.Config.ModelDim;

    private IEnumerable<(int Start, int Count)> Batches()
    {
        for (int start = 0; start < _context; start += _batch) yield return (start, Math.Min(_batch, _context - start));
    }

    private void Clear()
    {
        foreach (Hessian hessian in _hessians.Values) hessian.Dispose();
        _hessians.Clear();
    }

    // Keeps the float model's inputs of a batch until the quantized model's come.
    private sealed class FloatInputs(BlockCalibration calibration) : IBlockObserver
    {
        public void Observe(LinearInput input, Activations activations)
        {
            int features = calibration._hessians[input].Features;
            if (!calibration._floatInputs.TryGetValue(input, out NativeBuffer? kept))
                calibration._floatInputs[input] = kept = new NativeBuffer((long)calibration._batch * features * sizeof(float));
            Rows.Copy(activations.Values, kept.Floats, (long)activations.Tokens * features);
        }
    }

    // What a forward pass needs beside the hidden states; given up while the quantizer works, which needs as much.
    private sealed class Workspace(BlockCalibration calibration) : IDisposable
    {
        private readonly NativeBuffer _hidden = new((long)calibration._batch * calibration._model.Config.ModelDim * sizeof(float));
        private readonly NativeBuffer _keys = new((long)calibration._context * calibration._model.Config.KvDim * sizeof(float));
        private readonly NativeBuffer _values = new((long)calibration._context * calibration._model.Config.KvDim * sizeof(float));

        public BlockForward Forward { get; } = new(calibration._model.Config, calibration._pool, calibration._batch, calibration._context, ActivationMode.Float);

        public float* Hidden => _hidden.Floats; // [batch, modelDim]

        public float* Keys => _keys.Floats; // [context, kvDim]

        public float* Values => _values.Floats; // [context, kvDim]

        public void Dispose()
        {
            Forward.Dispose();
            _hidden.Dispose();
            _keys.Dispose();
            _values.Dispose();
        }
    }
}
