using System;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Training.Operators;

namespace Lowbit.Training.Model;

/// <summary>Forward and backward pass of a decoder block over a batch of sequences. Owns the scratch memory that blocks take turns in.</summary>
internal sealed unsafe class BlockPass : IDisposable
{
    private readonly ModelConfig _config;
    private readonly WorkerPool _pool;
    private readonly int _sequences, _length, _tokens;
    private readonly Rotary? _rotary, _unrotary;
    private readonly NativeBuffer _fused, _out;
    private readonly NativeBuffer _attentionInput, _ffnInput, _heads, _query, _key, _value, _gate, _inner, _statistics; // gradients

    public BlockPass(ModelConfig config, WorkerPool pool, int sequences, int length)
    {
        _config = config;
        _pool = pool;
        _sequences = sequences;
        _length = length;
        _tokens = checked(sequences * length);
        if (config.Rope is not null)
        {
            _rotary = new Rotary(config.Rope, length);
            _unrotary = new Rotary(config.Rope, length, transposed: true);
        }
        long row = (long)_tokens * sizeof(float);
        _fused = new NativeBuffer(config.Fused == FusedOrder.Separate ? 0 : row * (config.QueryDim + 2 * config.KvDim));
        _out = new NativeBuffer(row * config.ModelDim);
        _attentionInput = new NativeBuffer(row * config.ModelDim);
        _ffnInput = new NativeBuffer(row * config.ModelDim);
        _heads = new NativeBuffer(row * config.QueryDim);
        _query = new NativeBuffer(row * config.QueryDim);
        _key = new NativeBuffer(row * config.KvDim);
        _value = new NativeBuffer(row * config.KvDim);
        _gate = new NativeBuffer(row * config.FfnDim);
        _inner = new NativeBuffer(row * config.FfnDim);
        _statistics = new NativeBuffer(2 * row * config.Heads);
    }

    /// <summary>What is dropped on the way forward, and again on the way back.</summary>
    public Dropout Dropout { get; set; }

    /// <summary>output ← block(input), keeping what the backward pass needs.</summary>
    /// <param name="block">The block.</param>
    /// <param name="input">[tokens, modelDim]; must stay as it is until the backward pass.</param>
    /// <param name="kept">Activations, overwritten.</param>
    /// <param name="output">[tokens, modelDim], overwritten.</param>
    public void Forward(TrainableBlock block, float* input, BlockActivations kept, float* output)
    {
        long count = (long)_tokens * _config.ModelDim;
        if (_config.NormBefore)
        {
            block.AttentionNorm.Forward(_pool, _config, input, kept.AttentionInput, _tokens);
            Attend(block, kept.AttentionInput, kept);
            float* middle = input;
            if (!_config.ParallelResidual) Sum(input, _out.Floats, middle = kept.Middle, count);
            else Rows.Copy(_out.Floats, _attentionInput.Floats, count);
            block.FfnNorm.Forward(_pool, _config, middle, kept.FfnInput, _tokens);
            FeedForward(block, kept.FfnInput, kept);
            Sum(middle, _out.Floats, output, count);
            if (_config.ParallelResidual) Sum(output, _attentionInput.Floats, output, count);
            return;
        }
        Attend(block, input, kept);
        Sum(input, _out.Floats, kept.AttentionSum, count);
        block.AttentionNorm.Forward(_pool, _config, kept.AttentionSum, kept.Middle, _tokens);
        FeedForward(block, kept.Middle, kept);
        Sum(kept.Middle, _out.Floats, kept.FfnSum, count);
        block.FfnNorm.Forward(_pool, _config, kept.FfnSum, output, _tokens);
    }

    /// <summary>gradient ← gradient of the block's input, given that of its output in the same place.</summary>
    /// <param name="block">The block.</param>
    /// <param name="input">What the forward pass took.</param>
    /// <param name="kept">What the forward pass left.</param>
    /// <param name="gradient">[tokens, modelDim].</param>
    public void Backward(TrainableBlock block, float* input, BlockActivations kept, float* gradient)
    {
        long count = (long)_tokens * _config.ModelDim;
        Clear(_attentionInput);
        Clear(_ffnInput);
        if (_config.NormBefore)
        {
            float* middle = _config.ParallelResidual ? input : kept.Middle;
            FeedForwardBackward(block, kept.FfnInput, kept, gradient, _ffnInput.Floats);
            if (_config.ParallelResidual) AttendBackward(block, kept.AttentionInput, kept, gradient, _attentionInput.Floats);
            NormBackward(block.FfnNorm, middle, _ffnInput.Floats, gradient, accumulate: true);
            if (!_config.ParallelResidual) AttendBackward(block, kept.AttentionInput, kept, gradient, _attentionInput.Floats);
            NormBackward(block.AttentionNorm, input, _attentionInput.Floats, gradient, accumulate: true);
            return;
        }
        NormBackward(block.FfnNorm, kept.FfnSum, gradient, gradient, accumulate: false);
        FeedForwardBackward(block, kept.Middle, kept, gradient, _ffnInput.Floats);
        Sum(gradient, _ffnInput.Floats, gradient, count);
        NormBackward(block.AttentionNorm, kept.AttentionSum, gradient, gradient, accumulate: false);
        AttendBackward(block, input, kept, gradient, _attentionInput.Floats);
        Sum(gradient, _attentionInput.Floats, gradient, count);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _rotary?.Dispose();
        _unrotary?.Dispose();
        foreach (NativeBuffer buffer in (ReadOnlySpan<NativeBuffer>)[_fused, _out, _attentionInput, _ffnInput, _heads, _query, _key, _value, _gate, _inner, _statistics]) buffer.Dispose();
    }

