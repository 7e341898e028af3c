using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;

namespace Lowbit.Training.Model;

/// <summary>A model whose tensors lie in memory as float32 and may be trained, in the architectures that the engine runs.</summary>
public sealed unsafe class TrainableModel : IDisposable
{
    private readonly List<Parameter> _parameters = [];

    private TrainableModel(ModelConfig config, Func<string, bool> hasBias, IReadOnlyDictionary<string, WeightMatrix>? packed = null)
    {
        Config = config;
        TensorNames names = config.Names;
        Parameter Tensor(string name, params ReadOnlySpan<int> shape)
        {
            Parameter parameter = new(name, shape);
            _parameters.Add(parameter);
            return parameter;
        }
        TrainableLinear Linear(string name, int outFeatures, int inFeatures)
        {
            WeightMatrix? matrix = packed?.GetValueOrDefault(name);
            Parameter weight = matrix is null ? Tensor(name + ".weight", outFeatures, inFeatures) : Parameter.WithoutValues(name + ".weight", outFeatures, inFeatures);
            return new TrainableLinear(weight, hasBias(name) ? Tensor(name + ".bias", outFeatures) : null, matrix);
        }
        TrainableNorm Norm(string name, int features) =>
            new(Tensor(name + ".weight", features), config.Norm == NormKind.Layer && hasBias(name) ? Tensor(name + ".bias", features) : null);

        Embedding = Tensor(names.Embedding + ".weight", config.VocabularySize, config.EmbeddingDim);
        if (config.LearnedPositions) Positions = Tensor(names.Positions + ".weight", config.ContextLength + config.PositionOffset, config.ModelDim);
        if (config.EmbeddingDim != config.ModelDim)
        {
            ProjectIn = Linear(names.ProjectIn!, config.ModelDim, config.EmbeddingDim);
            ProjectOut = Linear(names.ProjectOut!, config.EmbeddingDim, config.ModelDim);
        }
        Blocks = new TrainableBlock[config.BlockCount];
        for (int i = 0; i < Blocks.Length; i++)
        {
            string Name(string part) => names.InBlock(i, part);
            bool fused = config.Fused != FusedOrder.Separate;
            Blocks[i] = new TrainableBlock
            {
                Index = i,
                AttentionNorm = Norm(Name(names.AttentionNorm), config.ModelDim),
                Fused = fused ? Linear(Name(names.Fused!), config.QueryDim + 2 * config.KvDim, config.ModelDim) : null,
                Query = fused ? null : Linear(Name(names.Query), config.QueryDim, config.ModelDim),
                Key = fused ? null : Linear(Name(names.Key), config.KvDim, config.ModelDim),
                Value = fused ? null : Linear(Name(names.Value), config.KvDim, config.ModelDim),
                QueryNorm = config.QueryKeyNorm ? Norm(Name(names.QueryNorm!), config.HeadDim) : null,
                KeyNorm = config.QueryKeyNorm ? Norm(Name(names.KeyNorm!), config.HeadDim) : null,
                AttentionSubNorm = config.SubNorms ? Norm(Name(names.AttentionSubNorm!), config.QueryDim) : null,
                AttentionOutput = Linear(Name(names.AttentionOutput), config.ModelDim, config.QueryDim),
                FfnNorm = Norm(Name(names.FfnNorm), config.ModelDim),
                Gate = config.Gated ? Linear(Name(names.Gate!), config.FfnDim, config.ModelDim) : null,
                Up = Linear(Name(names.Up), config.FfnDim, config.ModelDim),
                FfnSubNorm = config.SubNorms ? Norm(Name(names.FfnSubNorm!), config.FfnDim) : null,
                Down = Linear(Name(names.Down), config.ModelDim, config.FfnDim),
            };
        }
        if (config.FinalNorm) FinalNorm = Norm(names.FinalNorm, config.ModelDim);
        Head = config.TiedEmbedding ? Embedding : Tensor(names.Head + ".weight", config.VocabularySize, config.EmbeddingDim);
    }

    /// <summary>The description.</summary>
    public ModelConfig Config { get; }

    /// <summary>[vocabulary, embeddingDim].</summary>
    public Parameter Embedding { get; }

    /// <summary>[positions, modelDim], or null where positions rotate.</summary>
    public Parameter? Positions { get; }

    /// <summary>From the embedding's width to the model's, or null.</summary>
    public TrainableLinear? ProjectIn { get; }

