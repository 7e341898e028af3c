using System;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models;

/// <summary>From the last hidden states to logits: final norm, projection where the embedding's width differs, output projection.</summary>
public sealed unsafe class HeadForward : IDisposable
{
    private readonly LanguageModel _model;
    private readonly WorkerPool _pool;
    private readonly Activations _normed;       // [batch, modelDim]
    private readonly Activations? _projected;   // [batch, embeddingDim], where outputs are projected

    /// <summary>Allocates the scratch memory.</summary>
    /// <param name="model">The model.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="batch">Most tokens of a call.</param>
    /// <param name="mode">What products with packed weights take.</param>
    public HeadForward(LanguageModel model, WorkerPool pool, int batch, ActivationMode mode)
    {
        _model = model;
        _pool = pool;
        _normed = new Activations(batch, model.Config.ModelDim, mode);
        if (model.ProjectOut is not null) _projected = new Activations(batch, model.Config.EmbeddingDim, mode);
    }

    /// <summary>Most tokens of a call.</summary>
    public int Batch => _normed.CapacityTokens;

    /// <summary>logits ← output projection of the normed hidden states.</summary>
    /// <param name="hidden">[tokens, modelDim], the residual stream after the last block.</param>
    /// <param name="tokens">At most a batch.</param>
    /// <param name="logits">[tokens, vocabulary], overwritten.</param>
    /// <exception cref="LowbitException">A hidden state is not finite.</exception>
    public void Run(float* hidden, int tokens, float* logits)
    {
        ModelConfig config = _model.Config;
        _normed.Tokens = tokens;
        if (_projected is null) Products.Expect(_pool, _normed, _model.Head.Weight);
        if (_model.FinalNorm is not null) Rows.Normalise(_pool, config, _model.FinalNorm, hidden, _normed.Values, tokens, config.ModelDim);
        else Rows.Copy(hidden, _normed.Values, (long)tokens * config.ModelDim);
        if (!Rows.IsFinite(_normed.Values, (long)tokens * config.ModelDim)) throw NotFinite();
        _normed.Quantize(_pool);
        Activations input = _normed;
        if (_projected is not null)
        {
            _projected.Tokens = tokens;
            _model.ProjectOut!.Multiply(_pool, _normed, _projected.Values);
            _projected.Quantize(_pool);
            input = _projected;
        }
        _model.Head.Multiply(_pool, input, logits);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _normed.Dispose();
        _projected?.Dispose();
    }

    private LowbitException NotFinite() =>
        new($"{_model.Checkpoint.Path}: the model computes NaN or infinity{_model.FirstBadTensor()}; the file is damaged or its numbers are too large, get it again.");
}