    // _out ← attention part of the block.
    private void Attend(TrainableBlock block, float* input, BlockActivations kept)
    {
        bool normed = block.QueryNorm is not null;
        float* query = normed ? kept.QueryRaw : kept.Query, key = normed ? kept.KeyRaw : kept.Key;
        if (block.Fused is not null)
        {
            block.Fused.Forward(_pool, input, _tokens, _fused.Floats);
            Rows.Split(_config, _fused.Floats, _tokens, query, key, kept.Value);
        }
        else
        {
            block.Query!.Forward(_pool, input, _tokens, query);
            block.Key!.Forward(_pool, input, _tokens, key);
            block.Value!.Forward(_pool, input, _tokens, kept.Value);
        }
        if (normed)
        {
            block.QueryNorm!.Forward(_pool, _config, query, kept.Query, _tokens * _config.Heads);
            block.KeyNorm!.Forward(_pool, _config, key, kept.Key, _tokens * _config.KvHeads);
        }
        if (_config.Rotates(block.Index)) Rotate(_rotary!, kept.Query, kept.Key);
        CausalAttention.Forward(_pool, Geometry(block), kept.Query, kept.Key, kept.Value, kept.Heads, kept.LogSums.Floats);
        block.AttentionSubNorm?.Forward(_pool, _config, kept.Heads, kept.HeadsNormed, _tokens);
        block.AttentionOutput.Forward(_pool, block.AttentionSubNorm is null ? kept.Heads : kept.HeadsNormed, _tokens, _out.Floats);
        Drop(block, Dropout.Attention, _out.Floats);
    }

    // inputGradient += gradient of the attention part's input.
    private void AttendBackward(TrainableBlock block, float* input, BlockActivations kept, float* outGradient, float* inputGradient)
    {
        Clear(_heads);
        outGradient = Dropped(block, Dropout.Attention, outGradient);
        block.AttentionOutput.Backward(_pool, block.AttentionSubNorm is null ? kept.Heads : kept.HeadsNormed, outGradient, _tokens, _heads.Floats);
        if (block.AttentionSubNorm is { } norm) NormBackward(norm, kept.Heads, _heads.Floats, _heads.Floats, accumulate: false);
        CausalAttention.Backward(
            _pool, Geometry(block), kept.Query, kept.Key, kept.Value, kept.Heads, kept.LogSums.Floats, _heads.Floats, _query.Floats, _key.Floats, _value.Floats);
        if (_config.Rotates(block.Index)) Rotate(_unrotary!, _query.Floats, _key.Floats);
        if (block.QueryNorm is not null)
        {
            block.QueryNorm.Backward(_pool, _config, kept.QueryRaw, _query.Floats, _query.Floats, _tokens * _config.Heads, _statistics.Floats, accumulate: false);
            block.KeyNorm!.Backward(_pool, _config, kept.KeyRaw, _key.Floats, _key.Floats, _tokens * _config.KvHeads, _statistics.Floats, accumulate: false);
        }
        if (block.Fused is not null)
        {
            Join(_query.Floats, _key.Floats, _value.Floats, _fused.Floats);
            block.Fused.Backward(_pool, input, _fused.Floats, _tokens, inputGradient);
            return;
        }
        block.Query!.Backward(_pool, input, _query.Floats, _tokens, inputGradient);
        block.Key!.Backward(_pool, input, _key.Floats, _tokens, inputGradient);
        block.Value!.Backward(_pool, input, _value.Floats, _tokens, inputGradient);
    }