    /// <summary>From the model's width to the embedding's, or null.</summary>
    public TrainableLinear? ProjectOut { get; }

    /// <summary>The blocks in order.</summary>
    public TrainableBlock[] Blocks { get; }

    /// <summary>Norm before the output projection, or null.</summary>
    public TrainableNorm? FinalNorm { get; }

    /// <summary>[vocabulary, embeddingDim], the output projection; the embedding where the two are tied.</summary>
    public Parameter Head { get; }

    /// <summary>All tensors in float32, each once, in the order of the forward pass; packed weights are not among them.</summary>
    public IReadOnlyList<Parameter> Parameters => _parameters;

    /// <summary>All linears of all blocks.</summary>
    public IEnumerable<TrainableLinear> Linears
    {
        get
        {
            foreach (TrainableBlock block in Blocks)
            {
                foreach (TrainableLinear linear in block.Linears) yield return linear;
            }
        }
    }

    /// <summary>What is trained: tensors of the model and of the forms of its linears, each once.</summary>
    public IReadOnlyList<Parameter> Trained
    {
        get
        {
            List<Parameter> trained = [];
            foreach (Parameter parameter in _parameters)
            {
                if (parameter.Trainable) trained.Add(parameter);
            }
            foreach (TrainableLinear linear in Linears)
            {
                foreach (Parameter parameter in linear.Added)
                {
                    if (parameter.Trainable) trained.Add(parameter);
                }
            }
            return trained;
        }
    }

