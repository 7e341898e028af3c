using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Training.Data;
using Lowbit.Training.Model;
using Lowbit.Training.Run;

namespace Lowbit.Training.Tests;

/// <summary>A small Llama and a text that repeats itself, for tests of training.</summary>
internal static class Tiny
{
    public static ModelConfig Config { get; } = new()
    {
        ModelType = "llama",
        VocabularySize = 17,
        ModelDim = 32,
        EmbeddingDim = 32,
        BlockCount = 2,
        Heads = 4,
        KvHeads = 2,
        HeadDim = 8,
        FfnDim = 48,
        ContextLength = 64,
        Norm = NormKind.RootMeanSquare,
        NormEpsilon = 1e-5f,
        Activation = NonlinearityKind.Silu,
        Gated = true,
        Rope = new RopeConfig { Theta = 10000, Dim = 8 },
        TiedEmbedding = true,
        Names = TensorNames.Llama,
    };

    public static TrainingOptions Options { get; } = new() { Steps = 8, Batch = 3, Context = 24, LearningRate = 1e-2, WarmUp = 0.25, Clip = 1 };

    public static TrainableModel Model(int seed = 1)
    {
        TrainableModel model = TrainableModel.Random(Config, seed);
        foreach (Parameter parameter in model.Parameters) parameter.Trainable = true;
        return model;
    }

    /// <summary>Tokens of which each follows from the two before it.</summary>
    public static int[] Ids(int count)
    {
        int[] ids = new int[count];
        ids[0] = ids[1] = 1;
        for (int i = 2; i < count; i++) ids[i] = (ids[i - 1] + 3 * ids[i - 2] + 1) % Config.VocabularySize;
        return ids;
    }

    public static TokenWindows Data(int seed = 5) => new(Ids(500), Options.Context, seed);

    public static float[] Values(TrainableModel model) =>
        [.. model.Parameters.SelectMany(parameter => parameter.Value.Span<float>(0, (int)parameter.Count).ToArray())];

    public static double[] Train(TrainableModel model, TrainingOptions options, int steps, int threads = 2)
    {
        using WorkerPool pool = new(threads);
        using Trainer trainer = new(model, Data(), options, pool);
        return [.. Enumerable.Range(0, steps).Select(_ => trainer.Step().Loss)];
    }
}
