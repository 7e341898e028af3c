using System;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models;

/// <summary>Looks at the inputs of a block's linears; calibration implements it.</summary>
public interface IBlockObserver
{
    /// <summary>Called once for each input, in the order of the forward pass.</summary>
    /// <param name="input">Which input.</param>
    /// <param name="activations">[tokens, inFeatures]; valid during the call.</param>
    void Observe(LinearInput input, Activations activations);
}

/// <summary>The forward pass of one decoder block over a batch of tokens. Owns the scratch memory that blocks take turns in.</summary>
public sealed unsafe class BlockForward : IDisposable
{
    private readonly ModelConfig _config;
    private readonly WorkerPool _pool;
    private readonly Rotary? _rotary;
    private readonly Attention _attention;
    private readonly Activations _normed, _heads, _inner; // inputs of the linears
    private readonly NativeBuffer _query, _fused, _gate, _out;
    private readonly NativeBuffer _keys, _values; // [batch, kvDim], where the cache holds no floats

    /// <summary>Allocates the scratch memory.</summary>
    /// <param name="config">The model's description.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="batch">Most tokens of a call.</param>
    /// <param name="context">Most positions.</param>
    /// <param name="mode">What products with packed weights take.</param>
    /// <param name="cache">What keys and values are stored as.</param>
    public BlockForward(ModelConfig config, WorkerPool pool, int batch, int context, ActivationMode mode, ElementFormat cache = ElementFormat.F32)
    {
        _config = config;
        _pool = pool;
        Batch = batch;
        if (config.Rope is not null) _rotary = new Rotary(config.Rope, context);
        _attention = new Attention(context, config.QueryDim, config.Heads);
        _normed = new Activations(batch, config.ModelDim, mode);
        _heads = new Activations(batch, config.QueryDim, mode);
        _inner = new Activations(batch, config.FfnDim, mode);
        long row = (long)batch * sizeof(float);
        _query = new NativeBuffer(row * config.QueryDim);
        _fused = new NativeBuffer(config.Fused == FusedOrder.Separate ? 0 : row * (config.QueryDim + 2 * config.KvDim));
        _gate = new NativeBuffer(config.Gated ? row * config.FfnDim : 0);
        _out = new NativeBuffer(row * config.ModelDim);
        _keys = new NativeBuffer(cache == ElementFormat.F32 ? 0 : row * config.KvDim);
        _values = new NativeBuffer(cache == ElementFormat.F32 ? 0 : row * config.KvDim);
    }

    /// <summary>Most tokens of a call.</summary>
    public int Batch { get; }

    /// <summary>hidden ← block(hidden), in place.</summary>
    /// <param name="block">The block.</param>
    /// <param name="hidden">[tokens, modelDim], the residual stream.</param>
    /// <param name="tokens">Tokens of the batch.</param>
    /// <param name="position">Position of the first token; the cache holds all before it.</param>
    /// <param name="keys">The block's keys; rows of the batch are written.</param>
    /// <param name="values">The block's values; rows of the batch are written.</param>
    /// <param name="next">The block that comes then, where it is known: threads that wait fetch its weights.</param>
    public void Run(Block block, float* hidden, int tokens, int position, CacheRows keys, CacheRows values, Block? next = null) =>
        Run(block, hidden, tokens, position, keys, values, next, null);

    /// <summary>The same with keys and values as floats.</summary>
    /// <param name="block">The block.</param>
    /// <param name="hidden">[tokens, modelDim], the residual stream.</param>
    /// <param name="tokens">Tokens of the batch.</param>
    /// <param name="position">Position of the first token; the cache holds all before it.</param>
    /// <param name="keys">[context, kvDim]; rows of the batch are written.</param>
    /// <param name="values">[context, kvDim]; rows of the batch are written.</param>
    public void Run(Block block, float* hidden, int tokens, int position, float* keys, float* values) =>
        Run(block, hidden, tokens, position, new CacheRows(keys, _config.KvDim), new CacheRows(values, _config.KvDim), null, null);

    /// <summary>Shows the inputs of the block's linears to an observer. Stops at the last of them: hidden is used up, the block's output is not computed.</summary>
    /// <param name="block">The block.</param>
    /// <param name="hidden">[tokens, modelDim], the residual stream; overwritten.</param>
    /// <param name="tokens">Tokens of the batch.</param>
    /// <param name="position">Position of the first token; the cache holds all before it.</param>
    /// <param name="keys">The block's keys, [context, kvDim]; rows of the batch are written.</param>
    /// <param name="values">The block's values, [context, kvDim]; rows of the batch are written.</param>
    /// <param name="observer">Sees the inputs.</param>
    public void Observe(Block block, float* hidden, int tokens, int position, float* keys, float* values, IBlockObserver observer) =>
        Run(block, hidden, tokens, position, new CacheRows(keys, _config.KvDim), new CacheRows(values, _config.KvDim), null, observer);

    private void Run(Block block, float* hidden, int tokens, int position, CacheRows keys, CacheRows values, Block? next, IBlockObserver? observer)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(tokens, Batch);
        int modelDim = _config.ModelDim;
        _normed.Tokens = _heads.Tokens = _inner.Tokens = tokens;