    /// <summary>Copies the tensors of a model, whatever form they are stored in.</summary>
    /// <param name="source">The model; not needed afterwards, except for packed weights that are its own.</param>
    /// <param name="packed">Weights of linears of the blocks that stay packed and fixed, by the linear's name; they must outlive the model.</param>
    public static TrainableModel From(LanguageModel source, IReadOnlyDictionary<string, WeightMatrix>? packed = null)
    {
        HashSet<string> biases = [];
        void Note(string name, NativeBuffer? bias)
        {
            if (bias is not null) biases.Add(name);
        }
        foreach (Linear linear in LinearsOf(source)) Note(linear.Name, linear.Bias);
        foreach (Norm norm in NormsOf(source)) Note(norm.Name, norm.Bias);
        TrainableModel model = new(source.Config, biases.Contains, packed);
        try
        {
            source.Embedding.DequantizeRows(0, source.Embedding.Rows, model.Embedding.Value.Floats);
            if (source.Positions is { } positions) positions.DequantizeRows(0, positions.Rows, model.Positions!.Value.Floats);
            if (model.Head != model.Embedding) source.Head.Weight.DequantizeRows(0, source.Head.Weight.Rows, model.Head.Value.Floats);
            foreach ((Linear from, TrainableLinear to) in LinearsOf(source).Zip(LinearsOf(model)))
            {
                if (to.Packed is null) from.Weight.DequantizeRows(0, from.Weight.Rows, to.Weight.Value.Floats);
                if (from.Bias is { } bias) Rows.Copy(bias.Floats, to.Bias!.Value.Floats, to.Bias.Count);
            }
            foreach ((Norm from, TrainableNorm to) in NormsOf(source).Zip(NormsOf(model)))
            {
                Rows.Copy(from.Weight.Floats, to.Weight.Value.Floats, to.Weight.Count);
                if (from.Bias is { } bias) Rows.Copy(bias.Floats, to.Bias!.Value.Floats, to.Bias.Count);
            }
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>
    /// A model with random weights: normal with deviation 0.02, divided by √(2 · blocks) where a part of a block ends in
    /// the residual stream, as GPT-2 does it; norms are one, biases zero. Families with LayerNorm have biases everywhere,
    /// Qwen2 on queries, keys and values.
    /// </summary>
    /// <param name="config">The description.</param>
    /// <param name="seed">The same seed gives the same weights on every machine.</param>
    public static TrainableModel Random(ModelConfig config, int seed)
    {
        TensorNames names = config.Names;
        bool HasBias(string name) => config.Norm == NormKind.Layer
            || (config.ModelType == "qwen2" && (name.EndsWith(names.Query, StringComparison.Ordinal) || name.EndsWith(names.Key, StringComparison.Ordinal) || name.EndsWith(names.Value, StringComparison.Ordinal)));
        TrainableModel model = new(config, HasBias);
        GaussianNoise noise = new((ulong)seed);
        HashSet<Parameter> norms = [];
        HashSet<Parameter> residual = [];
        foreach (TrainableBlock block in model.Blocks)
        {
            foreach (TrainableNorm norm in block.Norms) norms.Add(norm.Weight);
            residual.Add(block.AttentionOutput.Weight);
            residual.Add(block.Down.Weight);
        }
        if (model.FinalNorm is not null) norms.Add(model.FinalNorm.Weight);
        foreach (Parameter parameter in model.Parameters)
        {
            float deviation = residual.Contains(parameter) ? 0.02f / MathF.Sqrt(2 * config.BlockCount) : 0.02f;
            bool isBias = parameter.Shape.Length == 1 && !norms.Contains(parameter);
            for (long i = 0; i < parameter.Count; i++)
                parameter.Value.Floats[i] = isBias ? 0 : norms.Contains(parameter) ? 1 : deviation * noise.Next();
        }
        return model;
    }

    /// <summary>SHA-256 of all tensors, to recognise the same model after an interruption.</summary>
    public string Fingerprint()
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (Parameter parameter in _parameters)
        {
            hash.AppendData(Encoding.UTF8.GetBytes(parameter.ToString()));
            const int piece = 1 << 24;
            for (long i = 0; i < parameter.Count; i += piece) hash.AppendData(MemoryMarshal.AsBytes(new ReadOnlySpan<float>(parameter.Value.Floats + i, (int)Math.Min(piece, parameter.Count - i))));
        }
        foreach (TrainableLinear linear in Linears)
        {
            if (linear.Packed is null) continue;
            hash.AppendData(Encoding.UTF8.GetBytes(linear.Weight.ToString()));
            float[] row = new float[linear.Weight.Columns];
            for (int r = 0; r < linear.Weight.Rows; r++)
            {
                fixed (float* values = row) linear.Packed.DequantizeRows(r, 1, values);
                hash.AppendData(MemoryMarshal.AsBytes<float>(row));
            }
        }
        return Convert.ToHexString(hash.GetHashAndReset());
    }

    /// <summary>Makes the effective weights of all linears anew.</summary>
    public void Refresh(WorkerPool pool)
    {
        foreach (TrainableLinear linear in Linears) linear.Refresh(pool);
    }

    /// <summary>Sets all gradients to zero.</summary>
    public void ClearGradients()
    {
        foreach (Parameter parameter in Trained) NativeMemory.Clear(parameter.Gradient!.Pointer, (nuint)parameter.Gradient.Bytes);
        foreach (TrainableLinear linear in Linears) linear.ClearFormedGradient();
    }

    /// <summary>Carries gradients of effective weights on to the parameters; call it once after the last batch of a step.</summary>
    public void FinishGradients(WorkerPool pool)
    {
        foreach (TrainableLinear linear in Linears) linear.FinishGradient(pool);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (TrainableLinear linear in Linears) linear.Dispose();
        foreach (Parameter parameter in _parameters) parameter.Dispose();
    }

    // Linears and norms of a source and of ours, in the same order.
    private static IEnumerable<Linear> LinearsOf(LanguageModel source)
    {
        if (source.ProjectIn is not null) yield return source.ProjectIn;
        if (source.ProjectOut is not null) yield return source.ProjectOut;
        foreach (Block block in source.Blocks)
        {
            foreach ((_, Linear linear) in block.Linears()) yield return linear;
        }
    }

    private static IEnumerable<TrainableLinear> LinearsOf(TrainableModel model)
    {
        if (model.ProjectIn is not null) yield return model.ProjectIn;
        if (model.ProjectOut is not null) yield return model.ProjectOut;
        foreach (TrainableLinear linear in model.Linears) yield return linear;
    }

    private static IEnumerable<Norm> NormsOf(LanguageModel source)
    {
        IEnumerable<Norm?> norms = source.Blocks.SelectMany(block => (Norm?[])[block.AttentionNorm, block.QueryNorm, block.KeyNorm, block.AttentionSubNorm, block.FfnNorm, block.FfnSubNorm]);
        return norms.Append(source.FinalNorm).OfType<Norm>();
    }

    private static IEnumerable<TrainableNorm> NormsOf(TrainableModel model) => model.Blocks.SelectMany(block => block.Norms).Append(model.FinalNorm).OfType<TrainableNorm>();
}