    // _out ← feed-forward part of the block.
    private void FeedForward(TrainableBlock block, float* input, BlockActivations kept)
    {
        int count = checked(_tokens * _config.FfnDim);
        block.Up.Forward(_pool, input, _tokens, kept.Up);
        if (block.Gate is not null)
        {
            block.Gate.Forward(_pool, input, _tokens, kept.Gate);
            Nonlinearity.ApplyGated(_pool, _config.Activation, kept.Gate, kept.Up, kept.Inner, count);
        }
        else
        {
            Nonlinearity.Apply(_pool, _config.Activation, kept.Up, kept.Inner, count);
        }
        block.FfnSubNorm?.Forward(_pool, _config, kept.Inner, kept.InnerNormed, _tokens);
        block.Down.Forward(_pool, block.FfnSubNorm is null ? kept.Inner : kept.InnerNormed, _tokens, _out.Floats);
        Drop(block, Dropout.FeedForward, _out.Floats);
    }

    // inputGradient += gradient of the feed-forward part's input.
    private void FeedForwardBackward(TrainableBlock block, float* input, BlockActivations kept, float* outGradient, float* inputGradient)
    {
        int count = checked(_tokens * _config.FfnDim);
        Clear(_inner);
        outGradient = Dropped(block, Dropout.FeedForward, outGradient);
        block.Down.Backward(_pool, block.FfnSubNorm is null ? kept.Inner : kept.InnerNormed, outGradient, _tokens, _inner.Floats);
        if (block.FfnSubNorm is { } norm) NormBackward(norm, kept.Inner, _inner.Floats, _inner.Floats, accumulate: false);
        if (block.Gate is not null)
        {
            NonlinearityBackward.ApplyGated(_pool, _config.Activation, kept.Gate, kept.Up, _inner.Floats, _gate.Floats, _inner.Floats, count);
            block.Gate.Backward(_pool, input, _gate.Floats, _tokens, inputGradient);
        }
        else
        {
            NonlinearityBackward.Apply(_pool, _config.Activation, kept.Up, _inner.Floats, _inner.Floats, count);
        }
        block.Up.Backward(_pool, input, _inner.Floats, _tokens, inputGradient);
    }

    private void NormBackward(TrainableNorm norm, float* x, float* dy, float* dx, bool accumulate) =>
        norm.Backward(_pool, _config, x, dy, dx, _tokens, _statistics.Floats, accumulate);

    private AttentionGeometry Geometry(TrainableBlock block) => new(
        _sequences, _length, _config.Heads, _config.KvHeads, _config.HeadDim, 1 / MathF.Sqrt(_config.HeadDim), _config.Window(block.Index))
    {
        Dropped = (Dropout, Dropout.Place(block.Index, Dropout.Probabilities)),
    };

    private void Drop(TrainableBlock block, int place, float* output) =>
        Dropout.Apply(_pool, Dropout.Place(block.Index, place), output, (long)_tokens * _config.ModelDim);

    // The gradient behind the dropout of a part, given that of the residual stream, which stays as it is.
    private float* Dropped(TrainableBlock block, int place, float* outGradient)
    {
        if (!Dropout.IsOn) return outGradient;
        Rows.Copy(outGradient, _out.Floats, (long)_tokens * _config.ModelDim);
        Drop(block, place, _out.Floats);
        return _out.Floats;
    }

    private void Rotate(Rotary rotary, float* query, float* key)
    {
        for (int s = 0; s < _sequences; s++)
        {
            rotary.Rotate(_pool, query + (long)s * _length * _config.QueryDim, _length, 0, _config.Heads, _config.HeadDim);
            rotary.Rotate(_pool, key + (long)s * _length * _config.KvDim, _length, 0, _config.KvHeads, _config.HeadDim);
        }
    }

    // The opposite of Rows.Split.
    private void Join(float* query, float* key, float* value, float* fused)
    {
        int dim = _config.QueryDim, headDim = _config.HeadDim;
        for (int t = 0; t < _tokens; t++)
        {
            float* row = fused + (long)t * 3 * dim;
            for (int h = 0; h < _config.Heads; h++)
            {
                long from = (long)t * dim + (long)h * headDim;
                (int q, int step) = _config.Fused == FusedOrder.Thirds ? (h * headDim, dim) : (h * 3 * headDim, headDim);
                Rows.Copy(query + from, row + q, headDim);
                Rows.Copy(key + from, row + q + step, headDim);
                Rows.Copy(value + from, row + q + 2 * step, headDim);
            }
        }
    }

    private static void Sum(float* x, float* y, float* destination, long count) =>
        Elementwise.Add(new ReadOnlySpan<float>(x, checked((int)count)), new ReadOnlySpan<float>(y, (int)count), new Span<float>(destination, (int)count));

    private static void Clear(NativeBuffer buffer) => NativeMemory.Clear(buffer.Pointer, (nuint)buffer.Bytes);
}
