using System;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Kernels;
using Lowbit.Kernels.Blocks;
using Lowbit.Models.Architectures;

namespace Lowbit.Models;

/// <summary>
/// A decoder-only language model: its description and its tensors, read from mapped memory where their form allows.
/// Holds no state of a sequence; any number of <see cref="Session"/>s may use it.
/// </summary>
public sealed class LanguageModel : IDisposable
{
    private LanguageModel(Checkpoint checkpoint, ModelConfig config)
    {
        Checkpoint = checkpoint;
        ModelSource source = new(checkpoint, config.LinearsTransposed);
        if (config.Rope is { } rope) config = config with { Rope = rope with { FrequencyDivisors = source.Floats("rope_freqs.weight", rope.Dim / 2) } };
        TensorNames names = config.Names;
        Config = config;
        // Files of tied models may carry the one matrix under either name.
        string embedding = config.TiedEmbedding && !source.Has(names.Embedding) ? names.Head : names.Embedding;
        Embedding = source.Matrix(embedding, config.VocabularySize, config.EmbeddingDim);
        if (names.Positions is not null && config.LearnedPositions)
            Positions = source.Matrix(names.Positions, config.ContextLength + config.PositionOffset, config.ModelDim);
        if (config.EmbeddingDim != config.ModelDim)
        {
            ProjectIn = source.Linear(names.ProjectIn!, config.ModelDim, config.EmbeddingDim);
            ProjectOut = source.Linear(names.ProjectOut!, config.EmbeddingDim, config.ModelDim);
        }
        Blocks = new Block[config.BlockCount];
        for (int i = 0; i < Blocks.Length; i++) Blocks[i] = ReadBlock(source, config, i);
        if (config.FinalNorm) FinalNorm = source.Norm(names.FinalNorm, config.ModelDim);
        // A file may carry the output projection although it is the embedding.
        bool tied = config.TiedEmbedding || (checkpoint.Gguf is not null && !source.Has(names.Head));
        Head = new Linear(names.Head, tied ? Embedding : source.Matrix(names.Head, config.VocabularySize, config.EmbeddingDim), null);
        Config = config with { TiedEmbedding = tied };
    }

    /// <summary>The file or folder.</summary>
    public Checkpoint Checkpoint { get; }

    /// <summary>The description.</summary>
    public ModelConfig Config { get; }

    /// <summary>[vocabulary, embeddingDim].</summary>
    public WeightMatrix Embedding { get; }

    /// <summary>[positions, modelDim], or null where positions rotate.</summary>
    public WeightMatrix? Positions { get; }

    /// <summary>From the embedding's width to the model's, or null.</summary>
    public Linear? ProjectIn { get; }

    /// <summary>From the model's width to the embedding's, or null.</summary>
    public Linear? ProjectOut { get; }

    /// <summary>The blocks in order.</summary>
    public Block[] Blocks { get; }

    /// <summary>Norm before the output projection, or null.</summary>
    public Norm? FinalNorm { get; }

    /// <summary>Output projection; its weight is the embedding where the two are tied.</summary>
    public Linear Head { get; }

    /// <summary>Opens a model.</summary>
    /// <param name="path">A Hugging Face folder, a GGUF file, a llama2.c file or a folder that Lowbit wrote.</param>
    /// <exception cref="LowbitException">There is no such model, it is damaged, or its architecture is not supported.</exception>
    public static LanguageModel Open(string path)
    {
        Checkpoint checkpoint = Checkpoint.Open(path);
        try
        {
            return new LanguageModel(checkpoint, Architecture.Describe(checkpoint));
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <summary>Bytes that one decoded token reads: every matrix once, the embedding only if it is also the output projection.</summary>
    public long WeightBytesPerToken
    {
        get
        {
            long bytes = Head.Weight.Bytes;
            foreach (Block block in Blocks)
            {
                foreach ((_, Linear linear) in block.Linears()) bytes += linear.Weight.Bytes;
            }
            return bytes;
        }
    }

    /// <summary>Tells the system that the pages of a tensor are not needed for now.</summary>
    /// <param name="name">Name of the tensor without <c>.weight</c>.</param>
    public void ReleasePages(string name)
    {
        if (Checkpoint.Tensors.TryGetValue(name + ".weight", out Tensor? tensor)) tensor.ReleasePages();
    }

    /// <inheritdoc/>
    public void Dispose() => Checkpoint.Dispose();

    /// <summary>Names the first tensor that holds NaN or infinity, for the error message of a model that computes nonsense.</summary>
    internal unsafe string FirstBadTensor()
    {
        foreach (Tensor tensor in Checkpoint.Tensors.Values)
        {
            if (!tensor.Format.IsReal() || !Dequantizer.Supports(tensor.Format)) continue;
            using NativeBuffer row = new(tensor.Columns * sizeof(float));
            for (long r = 0; r < tensor.Rows; r++)
            {
                Dequantizer.ToFloat(tensor.Format, tensor.Pointer + r * tensor.RowBytes, tensor.Columns, row.Floats);
                if (!Rows.IsFinite(row.Floats, tensor.Columns)) return $" (tensor {tensor.Name}, row {r}, is the first that holds some)";
            }
        }
        return "";
    }

    private static Block ReadBlock(ModelSource source, ModelConfig config, int index)
    {
        TensorNames names = config.Names;
        Linear Linear(string part, int outFeatures, int inFeatures) => source.Linear(names.InBlock(index, part), outFeatures, inFeatures);
        Norm Norm(string part, int features) => source.Norm(names.InBlock(index, part), features);
        bool fused = config.Fused != FusedOrder.Separate;
        return new Block
        {
            Index = index,
            AttentionNorm = Norm(names.AttentionNorm, config.ModelDim),
            Fused = fused ? Linear(names.Fused!, config.QueryDim + 2 * config.KvDim, config.ModelDim) : null,
            Query = fused ? null : Linear(names.Query, config.QueryDim, config.ModelDim),
            Key = fused ? null : Linear(names.Key, config.KvDim, config.ModelDim),
            Value = fused ? null : Linear(names.Value, config.KvDim, config.ModelDim),
            QueryNorm = config.QueryKeyNorm ? Norm(names.QueryNorm!, config.HeadDim) : null,
            KeyNorm = config.QueryKeyNorm ? Norm(names.KeyNorm!, config.HeadDim) : null,
            AttentionSubNorm = config.SubNorms ? Norm(names.AttentionSubNorm!, config.QueryDim) : null,
            AttentionOutput = Linear(names.AttentionOutput, config.ModelDim, config.QueryDim),
            FfnNorm = Norm(names.FfnNorm, config.ModelDim),
            Gate = config.Gated ? Linear(names.Gate!, config.FfnDim, config.ModelDim) : null,
            Up = Linear(names.Up, config.FfnDim, config.ModelDim),
            FfnSubNorm = config.SubNorms ? Norm(names.FfnSubNorm!, config.FfnDim) : null,
            Down = Linear(names.Down, config.ModelDim, config.FfnDim),
        };
    }
}
