using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Models;

namespace Lowbit.Training.Model;

/// <summary>What the forward pass of a block leaves for its backward pass. Rows are tokens of the batch.</summary>
internal sealed unsafe class BlockActivations : IDisposable
{
    private readonly List<NativeBuffer> _buffers = [];

    public BlockActivations(ModelConfig config, int tokens)
    {
        LogSums = new NativeBuffer((long)tokens * config.Heads * sizeof(float));
        float* Take(bool exists, int features)
        {
            if (!exists) return null;
            NativeBuffer buffer = new((long)tokens * features * sizeof(float));
            _buffers.Add(buffer);
            return buffer.Floats;
        }
        AttentionInput = Take(config.NormBefore, config.ModelDim);
        QueryRaw = Take(config.QueryKeyNorm, config.QueryDim);
        KeyRaw = Take(config.QueryKeyNorm, config.KvDim);
        Query = Take(true, config.QueryDim);
        Key = Take(true, config.KvDim);
        Value = Take(true, config.KvDim);
        Heads = Take(true, config.QueryDim);
        HeadsNormed = Take(config.SubNorms, config.QueryDim);
        AttentionSum = Take(!config.NormBefore, config.ModelDim);
        Middle = Take(!config.ParallelResidual, config.ModelDim);
        FfnInput = Take(config.NormBefore, config.ModelDim);
        Gate = Take(config.Gated, config.FfnDim);
        Up = Take(true, config.FfnDim);
        Inner = Take(true, config.FfnDim);
        InnerNormed = Take(config.SubNorms, config.FfnDim);
        FfnSum = Take(!config.NormBefore, config.ModelDim);
    }

    /// <summary>Normalised input of the attention part; null where norms come after the parts.</summary>
    public float* AttentionInput { get; }

    /// <summary>Queries and keys before their own norms, where they have some.</summary>
    public float* QueryRaw { get; }
    public float* KeyRaw { get; }

    /// <summary>Queries and keys as the attention takes them, rotated.</summary>
    public float* Query { get; }
    public float* Key { get; }
    public float* Value { get; }

    /// <summary>[sequences, heads, length], in memory of their own.</summary>
    public NativeBuffer LogSums { get; }

    /// <summary>Output of the heads.</summary>
    public float* Heads { get; }

    /// <summary>What the attention's output projection reads, where that is not the output of the heads itself.</summary>
    public float* HeadsNormed { get; }

    /// <summary>Input plus attention part, before the norm that follows it; only where norms come after the parts.</summary>
    public float* AttentionSum { get; }

    /// <summary>The residual stream between the parts; null where they are side by side.</summary>
    public float* Middle { get; }

    /// <summary>Normalised input of the feed-forward part; null where norms come after the parts.</summary>
    public float* FfnInput { get; }

    public float* Gate { get; }
    public float* Up { get; }
    public float* Inner { get; }

    /// <summary>What the second projection reads, where that is not <see cref="Inner"/> itself.</summary>
    public float* InnerNormed { get; }

    /// <summary>Middle plus feed-forward part, before the norm that follows it; only where norms come after the parts.</summary>
    public float* FfnSum { get; }

    /// <summary>The memory of everything but <see cref="LogSums"/>; it may be kept in fewer bits.</summary>
    public IReadOnlyList<NativeBuffer> Hidden => _buffers;

    public void Dispose()
    {
        LogSums.Dispose();
        foreach (NativeBuffer buffer in _buffers) buffer.Dispose();
    }
}
