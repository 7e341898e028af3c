using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Pipeline;

/// <summary>
/// How far the model's predictions move from the float model's when some linears of one block are changed: the mean KL
/// divergence over positions of a few windows. Hidden states before the block at hand are kept, so that only the blocks
/// from there on are computed.
/// </summary>
internal sealed unsafe class DivergenceProbe : IDisposable
{
    private const int MostWindows = 2, LongestWindow = 512;
    private const int Every = 4; // every fourth position is compared

    private readonly LanguageModel _model;
    private readonly int _windows, _context, _scored;
    private readonly NativeBuffer _hidden, _copy;         // [windows, context, modelDim], [context, modelDim]
    private readonly NativeBuffer _picked, _logits;       // [scored, modelDim], [scored, vocabulary]
    private readonly NativeBuffer _probabilities;         // [windows, scored, vocabulary], of the float model
    private readonly double[] _entropies;                 // [windows · scored], Σ p log p
    private readonly NativeBuffer _keys, _values;         // [context, kvDim]
    private readonly BlockForward _forward;
    private readonly HeadForward _head;

    public DivergenceProbe(LanguageModel model, CalibrationSet calibration, WorkerPool pool)
    {
        ModelConfig config = model.Config;
        _model = model;
        _windows = Math.Min(MostWindows, calibration.Windows.Count);
        _context = Math.Min(LongestWindow, calibration.Context);
        _scored = (_context + Every - 1) / Every;
        long row = (long)_context * sizeof(float);
        _hidden = new NativeBuffer(_windows * row * config.ModelDim);
        _copy = new NativeBuffer(row * config.ModelDim);
        _picked = new NativeBuffer((long)_scored * config.ModelDim * sizeof(float));
        _logits = new NativeBuffer((long)_scored * config.VocabularySize * sizeof(float));
        _probabilities = new NativeBuffer((long)_windows * _scored * config.VocabularySize * sizeof(float));
        _entropies = new double[_windows * _scored];
        _keys = new NativeBuffer(row * config.KvDim);
        _values = new NativeBuffer(row * config.KvDim);
        _forward = new BlockForward(config, pool, _context, _context, ActivationMode.Float);
        _head = new HeadForward(model, pool, _scored, ActivationMode.Float);
        using (EmbeddingForward embedding = new(model, pool, _context, ActivationMode.Float))
        {
            for (int w = 0; w < _windows; w++) embedding.Run(calibration.Windows[w].AsSpan(0, _context), 0, Hidden(w));
        }
        for (int w = 0; w < _windows; w++)
        {
            Predict(w, firstBlock: 0);
            for (int i = 0; i < _scored; i++)
            {
                Span<float> p = Row(_probabilities, w * _scored + i);
                ReadOnlySpan<float> logits = Row(_logits, i);
                logits.CopyTo(p);
                Softmax.InPlace(p);
                _entropies[w * _scored + i] = Vectors.Dot(p, logits) - Softmax.LogSumExp(logits);
            }
        }
    }

    /// <summary>Mean of Σ p log(p / q), p of the float model, q of the model as it is now.</summary>
    /// <param name="block">The block whose linears were changed; those before it must be as they were.</param>
    public double Measure(int block)
    {
        double sum = 0;
        for (int w = 0; w < _windows; w++)
        {
            Predict(w, block);
            for (int i = 0; i < _scored; i++)
            {
                ReadOnlySpan<float> logits = Row(_logits, i);
                sum += _entropies[w * _scored + i] - Vectors.Dot(Row(_probabilities, w * _scored + i), logits) + Softmax.LogSumExp(logits);
            }
        }
        return sum / (_windows * _scored);
    }

    /// <summary>Moves on to the next block; the one at hand must be as it was.</summary>
    public void Advance(Block block)
    {
        for (int w = 0; w < _windows; w++) _forward.Run(block, Hidden(w), _context, 0, _keys.Floats, _values.Floats);
    }

    public void Dispose()
    {
        foreach (NativeBuffer buffer in (NativeBuffer[])[_hidden, _copy, _picked, _logits, _probabilities, _keys, _values]) buffer.Dispose();
        _forward.Dispose();
        _head.Dispose();
    }

    private void Predict(int window, int firstBlock)
    {
        int dim = _model.Config.ModelDim;
        Rows.Copy(Hidden(window), _copy.Floats, (long)_context * dim);
        foreach (Block block in _model.Blocks.Skip(firstBlock)) _forward.Run(block, _copy.Floats, _context, 0, _keys.Floats, _values.Floats);
        for (int i = 0; i < _scored; i++) Rows.Copy(_copy.Floats + (long)i * Every * dim, _picked.Floats + (long)i * dim, dim);
        _head.Run(_picked.Floats, _scored, _logits.Floats);
    }

    private float* Hidden(int window) => _hidden.Floats + (long)window * _context * _model.Config.ModelDim;

    private Span<float> Row(NativeBuffer matrix, int row) => matrix.Span<float>((long)row * _model.Config.VocabularySize, _model.Config.VocabularySize);
}
