using System;
using System.Collections.Generic;
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
    private readonly NativeBuffer _hidden;            // [windows, context, modelDim]
    private readonly NativeBuffer _scratch;           // [batch, modelDim]
    private readonly NativeBuffer _keys, _values;     // [context, kvDim]
    private readonly BlockForward _forward;
    private readonly Dictionary<LinearInput, Hessian> _hessians = [];
    private string _block = "";

    public BlockCalibration(LanguageModel model, CalibrationSet calibration, WorkerPool pool)
    {
        ModelConfig config = model.Config;
        _model = model;
        _pool = pool;
        _windows = calibration.Windows.Count;
        _context = calibration.Context;
        if (_context > config.ContextLength)
            throw new LowbitException($"--context {_context}: {model.Checkpoint.Path} was made for 1 to {config.ContextLength} positions; choose a context within that.");
        _batch = Math.Min(LargestBatch, _context);
        long row = (long)_context * sizeof(float);
        _hidden = new NativeBuffer(row * config.ModelDim * _windows);
        _scratch = new NativeBuffer((long)_batch * sizeof(float) * config.ModelDim);
        _keys = new NativeBuffer(row * config.KvDim);
        _values = new NativeBuffer(row * config.KvDim);
        _forward = new BlockForward(config, pool, _batch, _context, ActivationMode.Float);
        using (EmbeddingForward embedding = new(model, pool, _batch, ActivationMode.Float))
        {
            for (int w = 0; w < _windows; w++)
            {
                foreach ((int start, int count) in Batches())
                    embedding.Run(calibration.Windows[w].AsSpan(start, count), start, Hidden(w, start));
            }
        }
        model.ReleasePages(config.Names.Embedding);
    }

    /// <summary>Number of windows. Their batches are the samples of the Hessians, which scales these as a whole and changes nothing else.</summary>
    public int Windows => _windows;

    /// <summary>The Hessian of an input of the block that was last collected.</summary>
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

    /// <summary>Adds one window to the Hessians; the block as it is, its hidden states unchanged.</summary>
    public void Collect(Block block, int window)
    {
        foreach ((int start, int count) in Batches())
        {
            Rows.Copy(Hidden(window, start), _scratch.Floats, (long)count * _model.Config.ModelDim);
            _forward.Observe(block, _scratch.Floats, count, start, _keys.Floats, _values.Floats, this);
        }
    }

    /// <summary>Sends one window through the block, so that the next block sees what this one now gives.</summary>
    public void Advance(Block block, int window)
    {
        foreach ((int start, int count) in Batches())
            _forward.Run(block, Hidden(window, start), count, start, _keys.Floats, _values.Floats);
    }

    /// <summary>Whether all hidden states are finite numbers.</summary>
    public bool IsFinite() => Rows.IsFinite(_hidden.Floats, (long)_windows * _context * _model.Config.ModelDim);

    void IBlockObserver.Observe(LinearInput input, Activations activations) =>
        _hessians[input].Add(_pool, activations.Values, activations.Tokens);

    public void Dispose()
    {
        Clear();
        _hidden.Dispose();
        _scratch.Dispose();
        _keys.Dispose();
        _values.Dispose();
        _forward.Dispose();
    }

    private float* Hidden(int window, int token) => _hidden.Floats + ((long)window * _context + token) * _model.Config.ModelDim;

    private IEnumerable<(int Start, int Count)> Batches()
    {
        for (int start = 0; start < _context; start += _batch) yield return (start, Math.Min(_batch, _context - start));
    }

    private void Clear()
    {
        foreach (Hessian hessian in _hessians.Values) hessian.Dispose();
        _hessians.Clear();
    }
}
