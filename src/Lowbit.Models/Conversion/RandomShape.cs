using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models.Conversion;

/// <summary>Shapes of models that are made of random weights: speed does not depend on the values.</summary>
public static class RandomShape
{
    /// <summary>All shapes by name.</summary>
    public static IReadOnlyDictionary<string, ModelConfig> All { get; } = new OrderedDictionary<string, ModelConfig>
    {
        ["tiny"] = Llama(blocks: 2, modelDim: 256, heads: 8, kvHeads: 2, ffnDim: 512, vocabulary: 512, context: 256),
        ["llama-135m"] = Llama(blocks: 30, modelDim: 576, heads: 9, kvHeads: 3, ffnDim: 1536, vocabulary: 49152, context: 2048),
        ["llama-1b"] = Llama(blocks: 22, modelDim: 2048, heads: 32, kvHeads: 4, ffnDim: 5632, vocabulary: 32000, context: 2048),
        ["llama-8b"] = Llama(blocks: 32, modelDim: 4096, heads: 32, kvHeads: 8, ffnDim: 14336, vocabulary: 128256, context: 8192),
    };

    /// <summary>A shape by its name.</summary>
    /// <exception cref="LowbitException">There is none of this name.</exception>
    public static ModelConfig Find(string name) => All.TryGetValue(name, out ModelConfig? config) ? config
        : throw new LowbitException($"--random {name}: there is no shape of this name; choose one of {string.Join(", ", All.Select(shape => shape.Key))}.");

    private static ModelConfig Llama(int blocks, int modelDim, int heads, int kvHeads, int ffnDim, int vocabulary, int context) => new()
    {
        ModelType = "llama",
        VocabularySize = vocabulary,
        ModelDim = modelDim,
        EmbeddingDim = modelDim,
        BlockCount = blocks,
        Heads = heads,
        KvHeads = kvHeads,
        HeadDim = modelDim / heads,
        FfnDim = ffnDim,
        ContextLength = context,
        Norm = NormKind.RootMeanSquare,
        NormEpsilon = 1e-5f,
        Activation = NonlinearityKind.Silu,
        Gated = true,
        Rope = new RopeConfig { Theta = 10000, Dim = modelDim / heads, Interleaved = true },
        BeginId = 1,
        EndIds = [2],
        Names = TensorNames.Gguf,
    };
}
