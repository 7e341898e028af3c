using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.TestKit;
using Lowbit.Training.Model;
using Lowbit.Training.Operators;
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

    [Theory]
    [InlineData("gpt2", false)]
    [InlineData("gpt2", true)]
    [InlineData("gpt-neox", false)]
    [InlineData("opt", false)]
    [InlineData("opt, projected, norms after the parts", true)]
    public void EveryTensorBehindDropout(string name, bool recompute)
    {
        using TrainableModel model = Noisy(s_configs[name]);
        Gradients.AssertRight(model, 2, 11, Ids(22, model.Config.VocabularySize), recompute, new Dropout(0.2f, 7));
    }

    [Fact]
    public void DropoutKeepsTheMeanAndChangesWithTheKey()
    {
        const int count = 40_000;
        double[] factors = [.. Enumerable.Range(0, count).Select(i => (double)new Dropout(0.25f, 1).Factor(3, i))];
        Assert.Equal(1, factors.Average(), 0.01);
        Assert.All(factors.Distinct(), factor => Assert.True(factor == 0 || Math.Abs(factor - 4.0 / 3) < 1e-6));
        Assert.Equal(0.375, Enumerable.Range(0, count).Count(i => (new Dropout(0.25f, 2).Factor(3, i) == 0) != (factors[i] == 0)) / (double)count, 0.01); // 2 · ¼ · ¾
        Assert.Equal(0.375, Enumerable.Range(0, count - 1).Count(i => (factors[i] == 0) != (factors[i + 1] == 0)) / (double)count, 0.01);
        using TrainableModel model = Noisy(s_gpt);
        using WorkerPool pool = new(2);
        using TrainingPass pass = new(model, pool, 2, 11);
        int[] ids = Ids(22, s_gpt.VocabularySize);
        double loss = pass.Evaluate(ids);
        Assert.NotEqual(loss, pass.Run(ids, 1, new Dropout(0.2f, 7)));
        Assert.Equal(loss, pass.Evaluate(ids)); // measured without
    }

    [Fact]
    public void GradientsOfActivationsInBFloat16AreNearlyTheSame()
    {
        foreach (string name in s_configs.Keys)
        {
            using TrainableModel model = Noisy(s_configs[name]);
            using WorkerPool pool = new(2);
            int[] ids = Ids(22, model.Config.VocabularySize);
            float[] kept = AllGradients(model, pool, ids, recompute: false);
            model.ClearGradients();
            float[] halved = AllGradients(model, pool, ids, recompute: false, bfloat16: true);
            double rest = Math.Sqrt(kept.Zip(halved).Sum(pair => Math.Pow(pair.First - pair.Second, 2)) / kept.Sum(g => (double)g * g));
            Assert.True(rest is > 1e-5 and < 0.01, $"{name}: {rest}");
        }
    }

    [Fact]
    public unsafe void BFloat16IsTheNearestUpperHalf()
    {
        using WorkerPool pool = new(2);
        using BlockActivations activations = new(s_gpt, 37);
        using HalvedActivations halved = new(activations);
        NativeBuffer[] buffers = [.. activations.Hidden, activations.LogSums];
        SplitMix64 random = new(4);
        foreach (NativeBuffer buffer in buffers)
            for (long i = 0; i < buffer.Bytes / 4; i++) buffer.Floats[i] = i % 5 == 0 ? BitConverter.Int32BitsToSingle(0x3F808000 + 0x10000 * (int)(i % 4)) : (float)(random.NextDouble() - 0.5) * MathF.Pow(10, i % 7 - 3);
        float[][] before = [.. buffers.Select(buffer => buffer.Span<float>(0, (int)(buffer.Bytes / 4)).ToArray())];
        halved.Keep(pool, activations);
        foreach (NativeBuffer buffer in buffers) buffer.Span<byte>(0, (int)buffer.Bytes).Clear();
        halved.Restore(pool, activations);
        for (int b = 0; b < buffers.Length; b++)
            for (int i = 0; i < before[b].Length; i++)
            {
                int bits = BitConverter.SingleToInt32Bits(before[b][i]), low = bits & ~0xFFFF;
                float down = BitConverter.Int32BitsToSingle(low), up = BitConverter.Int32BitsToSingle(low + 0x10000);
                double below = Math.Abs((double)before[b][i] - down), above = Math.Abs((double)up - before[b][i]);
                float expected = below < above || (below == above && (low >> 16 & 1) == 0) ? down : up;
                Assert.Equal(buffers[b] == activations.LogSums ? before[b][i] : expected, buffers[b].Floats[i]);
            }
    }

    [Fact]
    public unsafe void RoundedInputsAreTheNearestOf255LevelsOfTheirToken()
    {
        const int tokens = 3, features = 21;
        using WorkerPool pool = new(2);
        SplitMix64 random = new(4);
        float[] x = [.. Enumerable.Range(0, tokens * features).Select(i => i < features ? 0 : (float)(random.NextDouble() - 0.5) * (i < 2 * features ? 1 : 100))];
        using Parameter weight = new("w.weight", 2, features) { Trainable = true };
        for (int i = 0; i < weight.Count; i++) weight.Value.Floats[i] = (float)random.NextDouble();
        using TrainableLinear linear = new(weight, null) { RoundsInputs = true };
        float[] y = new float[tokens * 2], dy = [1, 2, -1, 0.5f, 3, -2], dx = new float[x.Length];
        fixed (float* px = x, py = y, pdy = dy, pdx = dx)
        {
            linear.Forward(pool, px, tokens, py);
            linear.Backward(pool, px, pdy, tokens, pdx);
        }
        double[] rounded = [.. x.Select((value, i) =>
        {
            double largest = x.Skip(i / features * features).Take(features).Max(Math.Abs);
            return largest == 0 ? 0 : Math.Round(value * 127 / largest) * largest / 127;
        })];
        for (int t = 0; t < tokens; t++)
            for (int r = 0; r < 2; r++) Assert.Equal(Enumerable.Range(0, features).Sum(c => rounded[t * features + c] * weight.Value.Floats[r * features + c]), y[t * 2 + r], 2e-3);
        for (int r = 0; r < 2; r++)
            for (int c = 0; c < features; c++) Assert.Equal(Enumerable.Range(0, tokens).Sum(t => dy[t * 2 + r] * rounded[t * features + c]), weight.Gradient!.Floats[r * features + c], 1e-3);
        for (int i = 0; i < dx.Length; i++) Assert.Equal(Enumerable.Range(0, 2).Sum(r => (double)dy[i / features * 2 + r] * weight.Value.Floats[r * features + i % features]), dx[i], 1e-4);
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

    private static unsafe float[] AllGradients(TrainableModel model, WorkerPool pool, int[] ids, bool recompute, int sequences = 2, bool bfloat16 = false)
    {
        foreach (Parameter parameter in model.Parameters) parameter.Trainable = true;
        using TrainingPass pass = new(model, pool, sequences, ids.Length / sequences, recompute, bfloat16: bfloat16);
        pass.Run(ids);
        return [.. model.Parameters.SelectMany(parameter => parameter.Gradient!.Span<float>(0, (int)parameter.Count).ToArray())];
    }

    /// <summary>A small model of an architecture of <see cref="Names"/>.</summary>
    internal static TrainableModel Noisy(string name) => Noisy(s_configs[name]);

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
