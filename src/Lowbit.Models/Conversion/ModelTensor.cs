using System.Collections.Generic;

namespace Lowbit.Models.Conversion;

/// <summary>What a tensor of a Llama-like model does; mixtures of types choose by it.</summary>
internal enum TensorRole
{
    Embedding,
    Head,
    Norm,
    Query,
    Key,
    Value,
    AttentionOutput,
    Gate,
    Up,
    Down,
}

/// <summary>A tensor that a model must have.</summary>
/// <param name="Name">Name in the file, without <c>.weight</c>.</param>
/// <param name="Role">What it does.</param>
/// <param name="Block">Number of its block; 0 outside of blocks.</param>
/// <param name="Rows">Output features; 1 for a norm.</param>
/// <param name="Columns">Input features.</param>
internal readonly record struct ModelTensor(string Name, TensorRole Role, int Block, int Rows, int Columns)
{
    /// <summary>All tensors of a model with separate projections and rotating positions, in the order of the forward pass, without biases.</summary>
    public static IEnumerable<ModelTensor> All(ModelConfig config, TensorNames names)
    {
        yield return new ModelTensor(names.Embedding, TensorRole.Embedding, 0, config.VocabularySize, config.ModelDim);
        for (int block = 0; block < config.BlockCount; block++)
        {
            foreach (ModelTensor tensor in OfBlock(config, names, block)) yield return tensor;
        }
        yield return new ModelTensor(names.FinalNorm, TensorRole.Norm, 0, 1, config.ModelDim);
        if (!config.TiedEmbedding) yield return new ModelTensor(names.Head, TensorRole.Head, 0, config.VocabularySize, config.ModelDim);
    }

    private static IEnumerable<ModelTensor> OfBlock(ModelConfig config, TensorNames names, int block)
    {
        ModelTensor Tensor(string part, TensorRole role, int rows, int columns) => new(names.InBlock(block, part), role, block, rows, columns);
        yield return Tensor(names.AttentionNorm, TensorRole.Norm, 1, config.ModelDim);
        yield return Tensor(names.Query, TensorRole.Query, config.QueryDim, config.ModelDim);
        yield return Tensor(names.Key, TensorRole.Key, config.KvDim, config.ModelDim);
        yield return Tensor(names.Value, TensorRole.Value, config.KvDim, config.ModelDim);
        if (config.QueryKeyNorm)
        {
            yield return Tensor(names.QueryNorm!, TensorRole.Norm, 1, config.HeadDim);
            yield return Tensor(names.KeyNorm!, TensorRole.Norm, 1, config.HeadDim);
        }
        yield return Tensor(names.AttentionOutput, TensorRole.AttentionOutput, config.ModelDim, config.QueryDim);
        yield return Tensor(names.FfnNorm, TensorRole.Norm, 1, config.ModelDim);
        yield return Tensor(names.Gate!, TensorRole.Gate, config.FfnDim, config.ModelDim);
        yield return Tensor(names.Up, TensorRole.Up, config.FfnDim, config.ModelDim);
        yield return Tensor(names.Down, TensorRole.Down, config.ModelDim, config.FfnDim);
    }
}
