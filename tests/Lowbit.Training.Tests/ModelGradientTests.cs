using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.TestKit;
using Lowbit.Training.Model;
using Xunit;

namespace Lowbit.Training.Tests;

public sealed class ModelGradientTests
{
    private static readonly ModelConfig s_llama = new()
    {
        ModelType = "llama",
        VocabularySize = 19,
        ModelDim = 20,
        EmbeddingDim = 20,
        BlockCount = 2,
        Heads = 4,
        KvHeads = 2,
        HeadDim = 6,
        FfnDim = 27,
        ContextLength = 32,
        Norm = NormKind.RootMeanSquare,
        NormEpsilon = 1e-5f,
        Activation = NonlinearityKind.Silu,
        Gated = true,
        Rope = new RopeConfig { Theta = 100, Dim = 6 },
        TiedEmbedding = true,
        Names = TensorNames.Llama,
    };

    private static readonly ModelConfig s_gpt = s_llama with
    {
        ModelType = "gpt2",
        KvHeads = 4,
        HeadDim = 5,
        Norm = NormKind.Layer,
        Activation = NonlinearityKind.GeluTanh,
        Gated = false,
        Rope = null,
        LearnedPositions = true,
        Fused = FusedOrder.Thirds,
        Names = TensorNames.Gpt2("transformer."),
    };

    private static readonly Dictionary<string, ModelConfig> s_configs = new()
    {
        ["llama"] = s_llama,
        ["untied, interleaved, part of a head rotates"] = s_llama with { TiedEmbedding = false, Rope = new RopeConfig { Theta = 50, Dim = 4, Interleaved = true } },
        ["norms of queries and keys, biases, a window, a block without rotation"] = s_llama with { ModelType = "qwen2", QueryKeyNorm = true, SlidingWindows = [3, null], BlocksWithoutRope = [1] },
        ["bitnet"] = s_llama with { ModelType = "bitnet", Activation = NonlinearityKind.ReluSquared, SubNorms = true },
        ["gpt2"] = s_gpt,
        ["gpt-neox"] = s_gpt with { LearnedPositions = false, Rope = new RopeConfig { Theta = 100, Dim = 2 }, Activation = NonlinearityKind.Gelu, Fused = FusedOrder.ByHead, ParallelResidual = true, TiedEmbedding = false, Names = TensorNames.GptNeoX },
        ["opt"] = s_gpt with { PositionOffset = 2, Activation = NonlinearityKind.Relu, Fused = FusedOrder.Separate, Names = TensorNames.Opt("model.decoder.") },
        ["opt, projected, norms after the parts"] = s_gpt with
        {
            EmbeddingDim = 8,
            PositionOffset = 2,
            Activation = NonlinearityKind.ReluSquared,
            Fused = FusedOrder.Separate,
            NormBefore = false,
            FinalNorm = false,
            Names = TensorNames.Opt("model.decoder."),
        },
    };

    public static TheoryData<string> Names => [.. s_configs.Keys];

    public static TheoryData<string> Architectures =>
    [
        "llama", "llama-3.1-rope", "llama-attention-bias", "llama-head-dim", "llama-linear-rope", "llama-yarn", "mistral-sliding", "qwen2", "qwen3", "smollm3",
        "opt", "opt-projected", "gpt2", "gpt-neox-parallel", "gpt-neox-sequential",
    ];

    [Theory]
    [MemberData(nameof(Names))]
    public void EveryTensorOfASmallModel(string name)
    {
        using TrainableModel model = Noisy(s_configs[name]);
        Gradients.AssertRight(model, 2, 11, Ids(22, model.Config.VocabularySize));
    }

    [Fact]
    public void RecomputationGivesTheSameBits()
    {
        using TrainableModel kept = Noisy(s_llama), recomputed = Noisy(s_llama);
        using WorkerPool pool = new(2);
        int[] ids = Ids(22, s_llama.VocabularySize);
        float[][] gradients = [.. new[] { (kept, false), (recomputed, true) }.Select(entry => AllGradients(entry.Item1, pool, ids, entry.Item2))];
        Assert.Equal(gradients[0], gradients[1]);
    }

    [Fact]
    public void ThreadsDoNotMatter()
    {
        ModelConfig config = s_llama with { ModelDim = 96, EmbeddingDim = 96, FfnDim = 200, VocabularySize = 300, ContextLength = 128 };
        int[] ids = Ids(4 * 100, config.VocabularySize);
        float[][] gradients = [.. new[] { 1, 2, 3 }.Select(threads =>
        {
            using TrainableModel model = Noisy(config);
            using WorkerPool pool = new(threads);
            return AllGradients(model, pool, ids, recompute: false, sequences: 4);
        })];
        Assert.Equal(gradients[0], gradients[1]);
        Assert.Equal(gradients[0], gradients[2]);
    }

    // Sequences longer than a tile of the attention, so that keys of earlier tiles are seen.
    [Theory]
    [InlineData(0)]
    [InlineData(70)]
    public void LongSequences(int window)
    {
        ModelConfig config = s_llama with { BlockCount = 1, ModelDim = 8, EmbeddingDim = 8, FfnDim = 8, Heads = 2, KvHeads = 1, HeadDim = 4, Rope = new RopeConfig { Theta = 100, Dim = 4 }, ContextLength = 150, SlidingWindows = window == 0 ? [] : [window] };
        using TrainableModel model = Noisy(config);
        Gradients.AssertRight(model, 1, 150, Ids(150, config.VocabularySize));
    }

    [SharedTheory]
    [MemberData(nameof(Architectures))]
    public void EveryTensorOfTheReferenceArchitectures(string name)
    {
        using LanguageModel source = LanguageModel.Open(Shared.Path("golden", "architectures", name));
        using TrainableModel model = TrainableModel.From(source);
        Gradients.AssertRight(model, 1, 6, Ids(6, model.Config.VocabularySize));
    }

    private static unsafe float[] AllGradients(TrainableModel model, WorkerPool pool, int[] ids, bool recompute, int sequences = 2)
    {
        foreach (Parameter parameter in model.Parameters) parameter.Trainable = true;
        using TrainingPass pass = new(model, pool, sequences, ids.Length / sequences, recompute);
        pass.Run(ids);
        return [.. model.Parameters.SelectMany(parameter => parameter.Gradient!.Span<float>(0, (int)parameter.Count).ToArray())];
    }

    // Random weights of a deviation near that of trained models, norms and biases included.
    private static unsafe TrainableModel Noisy(ModelConfig config)
    {
        TrainableModel model = TrainableModel.Random(config, 1);
        SplitMix64 random = new(2);
        foreach (Parameter parameter in model.Parameters)
        {
            for (long i = 0; i < parameter.Count; i++) parameter.Value.Floats[i] += (float)(0.6 * random.NextDouble() - 0.3);
        }
        return model;
    }

    private static int[] Ids(int count, int vocabulary)
    {
        SplitMix64 random = new(7);
        return [.. Enumerable.Range(0, count).Select(_ => random.Below(vocabulary))];
    }
}