        if (_config.ParallelResidual)
        {
            Attend(block, hidden, tokens, position, keys, values, observer);
            Rows.Copy(_out.Floats, _query.Floats, (long)tokens * modelDim); // queries are used up
            FeedForward(block, hidden, tokens, next, observer);
            Rows.Add(hidden, _query.Floats, (long)tokens * modelDim);
            Rows.Add(hidden, _out.Floats, (long)tokens * modelDim);
            return;
        }
        Attend(block, hidden, tokens, position, keys, values, observer);
        Rows.Add(hidden, _out.Floats, (long)tokens * modelDim);
        if (!_config.NormBefore) Rows.Normalise(_pool, _config, block.AttentionNorm, hidden, hidden, tokens, modelDim);
        FeedForward(block, hidden, tokens, next, observer);
        Rows.Add(hidden, _out.Floats, (long)tokens * modelDim);
        if (!_config.NormBefore) Rows.Normalise(_pool, _config, block.FfnNorm, hidden, hidden, tokens, modelDim);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _rotary?.Dispose();
        _attention.Dispose();
        _normed.Dispose();
        _heads.Dispose();
        _inner.Dispose();
        _query.Dispose();
        _fused.Dispose();
        _gate.Dispose();
        _out.Dispose();
        _keys.Dispose();
        _values.Dispose();
    }

    // _out ← attention part of the block.
    private void Attend(Block block, float* hidden, int tokens, int position, CacheRows keys, CacheRows values, IBlockObserver? observer)
    {
        bool floats = keys.Format == ElementFormat.F32; // computed in their place
        float* newKeys = floats ? keys.Floats(position) : _keys.Floats, newValues = floats ? values.Floats(position) : _values.Floats;
        Enter(block.AttentionNorm, hidden, tokens);
        Ready(LinearInput.Attention, _normed, observer);
        Products.Expect(_pool, _heads, block.AttentionOutput.Weight);
        if (block.Fused is not null)
        {
            block.Fused.Multiply(_pool, _normed, _fused.Floats);
            Rows.Split(_config, _fused.Floats, tokens, _query.Floats, newKeys, newValues);
        }
        else
        {
            (Linear query, Linear key, Linear value) = (block.Query!, block.Key!, block.Value!);
            Products.Multiply(_pool, _normed, new(query.Weight, _query.Floats), new(key.Weight, newKeys), new(value.Weight, newValues));
            query.AddBias(_query.Floats, tokens);
            key.AddBias(newKeys, tokens);
            value.AddBias(newValues, tokens);
        }
        if (block.QueryNorm is not null)
        {
            Rows.Normalise(_pool, _config, block.QueryNorm, _query.Floats, _query.Floats, tokens * _config.Heads, _config.HeadDim);
            Rows.Normalise(_pool, _config, block.KeyNorm!, newKeys, newKeys, tokens * _config.KvHeads, _config.HeadDim);
        }
        if (_config.Rotates(block.Index))
        {
            _rotary!.Rotate(_pool, _query.Floats, tokens, position, _config.Heads, _config.HeadDim);
            _rotary.Rotate(_pool, newKeys, tokens, position, _config.KvHeads, _config.HeadDim);
        }
        if (!floats)
        {
            keys.Write(position, newKeys, tokens);
            values.Write(position, newValues, tokens);
        }
        AttentionShape shape = new(_config.Heads, _config.KvHeads, _config.HeadDim, 1 / MathF.Sqrt(_config.HeadDim), _config.Window(block.Index));
        _attention.Compute(_pool, shape, _query.Floats, keys, values, tokens, position, _heads.Values);
        if (block.AttentionSubNorm is not null) Rows.Normalise(_pool, _config, block.AttentionSubNorm, _heads.Values, _heads.Values, tokens, _config.QueryDim);
        Ready(LinearInput.AttentionOutput, _heads, observer);
        if (block.Gate is null) Products.Expect(_pool, _normed, block.Up.Weight);
        else Products.Expect(_pool, _normed, block.Gate.Weight, block.Up.Weight);
        block.AttentionOutput.Multiply(_pool, _heads, _out.Floats);
    }

    // _out ← feed-forward part of the block.
    private void FeedForward(Block block, float* hidden, int tokens, Block? next, IBlockObserver? observer)
    {
        Enter(block.FfnNorm, hidden, tokens);
        Ready(LinearInput.Ffn, _normed, observer);
        Products.Expect(_pool, _inner, block.Down.Weight);
        if (block.Gate is not null)
        {
            Products.Multiply(_pool, _normed, new(block.Gate.Weight, _gate.Floats), new(block.Up.Weight, _inner.Values));
            block.Gate.AddBias(_gate.Floats, tokens);
            block.Up.AddBias(_inner.Values, tokens);
            Nonlinearity.ApplyGated(_pool, _config.Activation, _gate.Floats, _inner.Values, _inner.Values, checked(tokens * _config.FfnDim));
        }
        else
        {
            block.Up.Multiply(_pool, _normed, _inner.Values);
            Nonlinearity.Apply(_pool, _config.Activation, _inner.Values, _inner.Values, checked(tokens * _config.FfnDim));
        }
        if (block.FfnSubNorm is not null) Rows.Normalise(_pool, _config, block.FfnSubNorm, _inner.Values, _inner.Values, tokens, _config.FfnDim);
        Ready(LinearInput.FfnDown, _inner, observer);
        if (observer is not null) return;
        if (next is null) Products.Expect(_pool, _normed);
        else if (next.Fused is not null) Products.Expect(_pool, _normed, next.Fused.Weight);
        else Products.Expect(_pool, _normed, next.Query!.Weight, next.Key!.Weight, next.Value!.Weight);
        block.Down.Multiply(_pool, _inner, _out.Floats);
    }

    // _normed ← what a part of the block reads.
    private void Enter(Norm norm, float* hidden, int tokens)
    {
        if (_config.NormBefore) Rows.Normalise(_pool, _config, norm, hidden, _normed.Values, tokens, _config.ModelDim);
        else Rows.Copy(hidden, _normed.Values, (long)tokens * _config.ModelDim);
    }

    private void Ready(LinearInput input, Activations activations, IBlockObserver? observer)
    {
        observer?.Observe(input, activations);
        activations.Quantize(_pool);
    }
}
