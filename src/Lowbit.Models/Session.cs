using System;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models;

/// <summary>Receives logits while a text is read.</summary>
/// <param name="firstPosition">Position of the first token of this piece.</param>
/// <param name="logits">[tokens, vocabulary]; valid during the call.</param>
/// <param name="tokens">Tokens of this piece.</param>
public unsafe delegate void LogitsHandler(int firstPosition, float* logits, int tokens);

/// <summary>
/// One sequence being read or written: key-value cache and scratch memory. The way of a token:
/// embedding → blocks → norm → output projection → logits.
/// </summary>
public sealed unsafe class Session : IDisposable
{
    private const int LogitsBatch = 64;

    private readonly LanguageModel _model;
    private readonly EmbeddingForward _embedding;
    private readonly BlockForward _forward;
    private readonly KeyValueCache _cache;
    private readonly NativeBuffer _hidden;      // [batch, modelDim]
    private readonly HeadForward _head;
    private NativeBuffer? _logits;              // [LogitsBatch, vocabulary], for ForwardAll

    /// <summary>Allocates everything that the sequence will need.</summary>
    /// <param name="model">The model; it must outlive the session.</param>
    /// <param name="pool">Threads; they must outlive the session.</param>
    /// <param name="context">Most tokens of the sequence.</param>
    /// <param name="mode">What products with packed weights take.</param>
    /// <param name="batch">Most tokens that go through a block at once.</param>
    /// <param name="cache">What keys and values are stored as, one of <see cref="CacheRows.Formats"/>.</param>
    /// <exception cref="LowbitException">The context is longer than the model's, or its rows of keys are no whole blocks of the cache.</exception>
    public Session(LanguageModel model, WorkerPool pool, int context, ActivationMode mode, int batch = 512, ElementFormat cache = ElementFormat.F32)
    {
        ModelConfig config = model.Config;
        if (context < 1 || context > config.ContextLength)
            throw new LowbitException($"--context {context}: {model.Checkpoint.Path} was made for 1 to {config.ContextLength} positions; choose a context within that.");
        if (config.KvDim % cache.BlockLength() != 0)
            throw new LowbitException($"--cache with {cache}: {model.Checkpoint.Path} has keys of {config.KvDim} elements, expected a multiple of {cache.BlockLength()}; use --cache f16.");
        _model = model;
        batch = Math.Min(batch, context);
        _cache = new KeyValueCache(config.BlockCount, context, config.KvDim, cache);
        _embedding = new EmbeddingForward(model, pool, batch, mode);
        _forward = new BlockForward(config, pool, batch, context, mode, cache);
        _hidden = new NativeBuffer((long)batch * config.ModelDim * sizeof(float));
        _head = new HeadForward(model, pool, Math.Min(LogitsBatch, batch), mode);
    }

    /// <summary>Tokens in the cache.</summary>
    public int Position { get; private set; }

    /// <summary>Most tokens of the sequence.</summary>
    public int Context => _cache.Context;

    /// <summary>Logits of a token.</summary>
    public int VocabularySize => _model.Config.VocabularySize;

    /// <summary>Bytes of the key-value cache when it is full.</summary>
    public long CacheBytes => _cache.Bytes;

    /// <summary>Begins a new sequence.</summary>
    public void Reset() => Position = 0;

    /// <summary>Goes back to an earlier length, keeping what came before.</summary>
    public void Truncate(int position)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(position, Position);
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        Position = position;
    }

    /// <summary>Appends tokens and gives the logits of what follows the last of them. Allocates nothing.</summary>
    /// <param name="tokens">At least one token.</param>
    /// <param name="logits">[vocabulary].</param>
    /// <exception cref="LowbitException">The context is full, a token is not in the vocabulary, or the model computes NaN.</exception>
    public void Forward(ReadOnlySpan<int> tokens, Span<float> logits)
    {
        Check(tokens);
        ArgumentOutOfRangeException.ThrowIfLessThan(logits.Length, _model.Config.VocabularySize);
        while (tokens.Length > 0)
        {
            int count = Math.Min(tokens.Length, _forward.Batch);
            RunBlocks(tokens[..count]);
            tokens = tokens[count..];
            if (tokens.Length > 0) continue;
            fixed (float* output = logits) _head.Run(_hidden.Floats + (long)(count - 1) * _model.Config.ModelDim, 1, output);
        }
    }

    /// <summary>Appends tokens and hands over the logits after every one of them.</summary>
    /// <param name="tokens">At least one token.</param>
    /// <param name="handler">Called piece by piece in order.</param>
    /// <exception cref="LowbitException">As <see cref="Forward"/>.</exception>
    public void ForwardAll(ReadOnlySpan<int> tokens, LogitsHandler handler)
    {
        Check(tokens);
        _logits ??= new NativeBuffer((long)_head.Batch * _model.Config.VocabularySize * sizeof(float));
        while (tokens.Length > 0)
        {
            int count = Math.Min(tokens.Length, _forward.Batch);
            int first = Position;
            RunBlocks(tokens[..count]);
            for (int done = 0; done < count; done += _head.Batch)
            {
                int piece = Math.Min(_head.Batch, count - done);
                _head.Run(_hidden.Floats + (long)done * _model.Config.ModelDim, piece, _logits.Floats);
                handler(first + done, _logits.Floats, piece);
            }
            tokens = tokens[count..];
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _cache.Dispose();
        _forward.Dispose();
        _hidden.Dispose();
        _embedding.Dispose();
        _head.Dispose();
        _logits?.Dispose();
    }

    private void Check(ReadOnlySpan<int> tokens)
    {
        if (tokens.IsEmpty) throw new ArgumentException("there must be at least one token", nameof(tokens));
        if (tokens.Length > Context - Position)
            throw new LowbitException($"the context of {Context} tokens is full: it holds {Position} and {tokens.Length} more were given; use a larger --context (the model's is {_model.Config.ContextLength}) or a shorter prompt.");
        foreach (int token in tokens)
        {
            if ((uint)token >= (uint)_model.Config.VocabularySize)
                throw new LowbitException($"token {token} is not in the model's vocabulary of {_model.Config.VocabularySize}; check the ids.");
        }
    }

    private void RunBlocks(ReadOnlySpan<int> tokens)
    {
        _embedding.Run(tokens, Position, _hidden.Floats);
        for (int b = 0; b < _model.Blocks.Length; b++)
        {
            Block? next = b + 1 < _model.Blocks.Length ? _model.Blocks[b + 1] : null;
            _forward.Run(_model.Blocks[b], _hidden.Floats, tokens.Length, Position, _cache.Keys(b), _cache.Values(b), next);
        }
        Position += tokens.Length;
    }
}
