using System;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models;

/// <summary>From token ids to the first hidden states: embedding, projection where its width differs, learned positions.</summary>
public sealed unsafe class EmbeddingForward : IDisposable
{
    private readonly LanguageModel _model;
    private readonly WorkerPool _pool;
    private readonly Activations? _embedded;   // [batch, embeddingDim], where embeddings are projected
    private readonly NativeBuffer? _position;  // [modelDim], where positions are learned

    /// <summary>Allocates the scratch memory.</summary>
    /// <param name="model">The model.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="batch">Most tokens of a call.</param>
    /// <param name="mode">What products with packed weights take.</param>
    public EmbeddingForward(LanguageModel model, WorkerPool pool, int batch, ActivationMode mode)
    {
        _model = model;
        _pool = pool;
        if (model.ProjectIn is not null) _embedded = new Activations(batch, model.Config.EmbeddingDim, mode);
        if (model.Positions is not null) _position = new NativeBuffer((long)model.Config.ModelDim * sizeof(float));
    }

    /// <summary>hidden ← embedding of the tokens.</summary>
    /// <param name="tokens">Ids below the vocabulary's size, at most a batch.</param>
    /// <param name="position">Position of the first token.</param>
    /// <param name="hidden">[tokens, modelDim], overwritten.</param>
    public void Run(ReadOnlySpan<int> tokens, int position, float* hidden)
    {
        ModelConfig config = _model.Config;
        float* rows = _embedded is null ? hidden : _embedded.Values;
        for (int t = 0; t < tokens.Length; t++) _model.Embedding.DequantizeRows(tokens[t], 1, rows + (long)t * config.EmbeddingDim);
        if (_embedded is not null)
        {
            _embedded.Tokens = tokens.Length;
            _embedded.Quantize(_pool);
            _model.ProjectIn!.Multiply(_pool, _embedded, hidden);
        }
        if (_position is null) return;
        for (int t = 0; t < tokens.Length; t++)
        {
            _model.Positions!.DequantizeRows(position + t + config.PositionOffset, 1, _position.Floats);
            Rows.Add(hidden + (long)t * config.ModelDim, _position.Floats, config.ModelDim);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _embedded?.Dispose();
        _position?.Dispose();
    }
}
