using System;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Models;
using Lowbit.Training.Operators;

namespace Lowbit.Training.Model;

/// <summary>
/// Forward and backward pass of a whole model over a batch of sequences of equal length, all beginning at position 0. The
/// loss is the mean cross entropy over the tokens that follow another one of their sequence.
/// </summary>
public sealed unsafe class TrainingPass : IDisposable
{
    private readonly TrainableModel _model;
    private readonly ModelConfig _config;
    private readonly WorkerPool _pool;
    private readonly int _tokens;
    private readonly bool _recompute;
    private readonly EmbeddingPass _embedding;
    private readonly BlockPass _block;
    private readonly BlockActivations[] _kept; // one a block, or one that all blocks take turns in
    private readonly NativeBuffer _stream;     // [blocks + 1, tokens, modelDim]: the input of every block, the output of the last
    private readonly NativeBuffer _normed, _projected, _gradient, _headGradient, _statistics, _targets;
    private readonly HeadLoss _loss;
    private readonly TrainingPass? _teacher;
    private readonly float _teacherShare;
    private readonly HalvedActivations[] _halved; // of every block where activations are kept in bfloat16
    private Dropout _dropout;

    /// <summary>Allocates the activations.</summary>
    /// <param name="model">The model.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="sequences">Sequences of a batch.</param>
    /// <param name="length">Tokens of a sequence, at least 2.</param>
    /// <param name="recompute">Keep only the inputs of the blocks and compute the rest again on the way back: a third more time, much less memory.</param>
    /// <param name="teacher">A model of the same vocabulary to learn from besides the text (arXiv 1503.02531), or null.</param>
    /// <param name="teacherShare">λ, the share of KL(teacher‖model) in the loss.</param>
    /// <param name="bfloat16">Keep the activations of the blocks in bfloat16: half the memory, gradients of about three digits.</param>
    /// <exception cref="LowbitException">The sequences are longer than the model can read.</exception>
    public TrainingPass(TrainableModel model, WorkerPool pool, int sequences, int length, bool recompute = false, TrainableModel? teacher = null, double teacherShare = 0, bool bfloat16 = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(sequences);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 2);
        _model = model;
        _config = model.Config;
        _pool = pool;
        Sequences = sequences;
        Length = length;
        _recompute = recompute;
        _tokens = checked(sequences * length);
        _embedding = new EmbeddingPass(model, pool, sequences, length);
        long row = (long)_tokens * sizeof(float), wide = row * _config.ModelDim, embedded = _config.EmbeddingDim == _config.ModelDim ? 0 : row * _config.EmbeddingDim;
        _block = new BlockPass(_config, pool, sequences, length);
        _kept = new BlockActivations[recompute || bfloat16 ? 1 : _config.BlockCount];
        for (int i = 0; i < _kept.Length; i++) _kept[i] = new BlockActivations(_config, _tokens);
        _halved = new HalvedActivations[bfloat16 && !recompute ? _config.BlockCount : 0];
        for (int i = 0; i < _halved.Length; i++) _halved[i] = new HalvedActivations(_kept[0]);
        _stream = new NativeBuffer(wide * (_config.BlockCount + 1));
        _normed = new NativeBuffer(wide);
        _projected = new NativeBuffer(embedded);
        _gradient = new NativeBuffer(wide);
        _headGradient = new NativeBuffer(row * Math.Max(_config.EmbeddingDim, _config.ModelDim));
        _statistics = new NativeBuffer(2 * row);
        _targets = new NativeBuffer((long)_tokens * sizeof(int));
        _loss = new HeadLoss(pool, model.Head, _tokens);
        if (teacher is null) return;
        if (teacher.Config.VocabularySize != _config.VocabularySize)
            throw new LowbitException($"the teacher has a vocabulary of {teacher.Config.VocabularySize} tokens, the model one of {_config.VocabularySize}; take a teacher with the same tokenizer.");
        _teacher = new TrainingPass(teacher, pool, sequences, length, recompute: true);
        _teacherShare = (float)teacherShare;
    }

    /// <summary>Sequences of a batch.</summary>
    public int Sequences { get; }

    /// <summary>Tokens of a sequence.</summary>
    public int Length { get; }

    /// <summary>The loss of a batch.</summary>
    /// <param name="ids">[sequences, length].</param>
    /// <exception cref="LowbitException">An id is outside the vocabulary.</exception>
    public double Evaluate(ReadOnlySpan<int> ids)
    {
        Forward(ids);
        return _loss.Run(Final(), Targets, _tokens, 0, null) / Scored;
    }

    /// <summary>The loss of a batch; adds the gradients of all trained parameters to theirs.</summary>
    /// <param name="ids">[sequences, length].</param>
    /// <param name="weight">Factor of the gradients: 1 over the batches of a step.</param>
    /// <exception cref="LowbitException">An id is outside the vocabulary.</exception>
    public double Run(ReadOnlySpan<int> ids, double weight = 1) => Run(ids, weight, default);

    /// <summary>The same with dropout.</summary>
    internal double Run(ReadOnlySpan<int> ids, double weight, Dropout dropout)
    {
        _dropout = _block.Dropout = dropout;
        Forward(ids);
        _teacher?.Forward(ids);
        double loss = _loss.Run(
            Final(), Targets, _tokens, (float)(weight / Scored), _headGradient.Floats, _teacher?._model.Head, _teacher is null ? null : _teacher.Final(), _teacherShare);
        Backward();
        _dropout = _block.Dropout = default;
        return loss / Scored;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _embedding.Dispose();
        _block.Dispose();
        foreach (BlockActivations kept in _kept) kept.Dispose();
        foreach (HalvedActivations halved in _halved) halved.Dispose();
        foreach (NativeBuffer buffer in (ReadOnlySpan<NativeBuffer>)[_stream, _normed, _projected, _gradient, _headGradient, _statistics, _targets]) buffer.Dispose();
        _loss.Dispose();
        _teacher?.Dispose();
    }

    private int Scored => _tokens - Sequences;

    private int* Targets => (int*)_targets.Pointer;

    private float* Stream(int block) => _stream.Floats + (long)block * _tokens * _config.ModelDim;

    private BlockActivations Kept(int block) => _kept[_kept.Length == 1 ? 0 : block];

    private void Forward(ReadOnlySpan<int> ids)
    {
        _embedding.Forward(ids, Stream(0), _dropout);
        for (int t = 0; t < _tokens; t++) Targets[t] = (t + 1) % Length == 0 ? -1 : ids[t + 1];
        for (int i = 0; i < _model.Blocks.Length; i++)
        {
            _block.Forward(_model.Blocks[i], Stream(i), Kept(i), Stream(i + 1));
            if (_halved.Length > 0) _halved[i].Keep(_pool, Kept(i));
        }
    }

    // What the output projection reads.
    private float* Final()
    {
        float* final = Stream(_model.Blocks.Length);
        if (_model.FinalNorm is { } norm)
        {
            norm.Forward(_pool, _config, final, _normed.Floats, _tokens);
            final = _normed.Floats;
        }
        if (_model.ProjectOut is null) return final;
        _model.ProjectOut.Forward(_pool, final, _tokens, _projected.Floats);
        return _projected.Floats;
    }

    private void Backward()
    {
        int last = _model.Blocks.Length;
        float* gradient = _gradient.Floats;
        if (_model.ProjectOut is { } projectOut)
        {
            NativeMemory.Clear(gradient, (nuint)_gradient.Bytes);
            projectOut.Backward(_pool, _model.FinalNorm is null ? Stream(last) : _normed.Floats, _headGradient.Floats, _tokens, gradient);
        }
        else
        {
            Rows.Copy(_headGradient.Floats, gradient, (long)_tokens * _config.ModelDim);
        }
        _model.FinalNorm?.Backward(_pool, _config, Stream(last), gradient, gradient, _tokens, _statistics.Floats, accumulate: false);
        for (int i = last - 1; i >= 0; i--)
        {
            if (_halved.Length > 0) _halved[i].Restore(_pool, Kept(i));
            if (_recompute) _block.Forward(_model.Blocks[i], Stream(i), Kept(i), Stream(last));
            _block.Backward(_model.Blocks[i], Stream(i), Kept(i), gradient);
        }
        _embedding.Backward(gradient, _headGradient.Floats, _dropout);
    }
}
