using System;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Models;
using Lowbit.Training.Operators;

namespace Lowbit.Training.Model;

/// <summary>Forward and backward pass of what lies before the first block, over a batch of sequences that begin at position 0.</summary>
internal sealed unsafe class EmbeddingPass : IDisposable
{
    private readonly TrainableModel _model;
    private readonly ModelConfig _config;
    private readonly WorkerPool _pool;
    private readonly int _length, _tokens;
    private readonly NativeBuffer _ids, _places;
    private readonly NativeBuffer _embedded; // [tokens, embeddingDim] where a projection follows

    /// <summary>Allocates for batches of this shape.</summary>
    /// <exception cref="LowbitException">The sequences are longer than the model can read.</exception>
    public EmbeddingPass(TrainableModel model, WorkerPool pool, int sequences, int length)
    {
        _model = model;
        _config = model.Config;
        _pool = pool;
        _length = length;
        _tokens = checked(sequences * length);
        if (length > _config.ContextLength)
            throw new LowbitException($"--context is {length}, but the model reads at most {_config.ContextLength} tokens; choose a context within that.");
        _ids = new NativeBuffer((long)_tokens * sizeof(int));
        _places = new NativeBuffer((long)_tokens * sizeof(int));
        _embedded = new NativeBuffer(model.ProjectIn is null ? 0 : (long)_tokens * _config.EmbeddingDim * sizeof(float));
    }

    /// <summary>hidden ← what the first block reads.</summary>
    /// <param name="ids">[sequences, length].</param>
    /// <param name="hidden">[sequences · length, modelDim], overwritten.</param>
    /// <param name="dropout">What is dropped.</param>
    /// <exception cref="LowbitException">An id is outside the vocabulary.</exception>
    public void Forward(ReadOnlySpan<int> ids, float* hidden, Dropout dropout = default)
    {
        SetIds(ids);
        float* embedded = _model.ProjectIn is null ? hidden : _embedded.Floats;
        EmbeddingRows.Forward(_pool, _model.Embedding.Value.Floats, Ids, _tokens, _config.EmbeddingDim, embedded, add: false);
        _model.ProjectIn?.Forward(_pool, embedded, _tokens, hidden);
        if (_model.Positions is { } positions) EmbeddingRows.Forward(_pool, positions.Value.Floats, Places, _tokens, _config.ModelDim, hidden, add: true);
        Drop(dropout, hidden);
    }

    /// <summary>Adds the gradients of the trained parameters to theirs, for the ids of the last forward pass.</summary>
    /// <param name="gradient">[sequences · length, modelDim]; overwritten.</param>
    /// <param name="embeddedGradient">[sequences · length, embeddingDim], scratch where a projection follows the embedding.</param>
    /// <param name="dropout">What was dropped.</param>
    public void Backward(float* gradient, float* embeddedGradient, Dropout dropout)
    {
        Drop(dropout, gradient);
        if (_model.Positions?.Gradient is { } positions) EmbeddingRows.Backward(_pool, gradient, Places, _tokens, _config.ModelDim, positions.Floats);
        if (_model.ProjectIn is { } projectIn)
        {
            NativeMemory.Clear(embeddedGradient, (nuint)_embedded.Bytes);
            projectIn.Backward(_pool, _embedded.Floats, gradient, _tokens, embeddedGradient);
            gradient = embeddedGradient;
        }
        if (_model.Embedding.Gradient is { } embedding) EmbeddingRows.Backward(_pool, gradient, Ids, _tokens, _config.EmbeddingDim, embedding.Floats);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _ids.Dispose();
        _places.Dispose();
        _embedded.Dispose();
    }

    private int* Ids => (int*)_ids.Pointer;

    private int* Places => (int*)_places.Pointer;

    // OPT's forward pass drops none of the embedding.
    private void Drop(Dropout dropout, float* hidden)
    {
        if (_config.ModelType != "opt") dropout.Apply(_pool, Dropout.Embedding, hidden, (long)_tokens * _config.ModelDim);
    }

    private void SetIds(ReadOnlySpan<int> ids)
    {
        if (ids.Length != _tokens) throw new ArgumentException($"{ids.Length} ids were given for {_tokens / _length} sequences of {_length}", nameof(ids));
        for (int t = 0; t < _tokens; t++)
        {
            if ((uint)ids[t] >= (uint)_config.VocabularySize)
                throw new LowbitException($"token {ids[t]} of the training text is outside the model's vocabulary of {_config.VocabularySize}; use the tokenizer that belongs to the model.");
            Ids[t] = ids[t];
            Places[t] = t % _length + _config.PositionOffset;
        }
    }
}
